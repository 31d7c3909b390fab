SELECT count(*) AS n FROM late_rows WHERE row LIKE '%100%' OR row LIKE '%200%' OR row LIKE '%300%'
