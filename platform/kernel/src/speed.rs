//! The speed layer: one epoch after the other, from the sources to the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::Mutex;

use crate::delivery;
use crate::error::{JobError, SourceError};
pub use crate::failed::SpeedError;
use crate::failpoint;
use crate::flow::Followed;
use crate::intake::{Intake, put_deltas, short};
use crate::ledger::{Ledger, retry};
use crate::manifest::{Change, Counts, EpochCommit, Manifest, Plan};
use crate::notices::{self, DEAD_LETTERS, LATE_ROWS};
use crate::offsets::SourcePlan;
use crate::pressure::{Backpressure, Pressure};
use crate::progress::{Activity, Progress, SinkProgress, SourceProgress, StateOperator};
use crate::serve::Board;
use crate::time::rfc3339;
use crate::traits::{Clock, Contribution, EpochOutput, EpochStart, Job, Segments, Sink, Source, Tables};
use crate::trigger::{Limit, Take, Trigger};

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
    /// When epochs run.
    pub trigger: Trigger,
    /// Whether, and how, the intake follows what is processed.
    pub backpressure: Option<Backpressure>,
    /// Event time, per source that has one.
    pub event_time: BTreeMap<String, EventTime>,
    /// Which of several watermarks is the deployment's.
    pub watermark_policy: WatermarkPolicy,
    /// The sinks that are written behind the commit, and tried once.
    pub at_most_once: BTreeSet<String>,
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
    /// What was there at the start, where nothing else is taken.
    there: Option<BTreeMap<String, Arc<SourcePlan>>>,
    pressure: Pressure,
    /// In continuous processing: the sources whose rows come by themselves.
    pub(crate) followed: Followed,
    /// The static tables as the log last has them.
    logged_tables: Tables,
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

/// The sources' plans.
#[derive(Default)]
struct Asked {
    plans: BTreeMap<String, SourcePlan>,
    /// Not all could be asked.
    away: bool,
}

impl Speed {
    /// One epoch: the one that was planned before a crash, or a new one.
    pub async fn step(&mut self) -> Result<Step, SpeedError> {
        let clock = self.clock.clone();
        let mut timer = Timer::start(&*clock);
        let manifest = self.ledger.lock().await.manifest();
        self.restore(&manifest).await?;
        self.board.now(Activity::GettingOffsets);
        let (plan, more) = match &manifest.planned {
            Some(plan) => {
                let mut plan = plan.clone();
                plan.sources.values_mut().for_each(|range| range.more = true);
                (plan, true)
            }
            None => match self.plan(&manifest).await? {
                Offer::Epoch { plan, more } => (plan, more),
                Offer::Nothing => {
                    self.board.now(Activity::WaitingForData);
                    return Ok(Step::Idle);
                }
                Offer::Unknown => {
                    self.board.now(Activity::WaitingForSource);
                    return Ok(Step::Waits);
                }
            },
        };
        self.board.now(Activity::Processing);
        timer.lap("latestOffset");
        if manifest.planned.is_none() {
            self.ledger.lock().await.commit(Change::Plan(plan.clone())).await?;
        }
        failpoint!("epoch::planned");
        timer.lap("walCommit");
        let intake = self.read(&manifest, &plan).await?;
        self.close(&manifest, timer, plan, intake, false).await?;
        Ok(Step::Ran { more })
    }

