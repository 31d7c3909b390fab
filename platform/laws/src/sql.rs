//! Functions and aggregates of SQL, tried: arguments are columns named by their numbers.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use braid_kernel::functions::{AggregateCode, ScalarCode, Summary};
use braid_kernel::keyed::FailedRow;
use braid_wasm_host::Plugin;

use crate::subject::{Cut, Outcome};

/// A function of values.
pub struct Calling {
    plugin: Plugin,
    code: Box<dyn ScalarCode>,
    input: SchemaRef,
    output: SchemaRef,
}

/// An aggregate.
pub struct Adding {
    plugin: Plugin,
    code: Box<dyn AggregateCode>,
    input: SchemaRef,
    output: SchemaRef,
    summary: Summary,
}

fn types(input: &SchemaRef) -> Vec<DataType> {
    input.fields().iter().map(|field| field.data_type().clone()).collect()
}

fn answer(data_type: DataType) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("answer", data_type, true)]))
}

impl Calling {
    /// Asks the function about arguments of these types.
    pub fn new(plugin: Plugin, code: impl ScalarCode + 'static, input: &SchemaRef) -> Result<Self, String> {
        let output = answer(code.describe(&types(input))?);
        Ok(Self { plugin, code: Box::new(code), input: input.clone(), output })
    }

    /// The arguments.
    pub fn input(&self) -> &SchemaRef {
        &self.input
    }

    /// The answer.
    pub fn output(&self) -> &SchemaRef {
        &self.output
    }

    /// Takes another instance for what comes next.
    pub fn renew(&self) {
        self.plugin.renew();
    }

    /// Calls it; answers of rows that failed are left out.
    pub fn run(&self, rows: &RecordBatch, cut: Cut, fresh: bool) -> Result<Outcome, String> {
        let (mut out, mut failed) = (Vec::new(), Vec::new());
        for part in cut.parts(rows.num_rows()) {
            if fresh {
                self.renew();
            }
            let rows = rows.slice(part.start, part.len());
            let called = self.code.call(rows.columns(), rows.num_rows(), self.output.field(0).data_type());
            let (answers, without) = called.map_err(|error| error.to_string())?;
            let keep = (0..part.len()).map(|row| Some(!without.iter().any(|failed| failed.row == row)));
            let answers =
                RecordBatch::try_new(self.output.clone(), vec![answers]).map_err(|error| error.to_string())?;
            out.push(
                filter_record_batch(&answers, &keep.collect::<BooleanArray>()).map_err(|error| error.to_string())?,
            );
            failed.extend(without.into_iter().map(|f| FailedRow { row: part.start + f.row, reason: f.reason }));
        }
        let rows = arrow::compute::concat_batches(&self.output, &out).map_err(|error| error.to_string())?;
        Ok(Outcome { rows, failed, kept: Vec::new() })
    }
}

impl Adding {
    /// Asks the aggregate about arguments of these types.
    pub fn new(plugin: Plugin, code: impl AggregateCode + 'static, input: &SchemaRef) -> Result<Self, String> {
        let summary = code.describe(&types(input))?;
        let output = answer(summary.answer.clone());
        Ok(Self { plugin, code: Box::new(code), input: input.clone(), output, summary })
    }

    /// The arguments.
    pub fn input(&self) -> &SchemaRef {
        &self.input
    }

    /// The answer.
    pub fn output(&self) -> &SchemaRef {
        &self.output
    }

    /// The columns of a state.
    pub fn state(&self) -> &SchemaRef {
        &self.summary.state
    }

    /// Takes another instance for what comes next.
    pub fn renew(&self) {
        self.plugin.renew();
    }

    /// The state of no rows.
    pub fn zero(&self) -> RecordBatch {
        self.summary.zero.clone()
    }

    /// States after rows were added, each to the one in that row; and the rows that failed.
    pub fn added(
        &self,
        states: &RecordBatch,
        groups: &[u32],
        rows: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<FailedRow>), String> {
        self.code.accumulate(states, groups, rows.columns()).map_err(|error| error.to_string())
    }

    /// What rows add up to by themselves, if none of them fails.
    pub fn sum(&self, rows: &RecordBatch) -> Result<RecordBatch, String> {
        self.sum_onto(&self.zero(), rows)
    }

    /// A state after rows were added, if none of them fails.
    pub fn sum_onto(&self, state: &RecordBatch, rows: &RecordBatch) -> Result<RecordBatch, String> {
        match self.added(state, &vec![0; rows.num_rows()], rows)? {
            (state, failed) if failed.is_empty() => Ok(state),
            (_, failed) => Err(failed[0].reason.clone()),
        }
    }

    /// A state after another was merged into it.
    pub fn merged(&self, state: &RecordBatch, other: &RecordBatch) -> Result<RecordBatch, String> {
        self.code.merge(state, &[0], other).map_err(|error| error.to_string())
    }

    /// What states answer.
    pub fn finished(&self, states: &RecordBatch) -> Result<(RecordBatch, Vec<FailedRow>), String> {
        let finished = self.code.finish(&types(&self.input), states, &self.summary.answer);
        let (answers, failed): (ArrayRef, _) = finished.map_err(|error| error.to_string())?;
        let answers = RecordBatch::try_new(self.output.clone(), vec![answers]).map_err(|error| error.to_string())?;
        Ok((answers, failed))
    }

    /// Adds rows to the state of none, and finishes.
    pub fn run(&self, rows: &RecordBatch, cut: Cut, fresh: bool) -> Result<Outcome, String> {
        let (mut state, mut failed) = (self.zero(), Vec::new());
        for part in cut.parts(rows.num_rows()) {
            if fresh {
                self.renew();
            }
            let rows = rows.slice(part.start, part.len());
            let (after, without) = self.added(&state, &vec![0; part.len()], &rows)?;
            state = after;
            failed.extend(without.into_iter().map(|f| FailedRow { row: part.start + f.row, reason: f.reason }));
        }
        self.outcome(&state, failed)
    }

    /// Adds each part to the state of no rows, merges them, and finishes.
    pub fn run_merged(&self, rows: &RecordBatch, cut: Cut) -> Result<Outcome, String> {
        let (mut state, mut failed) = (self.zero(), Vec::new());
        for part in cut.parts(rows.num_rows()) {
            let rows = rows.slice(part.start, part.len());
            let (other, without) = self.added(&self.zero(), &vec![0; part.len()], &rows)?;
            state = self.merged(&state, &other)?;
            failed.extend(without.into_iter().map(|f| FailedRow { row: part.start + f.row, reason: f.reason }));
        }
        self.outcome(&state, failed)
    }

    /// What states answer, with the rows that failed before.
    pub(crate) fn outcome(&self, state: &RecordBatch, failed: Vec<FailedRow>) -> Result<Outcome, String> {
        let (rows, without) = self.finished(state)?;
        let kept = without.into_iter().map(|failed| format!("no answer: {}", failed.reason)).collect();
        Ok(Outcome { rows, failed, kept })
    }
}

/// A state after it was written to a file, and read.
pub fn written(state: &RecordBatch) -> Result<RecordBatch, String> {
    let through = || {
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::try_new(&mut bytes, state.schema_ref())?;
        writer.write(state)?;
        writer.finish()?;
        drop(writer);
        let mut reader = StreamReader::try_new(Cursor::new(bytes), None)?;
        Ok(reader.next().transpose()?.unwrap_or_else(|| RecordBatch::new_empty(state.schema())))
    };
    through().map_err(|error: arrow::error::ArrowError| error.to_string())
}
