SELECT * FROM by_host ORDER BY host
