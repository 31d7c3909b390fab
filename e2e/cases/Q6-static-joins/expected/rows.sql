SELECT * FROM joined_rows ORDER BY n, campaign
