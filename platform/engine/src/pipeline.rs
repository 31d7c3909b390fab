//! A plan that is fed while it runs: a batch goes into its leaf, and what comes out at the other end is kept, or
//! aggregated at once. So an epoch's rows are never held where only their groups are wanted.

use std::sync::Arc;
use std::task::Poll;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, is_not_null};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use datafusion::common::Result as PlanResult;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::{ExecutionPlanProperties, reset_plan_states};
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::compile::plan_lower;
use crate::engine::conform_by_name;
use crate::groups::{self, Aggregation, Inputs, Shape, Table, WindowKey};
use crate::job::LATE_ROWS_MAX;
use crate::leaf::{Feeds, leaves, pieces};
use crate::upper::PLAN_RUNS_MAX;

/// A plan of one job, and what its rows become.
#[derive(Debug)]
pub struct Pipeline {
    plan: Arc<dyn ExecutionPlan>,
    /// Leaf, input, and the columns that the leaf wants.
    leaves: Vec<(u64, Arc<str>, SchemaRef)>,
    target: Target,
    run: Option<Run>,
    runs: u32,
}

/// What a plan's rows become.
#[derive(Debug)]
struct Target {
    /// The columns of rows that are not aggregated.
    schema: SchemaRef,
    groups: Option<(Aggregation, Inputs)>,
    /// Of rows that may be too late: their columns.
    late: Option<SchemaRef>,
}

/// Why rows were not taken.
pub enum Trouble {
    /// They are not what the input declares.
    Rows(String),
    /// The plan failed.
    Plan(datafusion::common::DataFusionError),
}

impl From<datafusion::common::DataFusionError> for Trouble {
    fn from(error: datafusion::common::DataFusionError) -> Self {
        Self::Plan(error)
    }
}

impl Pipeline {
    /// Plans it. `late` are the columns of rows that are too late, where groups can have such.
    pub async fn plan(
        session: &SessionState,
        lower: &LogicalPlan,
        schema: SchemaRef,
        groups: Option<Option<WindowKey>>,
        late: Option<SchemaRef>,
    ) -> PlanResult<Self> {
        let (plan, groups, _) = plan_lower(session, lower, groups.is_some(), groups.flatten()).await?;
        Ok(Self { leaves: leaves(&plan), plan, target: Target { schema, groups, late }, run: None, runs: 0 })
    }

    /// Whether it has a leaf of this input.
    pub fn reads(&self, input: &str) -> bool {
        self.leaves.iter().any(|(_, name, _)| name.as_ref() == input)
    }

    /// Forgets an epoch that was not finished.
    pub fn reset(&mut self) {
        self.run = None;
    }

    /// Takes rows of an input. Those of windows that ended at or before `late`, in microseconds, are late.
    pub async fn feed(
        &mut self,
        session: &SessionState,
        input: &str,
        batch: &RecordBatch,
        late: Option<i64>,
    ) -> Result<(), Trouble> {
        if self.run.is_none() {
            self.runs += 1;
            if self.runs == PLAN_RUNS_MAX {
                self.plan = reset_plan_states(self.plan.clone())?;
                self.runs = 0;
            }
            self.run = Some(Run::start(session, &self.plan, &self.leaves, &self.target)?);
        }
        let Some(run) = &mut self.run else {
            return Ok(());
        };
        for (index, (_, name, schema)) in self.leaves.iter().enumerate() {
            if name.as_ref() != input {
                continue;
            }
            let rows = conform_by_name(batch, schema).map_err(Trouble::Rows)?;
            for piece in pieces(&rows) {
                run.push(index, piece, &self.target, late).await?;
            }
        }
        Ok(())
    }

    /// What the epoch's rows came to.
    pub async fn finish(&mut self, late: Option<i64>) -> PlanResult<Done> {
        match self.run.take() {
            Some(run) => run.finish(&self.target, late).await,
            None => Ok(Done::default()),
        }
    }
}

/// A plan in the middle of an epoch.
struct Run {
    senders: Vec<mpsc::Sender<RecordBatch>>,
    streams: Vec<Option<SendableRecordBatchStream>>,
    sink: Sink,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Run").field("leaves", &self.senders.len()).finish()
    }
}

/// What the plan's rows become.
struct Sink {
    rows: Vec<RecordBatch>,
    groups: Option<Table>,
    late: Late,
}

/// Rows that came too late for sinks.
#[derive(Debug, Default)]
pub struct Late {
    /// At most [`LATE_ROWS_MAX`].
    pub kept: Vec<RecordBatch>,
    /// How many there were.
    pub rows: u64,
}

/// What an epoch's rows came to.
#[derive(Debug, Default)]
pub struct Done {
    /// The rows, or the states of their groups.
    pub rows: Vec<RecordBatch>,
    /// Those that were too late.
    pub late: Late,
}

