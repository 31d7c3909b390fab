//! When the next epoch begins, how much it takes, and when the loop ends by itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::offsets::SourcePlan;
use crate::progress::Activity;
use crate::speed::{BACKOFF_MAX, BACKOFF_MIN, Speed, SpeedError, Step};
use crate::traits::Clock;

/// How often sources are asked where no interval was given: Spark's `spark.sql.streaming.pollingDelay`.
pub const POLL: Duration = Duration::from_millis(10);

/// When epochs run. The words are Spark's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// When there are rows; so long after the epoch before began at the earliest, unless that one left some.
    Arrival { every: Duration },
    /// At each whole multiple of the interval, or at once where an epoch took longer. Rows that wait, wait for it.
    ProcessingTime(Duration),
    /// Rows flow as they come. An epoch is committed so long after it began, or earlier after so many rows.
    Continuous { every: Duration, rows: u64 },
    /// One epoch of everything that is there, whatever limits say; then the end.
    Once,
    /// What is there at the start, in as many epochs as the limits make of it; then the end.
    AvailableNow,
    /// Until nothing is left, also of what comes meanwhile; then the end.
    CaughtUp,
}

impl Default for Trigger {
    fn default() -> Self {
        Self::Arrival { every: Duration::ZERO }
    }
}

impl Trigger {
    /// Whether the loop ends by itself.
    pub fn ends(self) -> bool {
        matches!(self, Self::Once | Self::AvailableNow | Self::CaughtUp)
    }

    /// How long one epoch should take, where that is said: what back-pressure aims at.
    pub fn interval(self) -> Option<Duration> {
        match self {
            Self::Arrival { every: interval } | Self::ProcessingTime(interval) if !interval.is_zero() => Some(interval),
            _ => None,
        }
    }

    /// How long to wait after a step that began and ended at these instants; `None` is the end.
    pub fn pause(self, step: Step, begun_ms: i64, now_ms: i64) -> Option<Duration> {
        let idle = step == Step::Idle;
        match self {
            Self::Once | Self::AvailableNow | Self::CaughtUp if idle => None,
            Self::Once if step == (Step::Ran { more: false }) => None,
            Self::Once | Self::AvailableNow | Self::CaughtUp => Some(Duration::ZERO),
            Self::Arrival { .. } if step == (Step::Ran { more: true }) => Some(Duration::ZERO),
            Self::ProcessingTime(Duration::ZERO) => Some(if idle { POLL } else { Duration::ZERO }),
            // It has waited for rows itself.
            Self::Continuous { .. } => Some(Duration::ZERO),
            Self::Arrival { every } => Some(every.saturating_sub(between(begun_ms, now_ms))),
            Self::ProcessingTime(interval) => {
                let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
                let next_ms = (begun_ms - begun_ms.rem_euclid(interval_ms)).saturating_add(interval_ms);
                Some(between(now_ms, next_ms))
            }
        }
    }
}

/// From one instant to another; nothing where the second is not later.
pub fn between(from_ms: i64, to_ms: i64) -> Duration {
    Duration::from_millis(to_ms.saturating_sub(from_ms).max(0).unsigned_abs())
}

/// How much of a source the next epoch takes.
#[derive(Debug, Clone, Default)]
pub struct Limit {
    /// How many rows.
    pub take: Take,
    /// Nothing that came after the source made this plan.
    pub until: Option<Arc<SourcePlan>>,
}

/// How many rows of a source an epoch takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Take {
    /// What the source's options say, or the layout where they say nothing.
    #[default]
    Usual,
    /// As usual, and about so many rows at most.
    Rows(u64),
    /// Everything that is there, whatever the options say.
    All,
}

impl Limit {
    /// How many rows, where it is usually so many.
    pub fn rows(&self, usual: u64) -> u64 {
        match self.take {
            Take::Usual => usual,
            Take::Rows(rows) => rows.max(1).min(usual),
            Take::All => u64::MAX,
        }
    }

    /// Where a partition's range ends at the latest, that begins and could end at these offsets.
    pub fn end(&self, partition: &str, start: i64, end: i64) -> i64 {
        match &self.until {
            Some(until) => until.end.get(partition).copied().unwrap_or(start).clamp(start, end.max(start)),
            None => end,
        }
    }
}

