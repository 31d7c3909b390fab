SELECT word, n FROM counts_js ORDER BY word
