SELECT * FROM counts ORDER BY word
