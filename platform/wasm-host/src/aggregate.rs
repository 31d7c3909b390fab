//! A plugin that is an aggregate in SQL: states of groups, which rows are added to and which are merged.

use std::fmt;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use braid_kernel::JobError;
use braid_kernel::functions::{AggregateCode, Summary};
use braid_kernel::keyed::FailedRow;
use wasmtime::component::{ComponentType, Lift};

use crate::applier::fits;
use crate::boundary::{BatchIn, BatchOut, WireSchema, WireType};
use crate::guest::Failure;
use crate::lift::{lift, lift_schema, lift_type};
use crate::limits::thread_time;
use crate::lower::{Lowered, column_data, lower};
use crate::parts::{Tried, in_parts};
use crate::plugin::Plugin;
use crate::scalar::{answers, numbered, types, wire_types};

/// A plugin that is an aggregate.
#[derive(Clone)]
pub struct AggregatePlugin(Plugin);

#[derive(ComponentType, Lift, Debug)]
#[component(record)]
struct WireProgram {
    output: WireType,
    state: WireSchema,
}

impl AggregatePlugin {
    pub(crate) fn new(plugin: Plugin) -> Self {
        Self(plugin)
    }

    /// Has a function of the plugin change states by rows, and one of what runs beside it too.
    fn change(
        &self,
        function: &str,
        states: &RecordBatch,
        groups: &[u32],
        rows: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<FailedRow>), JobError> {
        let (old, failed) = self.change_alone(function, states, groups, rows)?;
        if let Some(canary) = self.0.canary() {
            match Self(canary.plugin().clone()).change_alone(function, states, groups, rows) {
                Ok((new, also)) => {
                    // A state is of many rows: where rows are left out of it, it says nothing of the others.
                    if !canary.note_failed(rows, &failed, &also) && failed.len() == also.len() {
                        canary.compare_answers(&old, old.columns(), new.columns(), &[]);
                    }
                }
                Err(error) => canary.broke(rows, error.to_string()),
            }
        }
        Ok((old, failed))
    }

    /// Part by part; gives the rows on which it failed.
    fn change_alone(
        &self,
        function: &str,
        states: &RecordBatch,
        groups: &[u32],
        rows: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<FailedRow>), JobError> {
        let plugin = &self.0;
        let (state_types, row_types) = (types(states)?, types(rows)?);
        let mut states = states.clone();
        let failed = in_parts(plugin, rows.num_rows(), usize::MAX, |range| {
            let part = rows.slice(range.start, range.len());
            let (state_data, data) = (column_data(&states), column_data(&part));
            let (before, lowered) = (lower(&states, &state_data, &state_types), lower(&part, &data, &row_types));
            let bytes = before.iter().chain(&lowered).map(Lowered::bytes).sum();
            let (Some(rows), Ok(count)) =
                (fits(part.num_rows(), bytes, plugin.mould()), u32::try_from(states.num_rows()))
            else {
                return Ok::<_, JobError>(Tried::TooLarge);
            };
            let before: Vec<_> = before.iter().map(Lowered::as_column).collect();
            let columns: Vec<_> = lowered.iter().map(Lowered::as_column).collect();
            let changed = plugin.with_guest(|guest, mould| {
                let input =
                    (BatchIn { rows: count, columns: &before }, &groups[range], BatchIn { rows, columns: &columns });
                let began = thread_time();
                let changed: BatchOut = guest.call(function, mould, input)?;
                lift_states(changed, states.schema_ref(), states.num_rows())
                    .map_err(|reason| Failure::of(function, &reason, began))
            });
            Ok(match changed {
                Ok(changed) => {
                    states = changed;
                    Tried::Passed
                }
                Err(failure) => Tried::Failed(failure),
            })
        })?;
        Ok((states, failed))
    }
}

/// So many states, without nulls that were not described.
fn lift_states(states: BatchOut, schema: &SchemaRef, rows: usize) -> Result<RecordBatch, String> {
    let states = lift(states, schema)?;
    match states.num_rows() {
        found if found == rows => Ok(states),
        found => Err(format!("returned {found} states, and was given {rows}")),
    }
}

impl AggregateCode for AggregatePlugin {
    fn describe(&self, arguments: &[DataType]) -> Result<Summary, String> {
        self.0.watched().summaries.get(arguments, |types| {
            let said = self.0.with_guest(|guest, mould| {
                let program: WireProgram = guest.describe(mould, (types,))?;
                let zero: BatchOut = guest.call("zero", mould, (types,))?;
                Ok((program, zero))
            });
            let (program, zero) = said.map_err(|failure| failure.reason)?;
            let (answer, state) = (lift_type(program.output)?, lift_schema(program.state)?);
            let zero = lift_states(zero, &state, 1).map_err(|reason| format!("zero: {reason}"))?;
            Ok(Summary { answer, state, zero })
        })
    }

    fn accumulate(
        &self,
        states: &RecordBatch,
        groups: &[u32],
        arguments: &[ArrayRef],
    ) -> Result<(RecordBatch, Vec<FailedRow>), JobError> {
        self.change("accumulate", states, groups, &numbered(arguments, groups.len())?)
    }

    fn merge(&self, states: &RecordBatch, groups: &[u32], others: &RecordBatch) -> Result<RecordBatch, JobError> {
        let (states, failed) = self.change("merge", states, groups, others)?;
        match failed.into_iter().next() {
            None => Ok(states),
            // A state cannot be left out: rows would be lost.
            Some(FailedRow { reason, .. }) => Err(JobError::Plugin { plugin: self.0.name().into(), reason }),
        }
    }

    fn finish(
        &self,
        arguments: &[DataType],
        states: &RecordBatch,
        answer: &DataType,
    ) -> Result<(ArrayRef, Vec<FailedRow>), JobError> {
        let arguments = wire_types(arguments).map_err(JobError::Bug)?;
        answers(&self.0, "finish", states, answer, |guest, mould, states| {
            guest.call("finish", mould, (arguments.as_slice(), states))
        })
    }
}

impl fmt::Debug for AggregatePlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AggregatePlugin({:?})", self.0)
    }
}
