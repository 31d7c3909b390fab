SELECT * FROM networks ORDER BY network
