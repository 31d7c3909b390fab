//! Continuous processing: rows go through the job and to the sinks as they come, and an epoch's plan is written when it ends.
//!
//! From the plan on, its durable steps are those of any epoch. A crash before the plan leaves nothing, and the rows are read
//! again; one behind it leaves a plan, which runs as it always would.

use std::collections::BTreeMap;
use std::task::Poll;
use std::time::Duration;

use futures::future::poll_fn;
use futures::stream::{BoxStream, TryStreamExt};
use futures::{FutureExt, StreamExt};
use tokio::sync::watch;

use crate::error::SourceError;
use crate::failed::SpeedError;
use crate::failpoint;
use crate::intake::Intake;
use crate::manifest::{Change, Manifest, Plan};
use crate::offsets::SourcePlan;
use crate::progress::Activity;
use crate::rows::Rows;
use crate::speed::{BACKOFF_MAX, BACKOFF_MIN, Speed, Step, Timer};
use crate::traits::{Clock, EpochStart};
use crate::trigger::{Limit, POLL, between};

/// So many slices, where they are there, go through the job at a time.
const SLICES_AT_ONCE_MAX: usize = 16;

/// Rows that came at a time, and the plan that reads them again. It begins where the slice before it ended.
#[derive(Debug, Clone)]
pub struct Slice {
    /// A plan that joins with those before and behind it ([`Source::joins`](crate::Source::joins)).
    pub plan: SourcePlan,
    /// Exactly the plan's rows.
    pub rows: Vec<Rows>,
}

/// A source's slices without an end.
pub type Slices = BoxStream<'static, Result<Slice, SourceError>>;

/// The sources in continuous processing, over epochs.
#[derive(Default)]
pub(crate) struct Followed {
    sources: BTreeMap<String, Follow>,
    /// Whose turn it is.
    turn: usize,
}

enum Follow {
    /// Its rows come by themselves.
    Comes(Slices),
    /// It is asked.
    Asked,
    /// It could not be followed, and is tried again then, and so much later the next time.
    Away { until_ms: i64, next: Duration },
}

impl std::fmt::Debug for Followed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.sources.keys()).finish()
    }
}

impl Followed {
    /// A source is away.
    fn away(&mut self, name: &str, now_ms: i64, reason: &str) {
        let wait = match self.sources.get(name) {
            Some(Follow::Away { next, .. }) => *next,
            _ => BACKOFF_MIN,
        };
        tracing::debug!(source = name, reason, "nothing for now");
        let away = Follow::Away { until_ms: now_ms + wait.as_millis() as i64, next: (wait * 2).min(BACKOFF_MAX) };
        self.sources.insert(name.into(), away);
    }

    fn is_away(&self) -> bool {
        self.sources.values().any(|follow| matches!(follow, Follow::Away { .. }))
    }

    /// The next slice of any source, in turn; `None` after that time, or when it is to stop.
    async fn next(
        &mut self,
        clock: &dyn Clock,
        wait: Duration,
        stop: &mut watch::Receiver<bool>,
    ) -> Option<(String, Result<Slice, SourceError>)> {
        let mut sleep = clock.sleep(wait);
        let mut stopped = Box::pin(stop.wait_for(|stop| *stop));
        poll_fn(|context| {
            let mut sources: Vec<_> = self.sources.iter_mut().collect();
            self.turn = (self.turn + 1) % sources.len().max(1);
            sources.rotate_left(self.turn);
            for (name, follow) in sources {
                let Follow::Comes(slices) = follow else { continue };
                match slices.poll_next_unpin(context) {
                    Poll::Pending => {}
                    Poll::Ready(Some(slice)) => return Poll::Ready(Some((name.clone(), slice))),
                    Poll::Ready(None) => {
                        let ended = SourceError::Retry("its rows came to an end".into());
                        return Poll::Ready(Some((name.clone(), Err(ended))));
                    }
                }
            }
            match wait.is_zero() || stopped.poll_unpin(context).is_ready() || sleep.poll_unpin(context).is_ready() {
                true => Poll::Ready(None),
                false => Poll::Pending,
            }
        })
        .await
    }
}

