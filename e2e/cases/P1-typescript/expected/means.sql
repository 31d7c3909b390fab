SELECT host, mean FROM means WHERE host IS NOT NULL ORDER BY host
