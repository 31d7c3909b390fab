//! The deployment's job: rows of sources, through the plugins of streams, into the engine. The speed and the batch
//! layer each have one, and they are the same.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::max;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType};
use arrow::json::LineDelimitedWriter;
use async_trait::async_trait;
use braid_engine::{EngineJob, Failed, Unanswered};
use braid_kernel::{BadRecord, Contribution, EpochStart, Job, JobError, Rows, Tables};
use braid_spec::model::{Deployment, OnPluginError};

use crate::lanes::{Lanes, Shaped};
use crate::position::{self, Position};
use crate::prepare::Prepared;

/// So many late rows of one view are kept in one epoch; more are counted.
const LATE_ROWS_KEPT_MAX: usize = 10_000;

/// A plugin, and what to do about its failures.
#[derive(Clone)]
pub struct User {
    plugin: String,
    on_error: OnPluginError,
}

/// See the module.
pub struct DeploymentJob {
    engine: EngineJob,
    /// The inputs that some view reads.
    read: Vec<String>,
    lanes: Lanes,
    /// Per stream with state its plugin.
    keyed: BTreeMap<String, User>,
    /// The views whose rows flow into sinks.
    flowing: BTreeSet<String>,
    event_time: BTreeMap<String, String>,
    event_time_max: BTreeMap<String, i64>,
    contribution: Contribution,
    /// The plugins that SQL calls.
    functions: BTreeMap<String, User>,
    /// Where the rows stand that were fed last.
    last: Option<Position>,
}

impl DeploymentJob {
    /// A job that has seen nothing.
    pub fn new(prepared: &Prepared) -> Result<Self, JobError> {
        let deployment = &prepared.deployment;
        Ok(Self {
            engine: prepared.engine.job()?,
            read: prepared.engine.views().values().flat_map(|view| view.inputs.keys().cloned()).collect(),
            lanes: Lanes::new(prepared)?,
            keyed: (deployment.streams.iter())
                .filter_map(|stream| Some((stream.name.clone(), stream.transform_with_state.as_ref()?)))
                .map(|(stream, keyed)| (stream, User::of(deployment, &keyed.plugin)))
                .collect(),
            flowing: deployment.sinks.values().map(|sink| sink.from.clone()).collect(),
            event_time: deployment
                .sources
                .iter()
                .filter_map(|(name, source)| Some((name.clone(), source.watermark.as_ref()?.event_time.clone())))
                .collect(),
            event_time_max: BTreeMap::new(),
            contribution: Contribution::default(),
            functions: (deployment.plugins.keys()).map(|name| (name.clone(), User::of(deployment, name))).collect(),
            last: None,
        })
    }
}

impl DeploymentJob {
    /// Takes the oldest batch that is in the plugins into the engine. Says whether there was one.
    async fn take(&mut self) -> Result<bool, JobError> {
        match self.lanes.take().await? {
            Some(shaped) => self.give(shaped).await.map(|()| true),
            None => Ok(false),
        }
    }

    async fn give(&mut self, shaped: Shaped) -> Result<(), JobError> {
        let Shaped { source, rows, streams, failed } = shaped;
        self.contribution.add_failed(failed);
        for (stream, rows) in streams.iter().filter(|(stream, _)| self.read.contains(stream)) {
            let batch = match self.keyed.contains_key(stream) {
                true => &position::given(&source, rows)?,
                false => &rows.batch,
            };
            self.engine.feed(stream, batch).await?;
        }
        if self.read.contains(&source) {
            self.engine.feed(&source, &rows.batch).await?;
        }
        if rows.batch.num_rows() > 0 {
            self.last = Some(Position::of(&source, &rows, 0));
        }
        self.note_unanswered()
    }

