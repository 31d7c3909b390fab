//! A plugin at work: batches go over whole, and where one fails, the records at fault are found by halving it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use braid_wire::Type;

use crate::boundary::BatchIn;
use crate::error::PluginError;
use crate::guest::{Failure, Guest, Mould};
use crate::lift::lift;
use crate::limits::thread_time;
use crate::lower::{Lowered, column_data, lower};
use crate::plugin::Plugin;

/// How many times its time limit a plugin may spend on tries that fail, for one batch. One record that never ends is
/// found among 65,536 in 17 tries. After that, what fails is not halved any further, it fails as a whole; and after twice
/// that, what is left fails untried.
pub const FAILED_TRIES_TIME_FACTOR: u32 = 20;

/// A failed try that took less than this part of the time limit costs nothing of it: a record that traps at once is
/// always found, however many there are. (Two tries a record, so this bounds the batch as well.)
const CHEAP_TRY_DIVISOR: u32 = 100;

/// The part of its memory that a plugin's input may take: the rest is for its output and what it needs between.
const INPUT_MEMORY_DIVISOR: u64 = 4;

/// What became of a batch.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The output of the records that went through, in their order, in the described schema.
    pub batch: RecordBatch,
    /// The records that did not, ascending.
    pub failed: Vec<FailedRow>,
}

/// A record on which a plugin failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRow {
    /// Its row in the batch that went in.
    pub row: usize,
    /// What happened, and in which function.
    pub reason: String,
}

/// A plugin and one instance of it, for batches of one schema.
pub struct Applier {
    plugin: Plugin,
    input: SchemaRef,
    types: Vec<Type>,
    output: SchemaRef,
    /// Kept from batch to batch, thrown away with the first failure.
    guest: Option<Guest>,
}

/// What a try came to.
enum Tried {
    Passed(RecordBatch),
    /// Not tried: it would not fit into the plugin's memory.
    TooLarge,
    Failed(Failure),
}

impl Applier {
    pub(crate) fn new(plugin: Plugin, input: SchemaRef, types: Vec<Type>, output: SchemaRef) -> Self {
        Self { plugin, input, types, output, guest: None }
    }

    /// The plugin.
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// The schema of what comes out.
    pub fn output_schema(&self) -> &SchemaRef {
        &self.output
    }

    /// Applies the plugin. Whatever it does, the rows are in the output or in `failed`; an error means that the batch is
    /// not of the schema the plugin was asked about, or that its output is too large to be one batch.
    pub fn apply(&mut self, batch: &RecordBatch) -> Result<Applied, PluginError> {
        self.check(batch)?;
        let mut outputs = Vec::new();
        let mut failed = Vec::new();
        let mut budget = Budget::new(self.plugin.mould().limits.time);
        // Ranges still to be done, the first one last. Of a range that is halved both halves are here at once, so there
        // are never more than the batch can be halved.
        let mut ranges = Vec::from_iter((batch.num_rows() > 0).then_some(0..batch.num_rows()));
        while let Some(range) = ranges.pop() {
            match self.attempt(&batch.slice(range.start, range.len())) {
                Tried::Passed(output) => outputs.push(output),
                Tried::TooLarge => halve(range, &mut ranges),
                Tried::Failed(failure) => {
                    self.guest = None;
                    budget.spend(failure.spent);
                    if range.len() > 1 && !budget.is_spent() {
                        halve(range, &mut ranges);
                    } else {
                        fail(range, &failure, &mut failed);
                    }
                    if budget.is_spent_twice() {
                        let rest = ranges.drain(..).rev();
                        rest.for_each(|range| fail(range, &failure, &mut failed));
                    }
                }
            }
        }
        if !failed.is_empty() {
            let (plugin, rows) = (self.plugin.name(), failed.len());
            tracing::warn!(plugin, rows, reason = failed[0].reason, "records failed");
        }
        let batch = match outputs.as_slice() {
            [] => RecordBatch::new_empty(Arc::clone(&self.output)),
            [output] => output.clone(),
            outputs => concat_batches(&self.output, outputs).map_err(|error| PluginError::Output {
                plugin: self.plugin.name().into(),
                reason: error.to_string(),
            })?,
        };
        Ok(Applied { batch, failed })
    }

