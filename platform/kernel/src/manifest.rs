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
    /// Like `Keyed`, with the last row per key; what operators remember from epoch to epoch. Nobody asks for it.
    State,
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
    /// It holds every epoch from this one to the manifest's next, or to `ended`. `None` where none was ever kept.
    pub from: Option<u64>,
    /// Where it stopped, if the layout was changed to one that keeps no log. Exclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    /// The tables' rows below `from`, where that is not 0: a recompute starts from them.
    pub seed: BTreeMap<String, Vec<Segment>>,
    /// The newest index object (see [`LogIndex`]), for the epochs that `tail` no longer lists.
    pub index: Option<Segment>,
    /// The segments of the epochs after the index.
    pub tail: Vec<LogEpoch>,
    /// The newest indexes of logs that ended before this one began. Kept, not read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub archive: Vec<Segment>,
}

/// One epoch of the raw log: per source its segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEpoch {
    /// The epoch.
    pub epoch: u64,
    /// Per source, in the order in which the rows were read.
    pub segments: BTreeMap<String, Vec<Segment>>,
    /// The watermarks before and after it: what was too late then is too late again.
    #[serde(default)]
    pub watermarks: (Option<i64>, Option<i64>),
    /// When it was planned, in milliseconds since the Unix epoch: the time that timers of processing time go by.
    #[serde(default)]
    pub planned_at_ms: i64,
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
    /// When it was made, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub at_ms: i64,
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
    /// Who opened it first. What is remembered elsewhere by epoch numbers is remembered with this: another store
    /// counts its own, even one of the same name at the same place.
    #[serde(default)]
    pub history: String,
    /// The layout it was last opened with.
    pub layout: String,
    /// What each table is made of: a digest of its definition. A change of it is a change of answers.
    pub definitions: BTreeMap<String, String>,
    /// The deployment as it was last opened, as paths and values: what has changed at the next start is told by it.
    #[serde(default)]
    pub described: BTreeMap<String, String>,
    /// How each table gets to a base.
    pub kinds: BTreeMap<String, TableKind>,
    /// The epoch that comes next: all below are committed.
    pub next: u64,
    /// The plan of `next`, where one was written and not yet committed.
    pub planned: Option<Plan>,
    /// Each source's state after the committed epochs.
    pub sources: BTreeMap<String, SourceState>,
    /// The deployment's watermark in milliseconds since the Unix epoch: the least of its sources'. It never goes back.
    pub watermark: Option<i64>,
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
    /// The last replacements of user code, newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub swaps: Vec<Swapped>,
}

/// One step of the manifest's history, as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edit {
    /// Who wrote it. No two processes have the same name, so equal bytes are our own.
    pub writer: String,
    /// What changed.
    pub change: Change,
}

/// What an edit changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A process took over as the only writer.
    Open(Open),
    /// The raw log begins at the next epoch.
    StartLog,
    /// The raw log ends before the next epoch.
    StopLog,
    /// An epoch is about to run.
    Plan(Plan),
    /// An epoch ran.
    Commit(EpochCommit),
    /// A base was written.
    Base(BaseCommit),
    /// From the next epoch on, tables are made by other code.
    Swap(Swap),
}

/// A process took over as the only writer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// The deployment's name.
    pub deployment: String,
    /// The layout's name.
    pub layout: String,
    /// A digest of each table's definition.
    pub definitions: BTreeMap<String, String>,
    /// The deployment as paths and values.
    #[serde(default)]
    pub described: BTreeMap<String, String>,
    /// How each table gets to a base.
    pub kinds: BTreeMap<String, TableKind>,
}

/// An epoch ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochCommit {
    /// The epoch: the manifest's next.
    pub epoch: u64,
    /// The delta of each table. A table that is missing was not touched.
    pub deltas: BTreeMap<String, Vec<Segment>>,
    /// The raw rows per source, where the layout keeps them.
    pub log: Option<BTreeMap<String, Vec<Segment>>>,
    /// The greatest event time and the watermark per source, in milliseconds.
    pub event_time: BTreeMap<String, (i64, i64)>,
    /// The deployment's watermark after it.
    pub watermark: Option<i64>,
    /// What it adds to the totals.
    pub counts: Counts,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// A base was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaseCommit {
    /// What it is.
    pub base: Base,
    /// Each table's segments.
    pub tables: BTreeMap<String, Vec<Segment>>,
    /// The log's index up to the horizon, where there is a log.
    pub log_index: Option<Segment>,
}

