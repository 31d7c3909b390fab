//! How an epoch went, in the words of Spark's `StreamingQueryProgress`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::offsets::Offsets;

/// One epoch's report.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Stays the same over restarts.
    pub id: String,
    /// New at each start.
    pub run_id: String,
    /// The deployment's name.
    pub name: String,
    /// When the epoch began, RFC 3339 in UTC with milliseconds.
    pub timestamp: String,
    /// The epoch.
    pub batch_id: u64,
    /// Rows read.
    pub num_input_rows: u64,
    /// Rows read per second since the epoch before began.
    pub input_rows_per_second: f64,
    /// Rows read per second of this epoch's work.
    pub processed_rows_per_second: f64,
    /// Milliseconds by phase: `latestOffset`, `walCommit`, `addBatch`, `commitOffsets`, `triggerExecution`.
    pub duration_ms: BTreeMap<String, u64>,
    /// `watermark`, RFC 3339, where there is one.
    pub event_time: BTreeMap<String, String>,
    /// One entry per view with state.
    pub state_operators: Vec<StateOperator>,
    /// One entry per source.
    pub sources: Vec<SourceProgress>,
    /// One entry per sink.
    pub sinks: Vec<SinkProgress>,
}

/// A view's part.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateOperator {
    /// The view.
    pub operator_name: String,
    /// Rows of its delta.
    pub num_rows_updated: u64,
    /// Rows too late for its sinks.
    pub num_rows_dropped_by_watermark: u64,
}

/// A source's part.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceProgress {
    /// The source.
    pub description: String,
    /// Inclusive.
    pub start_offset: Offsets,
    /// Exclusive.
    pub end_offset: Offsets,
    /// Rows read.
    pub num_input_rows: u64,
    /// Bad records.
    pub num_bad_records: u64,
}

/// A sink's part.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SinkProgress {
    /// The sink.
    pub description: String,
    /// Rows written.
    pub num_output_rows: u64,
}
