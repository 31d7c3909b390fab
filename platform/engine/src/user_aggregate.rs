//! The user's own aggregates: states of many groups, of which each call takes those that its rows belong to.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{interleave_record_batch, take};
use arrow::datatypes::{DataType, Field, FieldRef};
use braid_kernel::functions::{AggregateCode, Summary};
use datafusion::common::{Result, not_impl_err, plan_datafusion_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use crate::functions::BATCH_ROWS;
use crate::grouped::{passes, state_of_each};
use crate::ungrouped::Ungrouped;
use crate::user::{Function, Note, Unseen, coerced, outside};

/// Old states are dropped when there are so many rows of them for one that counts,
const STALE_FACTOR: usize = 2;
/// or so many batches.
const BATCHES_MAX: usize = 1024;

/// An aggregate as SQL knows it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct UserAggregate {
    note: Note,
    code: Unseen<dyn AggregateCode>,
    signature: Signature,
}

impl UserAggregate {
    pub fn new(function: &Function, code: Arc<dyn AggregateCode>) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Self { note: Note::of(function), code: Unseen(code), signature }
    }

    /// Whether it is one of the user's, which promise that they merge.
    pub fn is(function: &AggregateUDF) -> bool {
        let function: &dyn Any = function.inner().as_ref();
        function.is::<Self>()
    }

    fn describe(&self, arguments: &[DataType]) -> Result<Summary> {
        self.code.0.describe(arguments).map_err(|reason| plan_datafusion_err!("`{}`: {reason}", self.note.function))
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<UserGroups> {
        if args.is_distinct {
            return not_impl_err!("{}(DISTINCT …): take DISTINCT out, or select distinct rows first", self.name());
        }
        let arguments: Vec<DataType> = args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(UserGroups::new(self.note.clone(), self.code.0.clone(), self.describe(&arguments)?, arguments))
    }
}

impl AggregateUDFImpl for UserAggregate {
    fn name(&self) -> &str {
        &self.note.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        coerced(self.name(), arguments, |types| self.code.0.describe(types))
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(self.describe(arguments)?.answer)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let arguments: Vec<DataType> = args.input_fields.iter().map(|field| field.data_type().clone()).collect();
        let summary = self.describe(&arguments)?;
        let fields = summary.state.fields().iter().map(|field| {
            Arc::new(Field::new(format_state_name(args.name, field.name()), field.data_type().clone(), true))
        });
        Ok(fields.collect())
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Ungrouped::of(self.groups(&args)?)?))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.groups(&args)?))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The states of many groups.
struct UserGroups {
    note: Note,
    code: Arc<dyn AggregateCode>,
    summary: Summary,
    arguments: Vec<DataType>,
    /// States, newer ones behind older ones. The first row of the first is that of no rows.
    states: Vec<RecordBatch>,
    /// Where each group's state stands: batch and row.
    at: Vec<(usize, usize)>,
    rows: usize,
    /// Per group its number in the call under way.
    numbers: Vec<u32>,
}

/// Not in the call under way.
const NONE: u32 = u32::MAX;

impl UserGroups {
    fn new(note: Note, code: Arc<dyn AggregateCode>, summary: Summary, arguments: Vec<DataType>) -> Self {
        let states = vec![summary.zero.clone()];
        Self { note, code, summary, arguments, states, at: Vec::new(), rows: 1, numbers: Vec::new() }
    }

    fn resize(&mut self, total: usize) {
        self.at.resize(total, (0, 0));
        self.numbers.resize(total, NONE);
    }

    fn gather(&self, places: &[(usize, usize)]) -> Result<RecordBatch> {
        let batches: Vec<&RecordBatch> = self.states.iter().collect();
        Ok(interleave_record_batch(&batches, places)?)
    }

    /// Replaces the states of the groups of rows by what comes of them.
    fn change(
        &mut self,
        groups: &[usize],
        changed: impl FnOnce(&dyn AggregateCode, &RecordBatch, &[u32]) -> Result<RecordBatch>,
    ) -> Result<()> {
        let mut touched: Vec<usize> = Vec::new();
        let mut numbers = Vec::with_capacity(groups.len());
        for group in groups {
            let number = &mut self.numbers[*group];
            if *number == NONE {
                *number = touched.len() as u32;
                touched.push(*group);
            }
            numbers.push(*number);
        }
        touched.iter().for_each(|group| self.numbers[*group] = NONE);
        if touched.is_empty() {
            return Ok(());
        }
        let places: Vec<(usize, usize)> = touched.iter().map(|group| self.at[*group]).collect();
        let states = changed(&*self.code, &self.gather(&places)?, &numbers)?;
        let batch = self.states.len();
        touched.iter().enumerate().for_each(|(row, group)| self.at[*group] = (batch, row));
        self.rows += states.num_rows();
        self.states.push(states);
        if self.states.len() > BATCHES_MAX || self.rows > STALE_FACTOR * (self.at.len() + 1) {
            let kept = self.gather(&self.at)?;
            self.rows = 1 + kept.num_rows();
            self.states = vec![self.summary.zero.clone(), kept];
            self.at.iter_mut().enumerate().for_each(|(row, at)| *at = (1, row));
        }
        Ok(())
    }

    /// Takes states out.
    fn emit(&mut self, emit_to: EmitTo) -> Result<RecordBatch> {
        let places = emit_to.take_needed(&mut self.at);
        self.numbers.truncate(self.at.len());
        let states = self.gather(&places)?;
        if self.at.is_empty() {
            self.states.truncate(1);
            self.rows = 1;
        }
        Ok(states)
    }
}

impl fmt::Debug for UserGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserGroups({}, {} groups)", self.note.function, self.at.len())
    }
}

impl GroupsAccumulator for UserGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.resize(total);
        let passing: Option<Vec<u32>> =
            filter.map(|_| (0..groups.len() as u32).filter(|row| passes(filter, *row as usize)).collect());
        let (values, groups) = match passing {
            None => (values.to_vec(), groups.to_vec()),
            Some(rows) => {
                let groups = rows.iter().map(|row| groups[*row as usize]).collect();
                let rows = UInt32Array::from(rows);
                let values = values.iter().map(|column| take(column, &rows, None));
                (values.collect::<std::result::Result<Vec<_>, _>>()?, groups)
            }
        };
        let note = self.note.clone();
        self.change(&groups, |code, states, numbers| {
            let (states, failed) = code.accumulate(states, numbers, &values).map_err(outside)?;
            note.take(failed, &values)?;
            Ok(states)
        })
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let states = self.emit(emit_to)?;
        let finished = self.code.finish(&self.arguments, &states, &self.summary.answer);
        let (answers, failed) = finished.map_err(outside)?;
        self.note.take(failed, states.columns())?;
        Ok(answers)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(self.emit(emit_to)?.columns().to_vec())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.resize(total);
        let others = RecordBatch::try_new(self.summary.state.clone(), values.to_vec())?;
        // States go with the rows of a call, and a base has many.
        for (part, groups) in groups.chunks(BATCH_ROWS).enumerate() {
            let others = others.slice(part * BATCH_ROWS, groups.len());
            self.change(groups, |code, states, numbers| code.merge(states, numbers, &others).map_err(outside))?;
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let arguments = self.arguments.clone();
        let each = Self::new(self.note.clone(), self.code.clone(), self.summary.clone(), arguments);
        state_of_each(each, values, filter)
    }

    fn size(&self) -> usize {
        let states: usize = self.states.iter().map(RecordBatch::get_array_memory_size).sum();
        states + self.at.len() * size_of::<(usize, usize)>() + self.numbers.len() * size_of::<u32>()
    }
}
