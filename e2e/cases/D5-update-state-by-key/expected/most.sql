SELECT key, n FROM most ORDER BY key
