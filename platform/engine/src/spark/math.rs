//! Functions of numbers: rounding as `BigDecimal` does it, logarithms that are null outside of their domain, and
//! arithmetic that is null in place of an error.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float32Array};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};

use super::scalar::{Call, Function, arguments, is_text, usage};

const DOUBLE: DataType = DataType::Float64;
const LONG: DataType = DataType::Int64;
/// A double as `ceil` and `floor` with a scale read it.
const OF_DOUBLE: DataType = DataType::Decimal128(30, 15);
/// The most digits of a decimal.
const DIGITS_MAX: i64 = 38;

macro_rules! of_double {
    ($($name:literal),* => $run:expr) => {
        Function {
            names: &[$($name),*],
            takes: |given| arguments(given, &[DOUBLE], 1, concat!("a function of one number: ", $($name, " "),*)),
            gives: |_, _| Ok(DOUBLE),
            run: |call| call.doubles(|row| {
                let compute: fn(f64) -> Option<f64> = $run;
                compute(call.double(0, row)?)
            }),
        }
    };
}

macro_rules! rounds {
    ($name:literal, $mode:expr) => {
        Function {
            names: &[$name],
            takes: |given| rounded_types(given, $mode),
            gives: |given, literals| rounded_type(given, literals, $mode),
            run: |call| rounded(call, $mode),
        }
    };
}

macro_rules! tries {
    ($name:literal, $long:expr, $double:expr) => {
        Function {
            names: &[$name],
            takes: |given| match given {
                [left, right] if left.is_integer() && right.is_integer() => {
                    // A literal is an INT.
                    let wide = *left == LONG && *right == LONG;
                    let narrow = *left == DataType::Int32 || *right == DataType::Int32;
                    Ok(vec![if narrow && !wide { DataType::Int32 } else { LONG }; 2])
                }
                [_, _] => Ok(vec![DOUBLE; 2]),
                _ => usage(concat!($name, "(number, number)")),
            },
            gives: |given, _| Ok(given[0].clone()),
            run: |call| {
                let long: fn(i64, i64) -> Option<i64> = $long;
                let double: fn(f64, f64) -> Option<f64> = $double;
                match call.answer {
                    DataType::Int32 => call.ints(|row| {
                        let answer = long(call.int(0, row)?.into(), call.int(1, row)?.into())?;
                        i32::try_from(answer).ok()
                    }),
                    DataType::Int64 => call.longs(|row| long(call.long(0, row)?, call.long(1, row)?)),
                    _ => call.doubles(|row| double(call.double(0, row)?, call.double(1, row)?)),
                }
            },
        }
    };
}

