//! What generated sources share: row `i` holds the value `i`, and partition `p` of `n` has the rows `p`, `p + n`, `p + 2n`, …

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use braid_kernel::{Rows, SourceError, SourcePlan, SourceState};
use braid_spec::model;

use crate::SourceContext;
use crate::formats::project;
use crate::formats::records::Stop;
use crate::pump::Emit;

/// The note under which the number of partitions is kept.
const PARTITIONS: &str = "num_partitions";

/// Makes the rows that a plan names.
#[derive(Clone)]
pub(crate) struct Generator {
    schema: SchemaRef,
    batch_rows: i64,
    partitions: i64,
}

impl Generator {
    pub(crate) fn new(spec: &model::Source, context: &SourceContext, num_partitions: u64) -> Result<Self, SourceError> {
        for field in spec.schema.fields() {
            let fits = match field.name().as_str() {
                "timestamp" => matches!(field.data_type(), DataType::Timestamp(..)),
                "value" => *field.data_type() == DataType::Int64,
                _ => false,
            };
            if !fits {
                return Err(SourceError::Fatal(format!(
                    "generated rows have `timestamp` (a timestamp) and `value` (a long), and no `{}` of type {}",
                    field.name(),
                    field.data_type()
                )));
            }
        }
        Ok(Self {
            schema: project(&spec.schema, context.projection.as_deref()),
            batch_rows: i64::try_from(context.batch_rows).unwrap_or(i64::MAX).max(1),
            partitions: i64::try_from(num_partitions).unwrap_or(i64::MAX).max(1),
        })
    }

    /// How many rows were made.
    pub(crate) fn done(&self, state: &SourceState) -> Result<i64, SourceError> {
        match state.notes.get(PARTITIONS).and_then(serde_json::Value::as_i64) {
            Some(before) if before != self.partitions => Err(SourceError::Fatal(format!(
                "num_partitions is {} and was {before} when the store was written: rows are numbered by it",
                self.partitions
            ))),
            _ => Ok(state.offsets.values().sum()),
        }
    }

    /// Plans the rows from those that were made up to the first `rows` of all.
    pub(crate) fn plan(&self, state: &SourceState, rows: i64) -> SourcePlan {
        let mut plan = SourcePlan::default();
        for partition in 0..self.partitions {
            let name = partition.to_string();
            plan.start.insert(name.clone(), state.offsets.get(&name).copied().unwrap_or(0));
            plan.end.insert(name, self.share(rows, partition));
        }
        plan.notes.insert(PARTITIONS.into(), self.partitions.into());
        plan
    }

    /// How many of the first `rows` rows are in a partition.
    fn share(&self, rows: i64, partition: i64) -> i64 {
        rows.saturating_sub(partition).saturating_add(self.partitions - 1).div_euclid(self.partitions).max(0)
    }

    /// The rows of a plan; `instant` is a row's timestamp in microseconds since the Unix epoch.
    pub(crate) fn generate(&self, plan: &SourcePlan, instant: impl Fn(i64) -> i64, emit: Emit<'_>) -> Result<(), Stop> {
        for (name, end) in &plan.end {
            let number: i64 =
                name.parse().map_err(|_| SourceError::Fatal(format!("there is no partition `{name}`")))?;
            let partition: Arc<str> = Arc::from(name.as_str());
            let mut at = plan.start.get(name).copied().unwrap_or(0);
            while at < *end {
                let until = (*end).min(at.saturating_add(self.batch_rows));
                let batch = self.batch(number, at..until, &instant)?;
                let offsets = Int64Array::from_iter_values(at..until);
                emit(Rows { batch, partition: partition.clone(), offsets, bad: Vec::new() })?;
                at = until;
            }
        }
        Ok(())
    }

    /// The rows of one partition from one offset to another.
    fn batch(
        &self,
        partition: i64,
        offsets: std::ops::Range<i64>,
        instant: &impl Fn(i64) -> i64,
    ) -> Result<RecordBatch, SourceError> {
        let values = offsets.clone().map(|offset| offset * self.partitions + partition);
        let columns = self.schema.fields().iter().map(|field| {
            let column: ArrayRef = if field.name() == "value" {
                Arc::new(Int64Array::from_iter_values(values.clone()))
            } else {
                Arc::new(TimestampMicrosecondArray::from_iter_values(values.clone().map(instant)))
            };
            cast(&column, field.data_type())
        });
        let options = RecordBatchOptions::new().with_row_count(Some(offsets.count()));
        columns
            .collect::<Result<Vec<_>, _>>()
            .and_then(|columns| RecordBatch::try_new_with_options(self.schema.clone(), columns, &options))
            .map_err(|error| SourceError::Fatal(error.to_string()))
    }
}

/// Spark's schema of generated rows, and a context, for tests.
#[cfg(test)]
pub(crate) fn test_generator(num_partitions: u64) -> Generator {
    use arrow::datatypes::{Field, Schema, TimeUnit};
    let timestamp = DataType::Timestamp(TimeUnit::Millisecond, None);
    let fields = vec![Field::new("timestamp", timestamp, true), Field::new("value", DataType::Int64, true)];
    Generator { schema: Schema::new(fields).into(), batch_rows: 4, partitions: num_partitions as i64 }
}

/// Values and instants, in milliseconds, by value.
#[cfg(test)]
pub(crate) async fn test_read(source: &mut dyn braid_kernel::Source, plan: &SourcePlan) -> Vec<(i64, i64)> {
    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampMillisecondType};
    use futures::TryStreamExt;
    let rows: Vec<Rows> = source.read(plan).await.unwrap().try_collect().await.unwrap();
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
