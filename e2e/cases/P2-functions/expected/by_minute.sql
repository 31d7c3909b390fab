SELECT * FROM by_minute ORDER BY minute
