SELECT * FROM sessions ORDER BY start, host
