SELECT * FROM prices_seen
