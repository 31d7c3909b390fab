SELECT count(*) AS n FROM dead_letters WHERE bytes IS NOT NULL
