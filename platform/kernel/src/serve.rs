//! What readers see: one manifest, the batches of its deltas that are still in memory, and how the last epochs went.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use tokio::sync::watch;

use crate::manifest::Manifest;
use crate::progress::Progress;

/// The answers as of one commit.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The commit.
    pub manifest: Arc<Manifest>,
    /// Per table and epoch, the rows of deltas that are in memory. A delta that is not here is read from its segments.
    pub hot: BTreeMap<String, BTreeMap<u64, Arc<Vec<RecordBatch>>>>,
}

/// Where the loops put what happened and readers look. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Board {
    snapshot: watch::Sender<Arc<Snapshot>>,
    recent: Arc<Mutex<VecDeque<Progress>>>,
}

impl Board {
    /// How many progress reports are kept, as in Spark (`numRecentProgressUpdates`).
    pub const RECENT_MAX: usize = 100;

    /// A board that shows this first.
    pub fn new(first: Snapshot) -> Self {
        Self {
            snapshot: watch::Sender::new(Arc::new(first)),
            recent: Arc::default(),
        }
    }

    /// Shows a newer commit.
    pub fn publish(&self, snapshot: Snapshot) {
        self.snapshot.send_replace(Arc::new(snapshot));
    }

    /// The newest commit.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// Wakes at each newer commit.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    /// Keeps a report.
    pub fn report(&self, progress: Progress) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == Self::RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(progress);
    }

    /// The last reports, newest last.
    pub fn recent(&self) -> Vec<Progress> {
        self.recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }
}
