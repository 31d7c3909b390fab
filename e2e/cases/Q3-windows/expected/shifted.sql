SELECT w.start AS start, n FROM shifted ORDER BY start
