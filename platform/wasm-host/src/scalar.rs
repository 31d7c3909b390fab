//! A plugin that is a function in SQL: answers for rows, null where it fails.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Schema};
use braid_kernel::JobError;
use braid_kernel::functions::ScalarCode;
use braid_kernel::keyed::FailedRow;
use braid_wire::Type;

use crate::applier::fits;
use crate::boundary::{BatchIn, ColumnOut, WireType, from_arrow};
use crate::guest::{Failure, Guest, Mould};
use crate::lift::{lift_answers, lift_type};
use crate::limits::thread_time;
use crate::lower::{Lowered, column_data, lower};
use crate::parts::{Tried, in_parts};
use crate::plugin::Plugin;

/// A plugin that is a function.
#[derive(Clone)]
pub struct ScalarPlugin(Plugin);

/// What a plugin said of arguments' types: it is asked once.
pub(crate) struct Described<T>(Mutex<HashMap<Vec<DataType>, Result<T, String>>>);

impl<T> Default for Described<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Described<T> {
    pub(crate) fn get(
        &self,
        arguments: &[DataType],
        ask: impl FnOnce(&[WireType]) -> Result<T, String>,
    ) -> Result<T, String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = known.get(arguments) {
            return said.clone();
        }
        let said = wire_types(arguments).and_then(|types| ask(&types));
        known.insert(arguments.to_vec(), said.clone());
        said
    }

    /// All arguments that it can be called with, as far as it was asked.
    pub(crate) fn known(&self) -> Vec<(Vec<DataType>, T)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter_map(|(arguments, said)| Some((arguments.clone(), said.clone().ok()?))).collect()
    }
}

impl ScalarPlugin {
    pub(crate) fn new(plugin: Plugin) -> Self {
        Self(plugin)
    }
}

impl ScalarCode for ScalarPlugin {
    fn describe(&self, arguments: &[DataType]) -> Result<DataType, String> {
        self.0.watched().answers.get(arguments, |types| {
            let said = self.0.with_guest(|guest, mould| guest.describe::<_, WireType>(mould, (types,)));
            said.map_err(|failure| failure.reason).and_then(lift_type)
        })
    }

    fn call(
        &self,
        arguments: &[ArrayRef],
        rows: usize,
        answer: &DataType,
    ) -> Result<(ArrayRef, Vec<FailedRow>), JobError> {
        let batch = numbered(arguments, rows)?;
        answers(&self.0, "call", &batch, answer, |guest, mould, batch| guest.work(mould, (batch,)))
    }
}

impl fmt::Debug for ScalarPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScalarPlugin({:?})", self.0)
    }
}

/// The contract's types of Arrow's.
pub(crate) fn wire_types(arguments: &[DataType]) -> Result<Vec<WireType>, String> {
    let types = arguments.iter().enumerate().map(|(number, data_type)| {
        let unknown = || format!("argument {number} has type {data_type}, which plugins cannot be given");
        from_arrow(data_type).map(WireType::from).ok_or_else(unknown)
    });
    types.collect()
}

/// Arguments as columns named by their numbers.
pub(crate) fn numbered(arguments: &[ArrayRef], rows: usize) -> Result<RecordBatch, JobError> {
    let fields = arguments.iter().enumerate();
    let fields = fields.map(|(number, column)| Field::new(number.to_string(), column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, arguments.to_vec(), &options).map_err(bug)
}

/// Has a plugin answer each row of a batch, and what runs beside it too.
pub(crate) fn answers(
    plugin: &Plugin,
    function: &str,
    batch: &RecordBatch,
    answer: &DataType,
    call: impl Fn(&mut Guest, &Mould, BatchIn<'_>) -> Result<ColumnOut, Failure>,
) -> Result<(ArrayRef, Vec<FailedRow>), JobError> {
    let (old, failed) = answers_of(plugin, function, batch, answer, &call)?;
    if let Some(canary) = plugin.canary() {
        match answers_of(canary.plugin(), function, batch, answer, &call) {
            Ok((new, also)) => {
                canary.note_failed(batch, &failed, &also);
                let mut unfair = [failed.as_slice(), &also].concat();
                unfair.sort_by_key(|failed| failed.row);
                canary.compare_answers(batch, std::slice::from_ref(&old), &[new], &unfair);
            }
            Err(error) => canary.broke(batch, error.to_string()),
        }
    }
    Ok((old, failed))
}

/// In halves where it fails.
fn answers_of(
    plugin: &Plugin,
    function: &str,
    batch: &RecordBatch,
    answer: &DataType,
    call: impl Fn(&mut Guest, &Mould, BatchIn<'_>) -> Result<ColumnOut, Failure>,
) -> Result<(ArrayRef, Vec<FailedRow>), JobError> {
    let types = types(batch)?;
    let expected = from_arrow(answer).ok_or_else(|| bug(format!("an answer of type {answer}")))?;
    let mut done: Vec<(Range<usize>, ArrayRef)> = Vec::new();
    let failed = in_parts(plugin, batch.num_rows(), usize::MAX, |range| {
        let part = batch.slice(range.start, range.len());
        let data = column_data(&part);
        let lowered = lower(&part, &data, &types);
        let Some(rows) = fits(part.num_rows(), lowered.iter().map(Lowered::bytes).sum(), plugin.mould()) else {
            return Ok::<_, JobError>(Tried::TooLarge);
        };
        let columns: Vec<_> = lowered.iter().map(Lowered::as_column).collect();
        let answered = plugin.with_guest(|guest, mould| {
            let began = thread_time();
            let column = call(guest, mould, BatchIn { rows, columns: &columns })?;
            lift_answers(column, expected, range.len()).map_err(|reason| Failure::of(function, &reason, began))
        });
        Ok(match answered {
            Ok(answers) => {
                done.push((range, answers));
                Tried::Passed
            }
            Err(failure) => Tried::Failed(failure),
        })
    })?;
    if let [(range, answers)] = done.as_slice()
        && range.len() == batch.num_rows()
    {
        return Ok((answers.clone(), failed));
    }
    let mut parts: Vec<ArrayRef> = Vec::new();
    let mut next = 0;
    for (range, answers) in done {
        parts.push(new_null_array(answer, range.start - next));
        parts.push(answers);
        next = range.end;
    }
    parts.push(new_null_array(answer, batch.num_rows() - next));
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    Ok((concat(&parts).map_err(bug)?, failed))
}

/// The contract's types of columns that are known to have some.
pub(crate) fn types(batch: &RecordBatch) -> Result<Vec<Type>, JobError> {
    let fields = batch.schema_ref().fields().iter();
    let types = fields.map(|field| {
        from_arrow(field.data_type()).ok_or_else(|| bug(format!("an argument of type {}", field.data_type())))
    });
    types.collect()
}

/// What is checked when SQL is planned.
pub(crate) fn bug(error: impl fmt::Display) -> JobError {
    JobError::Bug(error.to_string())
}
