//! One layer's runner: rows in, deltas out, epoch by epoch.
//!
//! A view's plan is pulled inside `feed`: a batch goes into the plan's leaf, and what comes out at the other end is
//! aggregated at once. So an epoch's rows are never held, only its groups.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{filter_record_batch, is_not_null};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use braid_kernel::JobError;
use datafusion::common::Result as PlanResult;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::execution_plan::{ExecutionPlanProperties, reset_plan_states};
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::compile::{View, plan_lower};
use crate::engine::{Engine, conform_by_name, job_error};
use crate::groups::{self, Inputs, Table};
use crate::leaf::{Feeds, Statics, leaves, pieces};
use crate::upper::PLAN_RUNS_MAX;

/// The most late rows of one view that an epoch keeps; further ones are only counted.
pub const LATE_ROWS_MAX: u64 = 10_000;

/// Runs every view over the epochs of one layer.
#[derive(Debug)]
pub struct EngineJob {
    engine: Engine,
    statics: Arc<Statics>,
    pipelines: Option<Vec<Pipeline>>,
    late_before_ms: Option<i64>,
    /// Rows were lost to an error: the epoch cannot be finished.
    failed: bool,
}

/// What an epoch gave.
#[derive(Debug, Clone, Default)]
pub struct EpochResult {
    /// Each view's delta; a view without rows in this epoch is missing.
    pub deltas: BTreeMap<String, Vec<RecordBatch>>,
    /// Rows too late for the view's windowed sinks, as they entered its aggregate; at most [`LATE_ROWS_MAX`].
    pub late: BTreeMap<String, Vec<RecordBatch>>,
    /// How many rows were too late, including those beyond the bound.
    pub late_rows: BTreeMap<String, u64>,
}

impl EngineJob {
    pub(crate) fn new(engine: Engine) -> Self {
        let statics = engine.statics();
        Self { engine, statics, pipelines: None, late_before_ms: None, failed: false }
    }

    /// Starts an epoch. Rows of windows that ended at or before `late_before_ms` are late.
    /// What an epoch that was not finished had taken is forgotten.
    pub fn begin(&mut self, late_before_ms: Option<i64>) {
        self.late_before_ms = late_before_ms;
        self.failed = false;
        let statics = self.engine.statics();
        if !Arc::ptr_eq(&statics, &self.statics) {
            self.statics = statics;
            self.pipelines = None;
        }
        for pipeline in self.pipelines.iter_mut().flatten() {
            pipeline.run = None;
        }
    }

    /// Takes rows of one input: all its columns, or those that views need, found by name.
    pub async fn feed(&mut self, input: &str, batch: &RecordBatch) -> Result<(), JobError> {
        let pipelines = match &mut self.pipelines {
            Some(pipelines) => pipelines,
            None => {
                let planned = plan(&self.engine, &self.statics).await?;
                self.pipelines.insert(planned)
            }
        };
        for pipeline in pipelines.iter_mut().filter(|pipeline| pipeline.reads(input)) {
            let name = pipeline.view.info.name.clone();
            let fed = pipeline.feed(self.engine.session(), input, batch, self.late_before_ms).await;
            if let Err(error) = fed {
                self.failed = true;
                return Err(match error {
                    Trouble::Rows(reason) => JobError::Bug(format!("input `{input}`: {reason}")),
                    Trouble::Plan(error) => job_error(&name, &error),
                });
            }
        }
        Ok(())
    }

    /// Ends the epoch. After an error, here or in `feed`, the next `begin` starts anew.
    pub async fn finish(&mut self) -> Result<EpochResult, JobError> {
        if self.failed {
            return Err(JobError::Bug("an epoch was finished that had failed".into()));
        }
        let mut result = EpochResult::default();
        for pipeline in self.pipelines.iter_mut().flatten() {
            let Some(run) = pipeline.run.take() else {
                continue;
            };
            let name = &pipeline.view.info.name;
            let done = run.finish(&pipeline.view, pipeline.inputs.as_ref(), self.late_before_ms).await;
            let done = done.map_err(|error| job_error(name, &error))?;
            if !done.delta.is_empty() {
                result.deltas.insert(name.clone(), done.delta);
            }
            if done.late.rows > 0 {
                result.late.insert(name.clone(), done.late.kept);
                result.late_rows.insert(name.clone(), done.late.rows);
            }
        }
        Ok(result)
    }
}

async fn plan(engine: &Engine, statics: &Arc<Statics>) -> Result<Vec<Pipeline>, JobError> {
    let mut session = engine.session().clone();
    session.config_mut().set_extension(statics.clone());
    let mut pipelines = Vec::new();
    for (name, view) in engine.compiled() {
        let window = view.keyed.as_ref().and_then(|keyed| keyed.aggregation.window);
        let planned = plan_lower(&session, &view.lower, view.keyed.is_some(), window).await;
        let (plan, aggregate, _) = planned.map_err(|error| job_error(name, &error))?;
        pipelines.push(Pipeline {
            leaves: leaves(&plan),
            plan,
            inputs: aggregate.map(|(_, inputs)| inputs),
            view: view.clone(),
            run: None,
            runs: 0,
        });
    }
    Ok(pipelines)
}

/// A view's plan in this job.
#[derive(Debug)]
struct Pipeline {
    view: Arc<View>,
    plan: Arc<dyn ExecutionPlan>,
    /// Leaf, input, and the columns that the leaf wants.
    leaves: Vec<(u64, Arc<str>, SchemaRef)>,
    /// Of an aggregate: keys and arguments.
    inputs: Option<Inputs>,
    run: Option<Run>,
    runs: u32,
}

