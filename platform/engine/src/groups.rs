//! Partial states by group: what an epoch's rows add up to, how states merge, and what they answer.
//!
//! The same group table and accumulators carry all three, so a state means the same everywhere.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, RecordBatch, RecordBatchOptions, UInt32Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{SortColumn, lexsort_to_indices, take, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::{GroupsAccumulatorAdapter, PhysicalExpr};
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

use crate::leaf::nullable;
use crate::session;
use crate::window::Spans;

/// Makes the hashes by which states are split others than those of group tables: a table of one part is then no long chain.
const SPLIT_SEED: u64 = 0x5EED;

/// A window among the group keys: its key column holds starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowKey {
    /// Which key.
    pub index: usize,
    /// How time is cut.
    pub shape: Shape,
}

/// How time is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shape {
    /// Windows of one length.
    Spans(Spans),
    /// Sessions: windows of one key that touch are one. Their ends are the last function's answers.
    Session,
}

/// What a view aggregates: keys, functions, and the schemas of states and of answers.
#[derive(Debug, Clone)]
pub struct Aggregation {
    key_schema: SchemaRef,
    functions: Vec<Arc<AggregateFunctionExpr>>,
    state_types: Vec<Vec<DataType>>,
    /// Keys, then each function's state.
    pub delta_schema: SchemaRef,
    /// Keys, then each function's answer.
    pub answer_schema: SchemaRef,
    /// The key that is a window, if there is one.
    pub window: Option<WindowKey>,
}

/// How an aggregate's input becomes keys and arguments.
#[derive(Debug, Clone)]
pub struct Inputs {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    arguments: Vec<Vec<Arc<dyn PhysicalExpr>>>,
    filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
}

impl Inputs {
    /// The expressions of a planned aggregate.
    pub fn of(plan: &AggregateExec) -> Self {
        Self {
            keys: plan.group_expr().input_exprs(),
            arguments: plan.aggr_expr().iter().map(|function| function.expressions()).collect(),
            filters: plan.filter_expr().to_vec(),
        }
    }

    /// When each row's session would end if the row were alone in it.
    pub fn session_ends(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        match self.arguments.last() {
            Some(arguments) if arguments.len() == 1 => Ok(evaluate(arguments, batch)?.remove(0)),
            _ => internal_err!("a session without an end"),
        }
    }

    /// The keys of each row.
    pub fn keys(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        evaluate(&self.keys, batch)
    }
}

fn evaluate(exprs: &[Arc<dyn PhysicalExpr>], batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
    exprs.iter().map(|expr| expr.evaluate(batch)?.into_array(batch.num_rows())).collect()
}

impl Aggregation {
    /// What a planned aggregate computes.
    pub fn of(plan: &AggregateExec, window: Option<WindowKey>) -> Result<Self> {
        if plan.group_expr().has_grouping_set() {
            return internal_err!("grouping sets were refused before");
        }
        let functions = plan.aggr_expr().to_vec();
        let key_schema = nullable(plan.group_expr().group_schema(&plan.input_schema())?.as_ref());
        let mut names = Names::default();
        let mut delta: Vec<Field> = Vec::new();
        let mut answer: Vec<Field> = Vec::new();
        for key in key_schema.fields() {
            let name = names.unique(key.name());
            delta.push(Field::new(&name, key.data_type().clone(), true));
            answer.push(Field::new(&name, key.data_type().clone(), true));
        }
        let mut state_types = Vec::new();
        for function in &functions {
            let states = function.state_fields()?;
            for state in &states {
                delta.push(Field::new(names.unique(state.name()), state.data_type().clone(), true));
            }
            state_types.push(states.iter().map(|state| state.data_type().clone()).collect());
            answer.push(Field::new(function.name(), function.field().data_type().clone(), true));
        }
        Ok(Self {
            key_schema,
            functions,
            state_types,
            delta_schema: Arc::new(Schema::new(delta)),
            answer_schema: Arc::new(Schema::new(answer)),
            window,
        })
    }

    /// How many of the columns are keys.
    pub fn keys(&self) -> usize {
        self.key_schema.fields().len()
    }

