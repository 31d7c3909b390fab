//! JSON in text: paths into it, values of a schema out of it, and values into it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, TimestampMicrosecondType};
use datafusion::common::{Result, ScalarValue, plan_err};
use serde_json::Value;

use super::dates::{MICROS, date_of, instant_of};
use super::scalar::{Call, Function, TEXT, arguments, usage};
use super::schema_text;

/// The functions of this file.
pub const FUNCTIONS: &[Function] = &[
    Function {
        names: &["get_json_object"],
        takes: |given| arguments(given, &[TEXT, TEXT], 2, "get_json_object(json, path)"),
        gives: |_, _| Ok(TEXT),
        run: |call| {
            call.texts(|row| {
                let (json, path) = (call.text(0, row)?, read_path(call.text(1, row)?)?);
                at_path(&parse(json)?, &path)
            })
        },
    },
    Function {
        names: &["json_tuple_values"],
        takes: |given| match given.len() {
            0 | 1 => usage("json_tuple(json, field, …)"),
            count => Ok(vec![TEXT; count]),
        },
        gives: |_, _| Ok(schema_text::list_of(TEXT)),
        run: |call| {
            let mut lists = ListBuilder::new(StringBuilder::new());
            for row in 0..call.rows {
                let json = call.text(0, row).and_then(parse);
                for field in 1..call.columns.len() {
                    let name = call.text(field, row);
                    let value = json.as_ref().zip(name).and_then(|(json, name)| json.get(name)).and_then(plain);
                    lists.values().append_option(value);
                }
                lists.append(true);
            }
            Ok(Arc::new(lists.finish()) as ArrayRef)
        },
    },
    Function {
        names: &["from_json"],
        takes: |given| arguments(given, &[TEXT, TEXT], 2, "from_json(json, 'schema')"),
        gives: |_, literals| match literals.get(1) {
            Some(Some(ScalarValue::Utf8(Some(schema)))) => schema_text::read(schema),
            _ => plan_err!("the schema of from_json must be a literal, e.g. 'a INT, b STRING'"),
        },
        run: from_json,
    },
    Function {
        names: &["to_json"],
        takes: |given| if given.len() == 1 { Ok(given.to_vec()) } else { usage("to_json(struct, array or map)") },
        gives: |_, _| Ok(TEXT),
        run: |call| {
            call.try_texts(|row| {
                if call.columns[0].is_null(row) {
                    return Ok(None);
                }
                let mut text = String::new();
                write(&mut text, &call.columns[0], row)?;
                Ok(Some(text))
            })
        },
    },
    Function {
        names: &["json_array_length"],
        takes: |given| arguments(given, &[TEXT], 1, "json_array_length(json)"),
        gives: |_, _| Ok(DataType::Int32),
        run: |call| call.ints(|row| Some(parse(call.text(0, row)?)?.as_array()?.len() as i32)),
    },
    Function {
        names: &["json_object_keys"],
        takes: |given| arguments(given, &[TEXT], 1, "json_object_keys(json)"),
        gives: |_, _| Ok(schema_text::list_of(TEXT)),
        run: |call| {
            let mut lists = ListBuilder::new(StringBuilder::new());
            for row in 0..call.rows {
                match call.text(0, row).and_then(parse) {
                    Some(Value::Object(fields)) => {
                        fields.keys().for_each(|key| lists.values().append_value(key));
                        lists.append(true);
                    }
                    _ => lists.append_null(),
                }
            }
            Ok(Arc::new(lists.finish()) as ArrayRef)
        },
    },
];

fn parse(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Item(usize),
    Every,
}

/// Reads `$.a['b'][0][*]`; None where it is no path.
fn read_path(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, next) = after.split_at(end);
            if name.is_empty() {
                return None;
            }
            steps.push(if name == "*" { Step::Every } else { Step::Field(name.into()) });
            rest = next;
        } else {
            let inside = rest.strip_prefix('[')?;
            if let Some(quoted) = inside.strip_prefix('\'') {
                let (name, next) = quoted.split_once("']")?;
                steps.push(Step::Field(name.into()));
                rest = next;
            } else {
                let (index, next) = inside.split_once(']')?;
                steps.push(if index == "*" { Step::Every } else { Step::Item(index.parse().ok()?) });
                rest = next;
            }
        }
    }
    Some(steps)
}

/// Texts as they are, everything else as JSON; null where there is nothing.
fn at_path(value: &Value, path: &[Step]) -> Option<String> {
    let mut found = Vec::new();
    let many = path.contains(&Step::Every);
    collect(value, path, many, &mut found);
    match (&found[..], many) {
        ([], _) => None,
        ([one], false) => plain(one),
        // A star that found one thing gives it without brackets, in quotes where it is a text.
        ([one], true) => Some(json_text(one)),
        (several, _) => Some(format!("[{}]", several.iter().map(|one| json_text(one)).collect::<Vec<_>>().join(","))),
    }
}

