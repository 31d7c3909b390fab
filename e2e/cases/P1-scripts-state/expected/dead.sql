SELECT source, reason FROM dead_letters ORDER BY reason