/// The functions of this file.
pub const FUNCTIONS: &[Function] = &[
    of_double!("ln" => |x| (x > 0.0 || x.is_nan()).then(|| x.ln())),
    of_double!("log10" => |x| (x > 0.0 || x.is_nan()).then(|| x.log10())),
    of_double!("log2" => |x| (x > 0.0 || x.is_nan()).then(|| x.log2())),
    of_double!("log1p" => |x| (x > -1.0 || x.is_nan()).then(|| x.ln_1p())),
    of_double!("sign", "signum" => |x| Some(if x == 0.0 || x.is_nan() { x } else { x.signum() })),
    Function {
        names: &["log"],
        takes: |given| arguments(given, &[DOUBLE, DOUBLE], 1, "log([base, ]number)"),
        gives: |_, _| Ok(DOUBLE),
        run: |call| {
            call.doubles(|row| match call.has(1) {
                true => {
                    let (base, x) = (call.double(0, row)?, call.double(1, row)?);
                    (base > 0.0 && x > 0.0).then(|| x.ln() / base.ln())
                }
                false => {
                    let x = call.double(0, row)?;
                    (x > 0.0 || x.is_nan()).then(|| x.ln())
                }
            })
        },
    },
    Function {
        names: &["e"],
        takes: |given| arguments(given, &[], 0, "e()"),
        gives: |_, _| Ok(DOUBLE),
        run: |call| call.doubles(|_| Some(std::f64::consts::E)),
    },
    Function {
        names: &["isnan"],
        takes: |given| arguments(given, &[DOUBLE], 1, "isnan(number)"),
        gives: |_, _| Ok(DataType::Boolean),
        run: |call| call.truths(|row| Some(call.double(0, row).is_some_and(f64::is_nan))),
    },
    Function {
        names: &["nanvl"],
        takes: |given| arguments(given, &[DOUBLE, DOUBLE], 2, "nanvl(number, number)"),
        gives: |_, _| Ok(DOUBLE),
        run: |call| {
            call.doubles(|row| {
                let first = call.double(0, row)?;
                if first.is_nan() { call.double(1, row) } else { Some(first) }
            })
        },
    },
    Function {
        names: &["greatest"],
        takes: |given| alike(given, "greatest(value, value, …)"),
        gives: |given, _| Ok(given[0].clone()),
        run: |call| super::values::extreme(call, Ordering::Greater),
    },
    Function {
        names: &["least"],
        takes: |given| alike(given, "least(value, value, …)"),
        gives: |given, _| Ok(given[0].clone()),
        run: |call| super::values::extreme(call, Ordering::Less),
    },
    tries!("try_add", |a, b| a.checked_add(b), |a, b| Some(a + b)),
    tries!("try_subtract", |a, b| a.checked_sub(b), |a, b| Some(a - b)),
    tries!("try_multiply", |a, b| a.checked_mul(b), |a, b| Some(a * b)),
    tries!("try_mod", |a, b| a.checked_rem(b), |a, b| (b != 0.0).then(|| a % b)),
    Function {
        names: &["try_divide"],
        takes: |given| arguments(given, &[DOUBLE, DOUBLE], 2, "try_divide(number, number)"),
        gives: |_, _| Ok(DOUBLE),
        run: |call| {
            call.doubles(|row| {
                let (number, divisor) = (call.double(0, row)?, call.double(1, row)?);
                (divisor != 0.0).then(|| number / divisor)
            })
        },
    },
    rounds!("round", Mode::HalfUp),
    rounds!("bround", Mode::HalfEven),
    rounds!("ceil", Mode::Up),
    rounds!("ceiling", Mode::Up),
    rounds!("floor", Mode::Down),
    Function {
        names: &["decimal_divide"],
        takes: |given| Ok(given.to_vec()),
        gives: |given, _| match given {
            [DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)] => Ok(quotient_type(*p1, *s1, *p2, *s2)),
            _ => usage("decimal / decimal"),
        },
        run: divide,
    },
];

/// How a number loses its last digits.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    HalfUp,
    HalfEven,
    Up,
    Down,
}

/// The type in which all of them are compared.
pub fn common(given: &[DataType]) -> Option<DataType> {
    let mut types = given.iter().filter(|given| **given != DataType::Null);
    let first = types.next()?.clone();
    types.try_fold(first, |left, right| {
        if left == *right {
            return Some(left);
        }
        if left.is_numeric() && right.is_numeric() {
            return Some(match (&left, right) {
                (float, other) | (other, float) if float.is_floating() && !other.is_floating() => DOUBLE,
                (left, right) if left.is_floating() && right.is_floating() => DOUBLE,
                (left, right) => {
                    let ((p1, s1), (p2, s2)) = (as_decimal(left)?, as_decimal(right)?);
                    if left.is_integer() && right.is_integer() {
                        if p1 >= p2 { left.clone() } else { right.clone() }
                    } else {
                        let scale = s1.max(s2);
                        let whole = (p1 as i8 - s1).max(p2 as i8 - s2);
                        DataType::Decimal128((whole + scale).min(DIGITS_MAX as i8) as u8, scale)
                    }
                }
            });
        }
        match (is_text(&left), is_text(right)) {
            (true, _) | (_, true) => Some(DataType::Utf8),
            _ => Some(left),
        }
    })
}

