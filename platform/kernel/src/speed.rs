//! The speed layer: one epoch after the other, from the sources to the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use futures::StreamExt;
use thiserror::Error;
use tokio::sync::{Mutex, watch};

use crate::error::{JobError, SinkError, SourceError, StoreError};
use crate::failpoint;
use crate::ledger::{Ledger, LedgerError, retry};
use crate::log::to_log;
use crate::manifest::{Change, Counts, EpochCommit, Manifest, Plan, Segment};
use crate::notices::{self, DEAD_LETTERS, LATE_ROWS};
use crate::progress::{Progress, SinkProgress, SourceProgress, StateOperator};
use crate::rows::BadRecord;
use crate::serve::Board;
use crate::time::rfc3339;
use crate::traits::{Clock, Contribution, EpochOutput, Job, Segments, Sink, Source};

/// So many rows of the raw log are held before they are written as a segment.
pub const LOG_ROWS_PER_SEGMENT: usize = 262_144;
/// So many bad records of one source are kept in one epoch; more are counted.
pub const BAD_RECORDS_KEPT_MAX: usize = 10_000;
/// The first wait after a failure that may pass.
pub const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// The longest wait after a failure that may pass.
pub const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// What a deployment says about its epochs.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Stays the same over restarts.
    pub id: String,
    /// New at each start.
    pub run_id: String,
    /// The deployment's name.
    pub name: String,
    /// An epoch begins this long after the one before, unless more rows wait than one epoch takes.
    pub every: Duration,
    /// Event time, per source that has one.
    pub event_time: BTreeMap<String, EventTime>,
    /// Which of several watermarks is the deployment's.
    pub watermark_policy: WatermarkPolicy,
    /// The sources whose bad records are kept, and not only counted.
    pub keep_bad: BTreeSet<String>,
}

/// Which of several watermarks is the deployment's, as in Spark.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WatermarkPolicy {
    /// The least: no source's rows are late because of another's.
    #[default]
    Min,
    /// The greatest: as fast as the fastest source.
    Max,
}

/// How a source's watermark follows its rows.
#[derive(Debug, Clone, Copy)]
pub struct EventTime {
    /// Behind the greatest event time, in milliseconds.
    pub delay_ms: i64,
    /// A source silent for so many milliseconds does not hold the others back.
    pub idle_ms: Option<i64>,
}

/// When the loop ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// When it is told to.
    Stopped,
    /// When no source has anything new.
    CaughtUp,
}

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
    /// Whether the same epoch may succeed later.
    pub fn passes(&self) -> bool {
        matches!(
            self,
            Self::Source { error: SourceError::Retry(_), .. }
                | Self::Sink { error: SinkError::Retry(_), .. }
                | Self::Store(StoreError::Unknown { .. })
                | Self::Ledger(LedgerError::Store(StoreError::Unknown { .. }))
        )
    }
}

impl From<ArrowError> for SpeedError {
    fn from(error: ArrowError) -> Self {
        Self::Job(JobError::Bug(error.to_string()))
    }
}

/// The loop's parts. All are the deployment's own; none knows of another.
pub struct Speed {
    pub ledger: Arc<Mutex<Ledger>>,
    pub sources: BTreeMap<String, Box<dyn Source>>,
    pub job: Box<dyn Job>,
    pub segments: Arc<dyn Segments>,
    pub sinks: BTreeMap<String, Box<dyn Sink>>,
    pub board: Board,
    pub clock: Arc<dyn Clock>,
    pub settings: Settings,
    pub memory: Memory,
}

/// What the loop remembers and no restart needs.
#[derive(Debug, Default)]
pub struct Memory {
    restored: bool,
    rows_at_ms: BTreeMap<String, i64>,
    begun_at_ms: Option<i64>,
}

/// What came of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// An epoch was committed.
    Ran {
        /// A source had more than one epoch takes.
        more: bool,
    },
    /// No source had anything new.
    Idle,
    /// No source had anything new, but not all could be asked.
    Waits,
}

/// What the sources offer.
enum Offer {
    Epoch {
        plan: Plan,
        more: bool,
    },
    Nothing,
    /// Nothing, but not all could be asked.
    Unknown,
}

