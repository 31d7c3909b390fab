//! Everything durable that Braid knows about a deployment, in one value: the manifest.
//!
//! It is kept as a log of edits (`manifest/<sequence>.json`) with a snapshot now and then
//! (`manifest/snapshot/<sequence>.json`), so that a commit writes what changed and not the history.
//! A field once written keeps its name and meaning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::offsets::{SourcePlan, SourceState};

/// A file of rows. Immutable once named here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Its name in the store.
    pub name: String,
    /// How many rows it holds.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// CRC-32 of its bytes, proved at every read.
    pub crc: u32,
}

/// What one epoch added to one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// The epoch.
    pub epoch: u64,
    /// Its rows; none where the epoch did not touch the table. The entry itself is never missing.
    pub segments: Vec<Segment>,
}

/// base ⊕ deltas. The base covers the epochs below the manifest's horizon, the deltas are exactly the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// What the base layer wrote, in order.
    pub base: Vec<Segment>,
    /// One entry per epoch from the horizon to the next epoch, without a gap.
    pub deltas: Vec<Delta>,
}

/// Who wrote the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BaseBy {
    /// Kappa: the deltas were merged into it.
    Fold,
    /// Lambda: it was computed anew from the raw log.
    Recompute,
}

/// How tables get from an epoch's delta to a base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// Rows have keys; ⊕ merges them, and a base has one row per key.
    Keyed,
    /// Rows only accumulate; ⊕ is to stand one after the other.
    Append,
    /// Like `Append`, but about the processing and not of the data (dead letters, late rows): never recomputed.
    Ledger,
}

/// The published base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Counts bases, from 1.
    pub generation: u64,
    /// Who wrote it.
    pub by: BaseBy,
    /// It covers exactly the epochs below this one.
    pub horizon: u64,
    /// When it was published, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// The raw rows, as they came: the master dataset of Lambda.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// It holds every epoch from this one to the manifest's next. `None` where the layout keeps no log.
    pub from: Option<u64>,
    /// The tables' rows below `from`, where that is not 0: a recompute starts from them.
    pub seed: BTreeMap<String, Vec<Segment>>,
    /// The newest index object (see [`LogIndex`]), for the epochs that `tail` no longer lists.
    pub index: Option<Segment>,
    /// The segments of the epochs after the index.
    pub tail: Vec<LogEpoch>,
}

/// One epoch of the raw log: per source its segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEpoch {
    /// The epoch.
    pub epoch: u64,
    /// Per source, in the order in which the rows were read.
    pub segments: BTreeMap<String, Vec<Segment>>,
}

/// An object that lists log epochs, so that the manifest itself stays small. Indexes form a chain, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogIndex {
    /// The index before this one.
    pub previous: Option<Segment>,
    /// Consecutive epochs.
    pub epochs: Vec<LogEpoch>,
}

/// The plan of an epoch, written before it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The epoch it is for.
    pub epoch: u64,
    /// What it reads. A source that has nothing new is missing.
    pub sources: BTreeMap<String, SourcePlan>,
}

/// Totals since the first start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows read per source.
    pub rows: BTreeMap<String, u64>,
    /// Bad records per source.
    pub bad: BTreeMap<String, u64>,
    /// Rows too late, per sink.
    pub late: BTreeMap<String, u64>,
}

/// One deployment, as of one commit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The sequence number of the last edit in it; 0 where there is none.
    pub sequence: u64,
    /// The format of this document: [`Manifest::FORMAT`].
    pub format: u32,
    /// The deployment's name.
    pub deployment: String,
    /// Who may write: the last to open it.
    pub writer: String,
    /// The layout it was last opened with.
    pub layout: String,
    /// What each table is made of: a digest of its definition. A change of it is a change of answers.
    pub definitions: BTreeMap<String, String>,
    /// How each table gets to a base.
    pub kinds: BTreeMap<String, TableKind>,
    /// The epoch that comes next: all below are committed.
    pub next: u64,
    /// The plan of `next`, where one was written and not yet committed.
    pub planned: Option<Plan>,
    /// Each source's state after the committed epochs.
    pub sources: BTreeMap<String, SourceState>,
    /// The base, where one was published.
    pub base: Option<Base>,
    /// Every table's rows.
    pub tables: BTreeMap<String, Table>,
    /// The raw log.
    pub log: Log,
    /// Totals.
    pub counts: Counts,
    /// When the last epoch was committed, in milliseconds since the Unix epoch.
    pub committed_at_ms: i64,
}
