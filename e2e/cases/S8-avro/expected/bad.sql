SELECT source, right(partition, 6) AS file, `offset`, reason FROM dead_letters ORDER BY partition