/// Precision and scale of an exact number.
pub fn as_decimal(data_type: &DataType) -> Option<(u8, i8)> {
    Some(match data_type {
        DataType::Int8 => (3, 0),
        DataType::Int16 => (5, 0),
        DataType::Int32 => (10, 0),
        DataType::Int64 => (20, 0),
        DataType::Decimal128(precision, scale) => (*precision, *scale),
        _ => return None,
    })
}

fn alike(given: &[DataType], called: &str) -> Result<Vec<DataType>> {
    if given.len() < 2 {
        return usage(called);
    }
    Ok(vec![common(given).unwrap_or(DataType::Null); given.len()])
}

fn rounded_types(given: &[DataType], mode: Mode) -> Result<Vec<DataType>> {
    let to_whole = matches!(mode, Mode::Up | Mode::Down);
    let number = match given.first() {
        Some(DataType::Float64 | DataType::Float32) if to_whole && given.len() == 2 => OF_DOUBLE,
        Some(DataType::Float32) if to_whole => DOUBLE,
        Some(number) if number.is_numeric() => number.clone(),
        Some(DataType::Null) => DOUBLE,
        Some(text) if is_text(text) => DOUBLE,
        _ => return usage("round(number[, places]), and so are bround, ceil and floor"),
    };
    match given.len() {
        1 => Ok(vec![number]),
        2 => Ok(vec![number, LONG]),
        _ => usage("round(number[, places])"),
    }
}

fn places_of(literals: &[Option<&ScalarValue>]) -> Result<i64> {
    match literals.get(1) {
        None => Ok(0),
        Some(Some(ScalarValue::Int64(Some(places)))) => Ok(*places),
        Some(Some(ScalarValue::Int32(Some(places)))) => Ok((*places).into()),
        _ => plan_err!("the number of places must be a literal"),
    }
}

fn rounded_type(given: &[DataType], literals: &[Option<&ScalarValue>], mode: Mode) -> Result<DataType> {
    let whole = matches!(mode, Mode::Up | Mode::Down) && given.len() == 1;
    Ok(match &given[0] {
        DataType::Float64 if whole => LONG,
        integer if integer.is_integer() && whole => LONG,
        DataType::Decimal128(precision, scale) => {
            let places = places_of(literals)?.min((*scale).into());
            let whole_digits = i64::from(*precision) - i64::from(*scale) + 1;
            match places < 0 {
                true => DataType::Decimal128(whole_digits.max(1 - places).min(DIGITS_MAX) as u8, 0),
                false => DataType::Decimal128((whole_digits + places).min(DIGITS_MAX) as u8, places as i8),
            }
        }
        other => other.clone(),
    })
}

