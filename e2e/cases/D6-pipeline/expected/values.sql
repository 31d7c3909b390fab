SELECT w.window.start AS start, word, times FROM `values` w WHERE w.window.end <= TIMESTAMP '2024-01-01 01:00:00' ORDER BY start, word, times
