//! The rate source: rows generated at a speed, the same ones in every replay.
//!
//! A row's timestamp is the instant at which it was due: the first start, which the notes keep, plus the time that the
//! rows before it take.

use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use braid_kernel::{Limit, Rows, Source, SourceError, SourcePlan, SourceState};
use braid_spec::model;
use futures::stream::BoxStream;

use crate::generate::Generator;
use crate::pump::pump;
use crate::{OpenSource, SourceContext};

/// The note under which the first start is kept, in milliseconds since the Unix epoch.
const START: &str = "start_ms";
const MICROS_PER_SECOND: u128 = 1_000_000;

#[derive(Clone)]
struct Rate {
    options: model::Rate,
    generator: Generator,
    epoch_rows: u64,
    start_ms: Option<i64>,
}

pub(crate) fn open(
    options: &model::Rate,
    spec: &model::Source,
    context: SourceContext,
) -> Result<OpenSource, SourceError> {
    if options.rows_per_second == 0 {
        return Err(SourceError::Fatal("rate: rows_per_second is at least 1".into()));
    }
    let source: Box<dyn Source> = Box::new(Rate {
        options: options.clone(),
        generator: Generator::new(spec, &context, options.num_partitions)?,
        epoch_rows: context.epoch_rows.max(1),
        start_ms: None,
    });
    Ok(source.into())
}

impl Rate {
    /// How many rows are due so many microseconds after the start.
    fn due(&self, elapsed: u128) -> u128 {
        let (rate, ramp) = (u128::from(self.options.rows_per_second), self.options.ramp_up_time.as_micros());
        let rows = if elapsed < ramp {
            rate * elapsed * elapsed / (2 * ramp * MICROS_PER_SECOND)
        } else {
            rate * (2 * elapsed - ramp) / (2 * MICROS_PER_SECOND)
        };
        rows.min(self.options.rows_max.map_or(u128::MAX, u128::from))
    }

    /// How many microseconds after the start a row is due.
    fn due_at(&self, row: i64) -> i64 {
        let (rate, ramp) = (u128::from(self.options.rows_per_second), self.options.ramp_up_time.as_micros());
        let row = u128::from(row.unsigned_abs());
        let elapsed = if 2 * row * MICROS_PER_SECOND < rate * ramp {
            (2 * row * MICROS_PER_SECOND * ramp / rate).isqrt()
        } else {
            row * MICROS_PER_SECOND / rate + ramp / 2
        };
        i64::try_from(elapsed).unwrap_or(i64::MAX)
    }

    fn plan_at(&mut self, state: &SourceState, limit: &Limit, now_ms: i64) -> Result<Option<SourcePlan>, SourceError> {
        let noted = state.notes.get(START).and_then(serde_json::Value::as_i64);
        let start_ms = *self.start_ms.insert(noted.or(self.start_ms).unwrap_or(now_ms));
        let elapsed = u128::from(now_ms.saturating_sub(start_ms).max(0).unsigned_abs()) * 1000;
        let mut due = i64::try_from(self.due(elapsed)).unwrap_or(i64::MAX);
        if let Some(until) = &limit.until {
            due = due.min(until.end.values().sum());
        }
        let done = self.generator.done(state)?;
        let rows_max = i64::try_from(limit.rows(self.epoch_rows)).unwrap_or(i64::MAX);
        let rows = due.min(done.saturating_add(rows_max));
        if rows <= done {
            return Ok(None);
        }
        let mut plan = self.generator.plan(state, rows);
        plan.more = rows < due;
        plan.notes.insert(START.into(), start_ms.into());
        Ok(Some(plan))
    }
}

#[async_trait]
impl Source for Rate {
    async fn plan(&mut self, state: &SourceState, limit: &Limit) -> Result<Option<SourcePlan>, SourceError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.plan_at(state, limit, i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
    }

