//! One layer's runner: rows in, deltas out, epoch by epoch.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use braid_kernel::JobError;

/// Runs every view over the epochs of one layer.
#[derive(Debug)]
pub struct EngineJob {}

/// What an epoch gave.
#[derive(Debug, Clone, Default)]
pub struct EpochResult {
    /// Each view's delta; a view without rows in this epoch is missing.
    pub deltas: BTreeMap<String, Vec<RecordBatch>>,
    /// Rows too late for the view's windowed sinks, as they entered its aggregate; a bounded sample if there are many.
    pub late: BTreeMap<String, Vec<RecordBatch>>,
    /// How many rows were too late, including those beyond the bound.
    pub late_rows: BTreeMap<String, u64>,
}

impl EngineJob {
    /// Starts an epoch. Rows of windows that ended at or before `late_before_ms` are late.
    pub fn begin(&mut self, late_before_ms: Option<i64>) {
        let _ = late_before_ms;
    }

    /// Takes rows of one input: all its columns, or those that views need, found by name.
    pub async fn feed(&mut self, input: &str, batch: &RecordBatch) -> Result<(), JobError> {
        let _ = (input, batch);
        Ok(())
    }

    /// Ends the epoch. The job is then as if new, also after an error.
    pub async fn finish(&mut self) -> Result<EpochResult, JobError> {
        Ok(EpochResult::default())
    }
}