    /// Ends an epoch that was planned and read. `flowed`: what came of it was given to the sinks on the way.
    pub(crate) async fn close(
        &mut self,
        manifest: &Manifest,
        mut timer: Timer<'_>,
        plan: Plan,
        mut intake: Intake,
        flowed: bool,
    ) -> Result<(), SpeedError> {
        let begun_at_ms = timer.begun_ms;
        let tables = self.job.tables();
        intake.tables(&tables, &self.memory.logged_tables, manifest, &*self.segments, &*self.clock).await?;
        let event_time = self.event_time(manifest, &self.job.event_time_max());
        let watermark = self.watermark(manifest, &event_time, &intake);
        let final_before = manifest.watermark.max(watermark);
        let mut contribution = self.job.finish(final_before).await?;
        failpoint!("epoch::read");
        let counts = self.notices(manifest, &plan, &intake, &mut contribution)?;
        let writer = short(&manifest.writer);
        let deltas = put_deltas(&*self.segments, &*self.clock, plan.epoch, &writer, &contribution.deltas).await?;
        failpoint!("epoch::deltas::written");
        timer.lap("addBatch");

        let output =
            EpochOutput { deltas: &contribution.deltas, late_before: manifest.watermark, final_before, flowed };
        failpoint!("epoch::sinks::before");
        let once = &self.settings.at_most_once;
        let mut sinks = delivery::before_commit(&mut self.sinks, once, plan.epoch, &output).await?;
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
        if manifest.keeps_log() {
            self.memory.logged_tables = tables;
        }
        failpoint!("epoch::committed");
        let output =
            EpochOutput { deltas: &contribution.deltas, late_before: manifest.watermark, final_before, flowed: false };
        sinks.extend(delivery::behind_commit(&mut self.sinks, once, plan.epoch, &output).await);
        for (name, source) in &mut self.sources {
            if let Some(state) = committed.sources.get(name) {
                source.ack(state).await.map_err(|error| SpeedError::Source { source_name: name.clone(), error })?;
            }
        }
        failpoint!("epoch::acked");
        timer.lap("commitOffsets");
        let progress = self.progress(timer, &plan, &counts, &contribution, &committed, sinks);
        self.memory.begun_at_ms = Some(begun_at_ms);
        if let Some(backpressure) = &self.settings.backpressure {
            let now_ms = self.clock.now_ms();
            self.memory.pressure.observe(backpressure, &intake.rows, now_ms, now_ms - begun_at_ms);
        }
        self.board.report(progress);
        self.board.now(Activity::WaitingForTrigger);
        Ok(())
    }

    async fn plan(&mut self, manifest: &Manifest) -> Result<Offer, SpeedError> {
        let trigger = self.settings.trigger;
        if trigger == Trigger::AvailableNow && self.memory.there.is_none() {
            let all = self.ask(manifest, |_| Some(Limit { take: Take::All, until: None })).await?;
            if all.away {
                return Ok(Offer::Unknown);
            }
            self.memory.there = Some(all.plans.into_iter().map(|(name, plan)| (name, Arc::new(plan))).collect());
        }
        let there = self.memory.there.clone();
        let limits: BTreeMap<String, u64> =
            self.sources.keys().filter_map(|name| Some((name.clone(), self.rate_limit(name)?.1))).collect();
        let asked = self
            .ask(manifest, |name| {
                let take = match limits.get(name) {
                    _ if trigger == Trigger::Once => Take::All,
                    Some(rows) => Take::Rows(*rows),
                    None => Take::Usual,
                };
                let until = match &there {
                    // It had nothing at the start.
                    Some(there) => Some(there.get(name)?.clone()),
                    None => None,
                };
                Some(Limit { take, until })
            })
            .await?;
        let more = asked.plans.values().any(|plan| plan.more);
        let at_ms = self.clock.now_ms();
        let awake = self.job.wakes_at().is_some_and(|at| at <= at_ms);
        Ok(match (asked.plans.is_empty() && !awake, asked.away) {
            // The only epoch leaves no source out.
            (_, true) if trigger == Trigger::Once => Offer::Unknown,
            (false, _) => Offer::Epoch { plan: Plan { epoch: manifest.next, sources: asked.plans, at_ms }, more },
            (true, false) => Offer::Nothing,
            (true, true) => Offer::Unknown,
        })
    }

    /// What back-pressure allows of a source: rows a second, and rows an epoch.
    fn rate_limit(&self, source: &str) -> Option<(f64, u64)> {
        self.memory.pressure.limit(self.settings.backpressure.as_ref()?, source)
    }

