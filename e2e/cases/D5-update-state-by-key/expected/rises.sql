SELECT key, count FROM rises ORDER BY key, count
