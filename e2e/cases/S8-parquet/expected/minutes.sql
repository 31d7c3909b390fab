SELECT w.start AS start, amount FROM minutes ORDER BY start
