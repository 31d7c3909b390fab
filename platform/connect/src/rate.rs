//! The rate source: generated rows, the same ones in every replay.
//!
//! Row `i` holds the value `i` and the instant at which it was due: the first start, which the notes keep, plus the
//! time that `i` rows take. Partition `p` of `n` has the rows `p`, `p + n`, `p + 2n`, …

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use braid_kernel::{Rows, Source, SourceError, SourcePlan, SourceState};
use braid_spec::model;
use futures::stream::BoxStream;

use crate::formats::project;
use crate::formats::records::Stop;
use crate::pump::{Emit, pump};
use crate::{OpenSource, SourceContext};

/// The note under which the first start is kept, in milliseconds since the Unix epoch.
const START: &str = "start_ms";
const MICROS_PER_SECOND: u128 = 1_000_000;

#[derive(Clone)]
struct Rate {
    options: model::Rate,
    schema: SchemaRef,
    batch_rows: usize,
    epoch_rows: u64,
    start_ms: Option<i64>,
}

pub(crate) fn open(
    options: &model::Rate,
    spec: &model::Source,
    context: SourceContext,
) -> Result<OpenSource, SourceError> {
    if options.rows_per_second == 0 || options.num_partitions == 0 {
        return Err(SourceError::Fatal("rate: rows_per_second and num_partitions are at least 1".into()));
    }
    for field in spec.schema.fields() {
        let fits = match field.name().as_str() {
            "timestamp" => matches!(field.data_type(), DataType::Timestamp(..)),
            "value" => *field.data_type() == DataType::Int64,
            _ => false,
        };
        if !fits {
            return Err(SourceError::Fatal(format!(
                "rate: rows have `timestamp` (a timestamp) and `value` (a long), and no `{}` of type {}",
                field.name(),
                field.data_type()
            )));
        }
    }
    let source: Box<dyn Source> = Box::new(Rate {
        options: options.clone(),
        schema: project(&spec.schema, context.projection.as_deref()),
        batch_rows: context.batch_rows.max(1),
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

    /// How many of the first `rows` rows are in a partition.
    fn share(&self, rows: i64, partition: i64) -> i64 {
        let partitions = self.options.num_partitions as i64;
        (rows - partition + partitions - 1).div_euclid(partitions).max(0)
    }

    fn plan_at(&mut self, state: &SourceState, now_ms: i64) -> Result<Option<SourcePlan>, SourceError> {
        let noted = state.notes.get(START).and_then(serde_json::Value::as_i64);
        let start_ms = *self.start_ms.insert(noted.or(self.start_ms).unwrap_or(now_ms));
        let elapsed = u128::from(now_ms.saturating_sub(start_ms).max(0).unsigned_abs()) * 1000;
        let due = i64::try_from(self.due(elapsed)).unwrap_or(i64::MAX);
        let done: i64 = state.offsets.values().sum();
        let rows = due.min(done.saturating_add(i64::try_from(self.epoch_rows).unwrap_or(i64::MAX)));
        if rows <= done {
            return Ok(None);
        }
        let mut plan = SourcePlan { more: rows < due, ..SourcePlan::default() };
        for partition in 0..self.options.num_partitions as i64 {
            let name = partition.to_string();
            let start = state.offsets.get(&name).copied().unwrap_or(0);
            plan.end.insert(name.clone(), self.share(rows, partition));
            plan.start.insert(name, start);
        }
        plan.notes.insert(START.into(), start_ms.into());
        Ok(Some(plan))
    }

    /// The rows of one partition from one offset to another.
    fn batch(&self, start_ms: i64, partition: i64, offsets: std::ops::Range<i64>) -> Result<RecordBatch, SourceError> {
        let partitions = self.options.num_partitions as i64;
        let values = offsets.clone().map(|offset| offset * partitions + partition);
        let columns = self.schema.fields().iter().map(|field| {
            let column: ArrayRef = if field.name() == "value" {
                Arc::new(Int64Array::from_iter_values(values.clone()))
            } else {
                let instants = values.clone().map(|row| start_ms.saturating_mul(1000).saturating_add(self.due_at(row)));
                Arc::new(TimestampMicrosecondArray::from_iter_values(instants))
            };
            cast(&column, field.data_type())
        });
        let options = RecordBatchOptions::new().with_row_count(Some(offsets.count()));
        columns
            .collect::<Result<Vec<_>, _>>()
            .and_then(|columns| RecordBatch::try_new_with_options(self.schema.clone(), columns, &options))
            .map_err(|error| SourceError::Fatal(error.to_string()))
    }

    fn generate(&self, plan: &SourcePlan, start_ms: i64, emit: Emit<'_>) -> Result<(), Stop> {
        for (name, end) in &plan.end {
            let number: i64 =
                name.parse().map_err(|_| SourceError::Fatal(format!("rate has no partition `{name}`")))?;
            let partition: Arc<str> = Arc::from(name.as_str());
            let mut at = plan.start.get(name).copied().unwrap_or(0);
            while at < *end {
                let until = (*end).min(at + self.batch_rows as i64);
                let batch = self.batch(start_ms, number, at..until)?;
                let offsets = Int64Array::from_iter_values(at..until);
                emit(Rows { batch, partition: partition.clone(), offsets, bad: Vec::new() })?;
                at = until;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Source for Rate {
    async fn plan(&mut self, state: &SourceState) -> Result<Option<SourcePlan>, SourceError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.plan_at(state, i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
    }

    async fn read(&mut self, plan: &SourcePlan) -> Result<BoxStream<'static, Result<Rows, SourceError>>, SourceError> {
        let start_ms = plan.notes.get(START).and_then(serde_json::Value::as_i64);
        let start_ms = start_ms.ok_or_else(|| SourceError::Fatal(format!("the plan has no note `{START}`")))?;
        let (rate, plan) = (self.clone(), plan.clone());
        Ok(pump(model::OnBadRecord::Fail, move |emit| rate.generate(&plan, start_ms, emit)))
    }

    async fn ack(&mut self, _state: &SourceState) -> Result<(), SourceError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arrow::array::AsArray;
    use arrow::datatypes::{Field, Int64Type, Schema, TimeUnit, TimestampMillisecondType};
    use futures::TryStreamExt;

    use super::*;

    fn rate(rows_per_second: u64, ramp_seconds: u64, num_partitions: u64, rows_max: Option<u64>) -> Rate {
        let timestamp = DataType::Timestamp(TimeUnit::Millisecond, None);
        let fields = vec![Field::new("timestamp", timestamp, true), Field::new("value", DataType::Int64, true)];
        let ramp_up_time = Duration::from_secs(ramp_seconds);
        Rate {
            options: model::Rate { rows_per_second, ramp_up_time, num_partitions, rows_max },
            schema: Schema::new(fields).into(),
            batch_rows: 4,
            epoch_rows: 25,
            start_ms: None,
        }
    }

    /// Values and instants, by value.
    async fn read(rate: &mut Rate, plan: &SourcePlan) -> Vec<(i64, i64)> {
        let rows: Vec<Rows> = rate.read(plan).await.unwrap().try_collect().await.unwrap();
        let mut all = Vec::new();
        for rows in rows {
            assert!(rows.batch.num_rows() <= 4);
            let instants = rows.batch.column(0).as_primitive::<TimestampMillisecondType>();
            let values = rows.batch.column(1).as_primitive::<Int64Type>();
            all.extend(values.values().iter().copied().zip(instants.values().iter().copied()));
        }
        all.sort_unstable();
        all
    }

    #[tokio::test]
    async fn each_row_comes_once_at_its_time_also_after_a_restart() {
        let mut source = rate(10, 0, 3, Some(42));
        let mut state = SourceState::default();
        assert_eq!(source.plan_at(&state, 1_000_000).unwrap(), None);
        let mut all = Vec::new();
        for (now, rows, more) in
            [(1_000_350, 3, false), (1_003_500, 25, true), (1_003_500, 7, false), (1_090_000, 7, false)]
        {
            let plan = source.plan_at(&state, now).unwrap().unwrap();
            assert_eq!(plan.more, more);
            let mut restarted = rate(10, 0, 3, Some(42));
            let read_again = read(&mut restarted, &plan).await;
            assert_eq!(read_again, read(&mut source, &plan).await);
            assert_eq!(read_again.len(), rows);
            all.extend(read_again);
            state.advance(&plan);
            source = restarted;
        }
        let expected: Vec<(i64, i64)> = (0..42).map(|row| (row, 1_000_000 + row * 100)).collect();
        assert_eq!(all, expected);
        assert_eq!(source.plan_at(&state, 2_000_000).unwrap(), None);
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
