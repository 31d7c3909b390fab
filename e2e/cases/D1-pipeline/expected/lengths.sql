SELECT * FROM lengths ORDER BY value