impl Run {
    fn start(
        session: &SessionState,
        plan: &Arc<dyn ExecutionPlan>,
        leaves: &[(u64, Arc<str>, SchemaRef)],
        target: &Target,
    ) -> PlanResult<Self> {
        let feeds = Feeds::default();
        let senders = leaves.iter().map(|(leaf, _, _)| feeds.open(*leaf)).collect();
        let context = feeds.context(session.config(), session.runtime_env());
        let partitions = plan.output_partitioning().partition_count();
        let streams = (0..partitions)
            .map(|partition| plan.execute(partition, context.clone()).map(Some))
            .collect::<PlanResult<Vec<_>>>()?;
        let groups = match &target.groups {
            Some((aggregation, _)) => Some(Table::new(aggregation)?),
            None => None,
        };
        Ok(Self { senders, streams, sink: Sink { rows: Vec::new(), groups, late: Late::default() } })
    }

    /// Puts a batch into a leaf and takes what comes out until the plan wants more.
    async fn push(&mut self, leaf: usize, batch: RecordBatch, target: &Target, late: Option<i64>) -> PlanResult<()> {
        let sender = self.senders[leaf].clone();
        let mut sending = std::pin::pin!(sender.send(batch));
        let mut sent = false;
        futures::future::poll_fn(|cx| {
            loop {
                sent = sent || sending.as_mut().poll(cx).is_ready();
                for stream in &mut self.streams {
                    while let Some(running) = stream {
                        match running.poll_next_unpin(cx) {
                            Poll::Ready(Some(rows)) => {
                                if let Err(error) = rows.and_then(|rows| self.sink.take(rows, target, late)) {
                                    return Poll::Ready(Err(error));
                                }
                            }
                            // A plan that ends before its input does needs no more rows.
                            Poll::Ready(None) => *stream = None,
                            Poll::Pending => break,
                        }
                    }
                }
                if sent {
                    return Poll::Ready(Ok(()));
                }
                // The queue was full, and the plan may have made room in it.
                if sending.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                sent = true;
            }
        })
        .await
    }

    async fn finish(self, target: &Target, late: Option<i64>) -> PlanResult<Done> {
        let Self { senders, streams, mut sink } = self;
        drop(senders);
        // All at once: a plan may wait for its partitions in any order.
        let mut rest = futures::stream::select_all(streams.into_iter().flatten());
        while let Some(rows) = rest.next().await {
            sink.take(rows?, target, late)?;
        }
        let rows = match (&target.groups, &mut sink.groups) {
            (Some((aggregation, _)), Some(groups)) => vec![groups::finish(aggregation, groups)?],
            _ => sink.rows,
        };
        Ok(Done { rows: rows.into_iter().filter(|batch| batch.num_rows() > 0).collect(), late: sink.late })
    }
}

impl Sink {
    fn take(&mut self, rows: RecordBatch, target: &Target, late: Option<i64>) -> PlanResult<()> {
        let (Some((aggregation, inputs)), Some(groups)) = (&target.groups, &mut self.groups) else {
            if rows.num_rows() > 0 {
                self.rows.push(crate::leaf::conform(rows, &target.schema)?);
            }
            return Ok(());
        };
        let mut rows = rows;
        let mut keys = inputs.keys(&rows)?;
        if let Some(window) = aggregation.window {
            let mut starts = keys[window.index].clone();
            if starts.null_count() > 0 {
                // Without event time a row is in no window.
                rows = filter_record_batch(&rows, &is_not_null(&starts)?)?;
                keys = inputs.keys(&rows)?;
                starts = keys[window.index].clone();
            }
            if let (Some(late_schema), Some(bound)) = (&target.late, late) {
                let (ends, length) = match window.shape {
                    Shape::Spans(spans) => {
                        let last = |pane: i64| spans.windows_of(pane).last().unwrap_or(pane);
                        let starts = starts.as_primitive::<TimestampMicrosecondType>();
                        // Panes are ordered as their windows are, so the earliest tells whether any is late.
                        match starts.values().iter().min().map(|pane| last(*pane).saturating_add(spans.duration)) {
                            Some(first) if first <= bound => {
                                (starts.unary::<_, TimestampMicrosecondType>(last), spans.duration)
                            }
                            _ => return groups.update(inputs, &keys, &rows),
                        }
                    }
                    Shape::Session => {
                        (inputs.session_ends(&rows)?.as_primitive::<TimestampMicrosecondType>().clone(), 0)
                    }
                };
                let late: BooleanArray =
                    ends.values().iter().map(|end: &i64| Some(end.saturating_add(length) <= bound)).collect();
                if late.true_count() > 0 {
                    self.late.take(&rows, &late, late_schema)?;
                }
            }
        }
        groups.update(inputs, &keys, &rows)
    }
}

impl Late {
    fn take(&mut self, rows: &RecordBatch, late: &BooleanArray, schema: &SchemaRef) -> PlanResult<()> {
        self.add(&filter_record_batch(rows, late)?, schema)
    }

    /// Takes rows that are too late.
    pub fn add(&mut self, late: &RecordBatch, schema: &SchemaRef) -> PlanResult<()> {
        let room = LATE_ROWS_MAX.saturating_sub(self.rows).min(late.num_rows() as u64);
        self.rows += late.num_rows() as u64;
        if room > 0 {
            self.kept.push(crate::leaf::conform(late.slice(0, room as usize), schema)?);
        }
        Ok(())
    }
}
