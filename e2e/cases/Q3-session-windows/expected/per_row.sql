SELECT user, s.start AS start, s.end AS end, n FROM per_row ORDER BY user, start
