SELECT count(*) AS n FROM late_rows
