//! What a sink writes of a keyed or an append view, by output mode.

use arrow::array::RecordBatch;
use braid_kernel::JobError;

/// The rows for one sink: keeps the merged state per key where the mode needs it.
#[derive(Debug)]
pub struct Output {}

impl Output {
    /// Takes the view's merged state as of the start (base ⊕ deltas, any number of parts per key).
    /// Windows final at `final_before_ms` were written before and are left out.
    pub fn seed(&mut self, state: &[RecordBatch], final_before_ms: Option<i64>) -> Result<(), JobError> {
        let _ = (state, final_before_ms);
        Ok(())
    }

    /// Takes one epoch's delta; gives the rows to write, in the view's answer schema.
    pub async fn apply(
        &mut self,
        delta: &[RecordBatch],
        late_before_ms: Option<i64>,
        final_before_ms: Option<i64>,
    ) -> Result<Vec<RecordBatch>, JobError> {
        let _ = (late_before_ms, final_before_ms);
        Ok(delta.to_vec())
    }
}
