--- What both refuse or fail on.
-- divide_by_zero fails
SELECT id, i / 0 AS v FROM types
-- overflow fails
SELECT id, i + 2147483647 AS v FROM types
-- no_such_column fails
SELECT nothing FROM types
-- no_such_function fails
SELECT frobnicate(i) AS v FROM types
-- cast_text fails
SELECT id, CAST(s AS INT) AS v FROM types
-- cast_overflow fails
SELECT id, CAST(l AS INT) AS v FROM types
-- array_index fails
SELECT id, a[10] AS v FROM types WHERE size(a) > 0
-- element_at_outside fails
SELECT id, element_at(a, 10) AS v FROM types WHERE size(a) > 0
-- bad_date fails
SELECT id, CAST('2024-02-30' AS DATE) AS v FROM types
-- bad_timestamp fails
SELECT id, to_timestamp('no', 'yyyy') AS v FROM types
-- modulo_zero fails
SELECT id, i % 0 AS v FROM types
-- sum_overflow fails
SELECT sum(l) AS v FROM types WHERE l > 0
-- multiply_overflow fails
SELECT l * 2 AS v FROM types
-- abs_overflow fails
SELECT abs(i) AS v FROM types
-- negate_overflow fails
SELECT -i AS v FROM types
-- double_to_int fails
SELECT CAST(x AS INT) AS v FROM types
-- make_date_bad fails
SELECT make_date(2023, 2, 29) AS v FROM types
-- group_missing fails
SELECT g, i FROM types GROUP BY g
-- wrong_arguments fails
SELECT upper(s, s) AS v FROM types
-- decimal_divide_zero fails
SELECT d / 0 AS v FROM types
-- bool_text fails
SELECT CAST(g AS BOOLEAN) AS v FROM types
-- decimal_narrow fails
SELECT CAST(d AS DECIMAL(4, 1)) AS v FROM types
-- date_text_compare fails
SELECT day + s AS v FROM types
