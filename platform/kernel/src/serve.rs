//! What readers see: one manifest, the batches of its deltas that are still in memory, and how the last epochs went.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use tokio::sync::watch;

use crate::manifest::Manifest;
use crate::progress::{Activity, Progress};

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
    activity: Arc<Mutex<(Activity, bool)>>,
}

impl Board {
    /// How many progress reports are kept, as in Spark (`numRecentProgressUpdates`).
    pub const RECENT_MAX: usize = 100;

    /// How many bytes of deltas are kept in memory; older ones are read from their segments.
    pub const HOT_BYTES_MAX: usize = 256 * 1024 * 1024;

    /// A board that shows this first.
    pub fn new(first: Snapshot) -> Self {
        Self { snapshot: watch::Sender::new(Arc::new(first)), recent: Arc::default(), activity: Arc::default() }
    }

    /// Shows a newer commit.
    pub fn publish(&self, snapshot: Snapshot) {
        self.snapshot.send_replace(Arc::new(snapshot));
    }

    /// Shows a newer commit, with an epoch's deltas if it is an epoch's. What the base now covers, and the oldest of
    /// what is more than [`Self::HOT_BYTES_MAX`], leaves the memory. The caller holds the ledger, so commits come in order.
    pub fn advance(&self, manifest: Arc<Manifest>, epoch: Option<(u64, &BTreeMap<String, Vec<RecordBatch>>)>) {
        let mut hot = self.snapshot().hot.clone();
        if let Some((epoch, deltas)) = epoch {
            for (table, batches) in deltas {
                hot.entry(table.clone()).or_default().insert(epoch, Arc::new(batches.clone()));
            }
        }
        let horizon = manifest.horizon();
        let mut bytes = 0;
        for epochs in hot.values_mut() {
            epochs.retain(|epoch, _| *epoch >= horizon);
            for (_, batches) in epochs.iter() {
                bytes += batches.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
            }
        }
        while bytes > Self::HOT_BYTES_MAX {
            let oldest = hot.values().filter_map(|epochs| epochs.keys().next().copied()).min();
            let Some(oldest) = oldest else { break };
            for batches in hot.values_mut().filter_map(|epochs| epochs.remove(&oldest)) {
                bytes -= batches.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
            }
        }
        self.publish(Snapshot { manifest, hot });
    }

    /// The newest commit.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// Wakes at each newer commit.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    /// Says what the loop is doing.
    pub fn now(&self, activity: Activity) {
        let mut now = self.activity.lock().unwrap_or_else(PoisonError::into_inner);
        let available = activity.data_available().unwrap_or(now.1);
        *now = (activity, available);
    }

    /// What the loop is doing, and whether the sources had something when they were last asked.
    pub fn activity(&self) -> (Activity, bool) {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
