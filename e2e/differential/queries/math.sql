--- Arithmetic and functions of numbers.
-- operators
SELECT id, i + 1 AS a, i - 1 AS b, id * 2 AS c, i / 2 AS d, i % 3 AS e, -id AS f FROM types WHERE i NOT IN (2147483647, -2147483648)
-- int_division
SELECT id, i DIV 2 AS a, l DIV 3 AS b, i / 3 AS c, d / 3 AS e, d DIV 2 AS f FROM types
-- decimal_arithmetic
SELECT id, d + 1 AS a, d - 0.5 AS b, d * 2 AS c, d * d AS e, d / 7 AS f, d % 3 AS g FROM types WHERE id NOT IN (4, 5)
-- decimal_mixed
SELECT id, d + i AS a, d * i AS b, d + x AS c FROM types WHERE id NOT IN (4, 5)
-- double_arithmetic
SELECT id, x + 1 AS a, x * 2 AS b, x / 3 AS c, x - x AS d FROM types
-- modulo_sign
SELECT id, -7 % 3 AS a, 7 % -3 AS b, mod(i, 4) AS c, pmod(i, 4) AS d, pmod(-7, 3) AS e, x % 2 AS f FROM types
-- abs_sign
SELECT id, abs(x) AS a, sign(x) AS b, signum(d) AS c, abs(d) AS e, negative(x) AS f, positive(i) AS g FROM types
-- rounding
SELECT id, round(x) AS a, round(x, 1) AS b, round(d, 1) AS c, round(d) AS e, round(i, -1) AS f FROM types WHERE id NOT IN (4, 5)
-- bround
SELECT id, bround(x) AS a, bround(x, 1) AS b, bround(d, 1) AS c FROM types
-- ceil_floor
SELECT id, ceil(x) AS a, floor(x) AS b, ceiling(d) AS c, floor(d) AS e FROM types WHERE x BETWEEN -1e10 AND 1e10
-- rint
SELECT id, rint(x) AS a FROM types
-- powers
SELECT id, power(x, 2) AS a, pow(2, i) AS b, sqrt(abs(x)) AS c, cbrt(27) AS d FROM types
-- exponentials
SELECT id, exp(0) AS b, expm1(0.0) AS c, log1p(0.0) AS d, ln(1) AS e FROM types
-- logarithms
SELECT id, log(10) AS a, log(2, 8) AS b, log10(1000) AS c, log2(8) AS d, ln(x) AS e FROM types WHERE id IN (1, 2, 3, 7)
-- trigonometry
SELECT id, sin(0) AS a, cos(0) AS b, tan(0) AS c, asin(1) AS d, acos(1) AS e, atan(1) AS f, atan2(1, 1) AS g FROM types
-- hyperbolic
SELECT id, sinh(0) AS a, cosh(0) AS b, tanh(0) AS c, asinh(0) AS d, acosh(1) AS e, atanh(0) AS f FROM types
-- trig_more
SELECT id, sec(0) AS a, csc(1) AS b, cot(1) AS c, degrees(pi()) AS d, radians(180) AS e, hypot(3, 4) AS f FROM types
-- constants
SELECT id, pi() AS a, e() AS b FROM types
-- greatest_least
SELECT id, greatest(i, 3) AS a, least(i, 3, id) AS b, greatest(x, 0.5) AS c, least(d, 1.5) AS e FROM types
-- bits
SELECT id, i & 6 AS a, i | 1 AS b, i ^ 3 AS c, ~i AS d, bit_count(i) AS e, shiftleft(id, 2) AS f, shiftright(i, 1) AS g FROM types
-- bit_shift
SELECT id, shiftrightunsigned(i, 1) AS a, bit_get(i, 0) AS b, getbit(i, 1) AS c FROM types
-- bin_hex
SELECT id, bin(l) AS a, hex(l) AS b, conv(num, 10, 16) AS c FROM types WHERE id < 4
-- conv
SELECT id, conv('100', 2, 10) AS a, conv('-10', 16, -10) AS b, conv('ff', 16, 2) AS c FROM types
-- factorial
SELECT id, factorial(id) AS v FROM types
-- width_bucket
SELECT id, width_bucket(x, 0, 10, 5) AS a FROM types WHERE x BETWEEN -100 AND 200
-- nan_null
SELECT id, isnan(x) AS a, nanvl(x, 0.0D) AS b, isnull(x) AS c, isnotnull(x) AS d FROM types
-- try_arithmetic
SELECT id, try_add(i, 2147483647) AS a, try_divide(i, 0) AS b, try_subtract(i, 2147483647) AS c, try_multiply(i, 2147483647) AS d FROM types
-- try_mod
SELECT id, try_mod(i, 0) AS a, try_mod(i, 4) AS b FROM types
-- div_decimal_scale
SELECT id, d / 2.5 AS a, 1.0 / 3.0 AS b, d * 1.10 AS c FROM types WHERE id NOT IN (4, 5)
-- literals
SELECT id, 1 AS a, 1L AS b, 1.5 AS c, 1.5D AS d, 1e3 AS e, 2147483648 AS f, 1.5BD AS g, 1S AS h, 1Y AS k FROM types
-- random_free
SELECT id, i + l AS a, f + i AS b, f * 2 AS c FROM types WHERE id NOT IN (4, 5)
-- float_ops
SELECT id, f + f AS a, f * 1.5D AS b, f > 0.5 AS c FROM types
-- between_types
SELECT id, i = 5.0 AS a, d > 1 AS b, i < 2.5 AS c, x = 1 AS e FROM types
-- nullif_zero
SELECT id, i / nullif(i, 0) AS a, coalesce(i / nullif(i, 0), -1) AS b FROM types
-- decimal_cast_math
SELECT id, CAST(i AS DECIMAL(12, 2)) / 3 AS a, CAST(i AS DECIMAL(10, 0)) * 1.5 AS b FROM types
-- sign_of_zero
SELECT id, x = 0 AS a, -x AS b, x + 0 AS c FROM types WHERE id IN (3, 15)
-- ceil_scale
SELECT id, ceil(x, 1) AS a, floor(x, 1) AS b, ceil(d, 1) AS c FROM types WHERE x BETWEEN -1000 AND 1000
-- uniform_free
SELECT id, bit_count(l) AS a, bit_count(b) AS c FROM types
-- exp_digits
SELECT id, exp(1) AS a FROM types WHERE id = 1
