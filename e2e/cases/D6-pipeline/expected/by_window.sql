SELECT w.window.start AS start, n FROM by_window w WHERE w.window.end <= TIMESTAMP '2024-01-01 01:00:00' ORDER BY start, n
