//! Column types from text: Spark's names, and what Arrow makes of them.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, TimeUnit};

/// The deepest nesting of `array`, `map` and `struct`.
const DEPTH_MAX: usize = 8;

/// Types that are one word.
const SIMPLE: &[(&str, DataType)] = &[
    ("string", DataType::Utf8),
    ("boolean", DataType::Boolean),
    ("bool", DataType::Boolean),
    ("tinyint", DataType::Int8),
    ("smallint", DataType::Int16),
    ("int", DataType::Int32),
    ("integer", DataType::Int32),
    ("long", DataType::Int64),
    ("bigint", DataType::Int64),
    ("float", DataType::Float32),
    ("double", DataType::Float64),
    ("date", DataType::Date32),
    ("timestamp", DataType::Timestamp(TimeUnit::Microsecond, None)),
    ("timestamp_millis", DataType::Timestamp(TimeUnit::Millisecond, None)),
    ("binary", DataType::Binary),
];

/// What other systems call these types.
const FOREIGN: &[(&str, &str)] = &[
    ("varchar", "string"),
    ("text", "string"),
    ("str", "string"),
    ("utf8", "string"),
    ("int64", "long"),
    ("int32", "int"),
    ("int16", "smallint"),
    ("int8", "tinyint"),
    ("float64", "double"),
    ("float32", "float"),
    ("number", "double"),
    ("real", "float"),
    ("numeric", "decimal(18,2)"),
    ("decimal", "decimal(18,2)"),
    ("datetime", "timestamp"),
    ("bytes", "binary"),
];

/// All types, for a message.
pub(crate) fn known() -> String {
    let simple: Vec<String> = SIMPLE.iter().map(|(name, _)| format!("`{name}`")).collect();
    format!("one of {}, `decimal(18,2)`, `array<…>`, `map<key,value>`, `struct<name:type,…>`", simple.join(", "))
}

/// Types to choose from, for an editor.
pub(crate) fn examples() -> Vec<&'static str> {
    SIMPLE
        .iter()
        .map(|(name, _)| *name)
        .chain(["decimal(18,2)", "array<string>", "map<string,int>", "struct<a:int,b:string>"])
        .collect()
}

/// Reads a type. The error is a better spelling, if one can be guessed.
pub(crate) fn data_type(text: &str) -> Result<DataType, Option<String>> {
    read(text, 0)
}

fn read(text: &str, depth: usize) -> Result<DataType, Option<String>> {
    if depth > DEPTH_MAX {
        return Err(None);
    }
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    if let Some((_, simple)) = SIMPLE.iter().find(|(name, _)| *name == lower) {
        return Ok(simple.clone());
    }
    if let Some(inner) = inside(text, &lower, "decimal", '(', ')') {
        return decimal(inner).ok_or(None);
    }
    if let Some(inner) = inside(text, &lower, "array", '<', '>') {
        let item = read(inner, depth + 1)?;
        return Ok(DataType::List(Arc::new(Field::new_list_field(item, true))));
    }
    if let Some(inner) = inside(text, &lower, "map", '<', '>') {
        let [key, value] = split(inner)[..] else {
            return Err(None);
        };
        let entries =
            vec![Field::new("keys", read(key, depth + 1)?, false), Field::new("values", read(value, depth + 1)?, true)];
        let entries = Field::new("entries", DataType::Struct(Fields::from(entries)), false);
        return Ok(DataType::Map(Arc::new(entries), false));
    }
    if let Some(inner) = inside(text, &lower, "struct", '<', '>') {
        let mut fields: Vec<Field> = Vec::new();
        for part in split(inner) {
            let (name, inner) = part.split_once(':').ok_or(None)?;
            let name = name.trim();
            if name.is_empty() || fields.iter().any(|field| field.name() == name) {
                return Err(None);
            }
            fields.push(Field::new(name, read(inner, depth + 1)?, true));
        }
        return Ok(DataType::Struct(Fields::from(fields)));
    }
    let foreign = FOREIGN.iter().find(|(name, _)| *name == lower).map(|(_, ours)| *ours);
    let near = foreign.or_else(|| crate::suggest::nearest(&lower, SIMPLE.iter().map(|(name, _)| *name)));
    Err(near.map(str::to_owned))
}

fn inside<'a>(text: &'a str, lower: &str, name: &str, open: char, close: char) -> Option<&'a str> {
    let rest = lower.strip_prefix(name)?.trim_start();
    text.get(text.len() - rest.len()..)?.strip_prefix(open)?.strip_suffix(close)
}

fn decimal(inner: &str) -> Option<DataType> {
    let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
    let precision: u8 = precision.trim().parse().ok()?;
    let scale: i8 = scale.trim().parse().ok()?;
    let fits = (1..=38).contains(&precision) && scale >= 0 && u8::try_from(scale).ok()? <= precision;
    fits.then_some(DataType::Decimal128(precision, scale))
}

/// The parts between the commas that are not inside brackets.
pub(crate) fn split(inner: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, c) in inner.char_indices() {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&inner[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inner[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types() {
        assert_eq!(data_type("BIGINT"), Ok(DataType::Int64));
        assert_eq!(data_type("decimal(18, 3)"), Ok(DataType::Decimal128(18, 3)));
        assert_eq!(data_type("decimal(5)"), Ok(DataType::Decimal128(5, 0)));
        assert_eq!(data_type("timestamp_millis"), Ok(DataType::Timestamp(TimeUnit::Millisecond, None)));
        let map = data_type("map<string, array<int>>").unwrap();
        assert!(matches!(&map, DataType::Map(_, false)), "{map}");
        let nested = data_type("struct<a:int, b:array<struct<C:decimal(4,2),d:string>>>").unwrap();
        assert_eq!(nested.to_string().matches("Decimal128(4, 2)").count(), 1, "{nested}");
        assert!(nested.to_string().contains("\"C\""), "{nested}");
    }

    #[test]
    fn unknown_types_with_a_guess() {
        for (text, guess) in [
            ("strng", Some("string")),
            ("varchar", Some("string")),
            ("decimal", Some("decimal(18,2)")),
            ("timestmp", Some("timestamp")),
            ("array<strng>", Some("string")),
            ("decimal(39,2)", None),
            ("decimal(4,5)", None),
            ("decimal(4,-1)", None),
            ("struct<a>", None),
            ("struct<a:int,a:int>", None),
            ("array<>", None),
            ("map<string>", None),
            ("map<strng,int>", Some("string")),
            ("", None),
        ] {
            assert_eq!(data_type(text), Err(guess.map(String::from)), "{text}");
        }
        assert_eq!(data_type(&"array<".repeat(100_000)), Err(None));
        let deep = format!("{}int{}", "array<".repeat(99), ">".repeat(99));
        assert_eq!(data_type(&deep), Err(None));
    }
}
