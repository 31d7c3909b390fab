//! The JSON Schema and the parser say the same: about the golden file, and about every small change of its structure.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::path::Path;

use braid_spec::{LoadOptions, json_schema, load_text};
use serde_json::{Map, Value, json};

const GOLDEN: &str = include_str!("golden.yaml");

fn parser_says(value: &Value) -> Result<(), String> {
    let options = LoadOptions { env: &|_| Some("x".into()), check_files: false, ..LoadOptions::default() };
    // JSON is YAML.
    let read = load_text(&value.to_string(), "f", Path::new("."), &options);
    read.map(|_| ()).map_err(|mistakes| mistakes.to_string())
}

fn schema_says(schema: &Value, value: &Value) -> Result<(), String> {
    check(schema, value, "")
}

/// Enough of draft 2020-12 for our schema. A word it does not know fails the test, lest it be ignored.
fn check(schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{path}: {what}"));
    let schema = schema.as_object().unwrap();
    for (word, wants) in schema {
        let holds = match (word.as_str(), value) {
            ("$schema" | "title" | "description" | "default" | "examples", _) => true,
            ("type", _) => match wants {
                Value::Array(types) => types.iter().any(|one| is(one, value)),
                one => is(one, value),
            },
            ("enum", _) => wants.as_array().unwrap().contains(value),
            ("minimum", Value::Number(number)) => number.as_f64() >= wants.as_f64(),
            ("maximum", Value::Number(number)) => number.as_f64() <= wants.as_f64(),
            ("minLength", Value::String(text)) => text.len() as u64 >= wants.as_u64().unwrap(),
            ("minItems", Value::Array(list)) => list.len() as u64 >= wants.as_u64().unwrap(),
            ("minProperties", Value::Object(map)) => map.len() as u64 >= wants.as_u64().unwrap(),
            ("pattern", Value::String(text)) => matches(wants.as_str().unwrap(), text),
            ("required", Value::Object(map)) => {
                for key in wants.as_array().unwrap() {
                    if !map.contains_key(key.as_str().unwrap()) {
                        return wrong(&format!("{key} is missing"));
                    }
                }
                true
            }
            ("anyOf", _) => wants.as_array().unwrap().iter().any(|one| check(one, value, path).is_ok()),
            ("oneOf", _) => wants.as_array().unwrap().iter().filter(|one| check(one, value, path).is_ok()).count() == 1,
            ("items", Value::Array(list)) => {
                for item in list {
                    check(wants, item, &format!("{path}[]"))?;
                }
                true
            }
            ("properties" | "patternProperties" | "additionalProperties", Value::Object(map))
                if word != "properties" || !map.is_empty() =>
            {
                // The three are one rule, checked where the last of them that is there stands.
                for (key, value) in map {
                    property(schema, key, value, path)?;
                }
                true
            }
            (
                "minimum"
                | "maximum"
                | "minLength"
                | "minItems"
                | "minProperties"
                | "pattern"
                | "required"
                | "items"
                | "properties"
                | "patternProperties"
                | "additionalProperties",
                _,
            ) => true,
            (word, _) => panic!("the schema has a word this test does not know: {word}"),
        };
        if !holds {
            return wrong(&format!("{word} {wants}"));
        }
    }
    Ok(())
}

fn property(schema: &Map<String, Value>, key: &str, value: &Value, path: &str) -> Result<(), String> {
    let path = format!("{path}.{key}");
    if let Some(inner) = schema.get("properties").and_then(|known| known.get(key)) {
        return check(inner, value, &path);
    }
    let patterns = schema.get("patternProperties").and_then(Value::as_object);
    if let Some((_, inner)) = patterns.into_iter().flatten().find(|(pattern, _)| matches(pattern, key)) {
        return check(inner, value, &path);
    }
    match schema.get("additionalProperties") {
        Some(Value::Bool(false)) => Err(format!("{path} is unknown")),
        Some(inner @ Value::Object(_)) => check(inner, value, &path),
        _ => Ok(()),
    }
}

fn is(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the schema has a type this test does not know: {other}"),
    }
}