/// An epoch that has not ended.
struct Open {
    plan: Plan,
    intake: Intake,
    /// How often something flowed.
    parts: u64,
    rows: u64,
    /// It must end now: the next plan of a source would not join with what it has.
    full: bool,
}

impl Speed {
    /// One epoch whose rows flow, or the one that a crash left. It ends after `every`, after about `rows_max` rows, or
    /// when it is to stop.
    pub async fn flow(
        &mut self,
        every: Duration,
        rows_max: u64,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Step, SpeedError> {
        let manifest = self.ledger.lock().await.manifest();
        let step = match manifest.planned.is_some() {
            true => self.step().await,
            false => self.flowing_epoch(&manifest, every, rows_max, stop).await,
        };
        if step.is_err() {
            // What was read and not committed is read again.
            self.memory.followed = Followed::default();
        }
        step
    }

    async fn flowing_epoch(
        &mut self,
        manifest: &Manifest,
        every: Duration,
        rows_max: u64,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Step, SpeedError> {
        let clock = self.clock.clone();
        let mut timer = Timer::start(&*clock);
        let at_ms = timer.begun_ms;
        self.restore(manifest).await?;
        self.job.begin(EpochStart { epoch: manifest.next, late_before: manifest.watermark, planned_at: at_ms });
        let awake = self.job.wakes_at().is_some_and(|at| at <= at_ms);
        let mut open = Open {
            plan: Plan { epoch: manifest.next, sources: BTreeMap::new(), at_ms },
            intake: Intake::new(manifest),
            parts: 0,
            rows: 0,
            full: false,
        };
        let mut asked_ms = None;
        loop {
            self.follow(manifest, &open).await?;
            let spent = between(at_ms, clock.now_ms());
            if open.full || open.rows >= rows_max || spent >= every || *stop.borrow() {
                break;
            }
            let mut wait = every - spent;
            if self.memory.followed.sources.values().any(|follow| !matches!(follow, Follow::Comes(_))) {
                wait = wait.min(POLL);
            }
            if asked_ms.is_none_or(|asked| between(asked, clock.now_ms()) >= POLL) {
                asked_ms = match self.ask_for_slices(manifest, &mut open, rows_max).await? {
                    // There may be more.
                    true => None,
                    false => Some(clock.now_ms()),
                };
            }
            if asked_ms.is_none() {
                wait = Duration::ZERO;
            }
            if open.parts == 0 {
                let away = self.memory.followed.is_away();
                self.board.now(if away { Activity::WaitingForSource } else { Activity::WaitingForData });
            }
            let mut came = 0;
            while came < SLICES_AT_ONCE_MAX && open.rows < rows_max {
                let wait = if came == 0 { wait } else { Duration::ZERO };
                match self.memory.followed.next(&*clock, wait, stop).await {
                    None => break,
                    Some((name, Ok(slice))) => {
                        self.take(manifest, &mut open, &name, slice).await?;
                        came += 1;
                    }
                    Some((name, Err(SourceError::Retry(reason)))) => {
                        self.memory.followed.away(&name, clock.now_ms(), &reason);
                    }
                    Some((source_name, Err(error))) => return Err(SpeedError::Source { source_name, error }),
                }
            }
            if came > 0 {
                self.give(&mut open).await?;
            }
        }
        if open.plan.sources.is_empty() && !awake {
            return Ok(Step::Idle);
        }
        timer.lap("addBatch");
        let Open { plan, mut intake, .. } = open;
        failpoint!("flow::closing");
        self.ledger.lock().await.commit(Change::Plan(plan.clone())).await?;
        failpoint!("epoch::planned");
        timer.lap("walCommit");
        for name in plan.sources.keys() {
            intake.end(name, &*self.segments, &*clock).await?;
        }
        self.close(manifest, timer, plan, intake, true).await?;
        Ok(Step::Ran { more: true })
    }

    /// Follows the sources that are not followed yet, from where the epoch has come.
    async fn follow(&mut self, manifest: &Manifest, open: &Open) -> Result<(), SpeedError> {
        for (name, source) in &mut self.sources {
            let now_ms = self.clock.now_ms();
            match self.memory.followed.sources.get(name) {
                Some(Follow::Away { until_ms, .. }) if now_ms < *until_ms => continue,
                Some(Follow::Away { .. }) | None => {}
                Some(_) => continue,
            }
            let mut state = manifest.sources.get(name).cloned().unwrap_or_default();
            if let Some(plan) = open.plan.sources.get(name) {
                state.advance(plan);
            }
            match source.follow(&state).await {
                Ok(slices) => {
                    let follow = slices.map_or(Follow::Asked, Follow::Comes);
                    self.memory.followed.sources.insert(name.clone(), follow);
                }
                Err(SourceError::Retry(reason)) => self.memory.followed.away(name, now_ms, &reason),
                Err(error) => return Err(SpeedError::Source { source_name: name.clone(), error }),
            }
        }
        Ok(())
    }

    /// Asks those sources for a slice that have to be asked. Says whether any had one.
    async fn ask_for_slices(
        &mut self,
        manifest: &Manifest,
        open: &mut Open,
        rows_max: u64,
    ) -> Result<bool, SpeedError> {
        let asked: Vec<String> = (self.memory.followed.sources.iter())
            .filter(|(_, follow)| matches!(follow, Follow::Asked))
            .map(|(name, _)| name.clone())
            .collect();
        let mut any = false;
        for name in asked {
            if open.full || open.rows >= rows_max {
                break;
            }
            let failed = |error| SpeedError::Source { source_name: name.clone(), error };
            let Some(source) = self.sources.get_mut(&name) else { continue };
            let mut state = manifest.sources.get(&name).cloned().unwrap_or_default();
            if let Some(plan) = open.plan.sources.get(&name) {
                state.advance(plan);
            }
            let plan = match source.plan(&state, &Limit::default()).await {
                Ok(Some(plan)) => plan,
                Ok(None) => continue,
                Err(SourceError::Retry(reason)) => {
                    self.memory.followed.away(&name, self.clock.now_ms(), &reason);
                    continue;
                }
                Err(error) => return Err(failed(error)),
            };
            let rows = source.read(&plan).await.map_err(failed)?.try_collect().await.map_err(failed)?;
            open.full |= !source.joins();
            self.take(manifest, open, &name, Slice { plan, rows }).await?;
            any = true;
        }
        if any {
            self.give(open).await?;
        }
        Ok(any)
    }

    /// Feeds a slice to the job.
    async fn take(&mut self, manifest: &Manifest, open: &mut Open, name: &str, slice: Slice) -> Result<(), SpeedError> {
        if open.plan.sources.is_empty() {
            self.board.now(Activity::Processing);
        }
        open.intake.begin(name, manifest);
        // Where a source begins is durable before anything else: what comes next must not be skipped by a restart.
        open.full |= slice.rows.is_empty();
        open.plan.sources.entry(name.into()).or_default().join(slice.plan);
        for mut rows in slice.rows {
            open.rows += rows.batch.num_rows() as u64 + rows.bad.len() as u64;
            if open.intake.take(name, &mut rows, &*self.segments, &*self.clock).await? {
                self.job.feed(name, rows).await?;
            }
        }
        Ok(())
    }

    /// Gives the sinks what came of it.
    async fn give(&mut self, open: &mut Open) -> Result<(), SpeedError> {
        let rows = self.job.flow().await?;
        let once = &self.settings.at_most_once;
        for (name, sink) in self.sinks.iter_mut().filter(|(name, _)| !once.contains(*name)) {
            let flowed = sink.flow(open.plan.epoch, open.parts, &rows).await;
            flowed.map_err(|error| SpeedError::Sink { sink: name.clone(), error })?;
        }
        open.parts += 1;
        failpoint!("flow::given");
        Ok(())
    }
}
