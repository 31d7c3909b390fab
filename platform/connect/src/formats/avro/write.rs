//! Rows to Avro: columns are matched with a schema once, as a plan; where none is given, the columns make one.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, FieldRef, Fields, Float32Type, Float64Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
};
use serde_json::{Value, json};

use super::datum::{put_bytes, put_long};
use super::schema::{DEPTH_MAX, Schema};

/// What the record is called that columns make, as by Spark.
const ROW_NAME: &str = "topLevelRecord";

/// Writes rows of some columns as one datum each.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The columns as they are written, which is as few types as Avro has.
    columns: Fields,
    plan: Plan,
}

/// How a value is written.
#[derive(Debug)]
enum Plan {
    Bool,
    /// Int, long, date and times: all are numbers of no fixed length.
    Int,
    Long,
    /// A time in another unit: so many of the column's are one of the schema's, or the other way.
    Time {
        divide: i64,
        multiply: i64,
    },
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Decimal {
        size: Option<usize>,
    },
    Enum(Vec<String>),
    Array(Box<Self>),
    Map(Box<Self>),
    /// One of two branches, of which the other is null.
    Optional {
        null: i64,
        some: Box<Self>,
    },
    /// Of each field the column, and how.
    Record(Vec<(usize, Self)>),
}

/// The schema that columns make: every one may be null.
pub(crate) fn schema_of(columns: &Fields) -> Result<String, String> {
    let columns = columns.iter().map(|column| canonical(column)).collect();
    record_of(ROW_NAME, "", &columns, 0).map(|schema| schema.to_string())
}

/// The full name of a record's schema.
pub(crate) fn name_of(text: &str) -> Result<String, String> {
    let schema: Value = serde_json::from_str(text).map_err(|error| format!("the Avro schema is no JSON: {error}"))?;
    let name = schema["name"].as_str().ok_or("the Avro schema has no name")?;
    Ok(match schema["namespace"].as_str() {
        Some(namespace) if !name.contains('.') => format!("{namespace}.{name}"),
        _ => name.to_owned(),
    })
}

impl Writer {
    /// Columns as records of a schema. The error says what does not fit.
    pub(crate) fn new(schema: &str, columns: &Fields) -> Result<Self, String> {
        let columns: Fields = columns.iter().map(|column| canonical(column)).collect();
        let Schema::Record(_) = Schema::parse(schema, &[])? else {
            return Err("the Avro schema is no record, and a row is one".into());
        };
        let plan = plan(&Schema::parse(schema, &[])?, &DataType::Struct(columns.clone()), "")?;
        Ok(Self { columns, plan })
    }

    /// Each row's datum, behind `prefix`. The error says what a row has that the schema does not allow.
    pub(crate) fn rows(&self, batch: &RecordBatch, prefix: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let columns = batch.columns().iter().zip(&self.columns);
        let columns = columns.map(|(column, field)| cast(column, field.data_type()));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        let Plan::Record(fields) = &self.plan else { return Err("bug: a row is no record".into()) };
        let rows = (0..batch.num_rows()).map(|row| {
            let mut out = prefix.to_vec();
            for (column, plan) in fields {
                let field = &self.columns[*column];
                put(plan, &columns[*column], row, &mut out).map_err(|reason| format!("`{}` {reason}", field.name()))?;
            }
            Ok(out)
        });
        rows.collect()
    }
}

/// A column under the type by which it is written.
fn canonical(field: &Field) -> FieldRef {
    Arc::new(Field::new(field.name(), canonical_type(field.data_type()), true))
}

fn canonical_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Date64 => DataType::Date32,
        DataType::Timestamp(TimeUnit::Second | TimeUnit::Millisecond, _) => {
            DataType::Timestamp(TimeUnit::Millisecond, None)
        }
        DataType::Timestamp(..) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => DataType::List(canonical(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| canonical(field)).collect()),
        other => other.clone(),
    }
}

