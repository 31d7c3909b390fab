--- Aggregates.
-- count_forms
SELECT count(*) AS a, count(1) AS b, count(g) AS c, count(i, g) AS d FROM types
-- count_if
SELECT g, count_if(i > 3) AS a FROM types GROUP BY g
-- count_distinct_more
SELECT g, count(DISTINCT i) AS a, count(DISTINCT b) AS c FROM types GROUP BY g
-- count_distinct_pair
SELECT count(DISTINCT g, b) AS a FROM types
-- sum_types
SELECT sum(i) AS a, sum(d) AS b, sum(id) AS c FROM types
-- sum_double
SELECT ad_type, sum(cost) AS a, avg(cost) AS b FROM events GROUP BY ad_type
-- sum_distinct
SELECT sum(DISTINCT i) AS a, sum(DISTINCT d) AS b FROM types
-- avg_distinct
SELECT avg(DISTINCT id % 5) AS a FROM types
-- avg_types
SELECT avg(id) AS a, avg(d) AS b, mean(i) AS c FROM types WHERE id NOT IN (4, 5)
-- min_max_types
SELECT min(day) AS a, max(day) AS b, min(ts) AS c, max(ts) AS d, min(d) AS e, max(b) AS f, min(b) AS h FROM types
-- min_max_float
SELECT min(x) AS a, max(x) AS b, min(f) AS c, max(f) AS d FROM types
-- bool_aggregates
SELECT g, bool_and(b) AS a, bool_or(b) AS c, every(b) AS d, any(b) AS e, some(b) AS f FROM types GROUP BY g
-- bit_aggregates
SELECT g, bit_and(i) AS a, bit_or(i) AS b, bit_xor(i) AS c FROM types GROUP BY g
-- stddev
SELECT round(stddev(i), 9) AS a, round(stddev_samp(i), 9) AS b, round(stddev_pop(i), 9) AS c, round(std(i), 9) AS d FROM types WHERE abs(id) NOT IN (4, 5)
-- variance
SELECT g, round(variance(id), 9) AS a, round(var_samp(id), 9) AS b, round(var_pop(id), 9) AS c FROM types GROUP BY g
-- variance_double
SELECT ad_type, round(variance(cost), 6) AS a, round(stddev(cost), 6) AS b FROM events GROUP BY ad_type
-- variance_few
SELECT id, var_samp(i) AS a, var_pop(i) AS b, stddev(i) AS c FROM types GROUP BY id
-- covariance
SELECT round(covar_pop(id, i), 9) AS a, round(covar_samp(id, i), 9) AS b FROM types WHERE id NOT IN (4, 5)
-- correlation
SELECT round(corr(id, i), 10) AS a, round(corr(id, id), 10) AS b FROM types WHERE id NOT IN (4, 5)
-- regression
SELECT regr_count(id, i) AS a, round(regr_slope(id, i), 10) AS b, round(regr_intercept(id, i), 10) AS c, round(regr_r2(id, i), 10) AS d FROM types WHERE id NOT IN (4, 5)
-- regr_averages
SELECT round(regr_avgx(id, i), 9) AS a, round(regr_avgy(id, i), 9) AS b, round(regr_sxx(id, i), 9) AS c, round(regr_syy(id, i), 9) AS d, round(regr_sxy(id, i), 9) AS e FROM types WHERE id NOT IN (4, 5)
-- skewness
SELECT round(skewness(id), 8) AS a, round(kurtosis(id), 8) AS b FROM types
-- min_by
SELECT g, min_by(id, i) AS a, max_by(id, i) AS b FROM types GROUP BY g
-- max_by_text
SELECT ad_type, max_by(user_id, event_time) AS a, min_by(page_id, event_time) AS b FROM events GROUP BY ad_type
-- collect_set
SELECT g, sort_array(collect_set(i)) AS a, size(collect_set(b)) AS c FROM types GROUP BY g
-- collect_set_text
SELECT event_type, array_sort(collect_set(ad_type)) AS a FROM events GROUP BY event_type
-- collect_list
SELECT g, sort_array(collect_list(i)) AS a FROM types GROUP BY g
-- array_agg
SELECT event_type, size(array_agg(page_id)) AS a FROM events GROUP BY event_type
-- median
SELECT g, median(id) AS a FROM types GROUP BY g
-- median_double
SELECT ad_type, median(cost) AS a FROM events GROUP BY ad_type
-- percentile
SELECT ad_type, percentile(cost, 0.25) AS a, percentile(cost, 0.9) AS b, percentile(event_time, 0.5) AS c FROM events GROUP BY ad_type
-- percentile_many
SELECT percentile(cost, array(0.1, 0.5, 0.99)) AS a FROM events
-- percentile_cont
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY cost) AS a, percentile_disc(0.5) WITHIN GROUP (ORDER BY cost) AS b FROM events
-- percentile_approx
SELECT percentile_approx(id, 0.5) AS a, approx_percentile(id, 0.25, 100) AS b FROM types
-- percentile_approx_many
SELECT ad_type, percentile_approx(event_time, array(0.25, 0.5, 0.75)) AS a FROM events GROUP BY ad_type
-- mode
SELECT mode(g) AS a FROM types WHERE g IN ('a', 'c')
-- mode_events
SELECT ad_type, mode(event_type) AS a FROM events GROUP BY ad_type
-- first_last
SELECT g, first(g) AS a, last(g) AS b, any_value(g) AS c FROM types GROUP BY g
-- approx_count_distinct
SELECT approx_count_distinct(g) AS a, approx_count_distinct(b) AS c FROM types
-- approx_small
SELECT ad_type, approx_count_distinct(page_id) AS a FROM events GROUP BY ad_type
-- hll
SELECT hll_sketch_estimate(hll_sketch_agg(page_id)) AS a FROM events
-- approx_top_k
SELECT approx_top_k(ad_type, 2) AS a FROM events
-- count_min_free
SELECT histogram_numeric(id, 3) AS a FROM types
-- product_free
SELECT g, sum(i * 2) AS a, sum(i) * 2 AS b, max(i) - min(i) AS c FROM types WHERE i BETWEEN -1000 AND 1000 GROUP BY g
-- expression_keys
SELECT id % 3 AS k, count(*) AS n FROM types GROUP BY id % 3
-- alias_key
SELECT id % 3 AS k, count(*) AS n FROM types GROUP BY k
-- position_key
SELECT upper(g) AS k, count(*) AS n FROM types GROUP BY 1
-- group_by_all
SELECT g, b, count(*) AS n FROM types GROUP BY ALL
-- having_other
SELECT g FROM types GROUP BY g HAVING max(i) > 10
-- filter_many
SELECT g, count(*) FILTER (WHERE b) AS a, max(i) FILTER (WHERE i < 10) AS c, avg(id) FILTER (WHERE g = 'a') AS d FROM types GROUP BY g
-- distinct_filter
SELECT count(DISTINCT g) FILTER (WHERE i > 3) AS a FROM types
-- empty_input
SELECT count(*) AS a, sum(i) AS b, avg(x) AS c, min(s) AS d, stddev(i) AS e FROM types WHERE id < 0
-- empty_groups
SELECT g, count(*) AS a FROM types WHERE id < 0 GROUP BY g
-- nulls_only
SELECT sum(i) AS a, avg(i) AS b, min(i) AS c, count(i) AS d, bool_and(b) AS e, collect_set(i) AS f FROM types WHERE i IS NULL
-- group_null_keys
SELECT g, b, count(*) AS n FROM types GROUP BY g, b
-- group_by_float
SELECT x, count(*) AS n FROM types GROUP BY x
-- string_agg
SELECT ad_type, length(string_agg(user_id, ',')) AS a FROM events GROUP BY ad_type
-- listagg
SELECT g, listagg(s, '|') WITHIN GROUP (ORDER BY id) AS a FROM types GROUP BY g
-- try_aggregates
SELECT try_sum(i) AS a, try_avg(i) AS b, try_sum(l) AS c FROM types
-- max_struct
SELECT max(named_struct('i', i, 'id', id)) AS a FROM types
-- max_array
SELECT max(sa) AS a, min(sa) AS b FROM types
-- max_by_null
SELECT max_by(g, id) AS a, min_by(s, x) AS b FROM types
-- grouping_sets
SELECT g, b, count(*) AS n FROM types GROUP BY GROUPING SETS ((g), (b), ())
-- rollup
SELECT g, count(*) AS n FROM types GROUP BY ROLLUP (g)
-- cube
SELECT g, b, count(*) AS n FROM types GROUP BY CUBE (g, b)
-- bitmap_count
SELECT count(DISTINCT CAST(ts AS DATE)) AS a FROM types
-- sum_of_text
SELECT sum(CAST(id AS STRING)) AS a FROM types
-- nested_expression
SELECT g, round(sum(i) / count(*), 3) AS a, CASE WHEN count(*) > 5 THEN 'many' ELSE 'few' END AS b FROM types WHERE i BETWEEN -100 AND 100 GROUP BY g
-- sum_case
SELECT g, sum(CASE WHEN b THEN 1 ELSE 0 END) AS a, sum(if(b, i, 0)) AS c FROM types WHERE id NOT IN (4, 5) GROUP BY g
-- kurtosis_events
SELECT round(kurtosis(event_time % 1000), 6) AS a, round(skewness(event_time % 1000), 6) AS b FROM events
-- variance_digits
SELECT g, variance(id) AS a FROM types GROUP BY g
-- percentile_text_keys
SELECT event_type, percentile_approx(cost, 0.5) AS a, percentile_approx(event_time, 0.99) AS b FROM events GROUP BY event_type
-- median_windows
SELECT window.start AS s, median(event_time) AS a, mode(ad_type) IS NOT NULL AS b FROM events GROUP BY window(ts, '1 minute', '30 seconds')
-- distinct_windows
SELECT window.start AS s, sum(DISTINCT event_time % 10) AS a, size(collect_set(ad_type)) AS b FROM events GROUP BY window(ts, '1 minute')
-- filter_percentile
SELECT percentile(cost, 0.5) FILTER (WHERE ad_type = 'mail') AS a, count_if(cost > 1) AS b FROM events
