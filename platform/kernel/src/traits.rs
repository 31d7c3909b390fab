//! What the kernel needs of the world. Each trait has a memory adapter in [`crate::memory`] and a law suite in [`crate::laws`].

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::error::{JobError, SinkError, SourceError, StoreError};
use crate::flow::Slices;
use crate::manifest::Segment;
#[cfg(doc)]
use crate::manifest::TableKind;
use crate::offsets::{SourcePlan, SourceState};
use crate::rows::{BadRecord, Rows};
use crate::trigger::Limit;

/// Bytes under names. Names are relative, with `/` between parts: `manifest/00000000000000000007.json`.
#[async_trait]
pub trait Store: Send + Sync {
    /// The bytes under a name; [`StoreError::NotFound`] where there are none.
    async fn get(&self, name: &str) -> Result<Bytes, StoreError>;
    /// Writes the bytes, whole or not at all, over what was there. Durable when it returns.
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError>;
    /// Writes the bytes only where the name is free, else [`StoreError::Exists`]. Of two that race, one wins.
    async fn create(&self, name: &str, bytes: Bytes) -> Result<(), StoreError>;
    /// All names that start with a prefix ending in `/`, ascending.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError>;
    /// Removes a name; removing what is not there is success.
    async fn delete(&self, name: &str) -> Result<(), StoreError>;
}

/// Columnar batches under names, never changed once written.
#[async_trait]
pub trait Segments: Send + Sync {
    /// Writes batches of one schema as one segment. The same name with the same rows may be written again (a replay).
    async fn write(&self, name: &str, batches: &[RecordBatch]) -> Result<Segment, StoreError>;
    /// Reads a segment back, and proves that it is what was written ([`StoreError::Corrupt`] otherwise).
    async fn read(&self, segment: &Segment) -> Result<Vec<RecordBatch>, StoreError>;
}

/// Where rows come from. One reader at a time.
#[async_trait]
pub trait Source: Send {
    /// Decides what the next epoch reads within the limit, without reading it; `None` where nothing new is there.
    /// Returns soon: the caller waits between calls. With an empty `state.offsets` this is the first start.
    async fn plan(&mut self, state: &SourceState, limit: &Limit) -> Result<Option<SourcePlan>, SourceError>;
    /// Reads exactly the plan's range, also one planned before a restart.
    async fn read(&mut self, plan: &SourcePlan) -> Result<BoxStream<'static, Result<Rows, SourceError>>, SourceError>;
    /// Everything before `state.offsets` is durable in Braid: the source may let go of it.
    async fn ack(&mut self, state: &SourceState) -> Result<(), SourceError>;
    /// Rows as they come from `state` on, for epochs that are planned when they end; `None` where the source has to be
    /// asked. It may be called again with another state: what the stream of before still has is not wanted.
    async fn follow(&mut self, _state: &SourceState) -> Result<Option<Slices>, SourceError> {
        Ok(None)
    }
    /// Whether plans that follow one another can be read as one: from the starts of the first to the ends of the last,
    /// with the notes of all.
    fn joins(&self) -> bool {
        false
    }
}

/// The user's transformation: the same in the speed and in the batch layer.
#[async_trait]
pub trait Job: Send {
    /// Starts an epoch. What the job remembers from epoch to epoch is as of it: the one before it was committed, and
    /// where this one was begun already, what it changed then is undone.
    fn begin(&mut self, start: EpochStart);
    /// Takes rows of one source. Rows of a partition come in their order.
    async fn feed(&mut self, source: &str, rows: Rows) -> Result<(), JobError>;
    /// What came of the rows fed since the last time, per table whose rows need not wait for the end of the epoch. They
    /// are in the epoch's contribution too.
    async fn flow(&mut self) -> Result<BTreeMap<String, Vec<RecordBatch>>, JobError> {
        Ok(BTreeMap::new())
    }
    /// The greatest event time per source of the rows fed in this epoch, in milliseconds since the Unix epoch.
    fn event_time_max(&self) -> BTreeMap<String, i64>;
    /// Ends the epoch: what it contributes. `final_before` is the watermark with this epoch's rows: state that is only
    /// for rows at or before it is let go.
    async fn finish(&mut self, final_before: Option<i64>) -> Result<Contribution, JobError>;
    /// Takes the rows of a [`TableKind::State`] table, oldest first, as they were before the next epoch.
    fn restore(&mut self, table: &str, rows: &[RecordBatch]) -> Result<(), JobError>;
    /// The rows of such a table as they are now, in the order of their keys: those behind a key, so many at most, and the
    /// last one's key.
    fn remembered(
        &mut self,
        table: &str,
        after: Option<&[u8]>,
        rows_max: usize,
    ) -> Result<Option<(RecordBatch, Vec<u8>)>, JobError>;
    /// The static tables that the epoch under way sees, by name: the same objects as in the epoch before where nothing changed.
    fn tables(&self) -> Tables;
    /// From the next `begin` on a static table has these rows, whatever it has elsewhere.
    fn see(&mut self, table: &str, rows: Vec<RecordBatch>) -> Result<(), JobError>;
    /// When an epoch has something to do even if no source has, in milliseconds since the Unix epoch.
    fn wakes_at(&self) -> Option<i64>;
}

