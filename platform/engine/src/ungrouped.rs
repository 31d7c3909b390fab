//! An aggregate over all rows, computed by the aggregate over groups with one group: one algorithm for both.

use std::fmt::Debug;

use arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

/// The only group of plans without groups.
#[derive(Debug)]
pub struct Ungrouped<G>(G);

impl<G: GroupsAccumulator> Ungrouped<G> {
    /// Of an accumulator that has seen nothing. The group is there even if no row comes: its answer is that of no rows.
    pub fn of(mut groups: G) -> Result<Self> {
        let nothing = groups.state(EmitTo::All)?;
        groups.merge_batch(&nothing, &[], 1)?;
        Ok(Self(groups))
    }

    /// Its state, which stays.
    fn kept(&mut self) -> Result<Vec<ArrayRef>> {
        let state = self.0.state(EmitTo::All)?;
        self.0.merge_batch(&state, &[0], 1)?;
        Ok(state)
    }
}

impl<G: GroupsAccumulator + Debug + Sync> Accumulator for Ungrouped<G> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let groups = vec![0; values[0].len()];
        self.0.update_batch(values, &groups, None, 1)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        // Window frames ask repeatedly.
        let state = self.kept()?;
        let answer = self.0.evaluate(EmitTo::All)?;
        self.0.merge_batch(&state, &[0], 1)?;
        ScalarValue::try_from_array(&answer, 0)
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.kept()?.iter().map(|array| ScalarValue::try_from_array(array, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let groups = vec![0; states[0].len()];
        self.0.merge_batch(states, &groups, 1)
    }
}