fn rounded(call: &Call, mode: Mode) -> Result<ArrayRef> {
    let places = |row: usize| if call.has(1) { call.long(1, row) } else { Some(0) };
    match (call.columns[0].data_type(), call.answer) {
        (DataType::Float64, DataType::Int64) => call.try_longs(|row| {
            let Some(value) = call.double(0, row) else {
                return Ok(None);
            };
            let whole = if mode == Mode::Up { value.ceil() } else { value.floor() };
            // As a cast in Java does it.
            Ok(Some(whole as i64))
        }),
        (DataType::Float64, _) => call.doubles(|row| Some(round_double(call.double(0, row)?, places(row)?, mode))),
        (DataType::Float32, _) => {
            let values = call.columns[0].as_primitive::<Float32Type>();
            let rounded = (0..call.rows).map(|row| {
                let text = values.is_valid(row).then(|| f64::from(values.value(row)))?;
                let shortest: f64 = format!("{}", text as f32).parse().unwrap_or(text);
                Some(round_double(shortest, places(row)?, mode) as f32)
            });
            Ok(Arc::new(rounded.collect::<Float32Array>()))
        }
        (DataType::Decimal128(_, scale), DataType::Decimal128(precision, to)) => {
            let values = call.columns[0].as_primitive::<Decimal128Type>();
            let rows = (0..call.rows).map(|row| {
                let (true, Some(places)) = (values.is_valid(row), places(row)) else {
                    return Ok(None);
                };
                round_exact(values.value(row), i64::from(*scale), places, i64::from(*to), mode)
            });
            let rounded = rows.collect::<Result<Decimal128Array>>()?;
            Ok(Arc::new(rounded.with_precision_and_scale(*precision, *to)?))
        }
        (integer, answer) if integer.is_integer() => {
            let longs = arrow::compute::cast(&call.columns[0], &LONG)?;
            let columns = [&[longs], &call.columns[1..]].concat();
            let wide = Call { columns: &columns, answer, rows: call.rows };
            let rounded = wide.try_longs(|row| {
                let (Some(value), Some(places)) = (wide.long(0, row), places(row)) else {
                    return Ok(None);
                };
                match round_exact(value.into(), 0, places.min(0), 0, mode)?.map(i64::try_from) {
                    Some(Ok(value)) => Ok(Some(value)),
                    _ => exec_err!("overflow: {value} rounded does not fit"),
                }
            })?;
            Ok(arrow::compute::cast_with_options(&rounded, answer, &super::casts::STRICT)?)
        }
        (other, _) => exec_err!("rounding of {other} is not supported"),
    }
}

/// `value` of `scale` digits behind the point, kept to `places`, as an integer of `to` digits behind the point.
fn round_exact(value: i128, scale: i64, places: i64, to: i64, mode: Mode) -> Result<Option<i128>> {
    let power = |digits: i64| u32::try_from(digits).ok().and_then(|digits| 10i128.checked_pow(digits));
    let dropped = (scale - places).max(0);
    let Some(unit) = power(dropped) else {
        return Ok(Some(0));
    };
    let kept = match mode {
        Mode::HalfUp => half_up(value, unit),
        Mode::HalfEven => half_even(value, unit),
        Mode::Up => -(-value).div_euclid(unit),
        Mode::Down => value.div_euclid(unit),
    };
    match power(to - (scale - dropped)).and_then(|more| kept.checked_mul(more)) {
        Some(value) => Ok(Some(value)),
        None => exec_err!("overflow: a rounded decimal does not fit"),
    }
}

/// The quotient, ties away from zero.
pub fn half_up(value: i128, unit: i128) -> i128 {
    let (quotient, rest) = (value / unit, value % unit);
    if rest.abs() >= unit - rest.abs() { quotient + value.signum() } else { quotient }
}

/// The quotient, ties to even.
pub fn half_even(value: i128, unit: i128) -> i128 {
    let (quotient, rest) = (value / unit, value % unit);
    match rest.abs().cmp(&(unit - rest.abs())) {
        Ordering::Greater => quotient + value.signum(),
        Ordering::Equal if quotient % 2 != 0 => quotient + value.signum(),
        _ => quotient,
    }
}

