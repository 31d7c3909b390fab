SELECT word, count FROM rises ORDER BY word, count
