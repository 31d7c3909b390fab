//! User code with a memory for each key, and the seam between who keeps the memory and who runs the code.
//!
//! The rows of a key come in their order and are taken one by one, so a turn can be cut anywhere, and what was read and
//! written in its parts is what the whole would have.

use std::fmt;
use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::error::JobError;

/// What a program gives out, and what it keeps for each key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The columns of its rows.
    pub output: SchemaRef,
    /// What it keeps.
    pub variables: Vec<Variable>,
}

/// What is kept for each key under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// How many values it has.
    pub kind: Kind,
    /// For a map the column of its entries' names; then that of its values.
    pub columns: SchemaRef,
    /// An entry is forgotten so many milliseconds after it was last written.
    pub ttl_ms: Option<u64>,
}

/// How many values a variable has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// At most one.
    Value,
    /// Many, in order.
    List,
    /// Many, by name.
    Map,
}

/// What a turn is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Rows of the table of initial states.
    InitialState,
    /// Rows of the stream.
    Input,
    /// Timers that are over: one column, of microseconds.
    Timers,
}

/// Rows that belong to keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Entries {
    /// Per row its key's number; ascending.
    pub keys: Vec<u32>,
    /// The rows.
    pub rows: RecordBatch,
}

/// Rows of some keys, and what is kept for them.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// What it is about.
    pub what: What,
    /// The keys, each once.
    pub keys: RecordBatch,
    /// The rows.
    pub rows: Entries,
    /// Per variable what is kept.
    pub states: Vec<Entries>,
    /// The watermark, or the time at which the epoch was planned, in microseconds.
    pub now: Option<i64>,
}

/// What becomes of entries, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    /// The entries: a value and an entry of a map are replaced, a list is added to.
    pub entries: Entries,
    /// Which of them are no more; of a list, that it is emptied.
    pub gone: Option<Vec<bool>>,
}

/// What came of a turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Rows of [`Program::output`].
    pub rows: RecordBatch,
    /// Per variable.
    pub states: Vec<Changes>,
    /// Timers that were set, or are gone: one column, of microseconds.
    pub timers: Changes,
}

/// A row on which the code failed. What it would have changed is as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRow {
    /// Its number.
    pub row: usize,
    /// What happened.
    pub reason: String,
}

/// Code that was checked against its input. Each layer starts one for itself.
pub trait KeyedCode: fmt::Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> &str;
    /// What it said of itself.
    fn program(&self) -> &Program;
    /// Makes it ready to run.
    fn start(&self) -> Result<Box<dyn Keyed>, JobError>;
}

/// Code that runs.
pub trait Keyed: fmt::Debug + Send {
    /// Takes so many rows, in parts and in order; gives those on which the code failed, ascending.
    fn run(&mut self, rows: usize, memory: &mut dyn Memory) -> Result<Vec<FailedRow>, JobError>;
}

/// Who keeps what the code remembers.
pub trait Memory {
    /// Some of the rows, with what is kept for their keys by now.
    fn turn(&mut self, rows: Range<usize>) -> Result<Turn, JobError>;
    /// Takes what came of the rows that were asked for last.
    fn settle(&mut self, outcome: Outcome) -> Result<(), JobError>;
}
