SELECT * FROM by_value ORDER BY word
