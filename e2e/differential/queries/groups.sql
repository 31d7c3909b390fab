--- Aggregates with GROUP BY.
-- count_star
SELECT g, count(*) AS n, count(i) AS c FROM types GROUP BY g
-- sums
SELECT g, sum(i) AS i, sum(d) AS d FROM types GROUP BY g
-- averages
SELECT g, avg(i) AS i, avg(d) AS d FROM types WHERE id NOT IN (4, 5) GROUP BY g
-- extremes
SELECT g, min(i) AS li, max(i) AS mi, min(x) AS lx, max(x) AS mx, min(s) AS ls, max(s) AS ms FROM types GROUP BY g
-- count_distinct
SELECT count(DISTINCT g) AS v, count(DISTINCT i) AS w FROM types
-- having
SELECT g, count(*) AS n FROM types GROUP BY g HAVING count(*) > 5
-- filter_clause
SELECT g, count(*) FILTER (WHERE i > 0) AS p, sum(i) FILTER (WHERE b) AS q FROM types GROUP BY g
-- distinct
SELECT DISTINCT g, b FROM types
-- order_limit
SELECT ad_type, count(*) AS n FROM events GROUP BY ad_type ORDER BY n DESC, ad_type LIMIT 3
