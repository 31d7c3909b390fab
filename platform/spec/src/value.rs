//! Values of the right type, with every default filled in. A value that was wrong is `Bad` and was reported, so reading it
//! as something empty cannot reach a user: the whole deployment is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow_schema::SchemaRef;

use crate::model::{Expectation, PerPartition, Step};

/// What [`crate::keys::Shape::PerPartition`] takes.
#[derive(Debug, Clone)]
pub(crate) enum WordOrMap {
    Word(String),
    Map(PerPartition),
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    Whole(u64),
    Number(f64),
    Flag(bool),
    Duration(Duration),
    Character(u8),
    List(Vec<String>),
    Fields(Fields),
    Named(BTreeMap<String, Fields>),
    Pairs(BTreeMap<String, String>),
    Columns(SchemaRef),
    PerPartition(WordOrMap),
    Partitions(BTreeMap<String, BTreeSet<i32>>),
    /// A name, and the word it stands for.
    NamedWords(Vec<(String, String)>),
    Steps(Vec<Fields>),
    Given(Vec<Step>),
    Expect(Vec<Expectation>),
    Bad,
}

/// The values of a map with known keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    pub path: String,
    pub values: BTreeMap<&'static str, Value>,
    /// Keys with a dot, passed on.
    pub dotted: BTreeMap<String, String>,
}

impl Fields {
    pub(crate) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// Whether a key is there and right, or rightly absent.
    pub(crate) fn is_bad(&self, key: &str) -> bool {
        matches!(self.values.get(key), Some(Value::Bad))
    }

    pub(crate) fn path_of(&self, key: &str) -> String {
        crate::source_map::join(&self.path, key)
    }

    pub(crate) fn text(&self, key: &str) -> String {
        self.text_maybe(key).unwrap_or_default()
    }

    pub(crate) fn text_maybe(&self, key: &str) -> Option<String> {
        match self.values.get(key) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    /// A number or a size.
    pub(crate) fn whole(&self, key: &str) -> u64 {
        self.whole_maybe(key).unwrap_or_default()
    }

    pub(crate) fn whole_maybe(&self, key: &str) -> Option<u64> {
        match self.values.get(key) {
            Some(Value::Whole(number)) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn number(&self, key: &str) -> f64 {
        match self.values.get(key) {
            Some(Value::Number(number)) => *number,
            _ => 0.0,
        }
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.flag_maybe(key).unwrap_or_default()
    }

    pub(crate) fn flag_maybe(&self, key: &str) -> Option<bool> {
        match self.values.get(key) {
            Some(Value::Flag(flag)) => Some(*flag),
            _ => None,
        }
    }

    pub(crate) fn duration(&self, key: &str) -> Duration {
        self.duration_maybe(key).unwrap_or_default()
    }

    pub(crate) fn duration_maybe(&self, key: &str) -> Option<Duration> {
        match self.values.get(key) {
            Some(Value::Duration(duration)) => Some(*duration),
            _ => None,
        }
    }

    pub(crate) fn character(&self, key: &str) -> u8 {
        match self.values.get(key) {
            Some(Value::Character(character)) => *character,
            _ => 0,
        }
    }

    pub(crate) fn list(&self, key: &str) -> Vec<String> {
        match self.values.get(key) {
            Some(Value::List(list)) => list.clone(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn fields(&self, key: &str) -> Option<&Fields> {
        match self.values.get(key) {
            Some(Value::Fields(fields)) => Some(fields),
            _ => None,
        }
    }

    pub(crate) fn named(&self, key: &str) -> impl Iterator<Item = (&String, &Fields)> {
        match self.values.get(key) {
            Some(Value::Named(named)) => Some(named.iter()),
            _ => None,
        }
        .into_iter()
        .flatten()
    }

    /// Options for a client, from `client` and from the keys with a dot.
    pub(crate) fn pairs(&self, key: &str) -> BTreeMap<String, String> {
        let mut all = self.dotted.clone();
        if let Some(Value::Pairs(pairs)) = self.values.get(key) {
            all.extend(pairs.clone());
        }
        all
    }

    pub(crate) fn columns(&self, key: &str) -> Option<SchemaRef> {
        match self.values.get(key) {
            Some(Value::Columns(schema)) => Some(schema.clone()),
            _ => None,
        }
    }

    pub(crate) fn per_partition(&self, key: &str) -> Option<WordOrMap> {
        match self.values.get(key) {
            Some(Value::PerPartition(value)) => Some(value.clone()),
            _ => None,
        }
    }

    pub(crate) fn partitions(&self, key: &str) -> BTreeMap<String, BTreeSet<i32>> {
        match self.values.get(key) {
            Some(Value::Partitions(partitions)) => partitions.clone(),
            _ => BTreeMap::new(),
        }
    }

    pub(crate) fn steps(&self, key: &str) -> Option<&[Fields]> {
        match self.values.get(key) {
            Some(Value::Steps(steps)) => Some(steps),
            _ => None,
        }
    }

    pub(crate) fn given(&self, key: &str) -> Vec<Step> {
        match self.values.get(key) {
            Some(Value::Given(steps)) => steps.clone(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn expectations(&self, key: &str) -> Vec<Expectation> {
        match self.values.get(key) {
            Some(Value::Expect(expectations)) => expectations.clone(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn named_words(&self, key: &str) -> Vec<(String, String)> {
        match self.values.get(key) {
            Some(Value::NamedWords(words)) => words.clone(),
            _ => Vec::new(),
        }
    }
}
