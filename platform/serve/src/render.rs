//! Rows as JSON and as CSV.
//!
//! Timestamps are RFC 3339 in UTC, decimals are strings (a JSON number would lose digits in most readers), 64-bit
//! integers are numbers with all their digits, structs are objects, binary is hexadecimal. A float that JSON has no
//! number for (NaN, infinity) is null. In CSV a struct is spread over columns: `w.start`, `w.end`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringBuilder};
use arrow::csv;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;
use arrow::json::writer::{JsonArray, LineDelimited, NullableEncoder};
use arrow::json::{Encoder, EncoderFactory, EncoderOptions, WriterBuilder};
use arrow::util::display::{ArrayFormatter, FormatOptions};

/// Every timestamp is in UTC, with or without a zone in its type.
const TIMESTAMP: &str = "%Y-%m-%dT%H:%M:%S%.fZ";

/// A JSON array with one object a row; null columns are written.
pub fn json_array(rows: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = json_builder().build::<_, JsonArray>(Vec::new());
    let rows = in_utc(rows)?;
    writer.write(&rows)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

/// One JSON object a row.
pub fn json_lines(rows: &RecordBatch) -> Result<Vec<String>, ArrowError> {
    let mut writer = json_builder().build::<_, LineDelimited>(Vec::new());
    let rows = in_utc(rows)?;
    writer.write(&rows)?;
    writer.finish()?;
    let text = String::from_utf8(writer.into_inner())
        .map_err(|_| ArrowError::JsonError("the writer gave bytes that are no text".into()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// CSV with a header line.
pub fn csv(rows: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut bytes = Vec::new();
    let rows = flat(&in_utc(rows)?)?;
    if rows.num_columns() > 0 {
        let mut writer = csv::WriterBuilder::new().with_timestamp_format(TIMESTAMP.into()).build(&mut bytes);
        writer.write(&rows)?;
    }
    Ok(bytes)
}

/// A column's type in the words of a deployment file.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".into(),
        DataType::Int64 => "long".into(),
        DataType::Int32 => "int".into(),
        DataType::Int16 => "short".into(),
        DataType::Int8 => "byte".into(),
        DataType::Float64 => "double".into(),
        DataType::Float32 => "float".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Date32 => "date".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "binary".into(),
        DataType::Timestamp(_, _) => "timestamp".into(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::List(item) | DataType::LargeList(item) => {
            format!("array<{}>", type_name(item.data_type()))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(entry) if entry.len() == 2 => {
                format!("map<{}, {}>", type_name(entry[0].data_type()), type_name(entry[1].data_type()))
            }
            other => type_name(other),
        },
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{}: {}", field.name(), type_name(field.data_type()))).collect();
            format!("struct<{}>", fields.join(", "))
        }
        DataType::Dictionary(_, values) => type_name(values),
        other => other.to_string().to_lowercase(),
    }
}

fn json_builder() -> WriterBuilder {
    WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_format(TIMESTAMP.into())
        .with_encoder_factory(Arc::new(Decimals))
}

/// The same instants without a zone, so that all are written alike, wherever they stand in a struct.
fn in_utc(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let fields: Vec<FieldRef> = rows.schema().fields().iter().map(without_zone).collect();
    if fields.iter().eq(rows.schema().fields().iter()) {
        return Ok(rows.clone());
    }
    let columns = fields
        .iter()
        .zip(rows.columns())
        .map(|(field, column)| arrow::compute::cast(column, field.data_type()))
        .collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn without_zone(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, None),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(without_zone).collect()),
        DataType::List(item) => DataType::List(without_zone(item)),
        DataType::Map(entries, sorted) => DataType::Map(without_zone(entries), *sorted),
        _ => return field.clone(),
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

/// Structs become columns, lists and maps become text.
fn flat(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        spread(field.name(), column, &mut fields, &mut columns)?;
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn spread(
    name: &str,
    column: &ArrayRef,
    fields: &mut Vec<Field>,
    columns: &mut Vec<ArrayRef>,
) -> Result<(), ArrowError> {
    let column = match column.data_type() {
        DataType::Struct(parts) => {
            let parent = column.as_struct();
            for (part, child) in parts.iter().zip(parent.columns()) {
                let masked = match parent.nulls() {
                    Some(nulls) => arrow::compute::nullif(child, &arrow::compute::not(&nulls.inner().clone().into())?)?,
                    None => child.clone(),
                };
                spread(&format!("{name}.{}", part.name()), &masked, fields, columns)?;
            }
            return Ok(());
        }
        other if other.is_nested() => as_text(column)?,
        _ => column.clone(),
    };
    fields.push(Field::new(name, column.data_type().clone(), true));
    columns.push(column);
    Ok(())
}

fn as_text(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = FormatOptions::new().with_timestamp_format(Some(TIMESTAMP));
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let mut text = StringBuilder::new();
    for row in 0..column.len() {
        match column.is_null(row) {
            true => text.append_null(),
            false => text.append_value(formatter.value(row).try_to_string()?),
        }
    }
    Ok(Arc::new(text.finish()))
}

/// Writes decimals as JSON strings.
#[derive(Debug)]
struct Decimals;

impl EncoderFactory for Decimals {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        if !array.data_type().is_decimal() {
            return Ok(None);
        }
        let formatter = ArrayFormatter::try_new(array, &FormatOptions::new())?;
        Ok(Some(NullableEncoder::new(Box::new(Quoted(formatter)), array.nulls().cloned())))
    }
}

/// A value whose text has nothing to escape, between quotes.
struct Quoted<'a>(ArrayFormatter<'a>);

impl Encoder for Quoted<'_> {
    fn encode(&mut self, index: usize, out: &mut Vec<u8>) {
        use std::io::Write;
        // Writing to a vector cannot fail, and a decimal has a text.
        let _ = write!(out, "\"{}\"", self.0.value(index));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray, StructArray,
        TimestampMicrosecondArray, TimestampMillisecondArray,
    };
    use arrow::buffer::NullBuffer;
    use arrow::datatypes::{Fields, TimeUnit};

    const MICROSECONDS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

    fn sample() -> RecordBatch {
        let window =
            Fields::from(vec![Field::new("start", MICROSECONDS, false), Field::new("end", MICROSECONDS, false)]);
        let windows = StructArray::new(
            window,
            vec![
                Arc::new(TimestampMicrosecondArray::from(vec![0, 1])),
                Arc::new(TimestampMicrosecondArray::from(vec![10_000_000, 1_234_567])),
            ],
            Some(NullBuffer::from(vec![true, false])),
        );
        let decimals = Decimal128Array::from(vec![Some(9_747_747_934), None]).with_precision_and_scale(18, 3).unwrap();
        let zoned = TimestampMillisecondArray::from(vec![1_500, 0]).with_timezone("+02:00");
        RecordBatch::try_from_iter(vec![
            ("w", Arc::new(windows) as ArrayRef),
            ("revenue", Arc::new(decimals)),
            ("count", Arc::new(Int64Array::from(vec![9_007_199_254_740_993, -1]))),
            ("name", Arc::new(StringArray::from(vec!["a \"b\", c", "é"]))),
            ("mean", Arc::new(Float64Array::from(vec![0.1, f64::NAN]))),
            ("day", Arc::new(Date32Array::from(vec![15_000, 0]))),
            ("at", Arc::new(zoned)),
            ("yes", Arc::new(BooleanArray::from(vec![Some(true), None]))),
        ])
        .unwrap()
    }

    #[test]
    fn json_keeps_digits_and_instants() {
        let text = String::from_utf8(json_array(&sample()).unwrap()).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"[{"w":{"start":"1970-01-01T00:00:00Z","end":"1970-01-01T00:00:10Z"},"revenue":"9747747.934","#,
                r#""count":9007199254740993,"name":"a \"b\", c","mean":0.1,"day":"2011-01-26","at":"1970-01-01T00:00:01.500Z","yes":true},"#,
                r#"{"w":null,"revenue":null,"count":-1,"name":"é","mean":null,"day":"1970-01-01","at":"1970-01-01T00:00:00Z","yes":null}]"#
            )
        );
        assert_eq!(json_array(&sample().slice(0, 0)).unwrap(), b"[]");
        assert_eq!(json_lines(&sample()).unwrap().len(), 2);
    }

    #[test]
    fn csv_spreads_windows() {
        let text = String::from_utf8(csv(&sample()).unwrap()).unwrap();
        assert_eq!(
            text,
            "w.start,w.end,revenue,count,name,mean,day,at,yes\n\
             1970-01-01T00:00:00Z,1970-01-01T00:00:10Z,9747747.934,9007199254740993,\"a \"\"b\"\", c\",0.1,2011-01-26,1970-01-01T00:00:01.500Z,true\n\
             ,,,-1,é,NaN,1970-01-01,1970-01-01T00:00:00Z,\n"
        );
    }

    #[test]
    fn types_have_the_deployment_files_names() {
        let names: Vec<String> = sample().schema().fields().iter().map(|field| type_name(field.data_type())).collect();
        insta::assert_snapshot!(names.join(", "), @"struct<start: timestamp, end: timestamp>, decimal(18,3), long, string, double, date, timestamp, boolean");
    }
}
