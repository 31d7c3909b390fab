--- JSON and CSV in text.
-- get_json_object
SELECT id, get_json_object(j, '$.a') AS a, get_json_object(j, '$.n') AS b, get_json_object(j, '$.t') AS c FROM types
-- get_deep
SELECT id, get_json_object(j, '$.a.b[2].c') AS a, get_json_object(j, '$.a.b.c.d') AS b, get_json_object(j, '$.a.b[0]') AS c FROM types
-- get_star
SELECT id, get_json_object(j, '$.a[*].b') AS a, get_json_object(j, '$.list[*].x') AS b, get_json_object(j, '$.c[*]') AS c FROM types
-- get_bracket
SELECT id, get_json_object(j, "$['a']") AS a, get_json_object(j, '$.ä') AS b, get_json_object(j, '$') AS c FROM types
-- get_bad_path
SELECT id, get_json_object(j, 'a') AS a, get_json_object(j, '$.') AS b, get_json_object(j, '$[0]') AS c FROM types
-- json_tuple
SELECT id, json_tuple(j, 'a', 'n') AS (a, n) FROM types
-- json_tuple_view
SELECT id, p, q FROM types LATERAL VIEW json_tuple(j, 'a', 'b') v AS p, q
-- from_json
SELECT id, from_json(j, 'n INT, t STRING') AS v FROM types
-- from_json_fields
SELECT id, from_json(j, 'struct<n:bigint,m:struct<p:string,r:int>>').m.p AS a, from_json(j, 'n DOUBLE').n AS b FROM types
-- from_json_array
SELECT id, from_json(j, 'a ARRAY<INT>').a AS a, from_json(j, 'arr ARRAY<STRING>').arr AS b FROM types
-- from_json_map
SELECT id, from_json(j, 'map<string,string>') AS a FROM types WHERE id IN (2, 7, 10, 19)
-- from_json_types
SELECT id, from_json(j, 'date DATE, ts TIMESTAMP, dec DECIMAL(5,2), ok BOOLEAN') AS a FROM types
-- to_json_struct
SELECT id, to_json(st) AS a, to_json(named_struct('i', i, 's', s, 'b', b)) AS b FROM types
-- to_json_types
SELECT id, to_json(named_struct('d', d, 'day', day, 'ts', ts)) AS a, to_json(named_struct('x', x)) AS b FROM types
-- to_json_array
SELECT id, to_json(a) AS a, to_json(sts) AS b, to_json(m) AS c FROM types
-- json_array_length
SELECT id, json_array_length(j) AS a, json_object_keys(j) AS b FROM types
-- schema_of
SELECT id, schema_of_json('{"a":1,"b":["x"]}') AS a FROM types WHERE id = 1
-- group_by_json
SELECT get_json_object(j, '$.a') AS k, count(*) AS n FROM types GROUP BY get_json_object(j, '$.a')
-- sum_of_json
SELECT sum(try_cast(get_json_object(j, '$.n') AS DOUBLE)) AS n FROM types
-- from_csv
SELECT id, from_csv(s, 'p STRING, q STRING') AS a FROM types WHERE id IN (1, 8)
-- to_csv
SELECT id, to_csv(named_struct('i', i, 'g', g)) AS a FROM types
