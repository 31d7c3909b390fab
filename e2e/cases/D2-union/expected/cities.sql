SELECT * FROM cities ORDER BY city