/// User code was replaced by other code that keeps the same tables. What the epochs before came to stays as it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Swap {
    /// Which code, and when.
    pub swapped: Swapped,
    /// A digest of each table's definition, of the same tables.
    pub definitions: BTreeMap<String, String>,
    /// The deployment as paths and values.
    pub described: BTreeMap<String, String>,
    /// An index of all of the log so far, where some of it is in no index yet.
    pub log_index: Option<Segment>,
}

/// That user code was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swapped {
    /// The first epoch that the new code is asked in.
    pub epoch: u64,
    /// Its name.
    pub plugin: String,
    /// The digest of the code before.
    pub from: String,
    /// The digest of the new code.
    pub to: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// An edit that does not follow from the manifest before it: a bug, or a store that somebody else changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the manifest at {sequence} cannot take {what}")]
pub struct Broken {
    /// The manifest's sequence.
    pub sequence: u64,
    /// What was wrong with the edit.
    pub what: String,
}

impl Manifest {
    /// The format this code writes, and the newest it reads.
    pub const FORMAT: u32 = 1;
    /// So many replacements of user code are remembered.
    pub const SWAPS_MAX: usize = 64;

    /// The epochs below it are in the base.
    pub fn horizon(&self) -> u64 {
        self.base.as_ref().map_or(0, |base| base.horizon)
    }

    /// Whether the raw log is being kept at present.
    pub fn keeps_log(&self) -> bool {
        self.log.from.is_some() && self.log.ended.is_none()
    }

    /// Takes the next edit. On an error nothing has changed.
    pub fn apply(&mut self, edit: &Edit) -> Result<(), Broken> {
        let sequence = self.sequence;
        let broken = |what: String| Broken { sequence, what };
        if !matches!(edit.change, Change::Open(_)) && edit.writer != self.writer {
            return Err(broken(format!("an edit by {}, the writer is {}", edit.writer, self.writer)));
        }
        match &edit.change {
            Change::Open(open) => {
                self.format = Self::FORMAT;
                self.writer = edit.writer.clone();
                if self.history.is_empty() {
                    self.history = edit.writer.clone();
                }
                self.deployment = open.deployment.clone();
                self.layout = open.layout.clone();
                self.definitions = open.definitions.clone();
                self.described = open.described.clone();
                self.kinds = open.kinds.clone();
                self.tables.retain(|table, _| open.kinds.contains_key(table));
                for table in open.kinds.keys() {
                    self.tables.entry(table.clone()).or_insert_with(|| Table {
                        base: vec![],
                        deltas: (self.base.as_ref().map_or(0, |b| b.horizon)..self.next)
                            .map(|epoch| Delta { epoch, segments: vec![] })
                            .collect(),
                    });
                }
            }
            Change::StartLog => self.start_log().map_err(broken)?,
            Change::StopLog => self.log.ended = Some(self.next),
            Change::Plan(plan) => {
                if plan.epoch != self.next || self.planned.is_some() {
                    return Err(broken(format!("a plan of epoch {}, next is {}", plan.epoch, self.next)));
                }
                self.planned = Some(plan.clone());
            }
            Change::Commit(commit) => self.commit(commit).map_err(broken)?,
            Change::Base(base) => self.publish(base).map_err(broken)?,
            Change::Swap(swap) => self.swap(swap).map_err(broken)?,
        }
        self.sequence += 1;
        Ok(())
    }

    fn start_log(&mut self) -> Result<(), String> {
        if self.log.from.is_some() && self.log.ended.is_none_or(|ended| ended == self.next) {
            self.log.ended = None;
            return Ok(());
        }
        if self.next > 0 && self.horizon() != self.next {
            return Err(format!("a log from epoch {} over a base up to {}", self.next, self.horizon()));
        }
        let mut archive = std::mem::take(&mut self.log.archive);
        archive.extend(self.log.index.take());
        let seed = self.tables.iter().map(|(name, table)| (name.clone(), table.base.clone())).collect();
        self.log = Log { from: Some(self.next), seed, archive, ..Log::default() };
        Ok(())
    }

    fn commit(&mut self, commit: &EpochCommit) -> Result<(), String> {
        let Some(plan) = self.planned.take_if(|plan| plan.epoch == commit.epoch) else {
            return Err(format!("a commit of epoch {} that was not planned", commit.epoch));
        };
        if let Some(unknown) = commit.deltas.keys().find(|name| !self.tables.contains_key(*name)) {
            self.planned = Some(plan);
            return Err(format!("rows of table {unknown}, which is not there"));
        }
        for (name, source) in &plan.sources {
            self.sources.entry(name.clone()).or_default().advance(source);
        }
        for (name, (max, watermark)) in &commit.event_time {
            let state = self.sources.entry(name.clone()).or_default();
            state.event_time_max = state.event_time_max.max(Some(*max));
            state.watermark = state.watermark.max(Some(*watermark));
        }
        for (name, table) in &mut self.tables {
            let segments = commit.deltas.get(name).cloned().unwrap_or_default();
            table.deltas.push(Delta { epoch: commit.epoch, segments });
        }
        let before = self.watermark;
        self.watermark = before.max(commit.watermark);
        if let Some(log) = &commit.log {
            let watermarks = (before, self.watermark);
            let (epoch, segments) = (commit.epoch, log.clone());
            self.log.tail.push(LogEpoch { epoch, segments, watermarks, planned_at_ms: plan.at_ms });
        }
        self.counts.add(&commit.counts);
        self.committed_at_ms = commit.at_ms;
        self.next += 1;
        Ok(())
    }