fn collect<'a>(value: &'a Value, path: &[Step], many: bool, found: &mut Vec<&'a Value>) {
    let Some((step, rest)) = path.split_first() else {
        if many || !value.is_null() {
            found.push(value);
        }
        return;
    };
    match (step, value) {
        (Step::Field(name), Value::Object(fields)) => {
            if let Some(inner) = fields.get(name) {
                collect(inner, rest, many, found);
            }
        }
        (Step::Item(index), Value::Array(items)) => {
            if let Some(inner) = items.get(*index) {
                collect(inner, rest, many, found);
            }
        }
        (Step::Every, Value::Array(items)) => items.iter().for_each(|inner| collect(inner, rest, many, found)),
        _ => {}
    }
}

/// A value as a function gives it: a text without quotes.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(json_text(other)),
    }
}

/// A value as JSON, numbers as Java writes them.
fn json_text(value: &Value) -> String {
    match value {
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (None, None, Some(double)) => super::digits::double(double),
            _ => number.to_string(),
        },
        Value::Array(items) => {
            format!("[{}]", items.iter().map(json_text).collect::<Vec<_>>().join(","))
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(key, value)| format!("{}:{}", quoted(key), json_text(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

fn from_json(call: &Call) -> Result<ArrayRef> {
    let rows = (0..call.rows).map(|row| {
        let Some(text) = call.text(0, row) else {
            return ScalarValue::try_from(call.answer);
        };
        let value = match (parse(text), call.answer) {
            // A single object is a list of one.
            (Some(value @ Value::Object(_)), DataType::List(item)) if item.data_type().is_nested() => {
                Some(Value::Array(vec![value]))
            }
            // What is malformed is a struct without fields.
            (None, DataType::Struct(_)) if !text.trim().is_empty() => Some(Value::Object(Default::default())),
            (Some(value), DataType::Struct(_)) if !value.is_object() => Some(Value::Object(Default::default())),
            (value, _) => value,
        };
        match value.map(|value| typed(&value, call.answer)).transpose()?.flatten() {
            Some(value) => Ok(value),
            None => ScalarValue::try_from(call.answer),
        }
    });
    let rows = rows.collect::<Result<Vec<_>>>()?;
    let found = ScalarValue::iter_to_array(rows)?;
    Ok(if found.data_type() == call.answer { found } else { arrow::compute::cast(&found, call.answer)? })
}

/// The value as one of the type; None where it is none. A field of a struct that is none is null, and the others stay.
fn typed(value: &Value, wanted: &DataType) -> Result<Option<ScalarValue>> {
    Ok(Some(match (wanted, value) {
        (_, Value::Null) => ScalarValue::try_from(wanted)?,
        (DataType::Struct(fields), Value::Object(object)) if !fields.is_empty() => {
            let columns = fields.iter().map(|field| {
                let value = object.get(field.name()).unwrap_or(&Value::Null);
                match typed(value, field.data_type())? {
                    Some(value) => value.to_array(),
                    None => Ok(arrow::array::new_null_array(field.data_type(), 1)),
                }
            });
            let columns = columns.collect::<Result<Vec<_>>>()?;
            ScalarValue::Struct(Arc::new(arrow::array::StructArray::new(fields.clone(), columns, None)))
        }
        (DataType::List(item), Value::Array(values)) => {
            let items =
                values.iter().map(|value| typed(value, item.data_type())).collect::<Result<Option<Vec<_>>>>()?;
            let Some(items) = items else {
                return Ok(None);
            };
            ScalarValue::List(ScalarValue::new_list_nullable(&items, item.data_type()))
        }
        (DataType::Map(entries, _), Value::Object(object)) => {
            let DataType::Struct(fields) = entries.data_type() else {
                return Ok(None);
            };
            let column = |values: Vec<ScalarValue>, data_type: &DataType| match values.is_empty() {
                true => Ok(arrow::array::new_empty_array(data_type)),
                false => ScalarValue::iter_to_array(values),
            };
            let keys = object.keys().map(|key| typed(&Value::String(key.clone()), fields[0].data_type()));
            let values = object.values().map(|value| typed(value, fields[1].data_type()));
            let keys = keys.collect::<Result<Option<Vec<_>>>>()?;
            let Some((keys, values)) = keys.zip(values.collect::<Result<Option<Vec<_>>>>()?) else {
                return Ok(None);
            };
            let (keys, values) = (column(keys, fields[0].data_type())?, column(values, fields[1].data_type())?);
            let entries = super::maps::build(entries, &[object.len()], None, keys, values)?;
            ScalarValue::try_from_array(&entries, 0)?
        }
        (DataType::Utf8, _) => ScalarValue::Utf8(plain(value)),
        (DataType::Boolean, Value::Bool(truth)) => ScalarValue::Boolean(Some(*truth)),
        (integer, Value::Number(given)) if integer.is_integer() => match given.is_i64() {
            true => return cast_text(&given.to_string(), wanted),
            false => return Ok(None),
        },
        (number, Value::Number(given)) if number.is_numeric() => return cast_text(&given.to_string(), wanted),
        (number, Value::String(text)) if number.is_floating() => match text.as_str() {
            "NaN" | "Infinity" | "-Infinity" => return cast_text(text, wanted),
            _ => return Ok(None),
        },
        (DataType::Decimal128(_, _) | DataType::Date32 | DataType::Timestamp(_, _), Value::String(text)) => {
            return cast_text(text, wanted);
        }
        _ => return Ok(None),
    }))
}

fn cast_text(text: &str, wanted: &DataType) -> Result<Option<ScalarValue>> {
    let column: ArrayRef = Arc::new(arrow::array::StringArray::from(vec![text]));
    let value = ScalarValue::try_from_array(&super::casts::cast(&column, wanted, false)?, 0)?;
    Ok((!value.is_null()).then_some(value))
}

/// Writes a value; fields of structs that are null are left out.
fn write(text: &mut String, column: &ArrayRef, row: usize) -> Result<()> {
    if column.is_null(row) {
        text.push_str("null");
        return Ok(());
    }
    let number = |text: &mut String, double: String| match double.as_str() {
        "NaN" | "Infinity" | "-Infinity" => text.push_str(&quoted(&double)),
        plain => text.push_str(plain),
    };
    match column.data_type() {
        DataType::Utf8 => text.push_str(&quoted(column.as_string::<i32>().value(row))),
        DataType::Boolean => text.push_str(if column.as_boolean().value(row) { "true" } else { "false" }),
        DataType::Float64 => number(text, super::digits::double(column.as_primitive::<Float64Type>().value(row))),
        DataType::Float32 => number(text, super::digits::float(column.as_primitive::<Float32Type>().value(row))),
        DataType::Decimal128(_, scale) => {
            text.push_str(&super::digits::decimal(column.as_primitive::<Decimal128Type>().value(row), *scale));
        }
        DataType::Date32 => {
            let day = date_of(column.as_primitive::<Date32Type>().value(row));
            text.push_str(&day.map_or("null".into(), |day| quoted(&day.to_string())));
        }
        DataType::Timestamp(_, _) => {
            let micros = arrow::compute::cast(&column.slice(row, 1), &MICROS)?;
            let at = instant_of(micros.as_primitive::<TimestampMicrosecondType>().value(0));
            let form = |at: chrono::NaiveDateTime| at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
            text.push_str(&at.map_or("null".into(), |at| quoted(&form(at))));
        }
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            text.push('[');
            for item in 0..items.len() {
                text.push_str(if item > 0 { "," } else { "" });
                write(text, &items, item)?;
            }
            text.push(']');
        }
        DataType::Struct(fields) => {
            text.push('{');
            let mut first = true;
            for (field, values) in fields.iter().zip(column.as_struct().columns()) {
                if values.is_valid(row) {
                    text.push_str(if first { "" } else { "," });
                    text.push_str(&quoted(field.name()));
                    text.push(':');
                    write(text, values, row)?;
                    first = false;
                }
            }
            text.push('}');
        }
        DataType::Map(_, _) => {
            let entries = column.as_map().value(row);
            let keys = super::casts::to_text(entries.column(0))?;
            text.push('{');
            for entry in 0..entries.len() {
                text.push_str(if entry > 0 { "," } else { "" });
                text.push_str(&quoted(keys.as_string::<i32>().value(entry)));
                text.push(':');
                write(text, entries.column(1), entry)?;
            }
            text.push('}');
        }
        _ => text.push_str(&ScalarValue::try_from_array(column, row)?.to_string()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let get = |json: &str, path: &str| at_path(&parse(json)?, &read_path(path)?);
        let json = r#"{"a":{"b":[1,{"c":"x"}]},"n":-1.5e3,"l":[{"x":1},{"x":2}],"z":null}"#;
        assert_eq!(get(json, "$.a.b[1].c").as_deref(), Some("x"));
        assert_eq!(get(json, "$['a'].b").as_deref(), Some(r#"[1,{"c":"x"}]"#));
        assert_eq!(get(json, "$.n").as_deref(), Some("-1500.0"));
        assert_eq!(get(json, "$.l[*].x").as_deref(), Some("[1,2]"));
        assert_eq!((get(json, "$.z"), get(json, "a"), get(json, "$.")), (None, None, None));
    }
}
