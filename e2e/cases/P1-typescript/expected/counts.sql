SELECT word, n FROM counts ORDER BY word
