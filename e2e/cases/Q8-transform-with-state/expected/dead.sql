SELECT source, `offset`, reason, record FROM dead_letters