    /// Merges states, oldest first, to one row per key.
    pub fn merge<'a>(&self, parts: impl IntoIterator<Item = &'a RecordBatch>) -> Result<RecordBatch> {
        let mut groups = Groups::new(self)?;
        for part in parts {
            groups.merge(part)?;
        }
        let states = groups.into_states()?;
        match self.window {
            Some(WindowKey { index, shape: Shape::Session }) => match session::joined(&states, index, self.keys())? {
                Some(states) => self.merge([&states]),
                None => Ok(states),
            },
            _ => Ok(states),
        }
    }

    /// When the windows of states start, in microseconds.
    pub fn starts(&self, states: &RecordBatch) -> Result<Int64Array> {
        match self.window {
            Some(window) => instants(states, window.index),
            None => exec_err!("a state has no window"),
        }
    }

    /// When the windows of states end, in microseconds, the last of those of a pane; `None` where there are no windows.
    pub fn ends(&self, states: &RecordBatch) -> Result<Option<Int64Array>> {
        let Some(window) = self.window else {
            return Ok(None);
        };
        Ok(Some(match window.shape {
            Shape::Spans(spans) => instants(states, window.index)?.unary(|pane| spans.last_end(pane)),
            Shape::Session => instants(states, states.num_columns() - 1)?,
        }))
    }

    /// States in so many parts: those of a key are in the same, also those of sessions that may become one.
    pub fn split(&self, states: &RecordBatch, parts: usize) -> Result<Vec<RecordBatch>> {
        let session = self.window.filter(|window| window.shape == Shape::Session).map(|window| window.index);
        let keys: Vec<ArrayRef> =
            (0..self.keys()).filter(|key| Some(*key) != session).map(|key| states.column(key).clone()).collect();
        let mut hashes = vec![0; states.num_rows()];
        if !keys.is_empty() {
            create_hashes(&keys, &RandomState::with_seed(SPLIT_SEED), &mut hashes)?;
        }
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); parts];
        for (row, hash) in hashes.iter().enumerate() {
            rows[(hash % parts as u64) as usize].push(row as u32);
        }
        rows.into_iter().map(|rows| Ok(take_record_batch(states, &UInt32Array::from(rows))?)).collect()
    }

    /// What merged states answer: one row per key, and one row in all where there are no keys.
    pub fn answer(&self, states: &RecordBatch) -> Result<RecordBatch> {
        let mut groups = Groups::new(self)?;
        groups.merge(states)?;
        groups.into_answers()
    }

    /// The key that is a window, and how it slides, if states are those of panes.
    pub fn sliding(&self) -> Option<(usize, Spans)> {
        match self.window {
            Some(WindowKey { index, shape: Shape::Spans(spans) }) if !spans.tumbling() => Some((index, spans)),
            _ => None,
        }
    }
}

fn instants(states: &RecordBatch, column: usize) -> Result<Int64Array> {
    match states.column(column).as_primitive_opt::<TimestampMicrosecondType>() {
        Some(instants) => Ok(instants.reinterpret_cast::<Int64Type>()),
        None => exec_err!("a window's state has no instant"),
    }
}

#[cfg(test)]
thread_local! {
    /// How many rows of states this thread has merged.
    pub static MERGED_ROWS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Column names, made unique by a number.
#[derive(Default)]
struct Names(std::collections::HashMap<String, usize>);

impl Names {
    fn unique(&mut self, name: &str) -> String {
        let uses = self.0.entry(name.to_owned()).or_default();
        *uses += 1;
        if *uses == 1 { name.to_owned() } else { format!("{name}#{uses}") }
    }
}

/// A table of groups and their accumulators.
pub struct Groups<'a> {
    aggregation: &'a Aggregation,
    table: Table,
}

/// The owned part of [`Groups`], for those that keep it over several calls.
pub struct Table {
    values: Option<Box<dyn GroupValues>>,
    accumulators: Vec<Box<dyn GroupsAccumulator>>,
    of_row: Vec<usize>,
    rows_seen: bool,
}

impl Table {
    /// An empty table.
    pub fn new(aggregation: &Aggregation) -> Result<Self> {
        let values = match aggregation.keys() {
            0 => None,
            _ => Some(new_group_values(aggregation.key_schema.clone(), &GroupOrdering::None)?),
        };
        let accumulators = aggregation
            .functions
            .iter()
            .map(|function| {
                if function.groups_accumulator_supported() {
                    return function.create_groups_accumulator();
                }
                let function = function.clone();
                let factory = move || function.create_accumulator();
                Ok(Box::new(GroupsAccumulatorAdapter::new(factory)) as Box<dyn GroupsAccumulator>)
            })
            .collect::<Result<_>>()?;
        Ok(Self { values, accumulators, of_row: Vec::new(), rows_seen: false })
    }

    /// Finds the groups of rows; gives how many there are now.
    fn intern(&mut self, keys: &[ArrayRef], rows: usize) -> Result<usize> {
        self.rows_seen |= rows > 0;
        match &mut self.values {
            Some(values) => {
                values.intern(keys, &mut self.of_row)?;
                Ok(values.len())
            }
            None => {
                self.of_row.clear();
                self.of_row.resize(rows, 0);
                Ok(1)
            }
        }
    }

    /// Adds rows, whose keys are given.
    pub fn update(&mut self, inputs: &Inputs, keys: &[ArrayRef], batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let total = self.intern(keys, batch.num_rows())?;
        let each = self.accumulators.iter_mut().zip(&inputs.arguments).zip(&inputs.filters);
        for ((accumulator, arguments), filter) in each {
            let arguments = evaluate(arguments, batch)?;
            let filter = match filter {
                Some(filter) => Some(filter.evaluate(batch)?.into_array(batch.num_rows())?),
                None => None,
            };
            let filter: Option<&BooleanArray> = filter.as_ref().and_then(|filter| filter.as_boolean_opt());
            accumulator.update_batch(&arguments, &self.of_row, filter, total)?;
        }
        Ok(())
    }

