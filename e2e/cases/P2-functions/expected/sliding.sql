SELECT * FROM sliding ORDER BY start
