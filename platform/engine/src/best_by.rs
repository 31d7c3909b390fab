//! `min_by` and `max_by`, and `min` and `max` of arrays and structs: the row whose key is least or greatest.
//!
//! Keys and values are compared as bytes of Arrow's row format. Of equal keys the greater value is taken, so that the
//! answer does not depend on the order of rows (Spark's does).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use crate::grouped::{passes, state_of_each};
use crate::spark::{normal, rows_of};
use crate::ungrouped::Ungrouped;

/// `min_by(value, key)` and `max_by(value, key)`.
pub fn functions() -> Vec<Arc<AggregateUDF>> {
    [("min_by", false), ("max_by", true)]
        .map(|(name, greatest)| {
            let signature = Signature::user_defined(Volatility::Immutable);
            Arc::new(AggregateUDF::from(BestBy { name, greatest, signature }))
        })
        .to_vec()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct BestBy {
    name: &'static str,
    greatest: bool,
    signature: Signature,
}

impl AggregateUDFImpl for BestBy {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        match arguments {
            [_, _] => Ok(arguments.to_vec()),
            _ => plan_err!("{} takes a value and a key", self.name),
        }
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |part: &str| Arc::new(Field::new(format_state_name(args.name, part), DataType::Binary, true));
        Ok(vec![field("key"), field("value")])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Ungrouped::of(BestGroups::new(self.greatest, args.return_field.data_type()))?))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(BestGroups::new(self.greatest, args.return_field.data_type())))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

type Best = Option<(Box<[u8]>, Box<[u8]>)>;

/// The best row of many groups: its key and its value, in bytes.
#[derive(Debug)]
pub struct BestGroups {
    greatest: bool,
    answer: DataType,
    best: Vec<Best>,
}

impl BestGroups {
    /// No groups.
    pub fn new(greatest: bool, answer: &DataType) -> Self {
        Self { greatest, answer: answer.clone(), best: Vec::new() }
    }

    fn take(&mut self, group: usize, key: &[u8], value: &[u8]) {
        let better = self.best[group].as_ref().is_none_or(|(best, of)| {
            let order = key.cmp(best);
            let order = if self.greatest { order } else { order.reverse() };
            order.then_with(|| value.cmp(of)).is_gt()
        });
        if better {
            self.best[group] = Some((key.into(), value.into()));
        }
    }
}

impl GroupsAccumulator for BestGroups {
    /// Value and key; or a value that is its own key.
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.best.resize(total, None);
        let by = &values[values.len() - 1];
        let (of, keys) = (rows_of(&values[0])?, rows_of(&normal(by))?);
        for (row, &group) in groups.iter().enumerate() {
            if passes(filter, row) && by.is_valid(row) {
                self.take(group, keys.row(row).as_ref(), of.row(row).as_ref());
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let best = emit_to.take_needed(&mut self.best);
        let converter = RowConverter::new(vec![SortField::new(self.answer.clone())])?;
        let parser = converter.parser();
        let null = rows_of(&arrow::array::new_null_array(&self.answer, 1))?;
        let rows = best.iter().map(|best| match best {
            Some((_, value)) => parser.parse(value),
            None => null.row(0),
        });
        Ok(converter.convert_rows(rows)?.remove(0))
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let best = emit_to.take_needed(&mut self.best);
        let keys: BinaryArray = best.iter().map(|best| best.as_ref().map(|(key, _)| key)).collect();
        let values: BinaryArray = best.iter().map(|best| best.as_ref().map(|(_, value)| value)).collect();
        Ok(vec![Arc::new(keys), Arc::new(values)])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.best.resize(total, None);
        let (keys, of) = (values[0].as_binary::<i32>(), values[1].as_binary::<i32>());
        for (row, &group) in groups.iter().enumerate() {
            if keys.is_valid(row) {
                self.take(group, keys.value(row), of.value(row));
            }
        }
        Ok(())
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        state_of_each(BestGroups::new(self.greatest, &self.answer), values, filter)
    }

    fn size(&self) -> usize {
        let bytes = self.best.iter().flatten().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        bytes + self.best.capacity() * size_of::<Best>()
    }
}
