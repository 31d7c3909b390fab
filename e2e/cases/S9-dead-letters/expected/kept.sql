SELECT source, `offset`, length(reason) > 5 AS says_why FROM dead_letters ORDER BY source, `offset`
