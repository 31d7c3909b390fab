--- Joins with static tables, unions, common table expressions, subqueries.
-- inner_join
SELECT t.id, q.label FROM types t JOIN groups q ON t.g = q.g
-- left_join
SELECT t.id, q.label FROM types t LEFT JOIN groups q ON t.g = q.g
-- using
SELECT id, g, label FROM types JOIN groups USING (g)
-- natural_join
SELECT id, g, label FROM types NATURAL JOIN groups
-- left_semi
SELECT t.id FROM types t LEFT SEMI JOIN groups q ON t.g = q.g
-- left_anti
SELECT t.id FROM types t LEFT ANTI JOIN groups q ON t.g = q.g
-- cross_join
SELECT t.id, q.label FROM types t CROSS JOIN groups q WHERE t.id < 4
-- join_condition
SELECT t.id, q.label FROM types t JOIN groups q ON t.g = q.g AND q.weight > t.id
-- range_join
SELECT t.id, q.label FROM types t JOIN groups q ON t.id * 2 >= q.weight AND t.id < q.weight
-- join_aggregate
SELECT q.label, count(*) AS n, sum(t.id) AS s FROM types t JOIN groups q ON t.g = q.g GROUP BY q.label
-- join_null_safe
SELECT t.id, q.label FROM types t JOIN groups q ON t.g <=> q.g
-- two_joins
SELECT e.event_type, a.campaign_id, count(*) AS n FROM events e JOIN ads a ON e.ad_id = a.ad_id LEFT JOIN groups q ON q.g = a.campaign_id GROUP BY e.event_type, a.campaign_id
-- campaign_counts
SELECT a.campaign_id, count(*) AS n FROM events e LEFT JOIN ads a ON e.ad_id = a.ad_id WHERE e.event_type = 'view' GROUP BY a.campaign_id
-- join_subquery
SELECT t.id, q.w FROM types t JOIN (SELECT g, max(weight) AS w FROM groups GROUP BY g) q ON t.g = q.g
-- union_all
SELECT id, g FROM types WHERE id < 5 UNION ALL SELECT id, s FROM types WHERE id > 15
-- union_types
SELECT id AS v FROM types UNION ALL SELECT l FROM types
-- union_distinct
SELECT g FROM types UNION SELECT g FROM types
-- union_aggregate
SELECT k, count(*) AS n FROM (SELECT g AS k FROM types UNION ALL SELECT ad_type FROM events) GROUP BY k
-- cte
WITH big AS (SELECT id, i FROM types WHERE i > 3) SELECT id FROM big WHERE i < 10
-- cte_aggregate
WITH counts AS (SELECT g, count(*) AS n FROM types GROUP BY g) SELECT g, n * 2 AS n FROM counts WHERE n > 2
-- cte_twice
WITH a AS (SELECT id, i FROM types), b AS (SELECT id, i + 0 AS j FROM a WHERE id < 10) SELECT id, j FROM b
-- subquery_from
SELECT v, count(*) AS n FROM (SELECT i % 2 AS v FROM types) q GROUP BY v
-- distinct_expression
SELECT DISTINCT i % 3 AS v FROM types
-- order_limit_groups
SELECT g, count(*) AS n FROM types GROUP BY g ORDER BY n DESC, g NULLS LAST LIMIT 2
-- order_default_nulls
SELECT g, count(*) AS n FROM types GROUP BY g ORDER BY g LIMIT 1
-- order_desc_nulls
SELECT g, count(*) AS n FROM types GROUP BY g ORDER BY g DESC LIMIT 3
-- limit_offset
SELECT user_id, count(*) AS n FROM events GROUP BY user_id ORDER BY n DESC, user_id LIMIT 5 OFFSET 5
-- values_table
SELECT t.id, v.name FROM types t JOIN (VALUES ('a', 'first'), ('b', 'second')) AS v(g, name) ON t.g = v.g
-- in_subquery_not
SELECT id FROM types WHERE g NOT IN (SELECT g FROM groups)
-- qualified_star
SELECT q.* FROM types t JOIN groups q ON t.g = q.g WHERE t.id < 3
-- star_except
SELECT * EXCEPT (st, m, sts, a, sa) FROM types
-- case_of_names
SELECT ID, Types.G AS G2 FROM Types WHERE I > 3
-- backticks
SELECT `id` AS `my id`, `g` FROM `types`
-- lateral_alias
SELECT p * 2 AS q FROM (SELECT id + 1 AS p FROM types)
-- where_alias_free
SELECT t.id FROM types AS t WHERE t.st.x > 5
-- comments
SELECT id /* the number */, g FROM types
-- interval_join
SELECT e.user_id, t.id FROM events e JOIN (SELECT 1 AS id, TIMESTAMP'2023-11-14 22:15:00' AS at) t ON e.ts BETWEEN t.at AND t.at + INTERVAL 30 SECONDS
