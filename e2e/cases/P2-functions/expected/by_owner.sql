SELECT * FROM by_owner ORDER BY owner
