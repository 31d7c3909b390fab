SELECT record FROM dead_letters WHERE source = 'prices' AND `offset` IN (2, 3) ORDER BY `offset`
