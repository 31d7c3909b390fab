SELECT id, wants, count(*) AS n FROM asked GROUP BY id, wants ORDER BY id
