SELECT reason, record FROM dead_letters ORDER BY reason
