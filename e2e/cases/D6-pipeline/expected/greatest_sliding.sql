SELECT w.window.start AS start, n FROM greatest_sliding w ORDER BY start
