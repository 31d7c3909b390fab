//! Casts as Spark's ANSI mode has them, where Arrow's are otherwise: text to anything, anything to text, and instants
//! to numbers of seconds and back.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, StringBuilder};
use arrow::compute::CastOptions;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use arrow::util::display::FormatOptions;
use chrono::NaiveDate;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, lit};
use datafusion::optimizer::AnalyzerRule;

use super::dates::{MICROS, days_of, instant_of};
use super::scalar::{Call, Function, TEXT, is_text, udf, usage};
use super::schema_text;

/// Arrow's casts, failing where a value does not fit.
pub const STRICT: CastOptions<'static> = CastOptions { safe: false, format_options: FormatOptions::new() };
const TRYING: CastOptions<'static> = CastOptions { safe: true, format_options: FormatOptions::new() };
const SECOND: i64 = 1_000_000;

/// The functions that stand for casts.
pub const FUNCTIONS: &[Function] = &[CAST, TRY_CAST];

const CAST: Function = Function {
    names: &["spark_cast"],
    takes: |given| if given.len() == 2 { Ok(given.to_vec()) } else { usage("CAST(value AS type)") },
    gives,
    run: |call| cast(&call.columns[0], call.answer, true),
};

const TRY_CAST: Function = Function {
    names: &["spark_try_cast"],
    takes: CAST.takes,
    gives,
    run: |call| cast(&call.columns[0], call.answer, false),
};

/// The type is the second argument's value's: an empty value of it.
fn gives(given: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(given[1].clone())
}

/// Puts Spark's casts in place of Arrow's, those that were written and those that types asked for.
#[derive(Debug)]
pub struct SparkCasts;

impl AnalyzerRule for SparkCasts {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let changed = plan.transform_up_with_subqueries(|plan| {
            let mut schema = merge_schema(&plan.inputs());
            if let LogicalPlan::TableScan(scan) = &plan {
                schema.merge(&DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?);
            }
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let replaced = expr.transform_up(|expr| replace(expr, &schema))?;
                Ok(if replaced.transformed { replaced.update_data(|expr| name.restore(expr)) } else { replaced })
            })
        })?;
        changed.data.recompute_schema()
    }

    fn name(&self) -> &str {
        "spark_casts"
    }
}

fn replace(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let (inner, to, strict) = match &expr {
        Expr::Cast(cast) => (&cast.expr, cast.field.data_type(), true),
        Expr::TryCast(cast) => (&cast.expr, cast.field.data_type(), false),
        _ => return Ok(Transformed::no(expr)),
    };
    // A lambda's variable has no type here; its casts stay Arrow's.
    let Ok(from) = inner.get_type(schema) else {
        return Ok(Transformed::no(expr));
    };
    if !differs(&from, to) {
        return Ok(Transformed::no(expr));
    }
    let example = lit(ScalarValue::try_new_null(to)?);
    let function = udf(if strict { &CAST } else { &TRY_CAST });
    Ok(Transformed::yes(function.call(vec![inner.as_ref().clone(), example])))
}

/// Whether Spark's cast is not Arrow's.
fn differs(from: &DataType, to: &DataType) -> bool {
    let instant = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, _));
    if is_text(from) {
        return to.is_numeric() || instant(to) || matches!(to, DataType::Boolean | DataType::Date32);
    }
    if is_text(to) {
        return from.is_floating() || instant(from) || from.is_nested();
    }
    (instant(from) && to.is_numeric())
        || (instant(to) && from.is_numeric())
        || (from.is_floating() && to.is_integer())
        || (matches!(from, DataType::List(_)) && matches!(to, DataType::List(_)) && from != to)
}

