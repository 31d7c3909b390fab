SELECT user, s.start AS start, s.end AS end, n, total FROM fixed ORDER BY user, start
