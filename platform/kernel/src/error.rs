//! Errors at the kernel's edges. Each says what the caller can do about it.

use thiserror::Error;

/// Why a store did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// There is nothing under this name.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The name was taken: somebody else wrote it, or an earlier try of ours whose reply was lost.
    #[error("{0} exists already")]
    Exists(String),
    /// It may or may not have happened. Try again, or look.
    #[error("{name}: the outcome is unknown: {reason}")]
    Unknown { name: String, reason: String },
    /// The bytes are not what was written. Never retried, never served.
    #[error("{name} is damaged: {reason}")]
    Corrupt { name: String, reason: String },
    /// It did not happen, and trying again will not help (no rights, no such bucket, a full disk).
    #[error("{name}: {reason}")]
    Failed { name: String, reason: String },
}

/// Why a source could not plan or read.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The world may come back (a broker is away): try again after a while.
    #[error("{0}")]
    Retry(String),
    /// Rows that were asked for are gone (retention, a deleted file). Stops unless `fail_on_data_loss: false`.
    #[error("data was lost: {0}")]
    DataLoss(String),
    /// A record could not be read and `on_bad_record: fail` was chosen.
    #[error("bad record at {partition}:{offset}: {reason}")]
    BadRecord { partition: String, offset: i64, reason: String },
    /// What was handed in is over the source's limit. Nothing of it was taken.
    #[error("{0}")]
    TooLarge(String),
    /// It will not get better by itself.
    #[error("{0}")]
    Fatal(String),
}

/// Why the user's transformation failed.
#[derive(Debug, Clone, Error)]
pub enum JobError {
    /// A view's own expression failed on some row (a division by zero, an overflow).
    #[error("view `{view}`: {reason}")]
    View { view: String, reason: String },
    /// A plugin failed and `on_error: fail` was chosen.
    #[error("plugin `{plugin}`: {reason}")]
    Plugin { plugin: String, reason: String },
    /// The local disk did not take, or lost, what operators remember. The store has it.
    #[error("{0}")]
    StateDisk(String),
    /// A broken promise inside Braid.
    #[error("bug: {0}")]
    Bug(String),
}

/// Why a sink did not take an epoch.
#[derive(Debug, Error)]
pub enum SinkError {
    /// The world may come back: try again with the same epoch.
    #[error("{0}")]
    Retry(String),
    /// It will not get better by itself.
    #[error("{0}")]
    Fatal(String),
}
