//! The plugins of streams at work: several batches at once, each in a lane of its own, given out in the order in which
//! they came. A lane has its own instances, which remember nothing from batch to batch.

use std::collections::VecDeque;
use std::num::NonZero;

use braid_kernel::{Contribution, JobError, Rows};
use braid_spec::model::Stream;
use braid_wasm_host::Applier;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::job::{User, bug};
use crate::position::Position;
use crate::prepare::Prepared;

/// A batch of fewer rows is not worth a lane of its own, where none is under way.
const ROWS_ALONE_MAX: usize = 1_024;

/// See the module.
pub struct Lanes {
    idle: Vec<Lane>,
    /// Oldest first.
    busy: VecDeque<JoinHandle<(Lane, Result<Shaped, JobError>)>>,
    /// The most at once: one for each core.
    most: usize,
    /// What further lanes are made of.
    mould: Lane,
}

/// What came of a batch of a source.
pub struct Shaped {
    pub source: String,
    /// As it came.
    pub rows: Rows,
    /// Its rows in streams, in the order of these.
    pub streams: Vec<(String, Rows)>,
    /// The records on which plugins failed.
    pub failed: Contribution,
}

/// All streams, with an instance of each plugin.
#[derive(Clone)]
struct Lane(Vec<Pipe>);

/// A stream: what it reads, and the plugins in order.
#[derive(Clone)]
struct Pipe {
    stream: Stream,
    steps: Vec<Step>,
}

/// One plugin on its way.
struct Step {
    user: User,
    applier: Applier,
}

impl Lanes {
    pub fn new(prepared: &Prepared) -> Result<Self, JobError> {
        let deployment = &prepared.deployment;
        let mut pipes = vec![];
        for stream in &deployment.streams {
            let mut steps = vec![];
            let mut schema = prepared.inputs[&stream.from[0]].schema.clone();
            for name in &stream.apply {
                let applier = prepared.plugins[name].applier(&schema).map_err(bug)?;
                schema = applier.output_schema().clone();
                steps.push(Step { user: User::of(deployment, name), applier });
            }
            pipes.push(Pipe { stream: stream.clone(), steps });
        }
        let most = std::thread::available_parallelism().map_or(1, NonZero::get);
        Ok(Self { idle: vec![], busy: VecDeque::new(), most, mould: Lane(pipes) })
    }

    /// Whether a batch must be taken out before one is put in.
    pub fn is_full(&self) -> bool {
        self.busy.len() >= self.most
    }

    /// Puts a batch in. One that is done at once is given back, where none is before it.
    pub fn put(&mut self, source: &str, rows: Rows) -> Result<Option<Shaped>, JobError> {
        let mut lane = self.idle.pop().unwrap_or_else(|| self.mould.clone());
        let is_short = rows.batch.num_rows() <= ROWS_ALONE_MAX || !lane.has_plugins(source);
        if is_short && self.busy.is_empty() {
            let shaped = lane.shape(source.to_owned(), rows);
            self.idle.push(lane);
            return shaped.map(Some);
        }
        let source = source.to_owned();
        self.busy.push_back(spawn_blocking(move || {
            let shaped = lane.shape(source, rows);
            (lane, shaped)
        }));
        Ok(None)
    }

    /// Takes the oldest batch out.
    pub async fn take(&mut self) -> Result<Option<Shaped>, JobError> {
        let Some(oldest) = self.busy.front_mut() else { return Ok(None) };
        let done = oldest.await;
        self.busy.pop_front();
        let (lane, shaped) = done.map_err(bug)?;
        self.idle.push(lane);
        shaped.map(Some)
    }

    /// Forgets the batches under way.
    pub fn clear(&mut self) {
        self.busy.clear();
    }
}

impl Lane {
    /// Whether rows of a source meet a plugin.
    fn has_plugins(&self, source: &str) -> bool {
        let mut reached = vec![source];
        for Pipe { stream, steps } in &self.0 {
            if stream.from.iter().any(|from| reached.contains(&from.as_str())) {
                if !steps.is_empty() {
                    return true;
                }
                reached.push(&stream.name);
            }
        }
        false
    }

    fn shape(&mut self, source: String, rows: Rows) -> Result<Shaped, JobError> {
        let mut shaped = Shaped { source, rows, streams: vec![], failed: Contribution::default() };
        for Pipe { stream, steps } in &mut self.0 {
            let mut parents: Vec<Rows> = vec![];
            for from in &stream.from {
                parents.extend((*from == shaped.source).then(|| shaped.rows.clone()));
                parents.extend(shaped.streams.iter().filter(|(name, _)| name == from).map(|(_, rows)| rows.clone()));
            }
            for mut rows in parents {
                for step in steps.iter_mut() {
                    rows = step.apply(&shaped.source, rows, &mut shaped.failed)?;
                }
                shaped.streams.push((stream.name.clone(), rows));
            }
        }
        Ok(shaped)
    }
}

impl Step {
    /// One crossing of the sandbox. Records on which the plugin fails leave the stream here.
    fn apply(&mut self, source: &str, rows: Rows, contribution: &mut Contribution) -> Result<Rows, JobError> {
        let applied = self.applier.apply(&rows.batch).map_err(bug)?;
        for failed in applied.failed {
            let position = Position::of(source, &rows, failed.row);
            self.user.note(position, &rows.batch.slice(failed.row, 1), failed.reason, contribution)?;
        }
        Ok(Rows { batch: applied.batch, ..rows })
    }
}

impl Clone for Step {
    fn clone(&self) -> Self {
        Self { user: self.user.clone(), applier: self.applier.another() }
    }
}
