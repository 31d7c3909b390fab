//! The JSON Schema of a deployment file, made from the same tables as the parser.

use serde_json::{Map, Value, json};

use crate::keys::{DEPLOYMENT, Key, Keys, Names, Need, Shape};
use crate::keys_formats::FORMATS;
use crate::keys_layout::LAYOUT;

/// A value from the environment may stand wherever a scalar does.
const FROM_ENVIRONMENT: &str = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}";
const SQL_NAME: &str = "^[a-z_][a-z0-9_]{0,62}$";
/// A name of SQL that is not the word for time that passes.
const GIVEN_NAME: &str = "^(?!wait$)[a-z_][a-z0-9_]{0,62}$";
const DASHED_NAME: &str = "^[a-z_][a-z0-9_-]{0,62}$";

/// The JSON Schema (draft 2020-12) of a deployment file.
pub fn json_schema() -> Value {
    schema(&DEPLOYMENT, "A Braid deployment")
}

/// The JSON Schema (draft 2020-12) of a layout file.
pub fn layout_json_schema() -> Value {
    schema(&LAYOUT, "A Braid layout")
}

fn schema(keys: &Keys, title: &str) -> Value {
    let mut root = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title});
    extend(&mut root, object(keys));
    root
}

fn extend(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

fn object(keys: &Keys) -> Value {
    let properties: Map<String, Value> = keys.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> =
        keys.keys.iter().filter(|key| matches!(key.need, Need::Must)).map(|key| key.name).collect();
    let must_be_map = !required.is_empty() || !keys.one_of.is_empty();
    let kind = if must_be_map { json!("object") } else { json!(["object", "null"]) };
    let mut object = json!({"type": kind, "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        extend(&mut object, json!({"required": required}));
    }
    if !keys.one_of.is_empty() {
        let choices: Vec<Value> = keys.one_of.iter().map(|kind| json!({"required": [kind]})).collect();
        extend(&mut object, json!({"oneOf": choices}));
    }
    if keys.dotted {
        extend(&mut object, json!({"patternProperties": {r"\.": scalar()}}));
    }
    object
}

fn property(key: &Key) -> Value {
    let mut property = json!({"description": key.doc});
    if let Need::Default(text) = key.need {
        let default = match key.shape {
            Shape::Flag => json!(text == "true"),
            Shape::Whole { .. } => text.parse::<u64>().map_or(json!(text), |number| json!(number)),
            Shape::Number => text.parse::<f64>().map_or(json!(text), |number| json!(number)),
            _ => json!(text),
        };
        extend(&mut property, json!({"default": default}));
    }
    extend(&mut property, shape(&key.shape));
    if let (Need::Must, Shape::Named(..)) = (&key.need, &key.shape) {
        extend(&mut property, json!({"type": "object", "minProperties": 1}));
    }
    property
}

fn scalar() -> Value {
    json!({"type": ["string", "number", "boolean"]})
}

fn or_environment(value: Value) -> Value {
    json!({"anyOf": [value, {"type": "string", "pattern": FROM_ENVIRONMENT}]})
}

fn shape(shape: &Shape) -> Value {
    match shape {
        Shape::Text => json!({"type": "string", "minLength": 1}),
        Shape::Whole { min, max } if *max < i64::MAX as u64 => {
            or_environment(json!({"type": "integer", "minimum": min, "maximum": max}))
        }
        Shape::Whole { min, .. } => or_environment(json!({"type": "integer", "minimum": min})),
        Shape::Number => or_environment(json!({"type": "number", "minimum": 0})),
        Shape::Flag => or_environment(json!({"type": "boolean"})),
        Shape::Duration { .. } => json!({"type": "string", "examples": ["10s", "500ms", "1h30m"]}),
        Shape::Size { .. } => json!({"type": ["string", "integer"], "examples": ["64MiB", "1GB", 1024]}),
        Shape::Word(words) => or_environment(json!({"enum": words})),
        Shape::Address => json!({"type": "string", "examples": ["127.0.0.1:8080"]}),
        Shape::Character => json!({"type": "string", "minLength": 1}),
        Shape::OneOrMany => json!({"anyOf": [
            {"type": "string", "minLength": 1},
            {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
        ]}),
        Shape::Many => json!({"type": "array", "items": {"type": "string", "minLength": 1}}),
        Shape::Group(keys) => object(keys),
        Shape::Named(keys, names) => {
            let pattern = match names {
                Names::Sql => SQL_NAME,
                Names::Dashed => DASHED_NAME,
            };
            json!({"type": ["object", "null"], "patternProperties": {pattern: object(keys)}, "additionalProperties": false})
        }
        Shape::Pairs => json!({"type": "object", "additionalProperties": scalar()}),
        Shape::Columns => json!({
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": "string", "examples": crate::columns::examples()},
        }),
        Shape::Format => {
            let words: Vec<&str> = FORMATS.names().collect();
            json!({"anyOf": [or_environment(json!({"enum": words})), object(&FORMATS)]})
        }
        Shape::PerPartition { words, least, .. } => {
            let map = json!({"type": "object", "additionalProperties": {
                "type": "object",
                "patternProperties": {"^[0-9]+$": or_environment(json!({"type": "integer", "minimum": least}))},
                "additionalProperties": false,
            }});
            match words {
                [] => map,
                _ => json!({"anyOf": [or_environment(json!({"enum": words})), map]}),
            }
        }
        Shape::Partitions => json!({
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "array",
                "items": or_environment(json!({"type": "integer", "minimum": 0, "maximum": i32::MAX})),
                "minItems": 1,
            },
        }),
        Shape::Steps(keys) => {
            let words: Vec<&str> = crate::read_pipeline::bare(keys).collect();
            json!({"type": "array", "minItems": 1, "items": {"anyOf": [{"enum": words}, object(keys)]}})
        }
        Shape::Groups(keys) => json!({"type": ["array", "null"], "items": object(keys)}),
        Shape::Given => {
            let records = json!({"type": "array", "items": {"type": ["object", "string"]}});
            let step = json!({
                "type": "object",
                "properties": {"wait": {"anyOf": [{"type": "string", "examples": ["10m"]}, records]}},
                "patternProperties": {GIVEN_NAME: records},
                "additionalProperties": false,
            });
            json!({"anyOf": [step, {"type": "array", "items": step}]})
        }
        Shape::Expect => {
            let rows = json!({"type": "array", "items": {"type": "object"}});
            let count = or_environment(json!({"type": "integer", "minimum": 0}));
            json!({
                "type": "object",
                "minProperties": 1,
                "patternProperties": {SQL_NAME: {"anyOf": [count, rows]}},
                "additionalProperties": false,
            })
        }
        Shape::Expressions => json!({"type": "object", "minProperties": 1, "additionalProperties": scalar()}),
        Shape::Condition => json!({"anyOf": [
            {"type": "string", "minLength": 1},
            {"type": "boolean"},
            {"type": "object", "properties": {"plugin": {"type": "string", "minLength": 1}}, "required": ["plugin"], "additionalProperties": false},
        ]}),
        Shape::NamedWords(words) => {
            let word = or_environment(json!({"enum": words}));
            json!({"anyOf": [
                {"type": "array", "items": word},
                {"type": "object", "additionalProperties": word},
            ]})
        }
    }
}
