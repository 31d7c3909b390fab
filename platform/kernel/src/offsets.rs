//! Positions in a source: one offset per partition, ends exclusive everywhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The next offset to read, per partition of one source.
pub type Offsets = BTreeMap<String, i64>;

/// What the manifest remembers of a source: how far it was read, and the source's own notes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceState {
    /// Exclusive ends of what committed epochs have read. Empty before the first epoch.
    pub offsets: Offsets,
    /// The source's own durable memory, e.g. which files it has seen. Keys are the source's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, Value>,
    /// The greatest event time seen, in milliseconds since the Unix epoch, if the source has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time_max: Option<i64>,
    /// The watermark in milliseconds since the Unix epoch. It never goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<i64>,
}

/// One source's part of one epoch: written before the epoch runs, so that a replay reads the same.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourcePlan {
    /// Inclusive starts, for the partitions this epoch reads.
    pub start: Offsets,
    /// Exclusive ends, for the same partitions.
    pub end: Offsets,
    /// Added to [`SourceState::notes`] when the epoch commits; a null removes the key.
    /// Enough, with the ranges, to read the same rows again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, Value>,
    /// The source has more than the plan takes: the next epoch need not wait.
    #[serde(skip)]
    pub more: bool,
}

impl SourcePlan {
    /// Reads what another plan does as well, which begins where this one ends.
    pub fn join(&mut self, next: SourcePlan) {
        for (partition, start) in next.start {
            self.start.entry(partition).or_insert(start);
        }
        self.end.extend(next.end);
        self.notes.extend(next.notes);
        self.more = next.more;
    }
}

impl SourceState {
    /// The state after an epoch of this plan has committed.
    pub fn advance(&mut self, plan: &SourcePlan) {
        for (partition, end) in &plan.end {
            self.offsets.insert(partition.clone(), *end);
        }
        for (key, note) in &plan.notes {
            if note.is_null() {
                self.notes.remove(key);
            } else {
                self.notes.insert(key.clone(), note.clone());
            }
        }
    }
}
