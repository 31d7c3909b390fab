SELECT w.start AS start, w.end AS end, k, n, total FROM tumbling ORDER BY start, k