/// What was read in an epoch, besides rows fed to the job.
#[derive(Default)]
struct Intake {
    rows: BTreeMap<String, u64>,
    bad: BTreeMap<String, Vec<BadRecord>>,
    bad_counts: BTreeMap<String, u64>,
    log: Option<BTreeMap<String, Vec<Segment>>>,
}

impl Speed {
    /// Runs epochs until told to stop. An epoch under way is finished first. Failures that may pass are waited for.
    pub async fn run(&mut self, until: Until, mut stop: watch::Receiver<bool>) -> Result<(), SpeedError> {
        let mut backoff = BACKOFF_MIN;
        while !*stop.borrow() {
            let begun = self.clock.now_ms();
            let pause = match self.step().await {
                Ok(Step::Idle) if until == Until::CaughtUp => break,
                Ok(Step::Waits) => {
                    let wait = self.settings.every.max(backoff);
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                    rest(&*self.clock, wait, &mut stop).await;
                    continue;
                }
                Ok(Step::Ran { .. }) if until == Until::CaughtUp => Duration::ZERO,
                Ok(Step::Ran { more: true }) => Duration::ZERO,
                Ok(_) => {
                    let spent = Duration::from_millis(self.clock.now_ms().saturating_sub(begun).max(0) as u64);
                    self.settings.every.saturating_sub(spent)
                }
                Err(error) if error.passes() => {
                    tracing::warn!(%error, "the epoch is tried again");
                    let wait = backoff;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                    rest(&*self.clock, wait, &mut stop).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            backoff = BACKOFF_MIN;
            rest(&*self.clock, pause, &mut stop).await;
        }
        Ok(())
    }

    /// One epoch: the one that was planned before a crash, or a new one.
    pub async fn step(&mut self) -> Result<Step, SpeedError> {
        let clock = self.clock.clone();
        let mut timer = Timer::start(&*clock);
        let begun_at_ms = timer.begun_ms;
        let manifest = self.ledger.lock().await.manifest();
        let (plan, more) = match &manifest.planned {
            Some(plan) => (plan.clone(), true),
            None => match self.plan(&manifest).await? {
                Offer::Epoch { plan, more } => (plan, more),
                Offer::Nothing => return Ok(Step::Idle),
                Offer::Unknown => return Ok(Step::Waits),
            },
        };
        timer.lap("latestOffset");
        if manifest.planned.is_none() {
            self.ledger.lock().await.commit(Change::Plan(plan.clone())).await?;
        }
        failpoint!("epoch::planned");
        timer.lap("walCommit");

        self.restore(&manifest).await?;
        let intake = self.read(&manifest, &plan).await?;
        let event_time = self.event_time(&manifest, &self.job.event_time_max());
        let watermark = self.watermark(&manifest, &event_time, &intake);
        let final_before = manifest.watermark.max(watermark);
        let mut contribution = self.job.finish(final_before).await?;
        failpoint!("epoch::read");
        let counts = self.notices(&manifest, &plan, &intake, &mut contribution)?;
        let writer = short(&manifest.writer);
        let deltas = put_deltas(&*self.segments, &*self.clock, plan.epoch, &writer, &contribution.deltas).await?;
        failpoint!("epoch::deltas::written");
        timer.lap("addBatch");

        let output = EpochOutput { deltas: &contribution.deltas, late_before: manifest.watermark, final_before };
        failpoint!("epoch::sinks::before");
        let mut sinks = vec![];
        for (name, sink) in &mut self.sinks {
            let report = sink
                .write(plan.epoch, &output)
                .await
                .map_err(|error| SpeedError::Sink { sink: name.clone(), error })?;
            sinks.push(SinkProgress { description: name.clone(), num_output_rows: report.rows });
        }
        failpoint!("epoch::sinks::written");
        timer.lap("writeSinks");

        let commit = EpochCommit {
            epoch: plan.epoch,
            deltas,
            log: intake.log.clone(),
            event_time,
            watermark,
            counts: counts.clone(),
            at_ms: self.clock.now_ms(),
        };
        let committed = {
            let mut ledger = self.ledger.lock().await;
            ledger.commit(Change::Commit(commit)).await?;
            let manifest = ledger.manifest();
            self.board.advance(manifest.clone(), Some((plan.epoch, &contribution.deltas)));
            manifest
        };
        failpoint!("epoch::committed");
        for (name, source) in &mut self.sources {
            if let Some(state) = committed.sources.get(name) {
                source.ack(state).await.map_err(|error| SpeedError::Source { source_name: name.clone(), error })?;
            }
        }
        failpoint!("epoch::acked");
        timer.lap("commitOffsets");
        let progress = self.progress(timer, &plan, &counts, &contribution, &committed, sinks);
        self.memory.begun_at_ms = Some(begun_at_ms);
        self.board.report(progress);
        Ok(Step::Ran { more })
    }

    async fn plan(&mut self, manifest: &Manifest) -> Result<Offer, SpeedError> {
        let mut sources = BTreeMap::new();
        let mut more = false;
        let mut away = false;
        let first = Default::default();
        for (name, source) in &mut self.sources {
            match source.plan(manifest.sources.get(name).unwrap_or(&first)).await {
                Ok(Some(plan)) => {
                    more |= plan.more;
                    sources.insert(name.clone(), plan);
                }
                Ok(None) => {}
                // The others go on without it; the source itself has said so once.
                Err(SourceError::Retry(reason)) => {
                    tracing::debug!(source = name, reason, "nothing for now");
                    away = true;
                }
                Err(error) => {
                    return Err(SpeedError::Source { source_name: name.clone(), error });
                }
            }
        }
        Ok(match (sources.is_empty(), away) {
            (false, _) => Offer::Epoch { plan: Plan { epoch: manifest.next, sources }, more },
            (true, false) => Offer::Nothing,
            (true, true) => Offer::Unknown,
        })
    }

    /// Gives the job what the epochs before this process left.
    async fn restore(&mut self, manifest: &Manifest) -> Result<(), SpeedError> {
        if self.memory.restored {
            return Ok(());
        }
        for name in manifest.state() {
            let deltas = manifest.deltas(name).map_err(|hole| JobError::Bug(hole.to_string()))?;
            let base = manifest.tables.get(name).map_or(&[][..], |table| &table.base);
            let mut rows = vec![];
            for segment in base.iter().chain(deltas.iter().flat_map(|delta| &delta.segments)) {
                rows.extend(retry(&*self.clock, || self.segments.read(segment)).await?);
            }
            self.job.restore(name, &rows)?;
        }
        self.memory.restored = true;
        Ok(())
    }

    async fn read(&mut self, manifest: &Manifest, plan: &Plan) -> Result<Intake, SpeedError> {
        self.job.begin(plan.epoch, manifest.watermark);
        let writer = short(&manifest.writer);
        let mut intake = Intake { log: manifest.keeps_log().then(BTreeMap::new), ..Intake::default() };
        for (name, range) in &plan.sources {
            let failed = |error| SpeedError::Source { source_name: name.clone(), error };
            let Some(source) = self.sources.get_mut(name) else {
                let gone = SourceError::Fatal("planned before the restart, and no longer in the deployment".into());
                return Err(failed(gone));
            };
            let mut stream = source.read(range).await.map_err(failed)?;
            let mut log = LogWriter::new(plan.epoch, name, &writer);
            while let Some(rows) = stream.next().await {
                let mut rows = rows.map_err(failed)?;
                *intake.rows.entry(name.clone()).or_default() += rows.batch.num_rows() as u64;
                *intake.bad_counts.entry(name.clone()).or_default() += rows.bad.len() as u64;
                let kept = intake.bad.entry(name.clone()).or_default();
                kept.extend(rows.bad.drain(..).take(BAD_RECORDS_KEPT_MAX.saturating_sub(kept.len())));
                if rows.batch.num_rows() == 0 {
                    continue;
                }
                if intake.log.is_some() {
                    log.push(to_log(&rows)?, &*self.segments, &*self.clock).await?;
                }
                self.job.feed(name, rows).await?;
            }
            if let Some(logs) = &mut intake.log {
                logs.insert(name.clone(), log.finish(&*self.segments, &*self.clock).await?);
                failpoint!("epoch::log::written");
            }
        }
        Ok(intake)
    }

    /// Adds the rows of `dead_letters` and `late_rows` to the epoch's deltas, and counts.
    fn notices(
        &self,
        manifest: &Manifest,
        plan: &Plan,
        intake: &Intake,
        contribution: &mut Contribution,
    ) -> Result<Counts, SpeedError> {
        let mut counts = Counts { rows: intake.rows.clone(), bad: intake.bad_counts.clone(), ..Counts::default() };
        counts.bad.retain(|_, count| *count > 0);
        let mut dead = vec![];
        for (source, bad) in intake.bad.iter().filter(|(source, _)| self.settings.keep_bad.contains(*source)) {
            if !bad.is_empty() {
                dead.push(notices::dead_letters(plan.epoch, source, bad)?);
            }
        }
        for (source, bad) in &contribution.bad {
            *counts.bad.entry(source.clone()).or_default() += bad.len() as u64;
            dead.push(notices::dead_letters(plan.epoch, source, bad)?);
        }
        for (source, skipped) in &contribution.skipped {
            *counts.bad.entry(source.clone()).or_default() += skipped;
        }
        let mut late = vec![];
        for (view, rows) in &contribution.late {
            counts.late.insert(view.clone(), rows.len() as u64);
            late.push(notices::late_rows(plan.epoch, view, manifest.watermark.unwrap_or(i64::MIN), rows)?);
        }
        for (table, rows) in [(DEAD_LETTERS, dead), (LATE_ROWS, late)] {
            if !rows.is_empty() {
                contribution.deltas.insert(table.into(), rows);
            }
        }
        Ok(counts)
    }

    /// Per source that has event time: the greatest so far and its watermark.
    fn event_time(&self, manifest: &Manifest, seen: &BTreeMap<String, i64>) -> BTreeMap<String, (i64, i64)> {
        let mut found = BTreeMap::new();
        for (name, time) in &self.settings.event_time {
            let before = manifest.sources.get(name).and_then(|state| state.event_time_max);
            if let Some(max) = before.max(seen.get(name).copied()) {
                found.insert(name.clone(), (max, max.saturating_sub(time.delay_ms)));
            }
        }
        found
    }

    /// The deployment's watermark: the least or greatest of its sources'; idle sources do not count.
    fn watermark(
        &mut self,
        manifest: &Manifest,
        event_time: &BTreeMap<String, (i64, i64)>,
        intake: &Intake,
    ) -> Option<i64> {
        let now = self.clock.now_ms();
        let max = self.settings.watermark_policy == WatermarkPolicy::Max;
        let mut chosen: Option<i64> = None;
        for (name, time) in &self.settings.event_time {
            let seen = self.memory.rows_at_ms.entry(name.clone()).or_insert(now);
            if intake.rows.get(name).is_some_and(|rows| *rows > 0) {
                *seen = now;
            }
            if time.idle_ms.is_some_and(|idle| now - *seen > idle) {
                continue;
            }
            match event_time.get(name) {
                Some((_, watermark)) if max => chosen = chosen.max(Some(*watermark)),
                Some((_, watermark)) => chosen = Some(chosen.map_or(*watermark, |other| other.min(*watermark))),
                None if max => {}
                None => return manifest.watermark,
            }
        }
        manifest.watermark.max(chosen)
    }

    fn progress(
        &self,
        timer: Timer<'_>,
        plan: &Plan,
        counts: &Counts,
        contribution: &Contribution,
        manifest: &Manifest,
        sinks: Vec<SinkProgress>,
    ) -> Progress {
        let rows: u64 = counts.rows.values().sum();
        let per_second = |ms: i64| rows as f64 * 1000.0 / ms.max(1) as f64;
        let spent_ms = (self.clock.now_ms() - timer.begun_ms).max(0);
        let mut duration_ms = timer.laps.clone();
        duration_ms.insert("triggerExecution".into(), spent_ms as u64);
        let since_last = self.memory.begun_at_ms.map_or(spent_ms, |before| timer.begun_ms - before);
        Progress {
            id: self.settings.id.clone(),
            run_id: self.settings.run_id.clone(),
            name: self.settings.name.clone(),
            timestamp: rfc3339(timer.begun_ms),
            batch_id: plan.epoch,
            num_input_rows: rows,
            input_rows_per_second: per_second(since_last),
            processed_rows_per_second: per_second(spent_ms),
            duration_ms,
            event_time: manifest.watermark.map(|at| ("watermark".to_string(), rfc3339(at))).into_iter().collect(),
            state_operators: contribution
                .deltas
                .iter()
                .map(|(table, batches)| StateOperator {
                    operator_name: table.clone(),
                    num_rows_updated: batches.iter().map(|batch| batch.num_rows() as u64).sum(),
                    num_rows_dropped_by_watermark: counts.late.get(table).copied().unwrap_or_default(),
                })
                .collect(),
            sources: plan
                .sources
                .iter()
                .map(|(name, range)| SourceProgress {
                    description: name.clone(),
                    start_offset: range.start.clone(),
                    end_offset: range.end.clone(),
                    num_input_rows: counts.rows.get(name).copied().unwrap_or_default(),
                    num_bad_records: counts.bad.get(name).copied().unwrap_or_default(),
                })
                .collect(),
            sinks,
        }
    }
}

/// Writes an epoch's deltas. Nothing names them yet.
async fn put_deltas(
    segments: &dyn Segments,
    clock: &dyn Clock,
    epoch: u64,
    writer: &str,
    deltas: &BTreeMap<String, Vec<RecordBatch>>,
) -> Result<BTreeMap<String, Vec<Segment>>, SpeedError> {
    let mut written = BTreeMap::new();
    for (table, batches) in deltas {
        if batches.iter().all(|batch| batch.num_rows() == 0) {
            continue;
        }
        let name = format!("tables/{table}/delta/{epoch:020}-{writer}.parquet");
        let segment = retry(clock, || segments.write(&name, batches)).await?;
        written.insert(table.clone(), vec![segment]);
    }
    Ok(written)
}

/// Waits that long, or until told to stop.
async fn rest(clock: &dyn Clock, pause: Duration, stop: &mut watch::Receiver<bool>) {
    if pause.is_zero() || *stop.borrow() {
        tokio::task::yield_now().await;
        return;
    }
    let sleep = clock.sleep(pause);
    let stopped = stop.wait_for(|stop| *stop);
    futures::pin_mut!(sleep, stopped);
    futures::future::select(sleep, stopped).await;
}

/// Enough of a writer's name to keep its files apart from another's.
pub(crate) fn short(writer: &str) -> String {
    let tail = writer.len().saturating_sub(8);
    writer.get(tail..).unwrap_or(writer).to_string()
}

/// Gathers one source's raw rows of one epoch into segments.
struct LogWriter {
    prefix: String,
    pending: Vec<RecordBatch>,
    rows: usize,
    written: Vec<Segment>,
}

impl LogWriter {
    fn new(epoch: u64, source: &str, writer: &str) -> Self {
        Self { prefix: format!("log/{source}/{epoch:020}-{writer}"), pending: vec![], rows: 0, written: vec![] }
    }

    async fn push(&mut self, batch: RecordBatch, to: &dyn Segments, clock: &dyn Clock) -> Result<(), StoreError> {
        self.rows += batch.num_rows();
        self.pending.push(batch);
        if self.rows >= LOG_ROWS_PER_SEGMENT { self.flush(to, clock).await } else { Ok(()) }
    }

    async fn flush(&mut self, to: &dyn Segments, clock: &dyn Clock) -> Result<(), StoreError> {
        let name = format!("{}-{}.parquet", self.prefix, self.written.len());
        self.written.push(retry(clock, || to.write(&name, &self.pending)).await?);
        self.pending.clear();
        self.rows = 0;
        Ok(())
    }

    async fn finish(mut self, to: &dyn Segments, clock: &dyn Clock) -> Result<Vec<Segment>, StoreError> {
        if !self.pending.is_empty() {
            self.flush(to, clock).await?;
        }
        Ok(self.written)
    }
}

/// Milliseconds by phase.
struct Timer<'a> {
    clock: &'a dyn Clock,
    begun_ms: i64,
    lap_ms: i64,
    laps: BTreeMap<String, u64>,
}

impl<'a> Timer<'a> {
    fn start(clock: &'a dyn Clock) -> Self {
        let now = clock.now_ms();
        Self { clock, begun_ms: now, lap_ms: now, laps: BTreeMap::new() }
    }

    fn lap(&mut self, phase: &str) {
        let now = self.clock.now_ms();
        *self.laps.entry(phase.into()).or_default() += (now - self.lap_ms).max(0) as u64;
        self.lap_ms = now;
    }
}
