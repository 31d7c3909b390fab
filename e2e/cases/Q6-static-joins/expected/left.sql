SELECT * FROM left_join ORDER BY campaign NULLS LAST