    /// Notes rows for which functions in SQL had no answer: the arguments, and where the rows began that they came of.
    fn note_unanswered(&mut self) -> Result<(), JobError> {
        for Unanswered { function, reason, arguments } in self.engine.unanswered() {
            let position = self.last.clone().unwrap_or_default();
            let reason = format!("{reason} (for these arguments, of this record or one after it)");
            self.functions[&function].note(position, &arguments, reason, &mut self.contribution)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Job for DeploymentJob {
    fn begin(&mut self, start: EpochStart) {
        self.contribution = Contribution::default();
        self.event_time_max.clear();
        self.lanes.clear();
        self.engine.begin(start);
    }

    async fn feed(&mut self, source: &str, rows: Rows) -> Result<(), JobError> {
        if let Some(column) = self.event_time.get(source)
            && let Some(latest) = latest_ms(&rows.batch, column)
        {
            let seen = self.event_time_max.entry(source.to_string()).or_insert(latest);
            *seen = latest.max(*seen);
        }
        while self.lanes.is_full() {
            self.take().await?;
        }
        match self.lanes.put(source, rows)? {
            Some(shaped) => self.give(shaped).await,
            None => Ok(()),
        }
    }

    async fn flow(&mut self) -> Result<BTreeMap<String, Vec<RecordBatch>>, JobError> {
        while self.take().await? {}
        self.engine.flow(&self.flowing).await
    }

    fn event_time_max(&self) -> BTreeMap<String, i64> {
        self.event_time_max.clone()
    }

    async fn finish(&mut self, final_before: Option<i64>) -> Result<Contribution, JobError> {
        while self.take().await? {}
        let result = self.engine.finish(final_before).await?;
        self.note_unanswered()?;
        let mut contribution = std::mem::take(&mut self.contribution);
        contribution.deltas = result.deltas;
        for (stream, failed) in result.failed {
            for Failed { row, reason } in failed {
                let (row, position) = position::taken(&row);
                self.keyed[&stream].note(position, &row, reason, &mut contribution)?;
            }
        }
        for (view, batches) in result.late {
            contribution.late.insert(view, json_rows(&batches, LATE_ROWS_KEPT_MAX)?);
        }
        Ok(contribution)
    }

    fn restore(&mut self, table: &str, rows: &[RecordBatch]) -> Result<(), JobError> {
        self.engine.restore(table, rows)
    }

    fn remembered(
        &mut self,
        table: &str,
        after: Option<&[u8]>,
        rows_max: usize,
    ) -> Result<Option<(RecordBatch, Vec<u8>)>, JobError> {
        self.engine.remembered(table, after, rows_max)
    }

    fn tables(&self) -> Tables {
        self.engine.tables()
    }

    fn see(&mut self, table: &str, rows: Vec<RecordBatch>) -> Result<(), JobError> {
        self.engine.see(table, rows)
    }

    fn wakes_at(&self) -> Option<i64> {
        self.engine.wakes_at()
    }
}

impl User {
    pub fn of(deployment: &Deployment, plugin: &str) -> Self {
        Self { plugin: plugin.to_owned(), on_error: deployment.plugins[plugin].on_error }
    }

    /// Does what the deployment says about a row on which the plugin failed.
    pub fn note(
        &self,
        position: Position,
        row: &RecordBatch,
        reason: String,
        contribution: &mut Contribution,
    ) -> Result<(), JobError> {
        let Position { source, partition, offset } = position;
        match self.on_error {
            OnPluginError::Fail => return Err(JobError::Plugin { plugin: self.plugin.clone(), reason }),
            OnPluginError::Skip => *contribution.skipped.entry(source).or_default() += 1,
            OnPluginError::DeadLetter => {
                let row = json_rows(std::slice::from_ref(row), 1)?.pop().unwrap_or_default();
                let reason = format!("plugin `{}`: {reason}", self.plugin);
                let bad = BadRecord::new(partition, offset, reason, row.as_bytes());
                contribution.bad.entry(source).or_default().push(bad);
            }
        }
        Ok(())
    }
}

/// The plugins were described when the deployment was prepared, so what fails here is ours.
pub fn bug(error: impl std::fmt::Display) -> JobError {
    JobError::Bug(error.to_string())
}

/// The greatest event time of a batch, in milliseconds.
fn latest_ms(batch: &RecordBatch, column: &str) -> Option<i64> {
    let column = batch.column_by_name(column)?;
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => max(column.as_primitive::<TimestampMillisecondType>()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            max(column.as_primitive::<TimestampMicrosecondType>()).map(|at| at.div_euclid(1_000))
        }
        _ => None,
    }
}

/// Rows as JSON objects, at most so many.
fn json_rows(batches: &[RecordBatch], rows_max: usize) -> Result<Vec<String>, JobError> {
    let mut left = rows_max;
    let mut writer = LineDelimitedWriter::new(vec![]);
    for batch in batches {
        let part = batch.slice(0, left.min(batch.num_rows()));
        left -= part.num_rows();
        writer.write(&part).map_err(bug)?;
    }
    writer.finish().map_err(bug)?;
    Ok(String::from_utf8_lossy(&writer.into_inner()).lines().map(str::to_string).collect())
}
