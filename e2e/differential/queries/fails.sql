--- What both refuse or fail on.
-- divide_by_zero fails
SELECT id, i / 0 AS v FROM types
-- overflow fails
SELECT id, i + 2147483647 AS v FROM types
-- no_such_column fails
SELECT nothing FROM types
-- no_such_function fails
SELECT frobnicate(i) AS v FROM types
