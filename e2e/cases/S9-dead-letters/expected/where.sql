SELECT DISTINCT source FROM dead_letters WHERE partition LIKE '%1.json' OR partition LIKE '%1.csv' ORDER BY source
