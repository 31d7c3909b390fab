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
    /// Milliseconds of this epoch's work.
    pub batch_duration: u64,
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

/// What the loop is doing, in the words of Spark's `StreamingQueryStatus`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Activity {
    /// Opening the store and the sources.
    #[default]
    Initializing,
    /// Asking the sources what is new.
    GettingOffsets,
    /// Running an epoch.
    Processing,
    /// Nothing was new.
    WaitingForData,
    /// An epoch was committed.
    WaitingForTrigger,
    /// Nothing was new, but not all sources could be asked.
    WaitingForSource,
    /// The epoch failed in a way that may pass, and is tried again.
    Retrying(String),
}

impl Activity {
    /// For people.
    pub fn message(&self) -> String {
        let message = match self {
            Self::Initializing => "Initializing sources",
            Self::GettingOffsets => "Getting offsets from sources",
            Self::Processing => "Processing new data",
            Self::WaitingForData => "Waiting for data to arrive",
            Self::WaitingForTrigger => "Waiting for next trigger",
            Self::WaitingForSource => "Waiting for a source that does not answer",
            Self::Retrying(reason) => return format!("Trying the epoch again: {reason}"),
        };
        message.into()
    }

    /// Whether the sources had something when they were last asked, where this tells.
    pub fn data_available(&self) -> Option<bool> {
        match self {
            Self::Processing | Self::Retrying(_) => Some(true),
            Self::WaitingForData | Self::WaitingForSource => Some(false),
            Self::Initializing | Self::GettingOffsets | Self::WaitingForTrigger => None,
        }
    }

    /// Whether a trigger has fired and is being worked on.
    pub fn trigger_active(&self) -> bool {
        matches!(self, Self::GettingOffsets | Self::Processing)
    }
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
    /// Exclusive ends of what was there; not known where the epoch's limit left rows.
    pub latest_offset: Option<Offsets>,
    /// Rows read.
    pub num_input_rows: u64,
    /// Rows read per second since the epoch before began.
    pub input_rows_per_second: f64,
    /// Rows read per second of this epoch's work.
    pub processed_rows_per_second: f64,
    /// Bad records.
    pub num_bad_records: u64,
    /// `rateLimit`: rows a second that back-pressure allowed, where it does.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub metrics: BTreeMap<String, String>,
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
