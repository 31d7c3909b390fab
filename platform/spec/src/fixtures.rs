//! A plugin's fixtures: what goes in and what must come out, as its author writes it beside the plugin.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::model::{OutputMode, TimeMode};
use crate::{columns, node};

/// A file of fixtures.
#[derive(Debug, Clone)]
pub struct Fixtures {
    /// The columns that go in; of a function in SQL its arguments, named by their numbers.
    pub input: SchemaRef,
    /// The columns that make the key, for a plugin with state.
    pub key: Vec<String>,
    /// By which clock timers go.
    pub time_mode: TimeMode,
    /// The values that it is granted, by their names.
    pub env: BTreeMap<String, String>,
    /// The options of a sink.
    pub options: BTreeMap<String, String>,
    /// By which mode rows come to a sink.
    pub output_mode: OutputMode,
    /// The fixtures.
    pub fixtures: Vec<Fixture>,
}

/// A fixture.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// Its name.
    pub name: String,
    /// What happens, one after the other.
    pub epochs: Vec<Told>,
}

/// Rows that go in together, and what must come of them.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// The rows that go in, each a map or a list.
    pub rows: Vec<Value>,
    /// The rows that must come out.
    pub expect: Vec<Value>,
    /// The rows that must fail.
    pub failed: Vec<Failing>,
    /// The watermark once the rows are in, or when the epoch is planned.
    pub time: Option<String>,
    /// The requests that a sink must send.
    pub requests: Vec<Requested>,
    /// A part of the reason why a sink must fail.
    pub fails: Option<String>,
}

/// A row that must fail.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failing {
    /// Its number, from 1.
    pub row: usize,
    /// A part of the reason.
    #[serde(default)]
    pub reason: String,
}

/// A request that must be sent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requested {
    /// Its method.
    #[serde(default = "post")]
    pub method: String,
    /// Its path, with what stands behind `?`.
    pub path: String,
    /// Headers that it must have.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Its body: text, or what its JSON must be.
    pub body: Option<Value>,
    /// The status of the answer that it gets.
    #[serde(default = "fine")]
    pub answer: u16,
}

fn post() -> String {
    "POST".to_owned()
}

fn fine() -> u16 {
    200
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    input: Option<ColumnsText>,
    #[serde(default)]
    arguments: Option<Vec<String>>,
    #[serde(default)]
    key: Option<OneOrMore>,
    #[serde(default)]
    time_mode: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    options: BTreeMap<String, String>,
    #[serde(default)]
    output_mode: Option<String>,
    fixtures: Vec<FixtureText>,
}

/// Columns in their order.
struct ColumnsText(Vec<(String, String)>);