    /// Asks the sources for a plan, each within its limit; one without a limit is not asked.
    async fn ask(&mut self, manifest: &Manifest, limit: impl Fn(&str) -> Option<Limit>) -> Result<Asked, SpeedError> {
        let mut asked = Asked::default();
        let first = Default::default();
        for (name, source) in &mut self.sources {
            let Some(limit) = limit(name) else { continue };
            match source.plan(manifest.sources.get(name).unwrap_or(&first), &limit).await {
                Ok(plan) => asked.plans.extend(plan.map(|plan| (name.clone(), plan))),
                // The others go on without it; the source itself has said so once.
                Err(SourceError::Retry(reason)) => {
                    tracing::debug!(source = name, reason, "nothing for now");
                    asked.away = true;
                }
                Err(error) => {
                    return Err(SpeedError::Source { source_name: name.clone(), error });
                }
            }
        }
        Ok(asked)
    }

    /// Gives the job what the epochs before this process left.
    pub(crate) async fn restore(&mut self, manifest: &Manifest) -> Result<(), SpeedError> {
        if self.memory.restored {
            return Ok(());
        }
        for name in manifest.state() {
            let deltas = manifest.deltas(name).map_err(|hole| JobError::Bug(hole.to_string()))?;
            let base = manifest.tables.get(name).map_or(&[][..], |table| &table.base);
            for segment in base.iter().chain(deltas.iter().flat_map(|delta| &delta.segments)) {
                let rows = retry(&*self.clock, || self.segments.read(segment)).await?;
                self.job.restore(name, &rows)?;
            }
        }
        self.memory.restored = true;
        Ok(())
    }

    async fn read(&mut self, manifest: &Manifest, plan: &Plan) -> Result<Intake, SpeedError> {
        self.job.begin(EpochStart { epoch: plan.epoch, late_before: manifest.watermark, planned_at: plan.at_ms });
        let (segments, clock) = (self.segments.clone(), self.clock.clone());
        let mut intake = Intake::new(manifest);
        for (name, range) in &plan.sources {
            let failed = |error| SpeedError::Source { source_name: name.clone(), error };
            let Some(source) = self.sources.get_mut(name) else {
                let gone = SourceError::Fatal("planned before the restart, and no longer in the deployment".into());
                return Err(failed(gone));
            };
            let mut stream = source.read(range).await.map_err(failed)?;
            intake.begin(name, manifest);
            while let Some(rows) = stream.next().await {
                let mut rows = rows.map_err(failed)?;
                if intake.take(name, &mut rows, &*segments, &*clock).await? {
                    self.job.feed(name, rows).await?;
                }
            }
            intake.end(name, &*segments, &*clock).await?;
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
        let per_second = |rows: u64, ms: i64| rows as f64 * 1000.0 / ms.max(1) as f64;
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
            input_rows_per_second: per_second(rows, since_last),
            processed_rows_per_second: per_second(rows, spent_ms),
            batch_duration: spent_ms as u64,
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
                .map(|(name, range)| {
                    let rows = counts.rows.get(name).copied().unwrap_or_default();
                    SourceProgress {
                        description: name.clone(),
                        start_offset: range.start.clone(),
                        end_offset: range.end.clone(),
                        latest_offset: (!range.more).then(|| range.end.clone()),
                        num_input_rows: rows,
                        input_rows_per_second: per_second(rows, since_last),
                        processed_rows_per_second: per_second(rows, spent_ms),
                        num_bad_records: counts.bad.get(name).copied().unwrap_or_default(),
                        metrics: self
                            .rate_limit(name)
                            .map(|(rate, _)| ("rateLimit".into(), rate.to_string()))
                            .into_iter()
                            .collect(),
                    }
                })
                .collect(),
            sinks,
        }
    }
}

/// Milliseconds by phase.
pub(crate) struct Timer<'a> {
    clock: &'a dyn Clock,
    pub(crate) begun_ms: i64,
    lap_ms: i64,
    laps: BTreeMap<String, u64>,
}

impl<'a> Timer<'a> {
    pub(crate) fn start(clock: &'a dyn Clock) -> Self {
        let now = clock.now_ms();
        Self { clock, begun_ms: now, lap_ms: now, laps: BTreeMap::new() }
    }

    pub(crate) fn lap(&mut self, phase: &str) {
        let now = self.clock.now_ms();
        *self.laps.entry(phase.into()).or_default() += (now - self.lap_ms).max(0) as u64;
        self.lap_ms = now;
    }
}