/// The patterns of our schema, by hand.
fn matches(pattern: &str, text: &str) -> bool {
    let lower = |c: char| c.is_ascii_lowercase() || c == '_';
    match pattern {
        r"\." => text.contains('.'),
        "^[0-9]+$" => !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()),
        "^[a-z_][a-z0-9_]{0,62}$" => text.starts_with(lower) && text.chars().all(|c| lower(c) || c.is_ascii_digit()),
        "^[a-z_][a-z0-9_-]{0,62}$" => {
            text.starts_with(lower) && text.chars().all(|c| lower(c) || c.is_ascii_digit() || c == '-')
        }
        "^(?!wait$)[a-z_][a-z0-9_]{0,62}$" => {
            text != "wait" && text.starts_with(lower) && text.chars().all(|c| lower(c) || c.is_ascii_digit())
        }
        environment if environment.starts_with(r"\$\{") => text.contains("${"),
        other => panic!("the schema has a pattern this test does not know: {other}"),
    }
}

/// Every place of a value, as JSON pointers.
fn places(value: &Value, at: &str, into: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    into.push(at.to_owned());
    for (key, value) in inner {
        places(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), into);
    }
}

/// How deep a place is in a test's record or row, if it is in one: 0 is the row itself. Its columns are not the file's to know.
fn in_row(place: &str) -> Option<usize> {
    let inner = place.strip_prefix("/tests/")?.split('/').skip(2);
    let from_name = inner.skip_while(|part| part.parse::<usize>().is_ok());
    from_name.count().checked_sub(2)
}

fn golden() -> Value {
    serde_yaml::from_str(GOLDEN).unwrap()
}

#[test]
fn both_accept_the_golden_file() {
    assert_eq!(schema_says(&json_schema(), &golden()), Ok(()));
    let mut value = golden();
    value["layout"] = json!("kappa");
    assert_eq!(parser_says(&value), Ok(()));
}

#[test]
fn both_refuse_unknown_keys_wrong_types_and_missing_keys() {
    let schema = json_schema();
    let mut all = Vec::new();
    places(&golden(), "", &mut all);
    assert!(all.len() > 100);
    let (mut unknown, mut wrong, mut missing) = (0, 0, 0);
    for place in &all {
        // A key that nobody knows; the maps that pass keys on take it.
        let mut value = golden();
        if let Some(map) = value.pointer_mut(place).and_then(Value::as_object_mut).filter(|_| in_row(place).is_none()) {
            map.insert("Nobody Knows".into(), json!([]));
            assert!(parser_says(&value).is_err() && schema_says(&schema, &value).is_err(), "unknown key in {place}");
            unknown += 1;
        }
        // Nothing else in the file may be a list of lists.
        let mut value = golden();
        *value.pointer_mut(place).unwrap() = json!([[]]);
        if in_row(place).is_some_and(|depth| depth > 0) {
            continue;
        }
        assert!(parser_says(&value).is_err() && schema_says(&schema, &value).is_err(), "a list of lists at {place}");
        wrong += 1;
        // Without it.
        let mut value = golden();
        let Some((above, key)) = place.rsplit_once('/') else { continue };
        let Some(map) = value.pointer_mut(above).and_then(Value::as_object_mut) else { continue };
        map.shift_remove(key);
        let structural = |said: &str| {
            let words = ["needs the key", "without its", "is empty", "is an empty map", "is an empty list"];
            // That a format or a schema can be left out for some sources only, the schema does not say.
            said.lines().any(|line| {
                words.iter().any(|word| line.contains(word))
                    && !line.contains("error: a source needs the key")
                    && !line.contains("error: a table needs the key `schema`")
            })
        };
        match parser_says(&value) {
            Ok(()) => assert_eq!(schema_says(&schema, &value), Ok(()), "without {place}"),
            Err(said) => {
                assert_eq!(structural(&said), schema_says(&schema, &value).is_err(), "without {place}\n{said}");
                missing += 1;
            }
        }
    }
    assert!(unknown > 30 && wrong > 100 && missing > 20, "{unknown} {wrong} {missing}");
}

/// Every key the schema describes stands in the golden file, so a key that is read wrongly shows in its snapshot.
#[test]
fn the_golden_file_has_every_key() {
    fn keys(schema: &Value, into: &mut std::collections::BTreeSet<String>) {
        match schema {
            Value::Object(map) => {
                if let Some(properties) = map.get("properties").and_then(Value::as_object) {
                    into.extend(properties.keys().cloned());
                }
                map.values().for_each(|inner| keys(inner, into));
            }
            Value::Array(list) => list.iter().for_each(|inner| keys(inner, into)),
            _ => {}
        }
    }
    let mut all = std::collections::BTreeSet::new();
    keys(&json_schema(), &mut all);
    assert!(all.len() > 40, "{all:?}");
    for key in all {
        assert!(GOLDEN.contains(&key), "`{key}` is in the schema and not in the golden file");
    }
}
