SELECT language, region, none, host, n FROM regions ORDER BY language