impl Speed {
    /// Runs epochs by the trigger, until it ends or is told to stop. An epoch under way is finished first. Failures
    /// that may pass are waited for.
    pub async fn run(&mut self, mut stop: watch::Receiver<bool>) -> Result<(), SpeedError> {
        let trigger = self.settings.trigger;
        let mut backoff = BACKOFF_MIN;
        while !*stop.borrow() {
            let begun_ms = self.clock.now_ms();
            let stepped = match trigger {
                Trigger::Continuous { every, rows } => self.flow(every, rows, &mut stop).await,
                _ => self.step().await,
            };
            let pause = match stepped {
                Ok(Step::Waits) => {
                    let wait = trigger.interval().unwrap_or_default().max(backoff);
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                    wait
                }
                Ok(step) => {
                    backoff = BACKOFF_MIN;
                    let now_ms = self.clock.now_ms();
                    if let (Trigger::ProcessingTime(interval), Step::Ran { .. }) = (trigger, step)
                        && !interval.is_zero()
                        && between(begun_ms, now_ms) > interval
                    {
                        tracing::warn!(
                            spent_ms = now_ms - begun_ms,
                            ?interval,
                            "the epoch took longer than the trigger"
                        );
                    }
                    match trigger.pause(step, begun_ms, now_ms) {
                        Some(pause) => pause,
                        None => break,
                    }
                }
                Err(error) if error.passes() => {
                    tracing::warn!(%error, "the epoch is tried again");
                    self.board.now(Activity::Retrying(error.to_string()));
                    let wait = backoff;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                    wait
                }
                Err(error) => return Err(error),
            };
            rest(&*self.clock, pause, &mut stop).await;
        }
        Ok(())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LEFT: Step = Step::Ran { more: true };
    const DONE: Step = Step::Ran { more: false };

    fn ms(pause: Option<Duration>) -> Option<u128> {
        pause.map(|pause| pause.as_millis())
    }

    #[test]
    fn an_epoch_follows_at_once_only_where_rows_were_left() {
        let trigger = Trigger::Arrival { every: SECOND };
        assert_eq!(ms(trigger.pause(LEFT, 100, 400)), Some(0));
        assert_eq!(ms(trigger.pause(DONE, 100, 400)), Some(700));
        assert_eq!(ms(trigger.pause(Step::Idle, 100, 4_000)), Some(0));
        // A clock that went back does not make it wait longer.
        assert_eq!(ms(trigger.pause(DONE, 4_000, 100)), Some(1_000));
    }

    #[test]
    fn processing_time_goes_by_whole_multiples() {
        let trigger = Trigger::ProcessingTime(SECOND);
        assert_eq!(ms(trigger.pause(LEFT, 2_300, 2_400)), Some(600));
        assert_eq!(ms(trigger.pause(Step::Idle, 2_300, 2_400)), Some(600));
        assert_eq!(ms(trigger.pause(DONE, 2_300, 3_100)), Some(0));
        assert_eq!(ms(trigger.pause(DONE, 3_000, 3_000)), Some(1_000));
        let as_fast_as_it_goes = Trigger::ProcessingTime(Duration::ZERO);
        assert_eq!(ms(as_fast_as_it_goes.pause(DONE, 0, 0)), Some(0));
        assert_eq!(as_fast_as_it_goes.pause(Step::Idle, 0, 0), Some(POLL));
    }

    #[test]
    fn what_ends_ends() {
        assert_eq!(ms(Trigger::Once.pause(LEFT, 0, 9)), Some(0));
        assert_eq!(Trigger::Once.pause(DONE, 0, 9), None);
        for trigger in [Trigger::AvailableNow, Trigger::CaughtUp] {
            assert_eq!(ms(trigger.pause(DONE, 0, 9)), Some(0));
            assert_eq!(trigger.pause(Step::Idle, 0, 9), None);
            assert!(trigger.ends());
        }
    }

    #[test]
    fn a_limit_holds_rows_and_what_came_later_back() {
        let limit = Limit { take: Take::Rows(7), until: None };
        assert_eq!((limit.rows(100), limit.rows(5), limit.end("0", 3, 9)), (7, 5, 9));
        assert_eq!(Limit { take: Take::Rows(0), until: None }.rows(5), 1);
        let until = SourcePlan { end: [("0".to_string(), 6)].into(), ..SourcePlan::default() };
        let limit = Limit { take: Take::All, until: Some(Arc::new(until)) };
        assert_eq!(limit.rows(5), u64::MAX);
        assert_eq!((limit.end("0", 3, 9), limit.end("0", 3, 4), limit.end("1", 3, 9)), (6, 4, 3));
        // It was read further before a restart than the plan knew.
        assert_eq!(limit.end("0", 8, 9), 8);
    }
}
