SELECT word, n FROM counts_py ORDER BY word