/// Casts a column.
pub fn cast(column: &ArrayRef, to: &DataType, strict: bool) -> Result<ArrayRef> {
    let from = column.data_type();
    if from == to {
        return Ok(column.clone());
    }
    if is_text(from) && *from != TEXT {
        return cast(&arrow::compute::cast(column, &TEXT)?, to, strict);
    }
    if *from == TEXT && differs(from, to) {
        return of_text(column, to, strict);
    }
    if is_text(to) {
        let text = to_text(column)?;
        return Ok(if *to == TEXT { text } else { arrow::compute::cast(&text, to)? });
    }
    if let (DataType::List(_), DataType::List(item)) = (from, to) {
        let list = column.as_list::<i32>();
        let values = cast(list.values(), item.data_type(), strict)?;
        let list = arrow::array::ListArray::new(item.clone(), list.offsets().clone(), values, list.nulls().cloned());
        return Ok(Arc::new(list));
    }
    match (from, to) {
        (DataType::Timestamp(_, _), number) if number.is_numeric() => {
            let micros = arrow::compute::cast(column, &MICROS)?;
            let micros = micros.as_primitive::<TimestampMicrosecondType>();
            if number.is_integer() {
                let seconds: ArrayRef = Arc::new(micros.unary::<_, Int64Type>(|micros| micros.div_euclid(SECOND)));
                return plain(&seconds, to, strict);
            }
            let seconds: ArrayRef = Arc::new(micros.unary::<_, Float64Type>(|micros| micros as f64 / SECOND as f64));
            plain(&seconds, to, strict)
        }
        (number, DataType::Timestamp(_, _)) if number.is_integer() => {
            let seconds = arrow::compute::cast(column, &DataType::Int64)?;
            let micros = seconds
                .as_primitive::<Int64Type>()
                .unary::<_, TimestampMicrosecondType>(|seconds| seconds.saturating_mul(SECOND));
            plain(&(Arc::new(micros) as ArrayRef), to, strict)
        }
        (number, DataType::Timestamp(_, _)) if number.is_numeric() => {
            let seconds = arrow::compute::cast(column, &DataType::Float64)?;
            let micros = seconds.as_primitive::<Float64Type>().unary_opt::<_, TimestampMicrosecondType>(|seconds| {
                seconds.is_finite().then_some((seconds * SECOND as f64) as i64)
            });
            plain(&(Arc::new(micros) as ArrayRef), to, strict)
        }
        _ => plain(column, to, strict),
    }
}

fn plain(column: &ArrayRef, to: &DataType, strict: bool) -> Result<ArrayRef> {
    Ok(arrow::compute::cast_with_options(column, to, if strict { &STRICT } else { &TRYING })?)
}

fn of_text(column: &ArrayRef, to: &DataType, strict: bool) -> Result<ArrayRef> {
    let columns = [column.clone()];
    let call = Call { columns: &columns, answer: to, rows: column.len() };
    let read = |row: usize, found: bool| -> Result<()> {
        match (call.text(0, row), found, strict) {
            (Some(text), false, true) => {
                exec_err!("`{text}` cannot be cast to {}", schema_text::name(to).to_uppercase())
            }
            _ => Ok(()),
        }
    };
    match to {
        DataType::Boolean => {
            let rows = (0..call.rows).map(|row| {
                let found = call.text(0, row).and_then(read_truth);
                read(row, found.is_some()).map(|()| found)
            });
            Ok(Arc::new(rows.collect::<Result<BooleanArray>>()?))
        }
        DataType::Date32 => call.try_dates(|row| {
            let found = call.text(0, row).and_then(read_date);
            read(row, found.is_some()).map(|()| found)
        }),
        DataType::Timestamp(_, _) => {
            let micros = call.try_instants(|row| {
                let found = call.text(0, row).and_then(read_instant);
                read(row, found.is_some()).map(|()| found)
            })?;
            plain(&micros, to, strict)
        }
        DataType::Decimal128(precision, scale) => {
            let rows = (0..call.rows).map(|row| {
                let found = call.text(0, row).and_then(|text| read_decimal(text, *precision, *scale));
                read(row, found.is_some()).map(|()| found)
            });
            let decimals = rows.collect::<Result<Decimal128Array>>()?;
            Ok(Arc::new(decimals.with_precision_and_scale(*precision, *scale)?))
        }
        float if float.is_floating() => {
            let rows = (0..call.rows).map(|row| {
                let found = call.text(0, row).and_then(read_double);
                read(row, found.is_some()).map(|()| found)
            });
            let doubles: ArrayRef = Arc::new(rows.collect::<Result<Float64Array>>()?);
            plain(&doubles, to, strict)
        }
        integer => {
            let bits = integer.primitive_width().unwrap_or(8) as u32 * 8;
            let longs = call.try_longs(|row| {
                let found = call
                    .text(0, row)
                    .and_then(read_integer)
                    .filter(|value| bits >= 64 || (-(1i64 << (bits - 1))..(1i64 << (bits - 1))).contains(value));
                read(row, found.is_some()).map(|()| found)
            })?;
            plain(&longs, to, strict)
        }
    }
}