impl<'de> Deserialize<'de> for ColumnsText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = serde_json::Map::deserialize(deserializer)?;
        let columns = map.into_iter().map(|(name, data_type)| match data_type {
            Value::String(data_type) => Ok((name, data_type)),
            other => {
                Err(serde::de::Error::custom(format!("the type of `{name}` is {other}, and must be a type's name")))
            }
        });
        Ok(Self(columns.collect::<Result<_, _>>()?))
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FixtureText {
    name: String,
    #[serde(default)]
    rows: Option<Vec<Value>>,
    #[serde(default)]
    expect: Option<Vec<Value>>,
    #[serde(default)]
    failed: Vec<Failing>,
    #[serde(default)]
    epochs: Option<Vec<EpochText>>,
    #[serde(default)]
    calls: Option<Vec<CallText>>,
    #[serde(default, deserialize_with = "present")]
    answer: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EpochText {
    #[serde(default)]
    rows: Vec<Value>,
    #[serde(default)]
    expect: Vec<Value>,
    #[serde(default)]
    failed: Vec<Failing>,
    #[serde(default)]
    time: Option<String>,
    #[serde(default)]
    requests: Vec<Requested>,
    #[serde(default)]
    fails: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallText {
    arguments: Vec<Value>,
    #[serde(default, deserialize_with = "present")]
    answer: Option<Value>,
    #[serde(default)]
    fails: Option<String>,
}

/// Tells null from nothing.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Fixtures {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong in it, in words.
    pub fn load(path: &Path) -> Result<Self, String> {
        let text = crate::read_file(path)?;
        Self::read(&text)
    }

    /// Reads fixtures from text.
    ///
    /// # Errors
    /// What is wrong in it, in words.
    pub fn read(text: &str) -> Result<Self, String> {
        let file: FileText =
            serde_yaml::from_str_with_options(text, node::options()).map_err(|error| error.to_string())?;
        let input = match (file.input, file.arguments) {
            (Some(ColumnsText(columns)), None) => {
                of_columns(columns.iter().map(|(name, text)| (name.as_str(), text.as_str())))?
            }
            (None, Some(types)) => of_types(types.iter().map(String::as_str))?,
            _ => return Err("write either `input: {column: type, …}` or `arguments: [type, …]`".to_owned()),
        };
        let fixtures = file.fixtures.into_iter().map(|fixture| {
            let name = fixture.name.clone();
            fixture
                .told()
                .map(|epochs| Fixture { name: name.clone(), epochs })
                .map_err(|reason| format!("`{name}`: {reason}"))
        });
        let time_mode = match file.time_mode.as_deref() {
            None | Some("none") => TimeMode::None,
            Some("event_time") => TimeMode::EventTime,
            Some("processing_time") => TimeMode::ProcessingTime,
            Some(other) => {
                return Err(format!(
                    "`time_mode` is `{other}`: `none`, `event_time` and `processing_time` are possible"
                ));
            }
        };
        let output_mode = match file.output_mode.as_deref() {
            None | Some("append") => OutputMode::Append,
            Some("update") => OutputMode::Update,
            Some("complete") => OutputMode::Complete,
            Some(other) => {
                return Err(format!("`output_mode` is `{other}`: `append`, `update` and `complete` are possible"));
            }
        };
        let key = match file.key {
            None => Vec::new(),
            Some(OneOrMore::One(key)) => vec![key],
            Some(OneOrMore::More(keys)) => keys,
        };
        Ok(Self {
            input,
            key,
            time_mode,
            output_mode,
            options: file.options,
            env: file.env,
            fixtures: fixtures.collect::<Result<_, _>>()?,
        })
    }
}

impl FixtureText {
    fn told(self) -> Result<Vec<Told>, String> {
        match self {
            Self {
                rows: Some(rows), expect: Some(expect), failed, epochs: None, calls: None, answer: None, ..
            } => Ok(vec![Told { rows, expect, failed, ..Told::default() }]),
            Self {
                rows: Some(rows), expect: None, failed, epochs: None, calls: None, answer: Some(answer), ..
            } => Ok(vec![Told { rows, expect: vec![Value::Array(vec![answer])], failed, ..Told::default() }]),
            Self { rows: None, expect: None, epochs: Some(epochs), calls: None, answer: None, .. } => {
                Ok(epochs.into_iter().map(EpochText::told).collect())
            }
            Self { rows: None, expect: None, epochs: None, calls: Some(calls), answer: None, .. } => called(calls),
            _ => Err("write `rows` with `expect` (of an aggregate `answer`), or `epochs`, or `calls`".to_owned()),
        }
    }
}

impl EpochText {
    fn told(self) -> Told {
        let Self { rows, expect, failed, time, requests, fails } = self;
        Told { rows, expect, failed, time, requests, fails }
    }
}

/// Calls of a function are rows of its arguments.
fn called(calls: Vec<CallText>) -> Result<Vec<Told>, String> {
    let mut told = Told::default();
    for (number, CallText { arguments, answer, fails }) in calls.into_iter().enumerate() {
        told.rows.push(Value::Array(arguments));
        match (answer, fails) {
            (Some(answer), None) => told.expect.push(Value::Array(vec![answer])),
            (None, Some(reason)) => told.failed.push(Failing { row: number + 1, reason }),
            _ => return Err(format!("call {}: write either `answer` or `fails`", number + 1)),
        }
    }
    Ok(vec![told])
}

/// Columns from `name: type, name: type`.
///
/// # Errors
/// Which type is not known, and a better spelling.
pub fn columns_of(text: &str) -> Result<SchemaRef, String> {
    let columns = columns::split(text).into_iter().map(|part| {
        let (name, data_type) = part.split_once(':').ok_or_else(|| format!("`{}` is no `name: type`", part.trim()))?;
        Ok((name.trim(), data_type.trim()))
    });
    of_columns(columns.collect::<Result<Vec<_>, String>>()?.into_iter())
}

/// Arguments from `type, type`, as columns that are named by their numbers.
///
/// # Errors
/// Which type is not known, and a better spelling.
pub fn arguments_of(text: &str) -> Result<SchemaRef, String> {
    let types = if text.trim().is_empty() { Vec::new() } else { columns::split(text) };
    of_types(types.into_iter().map(str::trim))
}

fn of_types<'a>(types: impl Iterator<Item = &'a str>) -> Result<SchemaRef, String> {
    let fields = types.enumerate().map(|(number, text)| Ok(Field::new(number.to_string(), data_type(text)?, true)));
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>, String>>()?)))
}

