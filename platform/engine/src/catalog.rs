//! What the engine is given (inputs, static tables, views as SQL) and what it says back about them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use braid_kernel::keyed::KeyedCode;
use braid_kernel::{JobError, StoreError, TableKind};

use crate::keyed::TimeMode;
use crate::user::Function;

/// Everything that SQL can name.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// Sources and streams: rows arrive epoch by epoch.
    pub inputs: BTreeMap<String, Input>,
    /// Tables that are read whole and joined.
    pub statics: BTreeMap<String, StaticInput>,
    /// The user's own functions.
    pub functions: Vec<Function>,
    /// The views' SQL by name.
    pub views: BTreeMap<String, String>,
}

/// A source or a stream.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its event time, if it has one.
    pub watermark: Option<EventTime>,
    /// What its rows pass before any view reads them.
    pub gate: Option<Gate>,
}

/// What rows of an input pass before any view reads them.
#[derive(Debug, Clone)]
pub enum Gate {
    /// Only the first of equal rows passes.
    Unique(DropDuplicates),
    /// User code with a memory for each key makes other rows of them.
    Keyed(Box<TransformWithState>),
}

/// User code with a memory for each key.
#[derive(Debug, Clone)]
pub struct TransformWithState {
    /// The code. Its output is the input's schema.
    pub code: Arc<dyn KeyedCode>,
    /// The columns of the rows that go in.
    pub schema: SchemaRef,
    /// Their event time, if they have one.
    pub watermark: Option<EventTime>,
    /// The columns that make the key.
    pub keys: Vec<String>,
    /// By which clock timers go.
    pub time_mode: TimeMode,
    /// The table of initial states, with the same key columns.
    pub initial: Option<String>,
}

/// Which rows of an input are the same; only the first passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropDuplicates {
    /// The columns that are compared; all, where there are none.
    pub columns: Vec<String>,
    /// Whether a key is forgotten when the watermark has passed its first row by the delay.
    pub within_watermark: bool,
}

/// Which column is event time, and how late a row may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventTime {
    /// A timestamp column of the input.
    pub column: String,
    /// The watermark is the greatest event time less this, in milliseconds.
    pub delay_ms: i64,
}

/// A table that is read whole.
#[derive(Debug, Clone)]
pub struct StaticInput {
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows, in that schema.
    pub batches: Vec<RecordBatch>,
}

/// What the engine made of a view.
#[derive(Debug, Clone)]
pub struct ViewInfo {
    /// Its name.
    pub name: String,
    /// `Keyed` for aggregates, `Append` for views whose rows never change.
    pub kind: TableKind,
    /// The columns of its answers.
    pub schema: SchemaRef,
    /// The columns of its deltas: group keys and partial states, or the answer's columns for an append view.
    pub delta_schema: SchemaRef,
    /// Answer columns that are group keys, in the order of the GROUP BY.
    pub keys: Vec<String>,
    /// Per input the columns that are needed, in declared order. May be empty: then only the number of rows counts.
    pub inputs: BTreeMap<String, Vec<String>>,
    /// The static tables that it reads.
    pub statics: Vec<String>,
    /// Changes exactly when the answers could: the text to take a digest of.
    pub definition: String,
    /// Whether one of its keys is an event-time `window(…)`.
    pub window: bool,
    /// By how many microseconds its rows may be older than the watermark without being late.
    pub lag: i64,
    /// The tables of its operators' memory.
    pub states: Vec<String>,
    /// Input and column of the watermark that closes its windows, where both are there.
    pub event_time: Option<(String, String)>,
    /// The columns of its late rows, where it can have any.
    pub late_schema: Option<SchemaRef>,
}

/// Which rows of a view a sink gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMode {
    /// Rows that are final.
    Append,
    /// Rows that changed.
    Update,
    /// All rows, whenever any changed.
    Complete,
}

impl fmt::Display for OutputMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Append => "append",
            Self::Update => "update",
            Self::Complete => "complete",
        })
    }
}

/// Why a view's SQL, or a query, cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// The view; `query` for an ad-hoc query.
    pub view: String,
    /// Line and column in the SQL text, from 1.
    pub position: Option<(usize, usize)>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for CompileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.view)?;
        if let Some((line, column)) = self.position {
            write!(formatter, ":{line}:{column}")?;
        }
        write!(formatter, ": {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(formatter, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CompileError {}

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such view.
    #[error("there is no view `{view}`{}", .hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default())]
    UnknownView { view: String, hint: Option<String> },
    /// A delta between the horizon and the next epoch is missing: the answer would be too small.
    #[error("view `{view}`: the delta of epoch {epoch} is missing")]
    Hole { view: String, epoch: u64 },
    /// The key does not name key columns, or a value is not of its column's type.
    #[error("{0}")]
    Key(String),
    /// The SQL is wrong.
    #[error("{0}")]
    Sql(CompileError),
    /// The query failed while it ran.
    #[error(transparent)]
    Job(#[from] JobError),
    /// A segment could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}