    fn attempt(&mut self, batch: &RecordBatch) -> Tried {
        let mould = self.plugin.mould();
        let data = column_data(batch);
        let lowered = lower(batch, &data, &self.types);
        let bytes: usize = lowered.iter().map(Lowered::bytes).sum();
        if bytes as u64 > mould.limits.memory_bytes / INPUT_MEMORY_DIVISOR && batch.num_rows() > 1 {
            return Tried::TooLarge;
        }
        let Ok(rows) = u32::try_from(batch.num_rows()) else {
            return Tried::TooLarge;
        };
        let columns: Vec<_> = lowered.iter().map(Lowered::as_column).collect();
        let input = BatchIn { rows, columns: &columns };
        match attempt_in(&mut self.guest, mould, input, &self.output) {
            Ok(output) => Tried::Passed(output),
            Err(failure) => Tried::Failed(failure),
        }
    }

    /// Nullability is the source's promise and not the plugin's business: names and types must agree.
    fn check(&self, batch: &RecordBatch) -> Result<(), PluginError> {
        let (expected, found) = (self.input.fields(), batch.schema_ref().fields());
        let agree = expected.len() == found.len()
            && expected.iter().zip(found).all(|(e, f)| e.name() == f.name() && e.data_type() == f.data_type());
        if agree {
            return Ok(());
        }
        Err(PluginError::Schema {
            plugin: self.plugin.name().into(),
            expected: names(&self.input),
            found: names(batch.schema_ref()),
        })
    }
}

fn attempt_in(
    place: &mut Option<Guest>,
    mould: &Mould,
    input: BatchIn<'_>,
    schema: &SchemaRef,
) -> Result<RecordBatch, Failure> {
    let guest = match place {
        Some(guest) => guest,
        None => place.insert(Guest::start(mould)?),
    };
    let began = thread_time();
    let output = guest.apply(mould, input)?;
    lift(output, schema)
        .map_err(|reason| Failure { reason: format!("apply: {reason}"), spent: thread_time().saturating_sub(began) })
}

fn halve(range: Range<usize>, ranges: &mut Vec<Range<usize>>) {
    let middle = range.start + range.len() / 2;
    ranges.push(middle..range.end);
    ranges.push(range.start..middle);
}

fn fail(range: Range<usize>, failure: &Failure, failed: &mut Vec<FailedRow>) {
    let reason = match range.len() {
        1 => failure.reason.clone(),
        rows => format!(
            "{rows} records failed together, the batch's time for finding out which is at fault was over: {}",
            failure.reason
        ),
    };
    failed.extend(range.map(|row| FailedRow { row, reason: reason.clone() }));
}

fn names(schema: &SchemaRef) -> String {
    let fields = schema.fields().iter();
    let fields: Vec<_> = fields.map(|f| format!("{}: {}", f.name(), f.data_type())).collect();
    fields.join(", ")
}

/// The time that failed tries take.
struct Budget {
    spent: Duration,
    limit: Duration,
    cheap: Duration,
}

impl Budget {
    fn new(time: Duration) -> Self {
        Self {
            spent: Duration::ZERO,
            limit: time.saturating_mul(FAILED_TRIES_TIME_FACTOR),
            cheap: time / CHEAP_TRY_DIVISOR,
        }
    }

    fn spend(&mut self, spent: Duration) {
        if spent > self.cheap {
            self.spent = self.spent.saturating_add(spent);
        }
    }

    fn is_spent(&self) -> bool {
        self.spent >= self.limit
    }

    fn is_spent_twice(&self) -> bool {
        self.spent >= self.limit.saturating_mul(2)
    }
}
