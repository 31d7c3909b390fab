SELECT * FROM everything ORDER BY word
