//! The base: what the epochs below the horizon come to. Kappa folds the deltas into it; Lambda computes it anew from
//! the raw log with the same job. Both publish it the same way, and one reader serves both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use futures::StreamExt;
use thiserror::Error;
use tokio::sync::{Mutex, watch};

use crate::error::{JobError, StoreError};
use crate::failpoint;
use crate::fold::FoldLimits;
use crate::intake::short;
use crate::ledger::{Ledger, LedgerError, encode, retry};
use crate::log::{epochs, from_log};
use crate::manifest::{Base, BaseBy, BaseCommit, Change, Hole, LogIndex, Manifest, Segment, Swap, TableKind};
use crate::serve::Board;
use crate::traits::{Clock, Contribution, EpochStart, Job, Merge, Segments};

/// A recompute merges what it has after so many rows, so that its memory is bounded by the answers and not the log.
pub const RECOMPUTE_ROWS_PER_CHUNK: u64 = 1_048_576;

/// Why a base was not written. The one before it stays.
#[derive(Debug, Error)]
pub enum BaseError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Job(#[from] JobError),
    #[error(transparent)]
    Hole(#[from] Hole),
    /// The raw log does not hold an epoch that it should.
    #[error("the raw log has epoch {found} where {expected} should be")]
    LogHole { found: u64, expected: u64 },
    /// The layout recomputes, and the raw log was never begun.
    #[error("there is no raw log to recompute from")]
    NoLog,
}

impl From<ArrowError> for BaseError {
    fn from(error: ArrowError) -> Self {
        Self::Job(JobError::Bug(error.to_string()))
    }
}

/// Called with rows done and rows in all.
pub type OnProgress = Box<dyn Fn(u64, u64) + Send + Sync>;

/// The parts of the base loop.
pub struct BaseWriter {
    pub ledger: Arc<Mutex<Ledger>>,
    pub segments: Arc<dyn Segments>,
    pub merge: Arc<dyn Merge>,
    /// A new instance of the deployment's job, as the speed layer has one.
    pub job: Box<dyn Fn() -> Result<Box<dyn Job>, JobError> + Send + Sync>,
    pub board: Board,
    pub clock: Arc<dyn Clock>,
    pub on_progress: Option<OnProgress>,
    pub limits: FoldLimits,
}

/// What a recompute has so far.
#[derive(Default)]
struct Gathered {
    /// Tables that the job itself remembers.
    states: BTreeSet<String>,
    /// Tables that merge, each with parts that are still to be merged.
    merged: BTreeMap<String, Vec<RecordBatch>>,
    /// Rows that are still to be written.
    appended: BTreeMap<String, Vec<RecordBatch>>,
    tables: BTreeMap<String, Vec<Segment>>,
    part: usize,
}

impl Gathered {
    fn take(&mut self, contribution: Contribution) {
        for (name, delta) in contribution.deltas {
            match self.merged.get_mut(&name) {
                Some(parts) => parts.extend(delta),
                None if self.states.contains(&name) => {}
                None => self.appended.entry(name).or_default().extend(delta),
            }
        }
    }
}

impl BaseWriter {
    /// Writes a base now and then, until told to stop. A failure is reported and tried again at the next turn;
    /// being fenced ends the loop.
    pub async fn run(&self, by: BaseBy, every: Duration, mut stop: watch::Receiver<bool>) -> Result<(), BaseError> {
        loop {
            {
                let sleep = self.clock.sleep(every);
                let stopped = stop.wait_for(|stop| *stop);
                futures::pin_mut!(sleep, stopped);
                futures::future::select(sleep, stopped).await;
            }
            if *stop.borrow() {
                return Ok(());
            }
            match self.write(by).await {
                Ok(_) => {}
                Err(error @ BaseError::Ledger(LedgerError::Fenced(_))) => return Err(error),
                Err(error) => tracing::error!(%error, "no new base; the one before stays"),
            }
        }
    }

    /// Makes the store fit the layout: the raw log begins, over a base of all that was before it, or ends.
    pub async fn enter(&self, keep_log: bool) -> Result<(), BaseError> {
        let manifest = self.ledger.lock().await.manifest();
        if keep_log == manifest.keeps_log() {
            return Ok(());
        }
        let change = match keep_log {
            true => {
                if manifest.log.ended != Some(manifest.next) {
                    self.write(BaseBy::Fold).await?;
                }
                Change::StartLog
            }
            false => Change::StopLog,
        };
        let mut ledger = self.ledger.lock().await;
        ledger.commit(change).await?;
        self.board.advance(ledger.manifest(), None);
        Ok(())
    }

    /// From the next epoch on, tables are made by other code. One edit is the whole of it; `swap.log_index` is filled in here.
    pub async fn swap(&self, mut swap: Swap) -> Result<(), BaseError> {
        let manifest = self.ledger.lock().await.manifest();
        swap.log_index = self.index(&manifest).await?;
        failpoint!("swap::index::written");
        let mut ledger = self.ledger.lock().await;
        ledger.commit(Change::Swap(swap)).await?;
        failpoint!("swap::committed");
        self.board.advance(ledger.manifest(), None);
        Ok(())
    }

    /// Writes a base of everything committed so far; `None` where nothing came since the last.
    pub async fn write(&self, by: BaseBy) -> Result<Option<Base>, BaseError> {
        let manifest = self.ledger.lock().await.manifest();
        if manifest.horizon() == manifest.next {
            return Ok(None);
        }
        let generation = manifest.base.as_ref().map_or(1, |base| base.generation + 1);
        let base = Base { generation, by, horizon: manifest.next, at_ms: self.clock.now_ms() };
        let tables = match by {
            BaseBy::Fold => self.fold(&manifest, generation).await?,
            BaseBy::Recompute => self.recompute(&manifest, generation).await?,
        };
        failpoint!("base::segments::written");
        let log_index = self.index(&manifest).await?;
        failpoint!("base::index::written");
        let mut ledger = self.ledger.lock().await;
        ledger.commit(Change::Base(BaseCommit { base: base.clone(), tables, log_index })).await?;
        self.board.advance(ledger.manifest(), None);
        failpoint!("base::committed");
        Ok(Some(base))
    }

    /// Kappa: base ⊕ deltas, table by table.
    async fn fold(&self, manifest: &Manifest, generation: u64) -> Result<BTreeMap<String, Vec<Segment>>, BaseError> {
        let mut tables = BTreeMap::new();
        for (name, table) in &manifest.tables {
            let mut segments = table.base.clone();
            let changes: Vec<Segment> =
                manifest.deltas(name)?.iter().flat_map(|delta| delta.segments.iter().cloned()).collect();
            let changed = !changes.is_empty();
            if self.kind(manifest, name) == TableKind::State {
                if changed {
                    segments = self.fold_state(name, manifest, generation, segments, changes).await?;
                }
                tables.insert(name.clone(), segments);
                continue;
            }
            segments.extend(changes);
            if self.kind(manifest, name) == TableKind::Keyed && changed && segments.len() > 1 {
                segments = self.fold_keyed(name, manifest, generation, &segments).await?;
            }
            tables.insert(name.clone(), segments);
        }
        Ok(tables)
    }

    /// Lambda: the job over the whole raw log, from its seed. What is about the processing is folded.
    async fn recompute(
        &self,
        manifest: &Arc<Manifest>,
        generation: u64,
    ) -> Result<BTreeMap<String, Vec<Segment>>, BaseError> {
        let Some(from) = manifest.log.from else {
            return Err(BaseError::NoLog);
        };
        let mut job = (self.job)()?;
        let mut gathered = Gathered::default();
        for (name, table) in &manifest.tables {
            let seed = manifest.log.seed.get(name).cloned().unwrap_or_default();
            match self.kind(manifest, name) {
                TableKind::Keyed => {
                    gathered.merged.insert(name.clone(), self.read(&seed).await?);
                }
                TableKind::State => {
                    for segment in &seed {
                        job.restore(name, &self.read(std::slice::from_ref(segment)).await?)?;
                    }
                    gathered.states.insert(name.clone());
                }
                TableKind::Append => {
                    gathered.tables.insert(name.clone(), seed);
                }
                TableKind::Ledger => {
                    let mut segments = table.base.clone();
                    segments.extend(manifest.deltas(name)?.iter().flat_map(|delta| delta.segments.iter().cloned()));
                    gathered.tables.insert(name.clone(), segments);
                }
            }
        }
        // What remembers must see the epochs as they were; for the rest an epoch may be as large as memory allows.
        let one_by_one = manifest.remembers();
        let total: u64 = manifest.counts.rows.values().sum();
        let (mut done, mut pending, mut begun) = (0, 0, false);
        let store = self.ledger.lock().await.store().clone();
        let mut log = epochs(store, manifest.clone(), manifest.next).await?;
        let mut expected = from;
        let tables = job.tables();
        while let Some(epoch) = log.next().await {
            let epoch = epoch?;
            if epoch.epoch != expected {
                return Err(BaseError::LogHole { found: epoch.epoch, expected });
            }
            expected += 1;
            let (late_before, final_before) = if one_by_one { epoch.watermarks } else { (None, None) };
            let start = EpochStart { epoch: epoch.epoch, late_before, planned_at: epoch.planned_at_ms };
            for (table, segments) in epoch.segments.iter().filter(|(name, _)| tables.contains_key(*name)) {
                if std::mem::take(&mut begun) {
                    gathered.take(job.finish(None).await?);
                }
                job.see(table, self.read(segments).await?)?;
            }
            for (source, segments) in epoch.segments.iter().filter(|(name, _)| !tables.contains_key(*name)) {
                for segment in segments {
                    for batch in self.segments.read(segment).await? {
                        for rows in from_log(&batch)? {
                            if !std::mem::replace(&mut begun, true) {
                                job.begin(start);
                            }
                            job.feed(source, rows).await?;
                        }
                    }
                    pending += segment.rows;
                    if pending >= RECOMPUTE_ROWS_PER_CHUNK && !one_by_one && std::mem::take(&mut begun) {
                        gathered.take(job.finish(None).await?);
                    }
                }
            }
            if one_by_one {
                if !std::mem::take(&mut begun) {
                    job.begin(start);
                }
                gathered.take(job.finish(final_before).await?);
            }
            if pending >= RECOMPUTE_ROWS_PER_CHUNK {
                self.settle(&mut gathered, manifest, generation).await?;
                done += std::mem::take(&mut pending);
                if let Some(report) = &self.on_progress {
                    report(done, total);
                }
            }
        }
        if expected != manifest.next {
            return Err(BaseError::LogHole { found: expected, expected: manifest.next });
        }
        if begun {
            gathered.take(job.finish(None).await?);
        }
        self.settle(&mut gathered, manifest, generation).await?;
        let Gathered { merged, states, mut tables, .. } = gathered;
        for (name, state) in merged {
            let segment = format!("{generation:010}-{}-0", short(&manifest.writer));
            tables.insert(name.clone(), self.put(&name, &segment, &state).await?.into_iter().collect());
        }
        for name in states {
            let segments = self.remembered(&mut *job, &name, manifest, generation).await?;
            tables.insert(name, segments);
        }
        Ok(tables)
    }

    /// Merges what has keys, and writes what only accumulates.
    async fn settle(&self, gathered: &mut Gathered, manifest: &Manifest, generation: u64) -> Result<(), BaseError> {
        for (name, parts) in &mut gathered.merged {
            if parts.len() > 1 {
                *parts = self.merge.merge(name, parts)?;
            }
        }
        for (name, rows) in std::mem::take(&mut gathered.appended) {
            let segment = format!("{generation:010}-{}-{}", short(&manifest.writer), gathered.part);
            let segment = self.put(&name, &segment, &rows).await?;
            gathered.tables.entry(name).or_default().extend(segment);
        }
        gathered.part += 1;
        Ok(())
    }

    /// Writes the log epochs below the horizon to an index object, so that the manifest need not list them.
    async fn index(&self, manifest: &Manifest) -> Result<Option<Segment>, BaseError> {
        if manifest.log.tail.is_empty() {
            return Ok(None);
        }
        let index = LogIndex { previous: manifest.log.index.clone(), epochs: manifest.log.tail.clone() };
        let name = format!("log/index/{:020}-{}.json", manifest.next, short(&manifest.writer));
        let bytes = encode(&index)?;
        let segment = Segment { name, rows: 0, bytes: bytes.len() as u64, crc: crc32fast::hash(&bytes) };
        let store = self.ledger.lock().await.store().clone();
        retry(&*self.clock, || store.put(&segment.name, bytes.clone())).await?;
        Ok(Some(segment))
    }

    fn kind(&self, manifest: &Manifest, table: &str) -> TableKind {
        manifest.kinds.get(table).copied().unwrap_or(TableKind::Ledger)
    }

    pub(crate) async fn read(&self, segments: &[Segment]) -> Result<Vec<RecordBatch>, StoreError> {
        let mut parts = vec![];
        for segment in segments {
            parts.extend(retry(&*self.clock, || self.segments.read(segment)).await?);
        }
        Ok(parts)
    }

    pub(crate) async fn put(
        &self,
        table: &str,
        segment: &str,
        batches: &[RecordBatch],
    ) -> Result<Option<Segment>, StoreError> {
        if batches.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(None);
        }
        let name = format!("tables/{table}/base/{segment}.parquet");
        retry(&*self.clock, || self.segments.write(&name, batches)).await.map(Some)
    }
}
