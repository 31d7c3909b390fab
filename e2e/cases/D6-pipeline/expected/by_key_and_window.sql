SELECT w.window.start AS start, word, n FROM by_key_and_window w WHERE w.window.end <= TIMESTAMP '2024-01-01 01:00:00' ORDER BY start, word, n
