//! A plugin at work: batches go over whole, and where one fails, the records at fault are found by halving it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use braid_kernel::keyed::FailedRow;
use braid_wire::Type;

use crate::boundary::BatchIn;
use crate::canary::Beside;
use crate::error::PluginError;
use crate::guest::{Failure, Guest, Mould};
use crate::lift::lift;
use crate::limits::thread_time;
use crate::lower::{Lowered, column_data, lower};
use crate::parts::{Tried, in_parts};
use crate::plugin::Plugin;

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

/// A plugin and one instance of it, for batches of one schema.
pub struct Applier {
    plugin: Plugin,
    input: SchemaRef,
    types: Vec<Type>,
    output: SchemaRef,
    /// Kept from batch to batch, thrown away with the first failure that it does not survive.
    guest: Option<Guest>,
    beside: Beside<Box<Applier>>,
}

impl Applier {
    pub(crate) fn new(plugin: Plugin, input: SchemaRef, types: Vec<Type>, output: SchemaRef) -> Self {
        Self { plugin, input, types, output, guest: None, beside: Beside::default() }
    }

    /// One like it, with an instance of its own.
    pub fn another(&self) -> Self {
        Self::new(self.plugin.clone(), self.input.clone(), self.types.clone(), self.output.clone())
    }

    /// The plugin.
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// The schema of what goes in.
    pub fn input_schema(&self) -> &SchemaRef {
        &self.input
    }

    /// The schema of what comes out.
    pub fn output_schema(&self) -> &SchemaRef {
        &self.output
    }

    /// Throws the instance away: what comes next has a fresh one.
    pub fn renew(&mut self) {
        self.guest = None;
    }

    /// Applies the plugin. Whatever it does, the rows are in the output or in `failed`; an error means that the batch is
    /// not of the schema the plugin was asked about, or that its output is too large to be one batch.
    pub fn apply(&mut self, rows: &RecordBatch) -> Result<Applied, PluginError> {
        self.check(rows)?;
        let mut outputs = Vec::new();
        let plugin = self.plugin.clone();
        let failed = in_parts(&plugin, rows.num_rows(), usize::MAX, |range| {
            let worn = self.guest.is_some();
            Ok::<_, PluginError>(match self.attempt(&rows.slice(range.start, range.len())) {
                Ok(Some(output)) => {
                    outputs.push(output);
                    Tried::Passed
                }
                Ok(None) => Tried::TooLarge,
                Err(failure) => {
                    let survives = plugin.mould().survives(&failure);
                    if !survives {
                        self.guest = None;
                    }
                    Tried::Failed(failure.in_worn(worn && !survives))
                }
            })
        })?;
        let batch = match outputs.as_slice() {
            [] => RecordBatch::new_empty(Arc::clone(&self.output)),
            [output] => output.clone(),
            outputs => concat_batches(&self.output, outputs).map_err(|error| PluginError::Output {
                plugin: self.plugin.name().into(),
                reason: error.to_string(),
            })?,
        };
        let applied = Applied { batch, failed };
        self.compare(rows, &applied);
        Ok(applied)
    }

    /// Gives the rows to what runs beside it too.
    fn compare(&mut self, rows: &RecordBatch, old: &Applied) {
        let input = &self.input;
        let beside = self.beside.of(&self.plugin, |canary| match canary.plugin().applier(input) {
            Ok(applier) => Ok(Box::new(applier)),
            Err(error) => Err(error.to_string()),
        });
        let Some((canary, applier)) = beside else { return };
        match applier.apply(rows) {
            Ok(new) => {
                canary.note_failed(rows, &old.failed, &new.failed);
                if new.failed.iter().map(|failed| failed.row).eq(old.failed.iter().map(|failed| failed.row)) {
                    canary.compare_outputs(&old.batch, &new.batch);
                }
            }
            Err(error) => canary.broke(rows, error.to_string()),
        }
    }

    /// The output; nothing where the batch would not fit into the plugin's memory.
    fn attempt(&mut self, batch: &RecordBatch) -> Result<Option<RecordBatch>, Failure> {
        let mould = self.plugin.mould();
        let data = column_data(batch);
        let lowered = lower(batch, &data, &self.types);
        let bytes: usize = lowered.iter().map(Lowered::bytes).sum();
        let Some(rows) = fits(batch.num_rows(), bytes, mould) else {
            return Ok(None);
        };
        let columns: Vec<_> = lowered.iter().map(Lowered::as_column).collect();
        attempt_in(&mut self.guest, mould, BatchIn { rows, columns: &columns }, &self.output).map(Some)
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

/// The number of rows, if they are not too many, and an input of so many bytes leaves the plugin room to work; or of one row.
pub(crate) fn fits(rows: usize, bytes: usize, mould: &Mould) -> Option<u32> {
    let is_large = bytes as u64 > mould.limits.memory_bytes / INPUT_MEMORY_DIVISOR;
    if (is_large || rows > mould.rows_max) && rows > 1 {
        return None;
    }
    u32::try_from(rows).ok()
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
    let output = guest.work(mould, (input,))?;
    lift(output, schema).map_err(|reason| Failure::of("apply", &reason, began))
}

fn names(schema: &SchemaRef) -> String {
    let fields = schema.fields().iter();
    let fields: Vec<_> = fields.map(|f| format!("{}: {}", f.name(), f.data_type())).collect();
    fields.join(", ")
}
