SELECT DISTINCT source, reason, record FROM dead_letters WHERE record LIKE '%"1":1}'