/// Rows of static tables by name.
pub type Tables = BTreeMap<String, Arc<Vec<RecordBatch>>>;

/// The beginning of an epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EpochStart {
    /// Its number.
    pub epoch: u64,
    /// The watermark before it, in milliseconds: rows of windows that ended at or before it are too late for sinks that
    /// wait for windows to end, and for state that was let go.
    pub late_before: Option<i64>,
    /// When it was planned, in milliseconds since the Unix epoch.
    pub planned_at: i64,
}

/// ⊕ of the tables whose rows have keys. Associative, and the same bits in any grouping.
pub trait Merge: Send + Sync {
    /// Merges parts, oldest first, into batches with one row per key. Of a state table they begin with its first:
    /// what was removed leaves no trace.
    fn merge(&self, table: &str, parts: &[RecordBatch]) -> Result<Vec<RecordBatch>, JobError>;
    /// Rows of a keyed table in so many parts, so that those that are merged with each other are in the same.
    fn split(&self, table: &str, rows: &RecordBatch, parts: usize) -> Result<Vec<RecordBatch>, JobError>;
    /// Merges what is at the front of parts of a state table, oldest first, each in the order of its keys: rows up to
    /// the least last key of the parts that go on, and all rows where none does. What says that a key was removed stays,
    /// unless the parts begin with the table's `first`.
    fn front(&self, table: &str, parts: &[RecordBatch], goes_on: &[bool], first: bool) -> Result<Front, JobError>;
}

/// What is merged, and what is left. See [`Merge::front`].
#[derive(Debug, Clone, Default)]
pub struct Front {
    /// Rows in the order of their keys.
    pub merged: Vec<RecordBatch>,
    /// Of each part the rows that were not merged.
    pub rest: Vec<RecordBatch>,
}

/// Where records are handed in from outside (`POST /v1/sources/{name}/records`).
#[async_trait]
pub trait Ingest: Send + Sync {
    /// Takes newline-separated records. They are durable when it returns their offsets; nothing of the body is on an error.
    async fn append(&self, body: Bytes) -> Result<std::ops::Range<i64>, SourceError>;
}

/// Where a query's rows go.
#[async_trait]
pub trait Sink: Send {
    /// Writes what an epoch changed. Called again with the same epoch after a crash: the effect is that of one call.
    async fn write(&mut self, epoch: u64, epoch_rows: &EpochOutput<'_>) -> Result<SinkReport, SinkError>;
    /// Takes rows of an epoch that has not ended, per table, if it can: `write` is given them all once more. Part 0
    /// begins the epoch, whatever flowed of it before.
    async fn flow(
        &mut self,
        _epoch: u64,
        _part: u64,
        _rows: &BTreeMap<String, Vec<RecordBatch>>,
    ) -> Result<(), SinkError> {
        Ok(())
    }
}

/// Time, for loops that wait.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;
    /// Waits that long.
    async fn sleep(&self, duration: std::time::Duration);
}

/// What one epoch contributes.
#[derive(Debug, Clone, Default)]
pub struct Contribution {
    /// The delta of each table. A table without rows in this epoch may be missing.
    pub deltas: BTreeMap<String, Vec<RecordBatch>>,
    /// Records that failed on the way, per source.
    pub bad: BTreeMap<String, Vec<BadRecord>>,
    /// Records that failed on the way and are only counted, per source.
    pub skipped: BTreeMap<String, u64>,
    /// Rows too late for a view's sinks, per view, as JSON objects. (The view itself has them.)
    pub late: BTreeMap<String, Vec<String>>,
}

impl Contribution {
    /// Takes the records over that failed elsewhere on the way.
    pub fn add_failed(&mut self, other: Self) {
        for (source, bad) in other.bad {
            self.bad.entry(source).or_default().extend(bad);
        }
        for (source, skipped) in other.skipped {
            *self.skipped.entry(source).or_default() += skipped;
        }
    }
}

/// What a sink is given of an epoch.
#[derive(Debug, Clone, Copy)]
pub struct EpochOutput<'a> {
    /// The deltas of every table, as they are about to be committed.
    pub deltas: &'a BTreeMap<String, Vec<RecordBatch>>,
    /// The watermark before this epoch, in milliseconds: rows of windows that ended at or before it are too late.
    pub late_before: Option<i64>,
    /// The watermark after this epoch, in milliseconds: windows that ended at or before it are final.
    pub final_before: Option<i64>,
    /// Whether all of its rows were given to `flow`, by this process and in one go.
    pub flowed: bool,
}

/// What became of an epoch's rows in a sink.
#[derive(Debug, Clone, Copy, Default)]
pub struct SinkReport {
    /// Rows written.
    pub rows: u64,
}
