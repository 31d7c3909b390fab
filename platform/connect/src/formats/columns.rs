//! Typed values of records, and the builders that make columns of them.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, BooleanBuilder, Decimal128Builder, PrimitiveBuilder, StringBuilder};
use arrow::compute::kernels::cast_utils::{Parser, string_to_datetime};
use arrow::datatypes::{
    DataType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use braid_kernel::SourceError;

/// A value of one record, borrowed from the record's bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// Also dates (days) and timestamps (in their column's unit).
    Int(i64),
    Float(f64),
    /// Scaled as its column says.
    Decimal(Decimal),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// The inside of a JSON string that holds escapes, all of them valid.
    Escaped(&'a str),
    /// Proved to be base64.
    Base64(&'a str),
}

/// 128 bits, aligned like the other values: a value is then three words, and cheap to move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Decimal([u64; 2]);

impl From<i128> for Decimal {
    fn from(value: i128) -> Self {
        Self([value as u64, (value >> 64) as u64])
    }
}

impl From<Decimal> for i128 {
    fn from(Decimal([low, high]): Decimal) -> Self {
        (u128::from(high) << 64 | u128::from(low)) as Self
    }
}

/// What a column takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Text,
    Binary,
    Bool,
    Int {
        min: i64,
        max: i64,
    },
    Float32,
    Float64,
    Decimal {
        precision: u8,
        scale: i8,
    },
    Date,
    /// `integers`: a number is epoch milliseconds.
    Timestamp {
        millis: bool,
    },
}

impl Kind {
    /// The kind of a flat type; `None` for types that only the nested decoder knows.
    pub(super) fn of(data_type: &DataType) -> Option<Self> {
        let int = |min, max| Some(Self::Int { min, max });
        match data_type {
            DataType::Utf8 => Some(Self::Text),
            DataType::Binary => Some(Self::Binary),
            DataType::Boolean => Some(Self::Bool),
            DataType::Int8 => int(i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => int(i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => int(i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 => int(i64::MIN, i64::MAX),
            DataType::Float32 => Some(Self::Float32),
            DataType::Float64 => Some(Self::Float64),
            DataType::Decimal128(precision, scale) if *scale >= 0 => {
                Some(Self::Decimal { precision: *precision, scale: *scale })
            }
            DataType::Date32 => Some(Self::Date),
            DataType::Timestamp(TimeUnit::Microsecond, _) => Some(Self::Timestamp { millis: false }),
            DataType::Timestamp(TimeUnit::Millisecond, _) => Some(Self::Timestamp { millis: true }),
            _ => None,
        }
    }

    /// What a user is told was expected.
    pub(super) fn expected(self) -> String {
        match self {
            Self::Text => "a string".into(),
            Self::Binary => "base64 text".into(),
            Self::Bool => "true or false".into(),
            Self::Int { min, max } => format!("a whole number from {min} to {max}"),
            Self::Float32 | Self::Float64 => "a number".into(),
            Self::Decimal { precision, scale } => {
                format!("a decimal of at most {precision} digits, {scale} after the point")
            }
            Self::Date => "a date (yyyy-MM-dd)".into(),
            Self::Timestamp { millis: false } => "a timestamp (RFC 3339 or yyyy-MM-dd HH:mm:ss)".into(),
            Self::Timestamp { millis: true } => {
                "a timestamp (epoch milliseconds, RFC 3339 or yyyy-MM-dd HH:mm:ss)".into()
            }
        }
    }

    /// Reads a value from bare text, as in CSV. Nothing is trimmed, nothing is rounded.
    pub(super) fn parse(self, text: &str) -> Option<Value<'_>> {
        Some(match self {
            Self::Text | Self::Binary => Value::Text(text),
            Self::Bool if text.eq_ignore_ascii_case("true") => Value::Bool(true),
            Self::Bool if text.eq_ignore_ascii_case("false") => Value::Bool(false),
            Self::Bool => return None,
            Self::Int { min, max } => {
                let value: i64 = text.parse().ok()?;
                if value < min || value > max {
                    return None;
                }
                Value::Int(value)
            }
            Self::Float32 => Value::Float(f64::from(text.parse::<f32>().ok()?)),
            Self::Float64 => Value::Float(text.parse().ok()?),
            Self::Decimal { precision, scale } => Value::Decimal(parse_decimal(text, precision, scale)?.into()),
            Self::Date => Value::Int(parse_date(text)?.into()),
            Self::Timestamp { millis } => {
                let whole_number = text.strip_prefix('-').unwrap_or(text);
                if millis && !whole_number.is_empty() && whole_number.bytes().all(|b| b.is_ascii_digit()) {
                    Value::Int(text.parse().ok()?)
                } else {
                    Value::Int(parse_timestamp(text, millis)?)
                }
            }
        })
    }

    /// Proves that text is base64, which is how JSON carries bytes.
    pub(super) fn base64(text: &str) -> Option<Value<'_>> {
        BASE64.decode(text).ok().map(|_| Value::Base64(text))
    }
}

/// `yyyy-MM-dd` as days since the Unix epoch.
pub(super) fn parse_date(text: &str) -> Option<i32> {
    if text.len() != 10 {
        return None;
    }
    Date32Type::parse(text)
}

/// RFC 3339, or the same with a space and without an offset (then it is UTC), as micro- or milliseconds.
/// Digits finer than the column's unit are cut off.
pub(super) fn parse_timestamp(text: &str, millis: bool) -> Option<i64> {
    let time = string_to_datetime(&chrono::Utc, text).ok()?;
    Some(if millis { time.timestamp_millis() } else { time.timestamp_micros() })
}

/// An exact decimal: `-12.340`, `1.5e3`. Digits after the point beyond the scale must be zeros.
pub(super) fn parse_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (negative, body) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, exponent) = match body.find(['e', 'E']) {
        Some(at) => (&body[..at], body[at + 1..].parse::<i32>().ok()?),
        None => (body, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // The value is digits × 10^(exponent − fraction digits); the column wants it × 10^scale.
    let mut shift = i64::from(exponent) - fraction.len() as i64 + i64::from(scale);
    let mut value: i128 = 0;
    let count = whole.len() + fraction.len();
    for (i, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
        if !digit.is_ascii_digit() {
            return None;
        }
        let beyond_scale = (count - i) as i64 <= -shift;
        if beyond_scale {
            if digit != b'0' {
                return None;
            }
        } else {
            value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
    }
    shift = shift.max(0);
    if value != 0 {
        value = value.checked_mul(10i128.checked_pow(u32::try_from(shift).ok()?)?)?;
    }
    if value >= 10i128.checked_pow(u32::from(precision))? {
        return None;
    }
    Some(if negative { -value } else { value })
}

/// One column of the projected schema, as it grows.
#[derive(Debug)]
enum Column {
    Text(StringBuilder),
    Binary(BinaryBuilder),
    Bool(BooleanBuilder),
    Int8(PrimitiveBuilder<Int8Type>),
    Int16(PrimitiveBuilder<Int16Type>),
    Int32(PrimitiveBuilder<Int32Type>),
    Int64(PrimitiveBuilder<Int64Type>),
    Float32(PrimitiveBuilder<Float32Type>),
    Float64(PrimitiveBuilder<Float64Type>),
    Decimal(Decimal128Builder),
    Date(PrimitiveBuilder<Date32Type>),
    Micros(PrimitiveBuilder<TimestampMicrosecondType>),
    Millis(PrimitiveBuilder<TimestampMillisecondType>),
}

impl Column {
    fn new(data_type: &DataType, rows: usize, bytes: usize) -> Option<Self> {
        let own = data_type.clone();
        Some(match data_type {
            DataType::Utf8 => Self::Text(StringBuilder::with_capacity(rows, bytes)),
            DataType::Binary => Self::Binary(BinaryBuilder::with_capacity(rows, bytes)),
            DataType::Boolean => Self::Bool(BooleanBuilder::with_capacity(rows)),
            DataType::Int8 => Self::Int8(PrimitiveBuilder::with_capacity(rows)),
            DataType::Int16 => Self::Int16(PrimitiveBuilder::with_capacity(rows)),
            DataType::Int32 => Self::Int32(PrimitiveBuilder::with_capacity(rows)),
            DataType::Int64 => Self::Int64(PrimitiveBuilder::with_capacity(rows)),
            DataType::Float32 => Self::Float32(PrimitiveBuilder::with_capacity(rows)),
            DataType::Float64 => Self::Float64(PrimitiveBuilder::with_capacity(rows)),
            DataType::Decimal128(..) => Self::Decimal(Decimal128Builder::with_capacity(rows).with_data_type(own)),
            DataType::Date32 => Self::Date(PrimitiveBuilder::with_capacity(rows)),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Self::Micros(PrimitiveBuilder::with_capacity(rows).with_data_type(own))
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Self::Millis(PrimitiveBuilder::with_capacity(rows).with_data_type(own))
            }
            _ => return None,
        })
    }

    /// Appends a value that [`Kind`] has made for this column: it fits.
    #[inline]
    fn push(&mut self, value: Value<'_>) {
        match (self, value) {
            (Self::Text(b), Value::Text(text)) => b.append_value(text),
            (Self::Text(b), Value::Escaped(text)) => {
                super::json::unescape(text, |part| {
                    // Writing to a growing buffer cannot fail.
                    let _ = std::fmt::Write::write_str(b, part);
                });
                b.append_value("");
            }
            (Self::Text(b), _) => b.append_null(),
            (Self::Binary(b), Value::Text(text)) => b.append_value(text),
            (Self::Binary(b), Value::Bytes(bytes)) => b.append_value(bytes),
            (Self::Binary(b), Value::Base64(text)) => {
                b.append_value(BASE64.decode(text).unwrap_or_default());
            }
            (Self::Binary(b), _) => b.append_null(),
            (Self::Bool(b), Value::Bool(value)) => b.append_value(value),
            (Self::Bool(b), _) => b.append_null(),
            (Self::Int8(b), Value::Int(value)) => b.append_value(value as i8),
            (Self::Int8(b), _) => b.append_null(),
            (Self::Int16(b), Value::Int(value)) => b.append_value(value as i16),
            (Self::Int16(b), _) => b.append_null(),
            (Self::Int32(b), Value::Int(value)) => b.append_value(value as i32),
            (Self::Int32(b), _) => b.append_null(),
            (Self::Int64(b), Value::Int(value)) => b.append_value(value),
            (Self::Int64(b), _) => b.append_null(),
            (Self::Float32(b), Value::Float(value)) => b.append_value(value as f32),
            (Self::Float32(b), _) => b.append_null(),
            (Self::Float64(b), Value::Float(value)) => b.append_value(value),
            (Self::Float64(b), _) => b.append_null(),
            (Self::Decimal(b), Value::Decimal(value)) => b.append_value(value.into()),
            (Self::Decimal(b), _) => b.append_null(),
            (Self::Date(b), Value::Int(value)) => b.append_value(value as i32),
            (Self::Date(b), _) => b.append_null(),
            (Self::Micros(b), Value::Int(value)) => b.append_value(value),
            (Self::Micros(b), _) => b.append_null(),
            (Self::Millis(b), Value::Int(value)) => b.append_value(value),
            (Self::Millis(b), _) => b.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(b) => Arc::new(b.finish()),
            Self::Binary(b) => Arc::new(b.finish()),
            Self::Bool(b) => Arc::new(b.finish()),
            Self::Int8(b) => Arc::new(b.finish()),
            Self::Int16(b) => Arc::new(b.finish()),
            Self::Int32(b) => Arc::new(b.finish()),
            Self::Int64(b) => Arc::new(b.finish()),
            Self::Float32(b) => Arc::new(b.finish()),
            Self::Float64(b) => Arc::new(b.finish()),
            Self::Decimal(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Micros(b) => Arc::new(b.finish()),
            Self::Millis(b) => Arc::new(b.finish()),
        }
    }

    /// How many bytes of text or binary it holds: what the next batch will likely need again.
    fn value_bytes(&self) -> usize {
        match self {
            Self::Text(b) => b.values_slice().len(),
            Self::Binary(b) => b.values_slice().len(),
            _ => 0,
        }
    }
}

/// The columns of a projected schema, in its order.
#[derive(Debug)]
pub(super) struct Columns {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows_capacity: usize,
}

impl Columns {
    /// Builders for a flat schema.
    pub(super) fn new(schema: SchemaRef, rows_capacity: usize) -> Result<Self, SourceError> {
        let columns = schema
            .fields()
            .iter()
            .map(|field| {
                Column::new(field.data_type(), rows_capacity, 0).ok_or_else(|| {
                    SourceError::Fatal(format!(
                        "column `{}`: this format cannot hold {}",
                        field.name(),
                        field.data_type()
                    ))
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { schema, columns, rows_capacity })
    }

    #[inline]
    pub(super) fn push(&mut self, column: usize, value: Value<'_>) {
        self.columns[column].push(value);
    }

    /// The columns so far. The builders start anew, with the room that this batch needed.
    pub(super) fn finish(&mut self) -> Vec<ArrayRef> {
        let fields = self.schema.fields().iter();
        fields
            .zip(&mut self.columns)
            .map(|(field, column)| {
                let bytes = column.value_bytes();
                let array = column.finish();
                if let Some(fresh) = Column::new(field.data_type(), self.rows_capacity, bytes) {
                    *column = fresh;
                }
                array
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_or_refused() {
        let cases: &[(&str, Option<i128>)] = &[
            ("2.55", Some(2550)),
            ("-2.55", Some(-2550)),
            ("+7", Some(7000)),
            ("0.0010", Some(1)),
            ("0.0015", None),
            ("1.5e3", Some(1_500_000)),
            ("25e-1", Some(2500)),
            ("1e-4", None),
            ("10e-4", Some(1)),
            ("0e99", Some(0)),
            ("1e99", None),
            ("9999999.999", Some(9_999_999_999)),
            ("10000000", None),
            (".5", Some(500)),
            ("5.", Some(5000)),
            (".", None),
            ("", None),
            ("-", None),
            ("1,5", None),
            (" 1", None),
            ("١", None),
            ("99999999999999999999999999999999999999999999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_decimal(text, 10, 3), *expected, "{text:?}");
        }
    }

    #[test]
    fn a_decimal_survives_its_halves() {
        for value in [0, 1, -1, i128::MAX, i128::MIN, 1 << 64, -(1 << 64), i128::from(u64::MAX)] {
            assert_eq!(i128::from(Decimal::from(value)), value);
        }
        assert_eq!(size_of::<Value<'_>>(), 24);
    }

    #[test]
    fn timestamps_in_both_notations() {
        let expected = Some(1_292_229_960_123_000);
        assert_eq!(parse_timestamp("2010-12-13T08:46:00.123Z", false), expected);
        assert_eq!(parse_timestamp("2010-12-13 08:46:00.123", false), expected);
        assert_eq!(parse_timestamp("2010-12-13T09:46:00.123+01:00", false), expected);
        assert_eq!(parse_timestamp("2010-12-13 08:46:00", true), Some(1_292_229_960_000));
        for wrong in ["", "2010-13-13 08:46:00", "yesterday", "1292229960123"] {
            assert_eq!(parse_timestamp(wrong, true), None, "{wrong:?}");
        }
        let millis = Kind::Timestamp { millis: true };
        assert_eq!(millis.parse("1292229960123"), Some(Value::Int(1_292_229_960_123)));
        assert_eq!(Kind::Timestamp { millis: false }.parse("1292229960123"), None);
        assert_eq!(millis.parse("-"), None);
    }

    #[test]
    fn a_whole_number_is_in_range_or_refused() {
        let int = Kind::of(&DataType::Int32).unwrap();
        assert_eq!(int.parse("2147483647"), Some(Value::Int(2_147_483_647)));
        for wrong in ["2147483648", "17850.0", "", " 1", "1e3", "0x1"] {
            assert_eq!(int.parse(wrong), None, "{wrong:?}");
        }
    }
}