/// Why rows were not taken.
enum Trouble {
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
    fn reads(&self, input: &str) -> bool {
        self.leaves.iter().any(|(_, name, _)| name.as_ref() == input)
    }

    async fn feed(
        &mut self,
        session: &SessionState,
        input: &str,
        batch: &RecordBatch,
        late_before_ms: Option<i64>,
    ) -> Result<(), Trouble> {
        if self.run.is_none() {
            self.runs += 1;
            if self.runs == PLAN_RUNS_MAX {
                self.plan = reset_plan_states(self.plan.clone())?;
                self.runs = 0;
            }
            self.run = Some(Run::start(session, &self.plan, &self.leaves, &self.view)?);
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
                run.push(index, piece, &self.view, self.inputs.as_ref(), late_before_ms).await?;
            }
        }
        Ok(())
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
struct Late {
    kept: Vec<RecordBatch>,
    rows: u64,
}

struct Done {
    delta: Vec<RecordBatch>,
    late: Late,
}

impl Run {
    fn start(
        session: &SessionState,
        plan: &Arc<dyn ExecutionPlan>,
        leaves: &[(u64, Arc<str>, SchemaRef)],
        view: &View,
    ) -> PlanResult<Self> {
        let feeds = Feeds::default();
        let senders = leaves.iter().map(|(leaf, _, _)| feeds.open(*leaf)).collect();
        let context = feeds.context(session.config(), session.runtime_env());
        let partitions = plan.output_partitioning().partition_count();
        let streams = (0..partitions)
            .map(|partition| plan.execute(partition, context.clone()).map(Some))
            .collect::<PlanResult<Vec<_>>>()?;
        let groups = match &view.keyed {
            Some(keyed) => Some(Table::new(&keyed.aggregation)?),
            None => None,
        };
        Ok(Self { senders, streams, sink: Sink { rows: Vec::new(), groups, late: Late::default() } })
    }

    /// Puts a batch into a leaf and takes what comes out until the plan wants more.
    async fn push(
        &mut self,
        leaf: usize,
        batch: RecordBatch,
        view: &View,
        inputs: Option<&Inputs>,
        late_before_ms: Option<i64>,
    ) -> PlanResult<()> {
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
                                if let Err(error) =
                                    rows.and_then(|rows| self.sink.take(rows, view, inputs, late_before_ms))
                                {
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

    async fn finish(self, view: &View, inputs: Option<&Inputs>, late_before_ms: Option<i64>) -> PlanResult<Done> {
        let Self { senders, streams, mut sink } = self;
        drop(senders);
        // All at once: a plan may wait for its partitions in any order.
        let mut rest = futures::stream::select_all(streams.into_iter().flatten());
        while let Some(rows) = rest.next().await {
            sink.take(rows?, view, inputs, late_before_ms)?;
        }
        let delta = match (&view.keyed, &mut sink.groups) {
            (Some(keyed), Some(groups)) => vec![groups::finish(&keyed.aggregation, groups)?],
            _ => sink.rows,
        };
        Ok(Done { delta: delta.into_iter().filter(|batch| batch.num_rows() > 0).collect(), late: sink.late })
    }
}

impl Sink {
    fn take(
        &mut self,
        rows: RecordBatch,
        view: &View,
        inputs: Option<&Inputs>,
        late_before_ms: Option<i64>,
    ) -> PlanResult<()> {
        let (Some(keyed), Some(groups), Some(inputs)) = (&view.keyed, &mut self.groups, inputs) else {
            if rows.num_rows() > 0 {
                self.rows.push(crate::leaf::conform(rows, &view.info.schema)?);
            }
            return Ok(());
        };
        let mut rows = rows;
        let mut keys = inputs.keys(&rows)?;
        if let Some(window) = keyed.aggregation.window {
            let mut starts = keys[window.index].clone();
            if starts.null_count() > 0 {
                // Without event time a row is in no window.
                rows = filter_record_batch(&rows, &is_not_null(&starts)?)?;
                keys = inputs.keys(&rows)?;
                starts = keys[window.index].clone();
            }
            if let (Some(late_schema), Some(late_before_ms)) = (&view.info.late_schema, late_before_ms) {
                let last = |pane: i64| window.spans.windows_of(pane).last().unwrap_or(pane);
                let bound = late_before_ms.saturating_mul(1_000);
                let is_late = |pane: i64| last(pane).saturating_add(window.spans.duration) <= bound;
                let starts = starts.as_primitive::<TimestampMicrosecondType>();
                // Panes are ordered as their windows are, so the earliest tells whether any is late.
                if starts.values().iter().min().is_some_and(|pane| is_late(*pane)) {
                    let late: BooleanArray = starts.values().iter().map(|pane| Some(is_late(*pane))).collect();
                    self.late.take(&rows, &late, late_schema)?;
                }
            }
        }
        groups.update(inputs, &keys, &rows)
    }
}

impl Late {
    fn take(&mut self, rows: &RecordBatch, late: &BooleanArray, schema: &SchemaRef) -> PlanResult<()> {
        let late = filter_record_batch(rows, late)?;
        let room = LATE_ROWS_MAX.saturating_sub(self.rows).min(late.num_rows() as u64);
        self.rows += late.num_rows() as u64;
        if room > 0 {
            self.kept.push(crate::leaf::conform(late.slice(0, room as usize), schema)?);
        }
        Ok(())
    }
}
