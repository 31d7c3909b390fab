--- Conditions and nulls.
-- if_iff
SELECT id, if(i > 0, 'p', 'n') AS a, if(b, i, NULL) AS c FROM types
-- nvl
SELECT id, nvl(i, -1) AS a, ifnull(g, 'x') AS b, nvl2(i, 'has', 'no') AS c, zeroifnull(i) AS d, nullifzero(i) AS e FROM types
-- coalesce_types
SELECT id, coalesce(i, l) AS a, coalesce(i, 0.5) AS b, coalesce(NULL, g, 'q') AS c FROM types
-- case_nested
SELECT id, CASE WHEN g = 'a' THEN CASE WHEN i > 5 THEN 'big' ELSE 'small' END WHEN g IS NULL THEN 'none' ELSE g END AS v FROM types
-- case_no_else
SELECT id, CASE WHEN i > 5 THEN i END AS v FROM types
-- case_types
SELECT id, CASE WHEN i > 5 THEN i ELSE 0.5 END AS a, CASE WHEN b THEN l ELSE i END AS c FROM types
-- decode
SELECT id, decode(g, 'a', 'first', 'b', 'second', 'other') AS a, decode(g, NULL, 'null', 'x') AS b FROM types
-- boolean_tests
SELECT id, b IS TRUE AS a, b IS FALSE AS c, b IS NOT TRUE AS d, b IS UNKNOWN AS e FROM types
-- three_valued
SELECT id, b AND NULL AS a, b OR NULL AS c, NOT b AS d, NULL = NULL AS e FROM types
-- in_with_null
SELECT id, i IN (1, NULL, 5) AS a, i NOT IN (1, NULL) AS b FROM types
-- exists_in_static
SELECT id, g FROM types WHERE g IN (SELECT g FROM groups WHERE weight > 15)
-- not_exists
SELECT id, g FROM types t WHERE NOT EXISTS (SELECT 1 FROM groups q WHERE q.g = t.g)
-- exists
SELECT id, g FROM types t WHERE EXISTS (SELECT 1 FROM groups q WHERE q.g = t.g AND q.weight < 15)
-- scalar_subquery
SELECT id, i, (SELECT max(weight) FROM groups) AS w FROM types WHERE i < (SELECT avg(weight) FROM groups)
-- equal_null
SELECT id, equal_null(g, 'a') AS a, equal_null(g, NULL) AS b FROM types
-- bang
SELECT id, !b AS a, i != 5 AS c, i <> 5 AS d, i == 5 AS e FROM types
-- greatest_null
SELECT id, greatest(i, NULL, id) AS a, least(NULL, i) AS b FROM types
-- assert_true_free
SELECT id, nullif(i, 5) AS a, nullif(g, 'a') AS b FROM types
-- where_case
SELECT id FROM types WHERE CASE WHEN b THEN i > 5 ELSE i < 5 END
-- like_null
SELECT id, s LIKE NULL AS a, NULL LIKE 'a' AS b FROM types
-- between_null
SELECT id, i BETWEEN NULL AND 5 AS a, i BETWEEN 1 AND NULL AS b FROM types
-- nan_equal
SELECT a.id, count(*) AS n FROM types a JOIN (SELECT double('NaN') AS v) q ON a.x = q.v GROUP BY a.id
