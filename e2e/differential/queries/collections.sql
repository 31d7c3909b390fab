--- Arrays, structs and maps.
-- size
SELECT id, size(a) AS a, cardinality(m) AS b, array_size(sa) AS c, size(m) AS d FROM types
-- array_contains
SELECT id, array_contains(a, 1) AS a, array_contains(sa, 'a') AS b FROM types
-- array_position
SELECT id, array_position(a, 1) AS a, array_position(sa, 'z') AS b FROM types
-- element_at
SELECT id, try_element_at(a, 1) AS a, try_element_at(a, -1) AS b, try_element_at(m, 'k') AS c, element_at(m, 'k') AS d FROM types
-- element_index
SELECT id, a[0] AS a, get(a, 1) AS b, sa[0] AS c FROM types WHERE size(a) > 0 AND size(sa) > 0
-- get_outside
SELECT id, get(a, 10) AS a, get(a, -1) AS b FROM types
-- sort_array
SELECT id, sort_array(a) AS a, sort_array(a, false) AS b, array_sort(a) AS c, sort_array(sa) AS d FROM types
-- array_min_max
SELECT id, array_min(a) AS a, array_max(a) AS b, array_max(sa) AS c FROM types
-- array_distinct
SELECT id, array_distinct(a) AS a, array_remove(a, 1) AS b, array_compact(a) AS c FROM types
-- array_sets
SELECT id, array_union(a, array(1, 2)) AS a, array_intersect(a, array(1, 2, 3)) AS b, array_except(a, array(1)) AS c FROM types
-- arrays_overlap
SELECT id, arrays_overlap(a, array(1, 7)) AS a FROM types
-- array_join
SELECT id, array_join(sa, '-') AS a, array_join(sa, '-', '?') AS b FROM types
-- slice
SELECT id, slice(a, 1, 2) AS a, slice(a, -2, 2) AS b FROM types
-- array_build
SELECT id, array(i, id, NULL) AS a, array('x', g) AS b, array() AS c, array_repeat(g, 2) AS d FROM types
-- array_append
SELECT id, array_append(a, 9) AS a, array_prepend(a, 0) AS b, array_insert(a, 1, 5) AS c FROM types
-- concat_arrays
SELECT id, concat(a, array(1)) AS a, flatten(array(a, array(7))) AS b, reverse(a) AS c FROM types
-- sequence
SELECT id, sequence(1, 5) AS a, sequence(5, 1, -2) AS b, sequence(id, id + 2) AS c FROM types
-- sequence_dates
SELECT id, sequence(DATE'2024-02-27', DATE'2024-03-01') AS a, sequence(DATE'2024-01-31', DATE'2024-04-30', INTERVAL 1 MONTH) AS b FROM types WHERE id = 1
-- transform
SELECT id, transform(a, v -> v * 2) AS a, transform(sa, v -> upper(v)) AS b FROM types WHERE id NOT IN (4, 5)
-- transform_index
SELECT id, transform(a, (v, n) -> v + n) AS a FROM types WHERE id NOT IN (4, 5)
-- filter_array
SELECT id, filter(a, v -> v > 2) AS a, filter(sa, v -> v IS NOT NULL) AS b FROM types
-- exists_forall
SELECT id, exists(a, v -> v > 5) AS a, forall(a, v -> v > 0) AS b FROM types
-- aggregate_lambda
SELECT id, aggregate(a, 0, (acc, v) -> acc + v) AS a FROM types WHERE id NOT IN (4, 5)
-- reduce_finish
SELECT id, aggregate(a, 0, (acc, v) -> acc + 1, acc -> acc * 10) AS a, reduce(a, 0, (acc, v) -> acc + 1) AS b FROM types
-- zip_with
SELECT id, zip_with(a, a, (p, q) -> p + q) AS a FROM types WHERE id NOT IN (4, 5)
-- arrays_zip
SELECT id, arrays_zip(a, sa) AS v FROM types
-- lambda_outer_column
SELECT id, transform(a, v -> v + id) AS a, filter(a, v -> v > id) AS b FROM types WHERE id NOT IN (4, 5)
-- struct_build
SELECT id, struct(i, g) AS a, named_struct('p', i, 'q', s) AS b FROM types
-- struct_star
SELECT id, st.* FROM types
-- struct_nested
SELECT id, named_struct('o', named_struct('i', i)).o.i AS a, sts[0].k AS b FROM types WHERE size(sts) > 0
-- struct_array_field
SELECT id, sts.k AS a, sts.v AS b FROM types
-- struct_compare
SELECT id, st = named_struct('x', 1, 'y', 'one') AS a FROM types
-- map_build
SELECT id, map('a', i, 'b', id) AS a, map_from_arrays(array('p', 'q'), array(i, id)) AS b FROM types
-- map_parts
SELECT id, map_keys(m) AS a, map_values(m) AS b, map_entries(m) AS c FROM types
-- map_contains
SELECT id, map_contains_key(m, 'k') AS a, m['nothing'] AS b FROM types
-- map_concat
SELECT id, map_concat(m, map('new', 1)) AS a FROM types
-- map_filter
SELECT id, map_filter(m, (k, v) -> v > 5) AS a, transform_values(m, (k, v) -> v + 1) AS b, transform_keys(m, (k, v) -> upper(k)) AS c FROM types
-- map_from_entries
SELECT id, map_from_entries(array(struct('a', 1), struct('b', 2))) AS a FROM types
-- explode
SELECT id, explode(a) AS v FROM types
-- explode_outer
SELECT id, explode_outer(a) AS v FROM types
-- posexplode
SELECT id, posexplode(a) FROM types
-- posexplode_named
SELECT id, posexplode(sa) AS (p, v) FROM types
-- explode_map
SELECT id, explode(m) FROM types
-- explode_map_named
SELECT id, explode(m) AS (k, v) FROM types
-- lateral_view
SELECT id, e FROM types LATERAL VIEW explode(a) q AS e
-- lateral_view_outer
SELECT id, e FROM types LATERAL VIEW OUTER explode(a) q AS e
-- lateral_view_pos
SELECT id, p, e FROM types LATERAL VIEW posexplode(sa) q AS p, e
-- lateral_view_map
SELECT id, k, v FROM types LATERAL VIEW explode(m) q AS k, v
-- lateral_view_twice
SELECT id, e, h FROM types LATERAL VIEW explode(a) q AS e LATERAL VIEW explode(sa) r AS h
-- lateral_view_count
SELECT e, count(*) AS n FROM types LATERAL VIEW explode(sa) q AS e GROUP BY e
-- explode_split
SELECT word, count(*) AS n FROM (SELECT explode(split(s, ' ')) AS word FROM types) GROUP BY word
-- inline
SELECT id, inline(sts) FROM types
-- inline_view
SELECT id, k, v FROM types LATERAL VIEW inline(sts) q AS k, v
-- explode_structs
SELECT id, e.k AS k, e.v AS v FROM (SELECT id, explode(sts) AS e FROM types)
-- stack
SELECT id, stack(2, 'i', i, 'id', id) AS (name, value) FROM types
-- shuffle_free
SELECT id, array_size(array_repeat(1, id)) AS a FROM types
-- array_compare
SELECT id, a = array(1, 2, 3) AS a, a < array(5) AS b FROM types
-- group_by_array
SELECT a, count(*) AS n FROM types GROUP BY a
-- group_by_struct
SELECT st, count(*) AS n FROM types GROUP BY st
-- nested_explode_json
SELECT id, explode(from_json(j, 'array<int>')) AS v FROM types WHERE id IN (3, 13)
-- nested_lambdas
SELECT id, transform(a, (v, n) -> array_join(transform(sa, (w, k) -> concat(w, ':', CAST(v AS STRING), ':', CAST(n + k AS STRING))), ' ')) AS b FROM types
-- nested_lambdas_filtered
SELECT id, map_filter(m, (k, v) -> exists(a, e -> e = v)) AS a, transform(a, v -> array_join(transform(sa, w -> concat(w, CAST(v AS STRING))), ' ')) AS b FROM types WHERE id > 8
-- struct_lambdas
SELECT id, transform(arrays_zip(a, sa), p -> p.a) AS a, transform(filter(arrays_zip(a, sa), P -> p.a > 1), p -> struct(p.sa AS s, id AS o).s) AS b, exists(array(struct(struct(id AS x) AS y)), e -> e.y.x = 2) AS c FROM types
-- struct_lambdas_nested
SELECT id, transform(array(struct(a AS inner, id AS o)), p -> array_join(transform(p.inner, v -> CAST(v + p.o AS STRING)), ' ')) AS a FROM types WHERE id NOT IN (4, 5)
