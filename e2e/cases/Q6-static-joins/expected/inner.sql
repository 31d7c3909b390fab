SELECT * FROM inner_join ORDER BY campaign
