SELECT s.start AS start, s.end AS end, users FROM alone ORDER BY start