/// White space and control characters around a value do not count.
fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ' || c == '\u{7f}')
}

fn read_integer(text: &str) -> Option<i64> {
    let text = trimmed(text);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    (digits.bytes().all(|b| b.is_ascii_digit()) && !digits.is_empty()).then(|| text.parse().ok())?
}

fn read_double(text: &str) -> Option<f64> {
    let text = trimmed(text);
    let (sign, bare) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    match bare.to_ascii_lowercase().as_str() {
        "infinity" | "inf" => return Some(sign * f64::INFINITY),
        "nan" => return (bare.len() == text.len()).then_some(f64::NAN),
        _ => {}
    }
    let bare = bare.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(bare);
    let numeric =
        bare.starts_with(|c: char| c.is_ascii_digit() || c == '.') && bare.contains(|c: char| c.is_ascii_digit());
    numeric.then(|| bare.parse::<f64>().ok().map(|value| sign * value))?
}

fn read_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let text = trimmed(text);
    let (negative, bare) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = bare.split_once(['e', 'E']).unwrap_or((bare, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let exponent: i64 = exponent.strip_prefix('+').unwrap_or(exponent).parse().ok()?;
    let digits: i128 = digits.trim_start_matches('0').parse().or_else(|_| "0".parse()).ok()?;
    // The value is `digits * 10^-have`.
    let have = fraction.len() as i64 - exponent;
    let more = i64::from(scale) - have;
    let value = match u32::try_from(more) {
        Ok(more) => digits.checked_mul(10i128.checked_pow(more)?)?,
        Err(_) => match u32::try_from(-more).ok().and_then(|fewer| 10i128.checked_pow(fewer)) {
            Some(unit) => super::math::half_up(digits, unit),
            None => 0,
        },
    };
    (value < 10i128.pow(precision.into())).then_some(if negative { -value } else { value })
}

fn read_truth(text: &str) -> Option<bool> {
    match trimmed(text).to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// `yyyy`, `yyyy-m`, `yyyy-m-d`, and the last with anything after a space or `T`.
pub fn read_date(text: &str) -> Option<i32> {
    let text = trimmed(text);
    let date = text.split_once([' ', 'T']).map_or(text, |(date, _)| date);
    let whole = date.len() == text.len();
    let (date, parts) = civil(date)?;
    (whole || parts == 3).then(|| days_of(date))
}

fn civil(text: &str) -> Option<(NaiveDate, usize)> {
    let (negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let mut parts = text.split('-');
    let number = |part: &str, least: usize, most: usize| -> Option<u32> {
        let fits = (least..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        fits.then(|| part.parse().ok())?
    };
    let year = number(parts.next()?, 4, 7)? as i32;
    let month = parts.next().map(|part| number(part, 1, 2));
    let day = parts.next().map(|part| number(part, 1, 2));
    if parts.next().is_some() {
        return None;
    }
    let count = 1 + usize::from(month.is_some()) + usize::from(day.is_some());
    let year = if negative { -year } else { year };
    Some((NaiveDate::from_ymd_opt(year, month.unwrap_or(Some(1))?, day.unwrap_or(Some(1))?)?, count))
}

/// A date, or a date and a time with an optional zone, which is an offset.
pub fn read_instant(text: &str) -> Option<i64> {
    const DAY: i64 = 86_400 * SECOND;
    let text = trimmed(text);
    let Some((date, time)) = text.split_once([' ', 'T']) else {
        return Some(i64::from(days_of(civil(text)?.0)) * DAY);
    };
    let (date, parts) = civil(date)?;
    if parts < 3 {
        return None;
    }
    let end = time.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(time.len());
    let (clock, zone) = time.split_at(end);
    let offset = if zone.trim().is_empty() { 0 } else { super::dates::zone_offset(zone)? };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut micros = 0;
    if !fraction.is_empty() {
        if !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        micros = format!("{:0<6}", &fraction[..fraction.len().min(6)]).parse().ok()?;
    }
    let mut seconds = 0;
    let mut units = [3600, 60, 1].into_iter();
    let mut count = 0;
    for part in clock.split(':') {
        let fits = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let value: i64 = fits.then(|| part.parse().ok())??;
        let unit = units.next()?;
        if value >= if unit == 3600 { 24 } else { 60 } {
            return None;
        }
        seconds += value * unit;
        count += 1;
    }
    if !fraction.is_empty() && count < 3 {
        return None;
    }
    i64::from(days_of(date)).checked_mul(DAY)?.checked_add((seconds - offset) * SECOND + micros)
}

/// A column as Spark shows it.
pub fn to_text(column: &ArrayRef) -> Result<ArrayRef> {
    let flat = !column.data_type().is_nested()
        && !column.data_type().is_floating()
        && !matches!(column.data_type(), DataType::Timestamp(_, _));
    if flat {
        return Ok(arrow::compute::cast(column, &TEXT)?);
    }
    let mut texts = StringBuilder::new();
    let mut text = String::new();
    for row in 0..column.len() {
        if column.is_null(row) {
            texts.append_null();
        } else {
            text.clear();
            show(&mut text, column, row)?;
            texts.append_value(&text);
        }
    }
    Ok(Arc::new(texts.finish()))
}

/// An instant as text: seconds always, and only the digits behind them that say something.
pub fn instant_text(micros: i64) -> String {
    let Some(at) = instant_of(micros) else {
        return micros.to_string();
    };
    let text = at.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn show(text: &mut String, column: &ArrayRef, row: usize) -> Result<()> {
    if column.is_null(row) {
        text.push_str("null");
        return Ok(());
    }
    match column.data_type() {
        DataType::Float64 => text.push_str(&super::digits::double(column.as_primitive::<Float64Type>().value(row))),
        DataType::Float32 => text.push_str(&super::digits::float(column.as_primitive::<Float32Type>().value(row))),
        DataType::Decimal128(_, scale) => {
            text.push_str(&super::digits::decimal(column.as_primitive::<Decimal128Type>().value(row), *scale));
        }
        DataType::Timestamp(_, _) => {
            let micros = arrow::compute::cast(&column.slice(row, 1), &MICROS)?;
            let micros = micros.as_primitive::<TimestampMicrosecondType>().value(0);
            // Seconds that are zero stay; only the fraction is cut.
            let shown = instant_text(micros);
            text.push_str(&if micros % SECOND == 0 {
                instant_of(micros).map_or(shown, |at| at.format("%Y-%m-%d %H:%M:%S").to_string())
            } else {
                shown
            });
        }
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            text.push('[');
            for item in 0..items.len() {
                text.push_str(if item > 0 { ", " } else { "" });
                show(text, &items, item)?;
            }
            text.push(']');
        }
        DataType::Struct(_) => {
            text.push('{');
            for (index, field) in column.as_struct().columns().iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                show(text, field, row)?;
            }
            text.push('}');
        }
        DataType::Map(_, _) => {
            let entries = column.as_map().value(row);
            text.push('{');
            for entry in 0..entries.len() {
                text.push_str(if entry > 0 { ", " } else { "" });
                show(text, entries.column(0), entry)?;
                text.push_str(" -> ");
                show(text, entries.column(1), entry)?;
            }
            text.push('}');
        }
        _ => {
            let shown = arrow::compute::cast(&column.slice(row, 1), &TEXT)?;
            text.push_str(shown.as_string::<i32>().value(0));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_spark_reads_them() {
        assert_eq!(
            (read_integer(" 7 "), read_integer("+9"), read_integer("3.7"), read_integer("")),
            (Some(7), Some(9), None, None)
        );
        assert_eq!(
            (read_double("-.5"), read_double("1e2"), read_double("12abc"), read_double("1.5d")),
            (Some(-0.5), Some(100.0), None, Some(1.5))
        );
        assert_eq!(
            (read_decimal("1e2", 10, 2), read_decimal("3.75", 3, 1), read_decimal("100", 3, 1)),
            (Some(10_000), Some(38), None)
        );
        assert_eq!(
            (read_date("2024-1-7 8:9"), read_date("1970"), read_date("2023-02-29"), read_date("1970-1T")),
            (Some(19_729), Some(0), None, None)
        );
        assert_eq!(read_instant("2016-02-28 06:07:08+02:00"), Some(1_456_632_428_000_000));
        assert_eq!(
            (read_instant("1970-01-01T0:0:1.5Z"), read_instant("1970-01-01 24:00"), read_instant("x")),
            (Some(1_500_000), None, None)
        );
        assert_eq!((read_truth(" F "), read_truth("2")), (Some(false), None));
    }
}
