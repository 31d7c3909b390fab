SELECT w.start AS start, total FROM windows ORDER BY start
