//! A plugin that is tried: rows go in, cut anywhere, and what came of them is written down.

use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use braid_kernel::keyed::FailedRow;
use braid_wasm_host::Applier;

use crate::keyed::Remembering;
use crate::show;
use crate::sql::{Adding, Calling};

/// What came of rows.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The rows that came out.
    pub rows: RecordBatch,
    /// The rows that failed, by their numbers among those that went in.
    pub failed: Vec<FailedRow>,
    /// What is remembered, a line each.
    pub kept: Vec<String>,
}

impl Outcome {
    /// Whether both are the same on their bits. A reason may name more than the row it stands beside.
    pub fn same(&self, other: &Self) -> bool {
        let numbers = |outcome: &Self| outcome.failed.iter().map(|failed| failed.row).collect::<Vec<_>>();
        self.rows == other.rows && numbers(self) == numbers(other) && self.kept == other.kept
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = show::table(&self.rows);
        for more in [show::failed(&self.failed), self.kept.join("\n")] {
            if !more.is_empty() {
                text.push('\n');
                text.push_str(&more);
            }
        }
        text
    }
}

/// How rows are handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// All at once.
    Whole,
    /// In two parts, the second beginning with this row.
    Before(usize),
    /// Each for itself.
    Rows,
}

impl Cut {
    /// Every way in which so many rows are tried in parts.
    pub fn all(rows: usize) -> impl Iterator<Item = Self> {
        (1..rows).map(Self::Before).chain((rows > 2).then_some(Self::Rows))
    }

    /// The parts.
    pub fn parts(self, rows: usize) -> Vec<Range<usize>> {
        match self {
            Self::Whole => vec![0..rows],
            Self::Before(row) => vec![0..row.min(rows), row.min(rows)..rows],
            Self::Rows => (0..rows).map(|row| row..row + 1).collect(),
        }
    }

    /// For people.
    pub fn title(self) -> String {
        match self {
            Self::Whole => "all rows at once".to_owned(),
            Self::Before(row) => format!("cut before row {}", row + 1),
            Self::Rows => "row by row".to_owned(),
        }
    }
}

/// A plugin and the columns that go in.
pub enum Subject {
    /// Rows in, rows out.
    Transform(Box<Applier>),
    /// The same, with a memory for each key.
    Keyed(Remembering),
    /// A function in SQL.
    Scalar(Calling),
    /// An aggregate in SQL.
    Aggregate(Adding),
}

impl Subject {
    /// The columns that go in.
    pub fn input(&self) -> &SchemaRef {
        match self {
            Self::Transform(applier) => applier.input_schema(),
            Self::Keyed(keyed) => keyed.input(),
            Self::Scalar(calling) => calling.input(),
            Self::Aggregate(adding) => adding.input(),
        }
    }

    /// The columns that come out.
    pub fn output(&self) -> &SchemaRef {
        match self {
            Self::Transform(applier) => applier.output_schema(),
            Self::Keyed(keyed) => keyed.output(),
            Self::Scalar(calling) => calling.output(),
            Self::Aggregate(adding) => adding.output(),
        }
    }

    /// What is kept for each key, or group: its name, what it is, and its columns.
    pub fn remembers(&self) -> Vec<(String, String, Schema)> {
        match self {
            Self::Transform(_) | Self::Scalar(_) => Vec::new(),
            Self::Keyed(keyed) => keyed.remembers(),
            Self::Aggregate(adding) => vec![("state".to_owned(), "row".to_owned(), Schema::clone(adding.state()))],
        }
    }

    /// What its parts are called.
    pub fn part(&self) -> &'static str {
        match self {
            Self::Transform(_) | Self::Scalar(_) | Self::Aggregate(_) => "batches",
            Self::Keyed(_) => "turns",
        }
    }

    /// Takes another instance for what comes next.
    pub fn renew(&mut self) {
        match self {
            Self::Transform(applier) => applier.renew(),
            Self::Keyed(keyed) => keyed.renew(),
            Self::Scalar(calling) => calling.renew(),
            Self::Aggregate(adding) => adding.renew(),
        }
    }

    /// Hands rows over. With `fresh` each part has an instance of its own.
    pub fn run(&mut self, rows: &RecordBatch, cut: Cut, fresh: bool) -> Result<Outcome, String> {
        match self {
            Self::Transform(applier) => transform(applier, rows, cut, fresh),
            Self::Keyed(keyed) => keyed.alone(rows, cut, fresh),
            Self::Scalar(calling) => calling.run(rows, cut, fresh),
            Self::Aggregate(adding) => adding.run(rows, cut, fresh),
        }
    }
}

fn transform(applier: &mut Applier, rows: &RecordBatch, cut: Cut, fresh: bool) -> Result<Outcome, String> {
    let (mut out, mut failed) = (Vec::new(), Vec::new());
    for part in cut.parts(rows.num_rows()) {
        if fresh {
            applier.renew();
        }
        let applied = applier.apply(&rows.slice(part.start, part.len())).map_err(|error| error.to_string())?;
        out.push(applied.batch);
        let later = applied.failed.into_iter();
        failed.extend(later.map(|FailedRow { row, reason }| FailedRow { row: part.start + row, reason }));
    }
    let rows = concat_batches(applier.output_schema(), &out).map_err(|error| error.to_string())?;
    Ok(Outcome { rows, failed, kept: Vec::new() })
}
