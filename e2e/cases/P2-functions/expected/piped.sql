SELECT * FROM piped ORDER BY host
