//! Rows as JSON, as Braid's own sinks write them: nulls are left out, times are text in UTC.

use std::fmt::Write;

use braid_wire::Type;

use crate::cell::{Cell, Row};

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

impl Row<'_> {
    /// The row as a JSON object.
    pub fn json(&self) -> String {
        let mut json = String::from("{");
        for (name, data_type, cell) in self.cells() {
            if matches!(cell, Cell::Null) {
                continue;
            }
            if json.len() > 1 {
                json.push(',');
            }
            text(&mut json, name);
            json.push(':');
            value(&mut json, data_type, &cell);
        }
        json.push('}');
        json
    }
}

/// Text in quotes, with what JSON escapes.
pub fn text(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            c if c < ' ' => json.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => json.push(c),
        }
    }
    json.push('"');
}

fn value(json: &mut String, data_type: Type, cell: &Cell<'_>) {
    // Writing to text does not fail.
    let _ = match (cell, data_type) {
        (Cell::Boolean(value), _) => write!(json, "{value}"),
        (Cell::Int32(days), Type::Date32) => {
            json.push('"');
            date(json, i64::from(*days));
            json.write_char('"')
        }
        (Cell::Int64(at), Type::TimestampMicros) => timestamp(json, *at, 6),
        (Cell::Int64(at), Type::TimestampMillis) => timestamp(json, at.saturating_mul(1000), 3),
        (Cell::Int32(value), _) => write!(json, "{value}"),
        (Cell::Int64(value), _) => write!(json, "{value}"),
        (Cell::Float32(value), _) if value.is_finite() => write!(json, "{value}"),
        (Cell::Float64(value), _) if value.is_finite() => write!(json, "{value}"),
        (Cell::Decimal128(value), Type::Decimal128 { scale, .. }) => decimal(json, *value, scale),
        (Cell::Utf8(value), _) => {
            text(json, value);
            Ok(())
        }
        (Cell::Binary(bytes), _) => {
            json.push('"');
            bytes.iter().for_each(|byte| json.push_str(&format!("{byte:02x}")));
            json.write_char('"')
        }
        // JSON knows no infinity, and no NaN.
        _ => json.write_str("null"),
    };
}

fn decimal(json: &mut String, value: i128, scale: i8) -> std::fmt::Result {
    let scale = usize::try_from(scale).unwrap_or(0);
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    let (sign, point) = (if value < 0 { "-" } else { "" }, if scale > 0 { "." } else { "" });
    write!(json, "{sign}{whole}{point}{part}")
}

fn timestamp(json: &mut String, micros: i64, digits: usize) -> std::fmt::Result {
    let (seconds, part) = (micros.div_euclid(MICROS_PER_SECOND), micros.rem_euclid(MICROS_PER_SECOND));
    let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    json.push('"');
    date(json, seconds.div_euclid(SECONDS_PER_DAY));
    write!(json, "T{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)?;
    if part > 0 {
        write!(json, ".{}", &format!("{part:06}")[..digits])?;
    }
    json.write_str("Z\"")
}

/// The day so many days after 1970-01-01, by Gregory's calendar: eras of 400 years that begin in March.
fn date(json: &mut String, days: i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let _ = write!(json, "{year:04}-{month:02}-{day:02}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, Column};

    #[test]
    fn a_row_is_an_object() {
        let columns = vec![
            Column::utf8("word", [Some("a\"\\\n\u{1}ü"), None]),
            Column::fixed("n", Type::Int64, [Some(-3i64), Some(0)]),
            Column::fixed("x", Type::Float64, [Some(1.5), Some(f64::NAN)]),
            Column::boolean("b", [Some(true), None]),
            Column::fixed("on", Type::Date32, [Some(19_782), Some(-1)]),
            Column::fixed("at", Type::TimestampMicros, [Some(1_709_210_096_000_120i64), Some(-1)]),
            Column::fixed("ms", Type::TimestampMillis, [Some(1_709_210_096_000i64), Some(-1)]),
            Column::fixed("price", Type::Decimal128 { precision: 10, scale: 2 }, [Some(-5i128), Some(12_345)]),
        ];
        let batch = Batch { rows: 2, columns };
        assert_eq!(
            Row::new(&batch, 0).json(),
            "{\"word\":\"a\\\"\\\\\\n\\u0001ü\",\"n\":-3,\"x\":1.5,\"b\":true,\"on\":\"2024-02-29\",\
             \"at\":\"2024-02-29T12:34:56.000120Z\",\"ms\":\"2024-02-29T12:34:56Z\",\"price\":-0.05}"
        );
        assert_eq!(
            Row::new(&batch, 1).json(),
            "{\"n\":0,\"x\":null,\"on\":\"1969-12-31\",\"at\":\"1969-12-31T23:59:59.999999Z\",\
             \"ms\":\"1969-12-31T23:59:59.999Z\",\"price\":123.45}"
        );
    }
}
