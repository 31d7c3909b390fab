SELECT unix_millis(w.start) AS start, n, total FROM windows ORDER BY start