fn of_columns<'a>(columns: impl Iterator<Item = (&'a str, &'a str)>) -> Result<SchemaRef, String> {
    let mut fields: Vec<Field> = Vec::new();
    for (name, text) in columns {
        if name.is_empty() || fields.iter().any(|field| field.name() == name) {
            return Err(format!("the column `{name}` is there twice, or has no name"));
        }
        fields.push(Field::new(name, data_type(text)?, true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

fn data_type(text: &str) -> Result<DataType, String> {
    columns::data_type(text).map_err(|better| match better {
        Some(better) => format!("there is no type `{text}`; did you mean `{better}`?"),
        None => format!("there is no type `{text}`: {}", columns::known()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_answers_are_rows() {
        let read = Fixtures::read(
            "arguments: [long, string]\nfixtures:\n\
             - {name: f, calls: [{arguments: [1, a], answer: null}, {arguments: [2, b], fails: why}]}\n\
             - {name: a, rows: [[1, x]], answer: 7}\n",
        );
        let read = read.unwrap();
        assert_eq!(read.input.field(1).name(), "1");
        let [calls, answer] = read.fixtures.as_slice() else { panic!("{read:?}") };
        let told = &calls.epochs[0];
        assert_eq!((told.rows.len(), told.expect.len()), (2, 1));
        assert_eq!(told.expect[0], Value::Array(vec![Value::Null]), "null is an answer");
        assert_eq!((told.failed[0].row, told.failed[0].reason.as_str()), (2, "why"));
        assert_eq!(answer.epochs[0].expect[0], Value::Array(vec![7.into()]));
    }

    #[test]
    fn columns_keep_their_order_and_types_their_words() {
        let schema = columns_of("z: long, a: decimal(5, 2), m: string").unwrap();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["z", "a", "m"]);
        assert_eq!(arguments_of("").unwrap().fields().len(), 0);
        assert_eq!(columns_of("a: strng").unwrap_err(), "there is no type `strng`; did you mean `string`?");
        assert_eq!(columns_of("a: int, a: int").unwrap_err(), "the column `a` is there twice, or has no name");
        assert_eq!(columns_of("a").unwrap_err(), "`a` is no `name: type`");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("fixtures: []", "`input: {column: type, …}` or `arguments"),
            ("input: {a: int}\narguments: [int]\nfixtures: []", "either"),
            ("input: {a: int}\nfixtures: [{name: x}]", "`x`: write `rows` with `expect`"),
            ("input: {a: int}\nfixtures: [{name: x, rows: []}]", "`x`: write `rows` with `expect`"),
            ("input: {a: int}\nfixtures: [{name: x, calls: [{arguments: [1]}]}]", "call 1: write either"),
            ("input: {a: int}\ntime_mode: evnt\nfixtures: []", "`time_mode` is `evnt`"),
            ("input: {a: int}\nfixture: []", "fixture"),
        ] {
            let reason = Fixtures::read(text).unwrap_err();
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }
}
