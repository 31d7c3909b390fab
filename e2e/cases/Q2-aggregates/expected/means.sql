SELECT round(mean, 9) AS mean, users BETWEEN 38 AND 42 AS close FROM means