/// Rounds the digits that the double is written with, as `BigDecimal` does.
fn round_double(value: f64, places: i64, mode: Mode) -> f64 {
    if !value.is_finite() || value == 0.0 {
        // A BigDecimal has one zero.
        return value + 0.0;
    }
    let text = format!("{:e}", value.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let (Ok(digits), Ok(exponent)) = (format!("{whole}{fraction}").parse::<i128>(), exponent.parse::<i64>()) else {
        return value;
    };
    // The value is `digits * 10^-scale`.
    let scale = fraction.len() as i64 - exponent;
    let dropped = scale - places;
    if dropped <= 0 {
        return value;
    }
    // 17 digits at most: more dropped ones leave nothing.
    let kept = match u32::try_from(dropped).ok().filter(|dropped| *dropped <= 37) {
        Some(dropped) if mode == Mode::HalfEven => half_even(digits, 10i128.pow(dropped)),
        Some(dropped) => half_up(digits, 10i128.pow(dropped)),
        None => 0,
    };
    let rounded: f64 = format!("{kept}e{}", -places).parse().unwrap_or(value);
    if value < 0.0 && rounded != 0.0 { -rounded } else { rounded }
}

/// Spark's type of a quotient of decimals.
fn quotient_type(p1: u8, s1: i8, p2: u8, s2: i8) -> DataType {
    let (p1, s1, p2, s2) = (i64::from(p1), i64::from(s1), i64::from(p2), i64::from(s2));
    let scale = (s1 + p2 + 1).max(6);
    let precision = p1 - s1 + s2 + scale;
    if precision <= DIGITS_MAX {
        return DataType::Decimal128(precision as u8, scale as i8);
    }
    let whole = precision - scale;
    let scale = (DIGITS_MAX - whole).max(scale.min(6));
    DataType::Decimal128(DIGITS_MAX as u8, scale as i8)
}

fn divide(call: &Call) -> Result<ArrayRef> {
    use arrow::datatypes::i256;
    let (DataType::Decimal128(_, s1), DataType::Decimal128(_, s2), DataType::Decimal128(precision, scale)) =
        (call.columns[0].data_type(), call.columns[1].data_type(), call.answer)
    else {
        return exec_err!("a quotient of decimals was given others");
    };
    let (left, right) =
        (call.columns[0].as_primitive::<Decimal128Type>(), call.columns[1].as_primitive::<Decimal128Type>());
    let more = i64::from(*scale) - i64::from(*s1) + i64::from(*s2);
    let factor = i256::from_i128(10).checked_pow(more.max(0) as u32);
    let limit = i256::from_i128(10i128.pow(u32::from(*precision)));
    let rows = (0..call.rows).map(|row| {
        if left.is_null(row) || right.is_null(row) {
            return Ok(None);
        }
        let divisor = i256::from_i128(right.value(row));
        if divisor == i256::ZERO {
            return exec_err!("division by zero");
        }
        let quotient = factor.and_then(|factor| {
            let scaled = i256::from_i128(left.value(row)).checked_mul(factor)?;
            let (quotient, rest) = (scaled.checked_div(divisor)?, scaled.checked_rem(divisor)?);
            let (rest, whole) = (rest.wrapping_abs(), divisor.wrapping_abs());
            let negative = (left.value(row) < 0) != (right.value(row) < 0);
            let away = i256::from_i128(if negative { -1 } else { 1 });
            let up = rest >= whole.checked_sub(rest)?;
            let rounded = if up { quotient.checked_add(away)? } else { quotient };
            (rounded.wrapping_abs() < limit).then_some(rounded)?.to_i128()
        });
        match quotient {
            Some(quotient) => Ok(Some(quotient)),
            None => exec_err!("overflow: a quotient does not fit {}", call.answer),
        }
    });
    let quotients = rows.collect::<Result<Decimal128Array>>()?;
    Ok(Arc::new(quotients.with_precision_and_scale(*precision, *scale)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_round_by_their_digits() {
        assert_eq!(round_double(2.675, 2, Mode::HalfUp), 2.68);
        assert_eq!(round_double(2.5, 0, Mode::HalfUp), 3.0);
        assert_eq!(round_double(2.5, 0, Mode::HalfEven), 2.0);
        assert_eq!(round_double(-1.5, 0, Mode::HalfUp), -2.0);
        assert_eq!(round_double(1e300, 2, Mode::HalfUp), 1e300);
        assert_eq!(round_double(123456.789, -3, Mode::HalfUp), 123000.0);
        assert_eq!(round_double(1e-300, 2, Mode::HalfUp), 0.0);
    }
}
