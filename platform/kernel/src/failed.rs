//! Why an epoch failed, whose part it was, and whether trying again makes sense.

use arrow_schema::ArrowError;
use thiserror::Error;

use crate::error::{JobError, SinkError, SourceError, StoreError};
use crate::ledger::LedgerError;

/// Why an epoch failed.
#[derive(Debug, Error)]
pub enum SpeedError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("source `{source_name}`: {error}")]
    Source { source_name: String, error: SourceError },
    #[error(transparent)]
    Job(#[from] JobError),
    #[error("sink `{sink}`: {error}")]
    Sink { sink: String, error: SinkError },
}

impl SpeedError {
    /// Whether the same epoch may succeed later, with nothing opened anew.
    pub fn passes(&self) -> bool {
        matches!(
            self,
            Self::Source { error: SourceError::Retry(_), .. }
                | Self::Sink { error: SinkError::Retry(_), .. }
                | Self::Store(StoreError::Unknown { .. })
                | Self::Ledger(LedgerError::Store(StoreError::Unknown { .. }))
        )
    }

    /// Whether it may pass after a restart. What cannot: another writer, a definition, damage, rows that are gone, and
    /// what the same rows would bring about again.
    pub fn restartable(&self) -> bool {
        let store = |error: &StoreError| !matches!(error, StoreError::Corrupt { .. });
        match self {
            Self::Ledger(LedgerError::Store(error)) | Self::Store(error) => store(error),
            Self::Ledger(_) => false,
            Self::Source { error, .. } => !matches!(error, SourceError::DataLoss(_) | SourceError::BadRecord { .. }),
            Self::Job(JobError::View { .. }) => false,
            Self::Job(_) | Self::Sink { .. } => true,
        }
    }

    /// Whose part failed, where it is one's: the kind of part and its name.
    pub fn part(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Source { source_name, .. } => Some(("source", source_name)),
            Self::Sink { sink, .. } => Some(("sink", sink)),
            Self::Job(JobError::View { view, .. }) => Some(("view", view)),
            Self::Job(JobError::Plugin { plugin, .. }) => Some(("plugin", plugin)),
            Self::Job(JobError::Bug(_) | JobError::StateDisk(_)) | Self::Ledger(_) | Self::Store(_) => None,
        }
    }
}

impl From<ArrowError> for SpeedError {
    fn from(error: ArrowError) -> Self {
        Self::Job(JobError::Bug(error.to_string()))
    }
}
