//! A deployment's tests, as they are written: what is given, and what must come of it.

use std::time::Duration;

/// A test.
#[derive(Debug, Clone)]
pub struct Test {
    /// Its name.
    pub name: String,
    /// Where it stands: `tests[0]`.
    pub path: String,
    /// What is given, step by step. No epoch has records of two steps.
    pub steps: Vec<Step>,
    /// What must come of it.
    pub expect: Vec<Expectation>,
}

/// Records that may come together in any way.
#[derive(Debug, Clone)]
pub struct Step {
    /// So much time passes before they come.
    pub wait: Duration,
    /// The records of sources, and the rows of tables, in the order of the file.
    pub given: Vec<Given>,
}

/// What one source or table is given.
#[derive(Debug, Clone)]
pub struct Given {
    /// Its name.
    pub to: String,
    /// Where it stands: `tests[0].given.orders`.
    pub path: String,
    /// Its records, in order.
    pub records: Vec<Told>,
}

/// What a view or sink must have in the end.
#[derive(Debug, Clone)]
pub struct Expectation {
    /// The name of a view or sink, or of a table that Braid keeps itself.
    pub of: String,
    /// Where it stands: `tests[0].expect.revenue`.
    pub path: String,
    /// How many rows, or which.
    pub rows: Expected,
}

/// How many rows, or which.
#[derive(Debug, Clone)]
pub enum Expected {
    Count(u64),
    /// In any order.
    Rows(Vec<Told>),
}

/// A value as it is written. Whoever knows its type reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Null,
    Text(String),
    Number(String),
    Flag(bool),
    List(Vec<Told>),
    Map(Vec<(String, Told)>),
}

impl Told {
    /// What it is, in words.
    pub fn words(&self) -> String {
        match self {
            Self::Null => "nothing".into(),
            Self::Text(text) => format!("the text `{text}`"),
            Self::Number(text) => format!("the number `{text}`"),
            Self::Flag(flag) => format!("`{flag}`"),
            Self::List(_) => "a list".into(),
            Self::Map(_) => "a map".into(),
        }
    }
}
