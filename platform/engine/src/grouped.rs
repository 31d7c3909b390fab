//! What accumulators over groups have in common.

use arrow::array::{Array, ArrayRef, BooleanArray};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};

/// Whether a row passes the aggregate's filter.
pub fn passes(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

/// The state of each row by itself, by an accumulator that has seen nothing.
pub fn state_of_each(
    mut each: impl GroupsAccumulator,
    values: &[ArrayRef],
    filter: Option<&BooleanArray>,
) -> Result<Vec<ArrayRef>> {
    let groups: Vec<usize> = (0..values[0].len()).collect();
    each.update_batch(values, &groups, filter, groups.len())?;
    each.state(EmitTo::All)
}
