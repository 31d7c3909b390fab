//! `min` and `max` of floats in one total order, as in Spark: NaN is greater than any number, and -0.0 equals 0.0.
//!
//! Arrays and structs are compared item by item, nulls first ([`BestGroups`]). Every other type goes to DataFusion's own
//! functions, whose comparisons are total already.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float32Array, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, exec_err};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature};

use crate::best_by::BestGroups;
use crate::grouped::{passes, state_of_each};
use crate::ungrouped::Ungrouped;

/// `min` and `max`, in place of DataFusion's.
pub fn functions() -> Vec<Arc<AggregateUDF>> {
    [min_udaf(), max_udaf()]
        .into_iter()
        .map(|inner| Arc::new(AggregateUDF::from(Extreme { greatest: inner.name() == "max", inner })))
        .collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    greatest: bool,
    inner: Arc<AggregateUDF>,
}

impl Extreme {
    fn floats(&self, args: &AccumulatorArgs) -> Option<FloatGroups> {
        let answer = args.return_field.data_type();
        matches!(answer, DataType::Float32 | DataType::Float64).then(|| FloatGroups {
            greatest: self.greatest,
            answer: answer.clone(),
            best: Vec::new(),
        })
    }
}

impl Extreme {
    fn nested(&self, args: &AccumulatorArgs) -> Option<BestGroups> {
        let answer = args.return_field.data_type();
        answer.is_nested().then(|| BestGroups::new(self.greatest, answer))
    }
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.inner().coerce_types(arguments)
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arguments)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if args.input_fields[0].data_type().is_nested() {
            let field = |part: &str| Arc::new(Field::new(format_state_name(args.name, part), DataType::Binary, true));
            return Ok(vec![field("key"), field("value")]);
        }
        self.inner.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match (self.floats(&args), self.nested(&args)) {
            (Some(groups), _) => Ok(Box::new(Ungrouped::of(groups)?)),
            (_, Some(groups)) => Ok(Box::new(Ungrouped::of(groups)?)),
            _ => self.inner.accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.floats(&args).is_some() || self.nested(&args).is_some() || self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match (self.floats(&args), self.nested(&args)) {
            (Some(groups), _) => Ok(Box::new(groups)),
            (_, Some(groups)) => Ok(Box::new(groups)),
            _ => self.inner.create_groups_accumulator(args),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The least or greatest value of many groups. A 32-bit float is kept as the double it equals.
#[derive(Debug)]
struct FloatGroups {
    greatest: bool,
    answer: DataType,
    best: Vec<Option<f64>>,
}

/// One zero and one NaN.
fn canonical(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value + 0.0 }
}

impl FloatGroups {
    fn take(&mut self, row: Option<f64>, group: usize) {
        let Some(value) = row.map(canonical) else {
            return;
        };
        let best = &mut self.best[group];
        let replaces = best.is_none_or(|best| {
            let order = value.total_cmp(&best);
            if self.greatest { order.is_gt() } else { order.is_lt() }
        });
        if replaces {
            *best = Some(value);
        }
    }

    fn emit(&mut self, emit_to: EmitTo) -> ArrayRef {
        let best = emit_to.take_needed(&mut self.best);
        match self.answer {
            DataType::Float32 => {
                let values = best.into_iter().map(|best| best.map(|best| best as f32));
                Arc::new(values.collect::<Float32Array>())
            }
            _ => Arc::new(Float64Array::from(best)),
        }
    }
}

impl GroupsAccumulator for FloatGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.best.resize(total, None);
        let counts = |row: usize| values[0].is_valid(row) && passes(filter, row);
        if let Some(values) = values[0].as_primitive_opt::<Float64Type>() {
            for (row, &group) in groups.iter().enumerate() {
                self.take(counts(row).then(|| values.value(row)), group);
            }
            Ok(())
        } else if let Some(values) = values[0].as_primitive_opt::<Float32Type>() {
            for (row, &group) in groups.iter().enumerate() {
                self.take(counts(row).then(|| values.value(row).into()), group);
            }
            Ok(())
        } else {
            exec_err!("an extreme of floats was given {}", values[0].data_type())
        }
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(self.emit(emit_to))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.emit(emit_to)])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.update_batch(values, groups, None, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        state_of_each(
            FloatGroups { greatest: self.greatest, answer: self.answer.clone(), best: Vec::new() },
            values,
            filter,
        )
    }

    fn size(&self) -> usize {
        self.best.capacity() * size_of::<Option<f64>>()
    }
}
