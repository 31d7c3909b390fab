--- Casts, as ANSI mode has them.
-- int_to_text
SELECT id, CAST(i AS STRING) AS a, CAST(l AS STRING) AS b, string(id) AS c FROM types
-- double_to_text
SELECT id, CAST(x AS STRING) AS a, CAST(f AS STRING) AS b FROM types
-- decimal_to_text
SELECT id, CAST(d AS STRING) AS a, CAST(CAST(d AS DECIMAL(20, 8)) AS STRING) AS b FROM types
-- bool_to_text
SELECT id, CAST(b AS STRING) AS a, CAST(b AS INT) AS c FROM types
-- date_to_text
SELECT id, CAST(day AS STRING) AS a FROM types
-- instant_to_text
SELECT id, CAST(ts AS STRING) AS a FROM types
-- text_to_int
SELECT id, CAST(trim(num) AS INT) AS a, CAST(num AS BIGINT) AS b, int(num) AS c FROM types WHERE id IN (1, 2, 3, 4, 5, 6, 10, 11, 12) AND id NOT IN (10)
-- try_text_to_int
SELECT id, try_cast(num AS INT) AS a, try_cast(num AS BIGINT) AS b, try_cast(num AS SMALLINT) AS c FROM types
-- try_text_to_double
SELECT id, try_cast(num AS DOUBLE) AS a, try_cast(s AS DOUBLE) AS b, try_cast(num AS FLOAT) AS c FROM types
-- try_text_to_decimal
SELECT id, try_cast(num AS DECIMAL(10, 2)) AS a, try_cast(num AS DECIMAL(4, 1)) AS b FROM types
-- try_text_to_bool
SELECT id, try_cast(num AS BOOLEAN) AS a, try_cast(g AS BOOLEAN) AS b, CAST('yes' AS BOOLEAN) AS c, CAST(' F ' AS BOOLEAN) AS d FROM types
-- try_text_to_date
SELECT id, try_cast(t AS DATE) AS a FROM types
-- try_text_to_instant
SELECT id, try_cast(t AS TIMESTAMP) AS a FROM types WHERE id <> 5
-- double_to_int
SELECT id, CAST(x AS INT) AS a, CAST(x AS BIGINT) AS b FROM types WHERE x BETWEEN -1e6 AND 1e6
-- try_double_to_int
SELECT id, try_cast(x AS INT) AS a, try_cast(x AS BIGINT) AS b FROM types
-- decimal_to_int
SELECT id, CAST(d AS INT) AS a, CAST(d AS BIGINT) AS b, CAST(d AS DOUBLE) AS c FROM types
-- double_to_decimal
SELECT id, CAST(x AS DECIMAL(20, 4)) AS a FROM types WHERE x BETWEEN -1e6 AND 1e6
-- try_double_to_decimal
SELECT id, try_cast(x AS DECIMAL(6, 2)) AS a FROM types
-- decimal_to_decimal
SELECT id, CAST(d AS DECIMAL(14, 1)) AS a, CAST(d AS DECIMAL(20, 6)) AS b FROM types
-- try_int_narrow
SELECT id, try_cast(l AS INT) AS a, try_cast(i AS SMALLINT) AS b, try_cast(i AS TINYINT) AS c FROM types
-- int_to_instant
SELECT id, CAST(id AS TIMESTAMP) AS a, CAST(ts AS BIGINT) AS b, CAST(ts AS DOUBLE) AS c FROM types
-- int_to_bool
SELECT id, CAST(i AS BOOLEAN) AS a, CAST(x AS BOOLEAN) AS b FROM types
-- int_to_double
SELECT id, CAST(l AS DOUBLE) AS a, CAST(i AS FLOAT) AS b, double(i) AS c FROM types
-- binary
SELECT id, CAST(s AS BINARY) AS a, CAST(CAST(s AS BINARY) AS STRING) AS b FROM types
-- functions
SELECT id, bigint(i) AS a, float(i) AS b, boolean('true') AS c, decimal('3') AS d, date('2024-01-02') AS e, smallint(id) AS f, tinyint(id) AS g FROM types
-- double_colon
SELECT id, i::string AS a, '12'::int AS b, day::timestamp AS c FROM types WHERE id <> 5
-- text_to_text
SELECT id, CAST(s AS STRING) AS a, CAST(g AS STRING) AS b FROM types
-- array_cast
SELECT id, CAST(a AS ARRAY<STRING>) AS a, CAST(a AS ARRAY<BIGINT>) AS b FROM types
-- struct_to_text
SELECT id, CAST(st AS STRING) AS a, CAST(a AS STRING) AS b, CAST(m AS STRING) AS c FROM types
-- null_cast
SELECT id, CAST(NULL AS INT) AS a, CAST(NULL AS STRING) AS b, coalesce(CAST(NULL AS DOUBLE), 1) AS c FROM types
-- implicit
SELECT id, '5' + 1 AS a, i = '5' AS b, concat(x, '') AS c, length(i) AS d FROM types
-- to_number_text
SELECT id, double('1e5') AS a, double(' 2.5 ') AS b, CAST('Infinity' AS DOUBLE) AS c, CAST('-inf' AS DOUBLE) AS d, CAST('nan' AS DOUBLE) AS e FROM types
-- typeof
SELECT id, typeof(i) AS a, typeof(d) AS b, typeof(a) AS c, typeof(st) AS e FROM types