    fn publish(&mut self, commit: &BaseCommit) -> Result<(), String> {
        let horizon = commit.base.horizon;
        if horizon < self.horizon() || horizon > self.next {
            return Err(format!("a base up to {horizon}, outside {}..={}", self.horizon(), self.next));
        }
        if let Some(missing) = self.tables.keys().find(|name| !commit.tables.contains_key(*name)) {
            return Err(format!("a base without table {missing}"));
        }
        for (name, table) in &mut self.tables {
            table.base = commit.tables[name].clone();
            table.deltas.retain(|delta| delta.epoch >= horizon);
        }
        if let Some(index) = &commit.log_index {
            self.log.index = Some(index.clone());
            self.log.tail.retain(|epoch| epoch.epoch >= horizon);
        }
        self.base = Some(commit.base.clone());
        Ok(())
    }

    /// A log begins anew over all that is there, so that no recompute asks the new code about rows of before; the one of
    /// before is kept unread. Its seed are base and deltas, side by side: nothing needs to be folded for it.
    fn swap(&mut self, swap: &Swap) -> Result<(), String> {
        if swap.swapped.epoch != self.next {
            return Err(format!("a swap at epoch {}, next is {}", swap.swapped.epoch, self.next));
        }
        if !swap.definitions.keys().eq(self.definitions.keys()) {
            return Err("a swap that changes which tables there are".into());
        }
        if !self.log.tail.is_empty() && swap.log_index.is_none() {
            return Err("a swap without an index of the log's last epochs".into());
        }
        let keeps_log = self.keeps_log();
        let mut archive = std::mem::take(&mut self.log.archive);
        archive.extend(swap.log_index.clone().or(self.log.index.take()));
        self.log = Log { archive, ..Log::default() };
        if keeps_log {
            let all = |table: &Table| {
                table.base.iter().chain(table.deltas.iter().flat_map(|delta| &delta.segments)).cloned().collect()
            };
            self.log.seed = self.tables.iter().map(|(name, table)| (name.clone(), all(table))).collect();
            self.log.from = Some(self.next);
        }
        self.definitions = swap.definitions.clone();
        self.described = swap.described.clone();
        self.swaps.push(swap.swapped.clone());
        self.swaps.drain(..self.swaps.len().saturating_sub(Self::SWAPS_MAX));
        Ok(())
    }

    /// The tables that operators remember.
    pub fn state(&self) -> impl Iterator<Item = &str> {
        self.kinds.iter().filter(|(_, kind)| **kind == TableKind::State).map(|(name, _)| name.as_str())
    }

    /// Whether an epoch's contribution depends on the epochs before it.
    pub fn remembers(&self) -> bool {
        self.state().next().is_some()
    }

    /// The deltas of a table, proved to be without a gap from the horizon to the next epoch.
    pub fn deltas(&self, table: &str) -> Result<&[Delta], Hole> {
        let Some(found) = self.tables.get(table) else {
            return Err(Hole { table: table.into(), epoch: self.horizon() });
        };
        let want = self.horizon()..self.next;
        for (have, epoch) in found.deltas.iter().zip(want.clone()) {
            if have.epoch != epoch {
                return Err(Hole { table: table.into(), epoch });
            }
        }
        match found.deltas.len() as u64 == want.end - want.start {
            true => Ok(&found.deltas),
            false => Err(Hole { table: table.into(), epoch: want.start + found.deltas.len() as u64 }),
        }
    }
}

/// An epoch that a table should have and has not: an error, never a smaller answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("table {table} has no delta of epoch {epoch}")]
pub struct Hole {
    /// The table.
    pub table: String,
    /// The first epoch that is missing.
    pub epoch: u64,
}

impl Counts {
    /// Adds another's figures.
    pub fn add(&mut self, other: &Counts) {
        for (mine, theirs) in
            [(&mut self.rows, &other.rows), (&mut self.bad, &other.bad), (&mut self.late, &other.late)]
        {
            for (name, count) in theirs {
                *mine.entry(name.clone()).or_default() += count;
            }
        }
    }
}