    async fn read(&mut self, plan: &SourcePlan) -> Result<BoxStream<'static, Result<Rows, SourceError>>, SourceError> {
        let start_ms = plan.notes.get(START).and_then(serde_json::Value::as_i64);
        let start_ms = start_ms.ok_or_else(|| SourceError::Fatal(format!("the plan has no note `{START}`")))?;
        let (rate, plan) = (self.clone(), plan.clone());
        Ok(pump(model::OnBadRecord::Fail, move |emit| {
            let instant = |row| start_ms.saturating_mul(1000).saturating_add(rate.due_at(row));
            rate.generator.generate(&plan, instant, emit)
        }))
    }

    async fn ack(&mut self, _state: &SourceState) -> Result<(), SourceError> {
        Ok(())
    }

    fn joins(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use braid_kernel::Take;

    use super::*;
    use crate::generate::{test_generator, test_read};

    fn rate(rows_per_second: u64, ramp_seconds: u64, num_partitions: u64, rows_max: Option<u64>) -> Rate {
        let ramp_up_time = Duration::from_secs(ramp_seconds);
        Rate {
            options: model::Rate { rows_per_second, ramp_up_time, num_partitions, rows_max },
            generator: test_generator(num_partitions),
            epoch_rows: 25,
            start_ms: None,
        }
    }

    #[tokio::test]
    async fn each_row_comes_once_at_its_time_also_after_a_restart() {
        let mut source = rate(10, 0, 3, Some(42));
        let mut state = SourceState::default();
        assert_eq!(source.plan_at(&state, &Limit::default(), 1_000_000).unwrap(), None);
        let mut all = Vec::new();
        for (now, rows, more) in
            [(1_000_350, 3, false), (1_003_500, 25, true), (1_003_500, 7, false), (1_090_000, 7, false)]
        {
            let plan = source.plan_at(&state, &Limit::default(), now).unwrap().unwrap();
            assert_eq!(plan.more, more);
            let mut restarted = rate(10, 0, 3, Some(42));
            let read_again = test_read(&mut restarted, &plan).await;
            assert_eq!(read_again, test_read(&mut source, &plan).await);
            assert_eq!(read_again.len(), rows);
            all.extend(read_again);
            state.advance(&plan);
            source = restarted;
        }
        let expected: Vec<(i64, i64)> = (0..42).map(|row| (row, 1_000_000 + row * 100)).collect();
        assert_eq!(all, expected);
        assert_eq!(source.plan_at(&state, &Limit::default(), 2_000_000).unwrap(), None);
        let refused = rate(10, 0, 2, Some(42)).plan_at(&state, &Limit::default(), 2_000_000).unwrap_err();
        assert!(refused.to_string().contains("num_partitions is 2 and was 3"), "{refused}");
    }

    #[test]
    fn a_limit_holds_rows_back() {
        let mut source = rate(10, 0, 3, None);
        let mut state = SourceState::default();
        assert_eq!(source.plan_at(&state, &Limit::default(), 1_000_000).unwrap(), None);
        let all = Limit { take: Take::All, until: None };
        let there = source.plan_at(&state, &all, 1_006_000).unwrap().unwrap();
        assert_eq!((there.end.values().sum::<i64>(), there.more), (60, false));
        let until = Some(Arc::new(there));
        for (take, rows, more) in [(Take::Usual, 25, true), (Take::Rows(5), 5, true), (Take::All, 30, false)] {
            let limit = Limit { take, until: until.clone() };
            let plan = source.plan_at(&state, &limit, 1_009_000).unwrap().unwrap();
            let before: i64 = state.offsets.values().sum();
            state.advance(&plan);
            assert_eq!((state.offsets.values().sum::<i64>() - before, plan.more), (rows, more));
        }
        assert_eq!(source.plan_at(&state, &Limit { take: Take::All, until }, 1_009_000).unwrap(), None);
    }

    #[test]
    fn a_ramp_grows_evenly_and_a_row_is_never_early() {
        let source = rate(1000, 10, 1, None);
        assert_eq!(source.due(10_000_000), 5000);
        assert_eq!(source.due(5_000_000), 1250);
        assert_eq!(source.due(11_000_000), 6000);
        for row in (1..7000).step_by(13) {
            let due_at = source.due_at(row) as u128;
            assert!(source.due(due_at) <= row as u128 && source.due(due_at + 50_000) >= row as u128, "{row}");
        }
    }
}