    /// Adds states.
    pub fn merge(&mut self, aggregation: &Aggregation, states: &RecordBatch) -> Result<()> {
        let keys = aggregation.keys();
        if states.num_columns() != aggregation.delta_schema.fields().len() {
            return exec_err!(
                "a state has {} columns and not {}",
                states.num_columns(),
                aggregation.delta_schema.fields().len()
            );
        }
        if states.num_rows() == 0 {
            return Ok(());
        }
        #[cfg(test)]
        MERGED_ROWS.set(MERGED_ROWS.get() + states.num_rows());
        let total = self.intern(&states.columns()[..keys], states.num_rows())?;
        let mut from = keys;
        for (accumulator, types) in self.accumulators.iter_mut().zip(&aggregation.state_types) {
            let columns = &states.columns()[from..from + types.len()];
            for (column, data_type) in columns.iter().zip(types) {
                if column.data_type() != data_type {
                    return exec_err!("a state is {} and not {data_type}", column.data_type());
                }
            }
            accumulator.merge_batch(columns, &self.of_row, total)?;
            from += types.len();
        }
        Ok(())
    }

    fn emit_keys(&mut self) -> Result<Vec<ArrayRef>> {
        match &mut self.values {
            Some(values) if values.is_empty() => Ok(Vec::new()),
            Some(values) => values.emit(EmitTo::All),
            None => Ok(Vec::new()),
        }
    }

    /// Takes all states out, one row per group, in the order in which groups were first seen.
    pub fn take_states(&mut self, aggregation: &Aggregation) -> Result<RecordBatch> {
        if !std::mem::take(&mut self.rows_seen) {
            return Ok(RecordBatch::new_empty(aggregation.delta_schema.clone()));
        }
        let mut columns = self.emit_keys()?;
        for accumulator in &mut self.accumulators {
            for state in accumulator.state(EmitTo::All)? {
                columns.push(canonical(state)?);
            }
        }
        batch(&aggregation.delta_schema, columns, 1)
    }
}

impl<'a> Groups<'a> {
    /// No groups.
    pub fn new(aggregation: &'a Aggregation) -> Result<Self> {
        Ok(Self { aggregation, table: Table::new(aggregation)? })
    }

    /// Adds states.
    pub fn merge(&mut self, states: &RecordBatch) -> Result<()> {
        self.table.merge(self.aggregation, states)
    }

    /// The merged states, one row per group.
    pub fn into_states(mut self) -> Result<RecordBatch> {
        self.table.take_states(self.aggregation)
    }

    /// The answers, one row per group; a global aggregate answers even where it saw no row.
    fn into_answers(mut self) -> Result<RecordBatch> {
        let schema = &self.aggregation.answer_schema;
        if !self.table.rows_seen {
            if self.aggregation.keys() > 0 {
                return Ok(RecordBatch::new_empty(schema.clone()));
            }
            // A grouped accumulator that saw no row takes its group for one that it saw; these know better.
            let functions = self.aggregation.functions.iter();
            let none = functions.map(|function| function.create_accumulator()?.evaluate()?.to_array());
            return batch(schema, none.collect::<Result<_>>()?, 1);
        }
        let mut columns = self.table.emit_keys()?;
        for accumulator in &mut self.table.accumulators {
            columns.push(accumulator.evaluate(EmitTo::All)?);
        }
        batch(schema, columns, 1)
    }
}

/// The states of a finished epoch.
pub fn finish(aggregation: &Aggregation, table: &mut Table) -> Result<RecordBatch> {
    let states = table.take_states(aggregation)?;
    match aggregation.window {
        Some(WindowKey { shape: Shape::Session, .. }) => aggregation.merge([&states]),
        _ => Ok(states),
    }
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows_without_columns: usize) -> Result<RecordBatch> {
    let rows = columns.first().map_or(rows_without_columns, |column| column.len());
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}

/// A set kept as a list gets one order, so that equal states have equal bits.
fn canonical(state: ArrayRef) -> Result<ArrayRef> {
    let Some(list) = state.as_list_opt::<i32>() else {
        return Ok(state);
    };
    let DataType::List(field) = state.data_type() else {
        return Ok(state);
    };
    let offsets = list.value_offsets();
    let first = offsets[0];
    let length = offsets[offsets.len() - 1] - first;
    let values = list.values().slice(first as usize, length as usize);
    let rows = offsets.windows(2).enumerate();
    let of_value = rows.flat_map(|(row, span)| std::iter::repeat_n(row as u32, (span[1] - span[0]) as usize));
    let by = |values: ArrayRef| SortColumn { values, options: None };
    let order = lexsort_to_indices(&[by(Arc::new(UInt32Array::from_iter_values(of_value))), by(values.clone())], None)?;
    let offsets = offsets.iter().map(|offset| offset - first).collect::<Vec<_>>();
    Ok(Arc::new(ListArray::new(
        field.clone(),
        OffsetBuffer::new(offsets.into()),
        take(&values, &order, None)?,
        list.nulls().cloned(),
    )))
}