fn record_of(name: &str, namespace: &str, columns: &Fields, depth: usize) -> Result<Value, String> {
    let mut names = HashSet::new();
    let inner = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") };
    let fields = columns.iter().map(|column| {
        let name = column.name();
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(format!("the column `{name}` cannot be a name in Avro: give it another with AS"));
        }
        if !names.insert(name) {
            return Err(format!("there are two columns `{name}`"));
        }
        let schema = json!(["null", type_of(name, &inner, column.data_type(), depth + 1)?]);
        Ok(json!({"name": name, "type": schema, "default": null}))
    });
    let mut record = json!({"type": "record", "name": name, "fields": fields.collect::<Result<Vec<_>, String>>()?});
    if !namespace.is_empty() {
        record["namespace"] = namespace.into();
    }
    Ok(record)
}

fn type_of(name: &str, namespace: &str, data_type: &DataType, depth: usize) -> Result<Value, String> {
    if depth > DEPTH_MAX {
        return Err(format!("`{name}` nests too deeply"));
    }
    Ok(match data_type {
        DataType::Boolean => json!("boolean"),
        DataType::Int32 => json!("int"),
        DataType::Int64 => json!("long"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Utf8 => json!("string"),
        DataType::Binary => json!("bytes"),
        DataType::Date32 => json!({"type": "int", "logicalType": "date"}),
        DataType::Timestamp(TimeUnit::Millisecond, _) => json!({"type": "long", "logicalType": "timestamp-millis"}),
        DataType::Timestamp(..) => json!({"type": "long", "logicalType": "timestamp-micros"}),
        DataType::Decimal128(precision, scale) if *scale >= 0 => {
            json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
        }
        DataType::List(item) => {
            json!({"type": "array", "items": ["null", type_of(name, namespace, item.data_type(), depth + 1)?]})
        }
        DataType::Map(entries, _) => {
            let value = map_value(entries).ok_or_else(|| format!("`{name}` is a map whose keys are no text"))?;
            json!({"type": "map", "values": ["null", type_of(name, namespace, value, depth + 1)?]})
        }
        DataType::Struct(fields) => record_of(name, namespace, fields, depth)?,
        other => return Err(format!("`{name}` has the type {other}, which Avro has not")),
    })
}

/// The type of a map's values, where its keys are text.
fn map_value(entries: &Field) -> Option<&DataType> {
    match entries.data_type() {
        DataType::Struct(fields) if fields.len() == 2 && fields[0].data_type() == &DataType::Utf8 => {
            Some(fields[1].data_type())
        }
        _ => None,
    }
}

/// How values of a column's type become data of a schema. `path` is what a message calls them.
fn plan(schema: &Schema, data_type: &DataType, path: &str) -> Result<Plan, String> {
    let no = || Err(format!("{} is {}, and the column is {data_type}", said(path), schema.name()));
    Ok(match (schema, data_type) {
        (Schema::Union(branches), _) => {
            let null = branches.iter().position(|branch| *branch == Schema::Null);
            match (branches.as_slice(), null) {
                ([only], None) => plan(only, data_type, path)?,
                ([_, _], Some(null)) => {
                    Plan::Optional { null: null as i64, some: Box::new(plan(&branches[1 - null], data_type, path)?) }
                }
                _ => return Err(format!("{} is a union of more than one type and null", said(path))),
            }
        }
        (Schema::Bool, DataType::Boolean) => Plan::Bool,
        (Schema::Int, DataType::Int32) | (Schema::Date, DataType::Date32) | (Schema::Long, DataType::Int32) => {
            Plan::Int
        }
        (Schema::Long, DataType::Int64) => Plan::Long,
        (Schema::Time { per_second }, DataType::Timestamp(unit, _)) => {
            let ours = if *unit == TimeUnit::Millisecond { 1_000 } else { 1_000_000 };
            Plan::Time { divide: (ours / per_second).max(1), multiply: (per_second / ours).max(1) }
        }
        (Schema::Float, DataType::Float32) => Plan::Float,
        (Schema::Double, DataType::Float64) => Plan::Double,
        (Schema::String, DataType::Utf8) => Plan::String,
        (Schema::Bytes, DataType::Binary) => Plan::Bytes,
        (Schema::Fixed(size), DataType::Binary) => Plan::Fixed(*size),
        (Schema::Decimal { precision, scale, size }, DataType::Decimal128(digits, point)) => {
            if i16::from(*scale) != i16::from(*point) || precision < digits {
                return Err(format!(
                    "{} is a decimal({precision},{scale}), and the column is a decimal({digits},{point})",
                    said(path)
                ));
            }
            Plan::Decimal { size: *size }
        }
        (Schema::Enum(of), DataType::Utf8) => Plan::Enum(of.symbols.clone()),
        (Schema::Array(items), DataType::List(item)) => Plan::Array(Box::new(plan(items, item.data_type(), path)?)),
        (Schema::Map(values), DataType::Map(entries, _)) => match map_value(entries) {
            Some(value) => Plan::Map(Box::new(plan(values, value, path)?)),
            None => return no(),
        },
        (Schema::Record(record), DataType::Struct(columns)) => {
            let inner = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            let fields = record.fields.iter().map(|field| {
                let path = inner(&field.name);
                let (place, column) = columns
                    .find(&field.name)
                    .ok_or_else(|| format!("there is no column for `{path}` of the Avro schema"))?;
                Ok((place, plan(&field.schema, column.data_type(), &path)?))
            });
            let fields = fields.collect::<Result<Vec<_>, String>>()?;
            let written: HashSet<usize> = fields.iter().map(|(place, _)| *place).collect();
            if let Some((_, left)) = columns.iter().enumerate().find(|(place, _)| !written.contains(place)) {
                return Err(format!("the Avro schema has no field for the column `{}`", inner(left.name())));
            }
            Plan::Record(fields)
        }
        _ => return no(),
    })
}

fn said(path: &str) -> String {
    if path.is_empty() { "the Avro schema".into() } else { format!("`{path}` in the Avro schema") }
}

/// Appends a row's value.
fn put(plan: &Plan, column: &ArrayRef, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
    if let Plan::Optional { null, some } = plan {
        if column.is_null(row) {
            put_long(*null, out);
            return Ok(());
        }
        put_long(1 - null, out);
        return put(some, column, row, out);
    }
    if column.is_null(row) {
        return Err("is null, and its schema allows none".into());
    }
    match plan {
        Plan::Optional { .. } => {}
        Plan::Bool => out.push(column.as_boolean().value(row).into()),
        Plan::Int => {
            let value = match column.data_type() {
                DataType::Date32 => column.as_primitive::<Date32Type>().value(row),
                _ => column.as_primitive::<Int32Type>().value(row),
            };
            put_long(i64::from(value), out);
        }
        Plan::Long => put_long(column.as_primitive::<Int64Type>().value(row), out),
        Plan::Time { divide, multiply } => {
            let value = match column.data_type() {
                DataType::Timestamp(TimeUnit::Millisecond, _) => {
                    column.as_primitive::<TimestampMillisecondType>().value(row)
                }
                _ => column.as_primitive::<TimestampMicrosecondType>().value(row),
            };
            let value = value.div_euclid(*divide).checked_mul(*multiply);
            put_long(value.ok_or("is a time beyond what its schema can hold")?, out);
        }
        Plan::Float => out.extend_from_slice(&column.as_primitive::<Float32Type>().value(row).to_le_bytes()),
        Plan::Double => out.extend_from_slice(&column.as_primitive::<Float64Type>().value(row).to_le_bytes()),
        Plan::Bytes => put_bytes(column.as_binary::<i32>().value(row), out),
        Plan::String => put_bytes(column.as_string::<i32>().value(row).as_bytes(), out),
        Plan::Fixed(size) => {
            let bytes = column.as_binary::<i32>().value(row);
            if bytes.len() != *size {
                return Err(format!("has {} bytes, and its schema {size}", bytes.len()));
            }
            out.extend_from_slice(bytes);
        }
        Plan::Decimal { size } => {
            let whole = column.as_primitive::<Decimal128Type>().value(row).to_be_bytes();
            let fill = if whole[0] & 0x80 != 0 { 0xff } else { 0 };
            // The least bytes whose first bit is the sign.
            let needless = (0..15).take_while(|at| whole[*at] == fill && (whole[at + 1] ^ fill) & 0x80 == 0).count();
            match size {
                None => put_bytes(&whole[needless..], out),
                Some(size) if *size >= 16 - needless => {
                    out.extend(std::iter::repeat_n(fill, size.saturating_sub(16)));
                    out.extend_from_slice(&whole[16_usize.saturating_sub(*size)..]);
                }
                Some(size) => return Err(format!("does not fit into {size} bytes")),
            }
        }
        Plan::Enum(symbols) => {
            let text = column.as_string::<i32>().value(row);
            let symbol = symbols.iter().position(|symbol| symbol == text);
            put_long(symbol.ok_or_else(|| format!("is `{text}`, which its enum has not"))? as i64, out);
        }
        Plan::Array(items) => {
            let values = column.as_list::<i32>().value(row);
            blocks(values.len(), out, |item, out| put(items, &values, item, out))?;
        }
        Plan::Map(plan) => {
            let entries = column.as_map().value(row);
            let keys = entries.column(0).as_string::<i32>();
            blocks(entries.len(), out, |item, out| {
                put_bytes(keys.value(item).as_bytes(), out);
                put(plan, entries.column(1), item, out)
            })?;
        }
        Plan::Record(fields) => {
            let columns = column.as_struct();
            for (place, plan) in fields {
                put(plan, columns.column(*place), row, out)?;
            }
        }
    }
    Ok(())
}

/// The items of an array or a map: one block, and the end.
fn blocks(
    count: usize,
    out: &mut Vec<u8>,
    mut item: impl FnMut(usize, &mut Vec<u8>) -> Result<(), String>,
) -> Result<(), String> {
    if count > 0 {
        put_long(count as i64, out);
        (0..count).try_for_each(|number| item(number, out))?;
    }
    out.push(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int16Array, Int64Array, StringArray,
        StructArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    };
    use arrow::array::{ListBuilder, MapBuilder, StringBuilder};
    use braid_spec::model::{Avro, Format, Text};

    use super::*;
    use crate::formats::{Decoder, columns_of};

    fn batch() -> RecordBatch {
        let mut tags = ListBuilder::new(StringBuilder::new());
        tags.append_value([Some("a"), None]);
        tags.append_null();
        tags.append_value(Vec::<Option<&str>>::new());
        let mut counts = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        counts.keys().append_value("x");
        counts.values().append_value("y");
        counts.append(true).unwrap();
        counts.append(false).unwrap();
        counts.append(true).unwrap();
        let decimals = [Some(-1i128), None, Some(i128::from(i64::MAX) * 1000)];
        let place = vec![
            (Arc::new(Field::new("x", DataType::Int64, true)), Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef),
            (
                Arc::new(Field::new("y", DataType::Utf8, true)),
                Arc::new(StringArray::from(vec![None, Some("é"), Some("")])),
            ),
        ];
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(64)]))),
            ("small", Arc::new(Int16Array::from(vec![Some(-1), Some(0), None]))),
            ("yes", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
            ("x", Arc::new(Float64Array::from(vec![Some(1.5), Some(f64::INFINITY), None]))),
            ("word", Arc::new(StringArray::from(vec![Some("a"), None, Some("ü")]))),
            ("raw", Arc::new(BinaryArray::from_opt_vec(vec![Some(&b"\0\xff"[..]), None, Some(b"")]))),
            ("on", Arc::new(Date32Array::from(vec![Some(-1), Some(20_000), None]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(-1), Some(1_700_000_000_000_001), None]))),
            ("ms", Arc::new(TimestampMillisecondArray::from(vec![Some(-1), Some(1_700_000_000_001), None]))),
            ("price", Arc::new(Decimal128Array::from(decimals.to_vec()).with_precision_and_scale(38, 2).unwrap())),
            ("tags", Arc::new(tags.finish())),
            ("counts", Arc::new(counts.finish())),
            ("place", Arc::new(StructArray::from(place))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
            .unwrap()
    }

    fn read(schema: &str, data: &[Vec<u8>]) -> RecordBatch {
        let text = Text { text: schema.into(), references: vec![] };
        let mut format = Format::Avro(Box::new(Avro { schema: Some(text), ..Avro::default() }));
        let columns = columns_of(&mut format, None).unwrap();
        let mut decoder = Decoder::new(&format, &columns, None, 1000).unwrap();
        (0..).zip(data).for_each(|(offset, datum)| decoder.record(offset, datum));
        let rows = decoder.take().unwrap().unwrap();
        assert_eq!(rows.bad.iter().map(|bad| bad.reason.as_str()).collect::<Vec<_>>(), Vec::<&str>::new());
        rows.batch
    }

    #[test]
    fn what_is_written_is_read_again() {
        let rows = batch();
        let schema = schema_of(rows.schema().fields()).unwrap();
        let data = Writer::new(&schema, rows.schema().fields()).unwrap().rows(&rows, &[]).unwrap();
        let read = read(&schema, &data);
        assert_eq!(read.num_columns(), rows.num_columns());
        for (column, field) in rows.columns().iter().zip(rows.schema().fields()) {
            let back = cast(read.column_by_name(field.name()).unwrap(), field.data_type()).unwrap();
            assert_eq!(&back, column, "{}", field.name());
        }
    }

    #[test]
    fn a_schema_that_is_given_is_kept_to() {
        let rows = batch().project(&[4, 0, 9]).unwrap().slice(0, 1);
        let written = |schema: &str| {
            Writer::new(schema, rows.schema().fields())
                .and_then(|writer| writer.rows(&rows, b"#"))
                .map(|mut rows| rows.remove(0))
        };
        let of = |id: &str, word: &str, price: &str| {
            format!(
                r#"{{"type":"record","name":"R","fields":[{{"name":"id","type":{id}}},{{"name":"word","type":{word}}},{{"name":"price","type":{price}}}]}}"#
            )
        };
        let price = r#"{"type":"fixed","name":"P","size":17,"logicalType":"decimal","precision":38,"scale":2}"#;
        let long = r#"["long","null"]"#;
        let data = written(&of(long, r#"{"type":"enum","name":"E","symbols":["b","a"]}"#, price)).unwrap();
        let number = [vec![0], vec![0xff; 9], vec![1]].concat();
        assert_eq!(data, [b"#".to_vec(), number, vec![2], vec![0xff; 17]].concat());
        for (schema, reason) in [
            (of(r#""int""#, r#""string""#, price), "`id` in the Avro schema is an int, and the column is Int64"),
            (
                of(long, r#"["null","string","long"]"#, price),
                "`word` in the Avro schema is a union of more than one type and null",
            ),
            (of(long, r#"{"type":"enum","name":"E","symbols":["b"]}"#, price), "`word` is `a`, which its enum has not"),
            (
                r#"{"type":"record","name":"R","fields":[{"name":"other","type":"long"}]}"#.into(),
                "there is no column for `other` of the Avro schema",
            ),
            (
                r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"}]}"#.into(),
                "the Avro schema has no field for the column `word`",
            ),
            (r#""long""#.into(), "the Avro schema is no record, and a row is one"),
        ] {
            assert_eq!(written(&schema).unwrap_err(), reason);
        }
        let null = batch().project(&[0]).unwrap();
        let writer = Writer::new(
            r#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"}]}"#,
            null.schema().fields(),
        )
        .unwrap();
        assert_eq!(writer.rows(&null, &[]).unwrap_err(), "`id` is null, and its schema allows none");
        let odd = RecordBatch::try_from_iter([("a b", batch().column(0).clone())]).unwrap();
        assert_eq!(
            schema_of(odd.schema().fields()).unwrap_err(),
            "the column `a b` cannot be a name in Avro: give it another with AS"
        );
        assert_eq!(name_of(r#"{"type":"record","name":"R","namespace":"a.b"}"#).unwrap(), "a.b.R");
    }
}
