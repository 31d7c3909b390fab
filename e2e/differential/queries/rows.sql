--- Selection, projection, conditions.
-- all_columns
SELECT * FROM types
-- filter
SELECT id, i FROM types WHERE i > 3 AND s IS NOT NULL
-- filter_or_null
SELECT id FROM types WHERE b OR i IS NULL
-- case_searched
SELECT id, CASE WHEN i < 0 THEN 'neg' WHEN i = 0 THEN 'zero' ELSE 'pos' END AS v FROM types
-- case_simple
SELECT id, CASE g WHEN 'a' THEN 1 WHEN 'b' THEN 2 END AS v FROM types
-- between
SELECT id FROM types WHERE i BETWEEN 1 AND 7
-- not_between
SELECT id FROM types WHERE i NOT BETWEEN 1 AND 7
-- in_list
SELECT id FROM types WHERE g IN ('a', 'c')
-- not_in_list
SELECT id FROM types WHERE g NOT IN ('a', 'c')
-- null_safe_equal
SELECT id, g <=> 'a' AS v, g <=> NULL AS w FROM types
-- is_distinct
SELECT id, g IS DISTINCT FROM 'a' AS v, g IS NOT DISTINCT FROM NULL AS w FROM types
-- like
SELECT id FROM types WHERE s LIKE '%o%'
-- like_escape
SELECT id, s LIKE '\\%%' AS v FROM types
-- ilike
SELECT id, s ILIKE '%HELLO%' AS v FROM types
-- rlike
SELECT id, s RLIKE '^[a-z]+$' AS v FROM types
-- struct_field
SELECT id, st.x AS x, st.y AS y FROM types
-- map_index
SELECT id, m['k'] AS v FROM types
-- coalesce
SELECT id, coalesce(g, s, 'none') AS v FROM types
-- concat_pipes
SELECT id, s || '/' || g AS v FROM types
-- boolean_logic
SELECT id, b AND i > 0 AS v, b OR i > 0 AS w, NOT b AS n FROM types
-- nan_compare
SELECT id, x > 1e308 AS big, x = double('NaN') AS nan, x < 0 AS neg FROM types
