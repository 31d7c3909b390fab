//! Types in Spark's words, both ways: `a INT, b ARRAY<STRING>` and `struct<a:int,b:array<string>>`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, plan_err};

/// The deepest nesting.
const DEPTH_MAX: usize = 16;

/// What `typeof` says of a type.
pub fn name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Int8 => "tinyint".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int32 => "int".into(),
        DataType::Int64 => "bigint".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(_, _) => "timestamp".into(),
        DataType::Binary => "binary".into(),
        DataType::Null => "void".into(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::List(item) => format!("array<{}>", name(item.data_type())),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(entry) if entry.len() == 2 => {
                format!("map<{},{}>", name(entry[0].data_type()), name(entry[1].data_type()))
            }
            other => name(other),
        },
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{}:{}", field.name(), name(field.data_type()))).collect();
            format!("struct<{}>", fields.join(","))
        }
        other => other.to_string().to_lowercase(),
    }
}

/// A map's type.
pub fn map_of(key: DataType, value: DataType) -> DataType {
    let fields = vec![Field::new("keys", key, false), Field::new("values", value, true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(fields.into()), false)), false)
}

/// A list's type.
pub fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

/// The type that a text names: a type, or fields as in a table's definition.
pub fn read(text: &str) -> Result<DataType> {
    match data_type(text, 0).or_else(|| fields(text, ' ', 0)) {
        Some(data_type) => Ok(data_type),
        None => plan_err!("`{text}` is no type; write e.g. `a INT, b ARRAY<STRING>` or `map<string,int>`"),
    }
}

fn data_type(text: &str, depth: usize) -> Option<DataType> {
    if depth > DEPTH_MAX {
        return None;
    }
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    Some(match lower.as_str() {
        "string" => DataType::Utf8,
        "boolean" => DataType::Boolean,
        "tinyint" | "byte" => DataType::Int8,
        "smallint" | "short" => DataType::Int16,
        "int" | "integer" => DataType::Int32,
        "bigint" | "long" => DataType::Int64,
        "float" | "real" => DataType::Float32,
        "double" => DataType::Float64,
        "date" => DataType::Date32,
        "timestamp" => super::dates::MICROS,
        "binary" => DataType::Binary,
        "decimal" => DataType::Decimal128(10, 0),
        _ => {
            let inside = |name: &str, open: char, close: char| {
                let rest = lower.strip_prefix(name)?.trim_start();
                text[text.len() - rest.len()..].strip_prefix(open)?.strip_suffix(close)
            };
            if let Some(inner) = inside("decimal", '(', ')') {
                let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
                let (precision, scale): (u8, i8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
                return (precision <= 38 && scale >= 0 && scale as u8 <= precision)
                    .then_some(DataType::Decimal128(precision, scale));
            }
            if let Some(inner) = inside("array", '<', '>') {
                return Some(list_of(data_type(inner, depth + 1)?));
            }
            if let Some(inner) = inside("map", '<', '>') {
                let [key, value] = parts(inner)[..] else {
                    return None;
                };
                return Some(map_of(data_type(key, depth + 1)?, data_type(value, depth + 1)?));
            }
            return fields(inside("struct", '<', '>')?, ':', depth + 1);
        }
    })
}

fn fields(text: &str, between: char, depth: usize) -> Option<DataType> {
    let mut found: Vec<Field> = Vec::new();
    for part in parts(text) {
        let part = part.trim();
        let (name, kind) = part.split_once(between).or_else(|| part.split_once([' ', ':']))?;
        let name = name.trim().trim_matches('`');
        if name.is_empty() || found.iter().any(|field| field.name() == name) {
            return None;
        }
        let kind = kind.trim();
        let kind = kind.strip_suffix("NOT NULL").or_else(|| kind.strip_suffix("not null")).unwrap_or(kind);
        found.push(Field::new(name, data_type(kind, depth + 1)?, true));
    }
    Some(DataType::Struct(Fields::from(found)))
}

/// The parts between commas that are not inside brackets.
fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for text in ["int", "array<map<string,bigint>>", "struct<a:int,b:struct<c:decimal(4,2)>>"] {
            assert_eq!(name(&read(text).unwrap()), text);
        }
        assert_eq!(name(&read("a INT, b ARRAY<STRING>").unwrap()), "struct<a:int,b:array<string>>");
        assert!(read("a").is_err() && read("a INT, a INT").is_err() && read(&"array<".repeat(9999)).is_err());
    }
}
