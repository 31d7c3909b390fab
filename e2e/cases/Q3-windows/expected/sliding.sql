SELECT w.start AS start, n FROM sliding ORDER BY start
