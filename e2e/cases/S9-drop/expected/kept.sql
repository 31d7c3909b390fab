SELECT count(*) AS n FROM dead_letters
