//! One run of a test: its records in certain epochs under one layout, with bases and a crash, through the deployment's
//! own layers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use braid_engine::Reader;
use braid_kernel::base::BaseWriter;
use braid_kernel::ledger::Ledger;
use braid_kernel::manifest::Open;
use braid_kernel::memory::MemoryClock;
use braid_kernel::serve::{Board, Snapshot};
use braid_kernel::speed::{Speed, Step};
use braid_kernel::{Clock, TableKind, Trigger};
use braid_spec::model::{Delivery, LogKeep};
use tokio::sync::Mutex;

use super::case::{Case, Wanted, What};
use super::typed::shown;
use super::world::{Crash, Held, Keeper, Kept, Steps};
use crate::failure::Failure;
use crate::layers::{self, Ground, base_by};
use crate::outlet::Outlet;
use crate::prepare::Prepared;

/// When a test begins: 2026-01-01 00:00:00 UTC. Time passes only where the test says so.
const BEGINS: Duration = Duration::from_secs(1_767_225_600);
/// Epochs without records that may follow each other while no time passes.
const EMPTY_EPOCHS_MAX: usize = 1_000;

/// A deployment under one layout, ready to be run often.
pub struct Stage {
    pub prepared: Arc<Prepared>,
    open: Open,
}

impl Stage {
    pub fn new(prepared: Prepared) -> Self {
        Self { open: layers::opening(&prepared), prepared: Arc::new(prepared) }
    }

    pub fn layout(&self) -> &str {
        &self.prepared.deployment.layout.name
    }
}

/// How a test is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct How {
    /// Which of the layouts.
    pub stage: usize,
    /// Numbers of records after which an epoch ends, beside those of steps.
    pub cuts: BTreeSet<usize>,
    /// Whether a base is written after each epoch, and not only in the end.
    pub bases: bool,
    pub crash: Option<Crash>,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// How many durable steps it took.
    pub steps: u64,
    /// Of what the process died, if it was to die and lived so long.
    pub died_at: Option<String>,
    pub wrong: Option<Wrong>,
}

/// What is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// The rows of this expectation, as they were found; and whether only a base has them so.
    Rows { expect: usize, found: Vec<Vec<String>>, of_base: bool },
    /// A sink was given other rows when an epoch came again.
    Differs { sink: String, epoch: u64 },
    /// It failed.
    Failed(String),
}

/// What happens, one after the other.
enum Action {
    Wait(Duration),
    /// So many records are there.
    Records(usize),
    Base,
    Compare {
        of_base: bool,
    },
}

fn actions(case: &Case, how: &How) -> Vec<Action> {
    let mut actions = vec![];
    let mut start = 0;
    for step in &case.steps {
        if !step.wait.is_zero() {
            actions.push(Action::Wait(step.wait));
        }
        let inner: Vec<usize> = how.cuts.iter().copied().filter(|cut| (start + 1..step.end).contains(cut)).collect();
        for end in inner.into_iter().chain([step.end]) {
            if how.bases && matches!(actions.last(), Some(Action::Records(_) | Action::Wait(_))) && start > 0 {
                actions.push(Action::Base);
            }
            actions.push(Action::Records(end));
            start = end;
        }
    }
    actions.extend([Action::Compare { of_base: false }, Action::Base, Action::Compare { of_base: true }]);
    actions
}

/// What outlives the processes of a run.
struct World {
    steps: Arc<Steps>,
    ground: Ground,
    clock: Arc<MemoryClock>,
    sinks: BTreeMap<String, Arc<Kept>>,
    /// How far each source's records have come.
    there: BTreeMap<String, Arc<AtomicI64>>,
    processes: u64,
}

/// One process.
struct Process {
    speed: Speed,
    base: BaseWriter,
    reader: Reader,
    board: Board,
}

/// Runs a test once.
pub async fn run(stage: &Stage, case: &Case, how: &How) -> Outcome {
    let mut world = match World::new(stage, case, how).await {
        Ok(world) => world,
        Err(failure) => {
            return Outcome { steps: 0, died_at: None, wrong: Some(Wrong::Failed(failure.message().into())) };
        }
    };
    let wrong = match world.run(stage, case, how).await {
        Ok(wrong) => wrong,
        Err(failure) => Some(Wrong::Failed(failure.message().into())),
    };
    Outcome { steps: world.steps.taken(), died_at: world.steps.died_at(), wrong }
}

impl World {
    async fn new(stage: &Stage, case: &Case, how: &How) -> Result<Self, Failure> {
        let store = braid_storage::open("memory://").map_err(Failure::environment)?;
        let steps = Arc::new(Steps::new(store, how.crash));
        let clock = Arc::new(MemoryClock::default());
        clock.sleep(BEGINS).await;
        let sinks = stage.prepared.deployment.sinks.keys();
        let mut ground = Ground::new(steps.clone(), clock.clone());
        if how.crash.is_some() {
            ground.segments = Arc::new(Held::new(steps.clone()));
        }
        Ok(Self {
            ground,
            steps,
            clock,
            sinks: sinks.map(|name| (name.clone(), Arc::default())).collect(),
            there: case.sources.keys().map(|name| (name.clone(), Arc::default())).collect(),
            processes: 0,
        })
    }

    async fn run(&mut self, stage: &Stage, case: &Case, how: &How) -> Result<Option<Wrong>, Failure> {
        let mut process: Option<Process> = None;
        for action in actions(case, how) {
            match action {
                Action::Wait(wait) => self.clock.sleep(wait).await,
                Action::Records(end) => {
                    for (source, there) in &self.there {
                        let come = case.records[..end].iter().filter(|record| record.source == *source).count();
                        there.store(come as i64, Ordering::Relaxed);
                    }
                }
                Action::Base | Action::Compare { .. } => {}
            }
            loop {
                let acted = match &mut process {
                    Some(process) => self.act(process, stage, case, how, &action).await,
                    None => match self.open(stage, case).await {
                        Ok(opened) => {
                            process = Some(opened);
                            continue;
                        }
                        Err(failure) => Err(failure),
                    },
                };
                match acted {
                    Ok(None) => break,
                    Ok(wrong) => return Ok(wrong),
                    // The next process goes on where this one died.
                    Err(_) if self.steps.restart() => process = None,
                    Err(failure) => return Err(failure),
                }
            }
        }
        Ok(None)
    }

    /// What a start does.
    async fn open(&mut self, stage: &Stage, case: &Case) -> Result<Process, Failure> {
        let prepared = &stage.prepared;
        self.processes += 1;
        let run_id = format!("{:08}", self.processes);
        let Ground { store, segments, clock } = self.ground.clone();
        let ledger = Ledger::open(store, clock, run_id.clone(), stage.open.clone()).await.map_err(Failure::runtime)?;
        let board = Board::new(Snapshot { manifest: ledger.manifest(), ..Snapshot::default() });
        let base = self.ground.base_writer(prepared, Arc::new(Mutex::new(ledger)), &board, None);
        base.enter(prepared.deployment.layout.log == LogKeep::Forever).await.map_err(Failure::runtime)?;
        let manifest = base.ledger.lock().await.manifest();
        let sources = case.sources.iter().map(|(name, given)| (name.clone(), given.source(self.there[name].clone())));
        let mut sinks = BTreeMap::new();
        for (name, sink) in &prepared.deployment.sinks {
            let output = layers::output(prepared, sink, &manifest, &*segments).await?;
            let outlet = Outlet::new(sink.from.clone(), output, Box::new(Keeper(self.sinks[name].clone())));
            sinks.insert(name.clone(), Box::new(outlet) as _);
        }
        let settings = layers::settings(prepared, Trigger::CaughtUp, &run_id);
        let speed = self.ground.speed(prepared, &base, sources.collect(), sinks, settings)?;
        Ok(Process { speed, base, reader: layers::reader(prepared, segments), board })
    }

    async fn act(
        &self,
        process: &mut Process,
        stage: &Stage,
        case: &Case,
        how: &How,
        action: &Action,
    ) -> Result<Option<Wrong>, Failure> {
        match action {
            Action::Wait(_) | Action::Records(_) => {
                for _ in 0..EMPTY_EPOCHS_MAX {
                    match process.speed.step().await.map_err(Failure::runtime)? {
                        Step::Ran { .. } => {}
                        Step::Idle | Step::Waits => return Ok(None),
                    }
                }
                Err(Failure::Runtime(format!(
                    "timers are over again and again: {EMPTY_EPOCHS_MAX} epochs at one instant"
                )))
            }
            Action::Base => {
                process.base.write(base_by(&stage.prepared.deployment.layout)).await.map_err(Failure::runtime)?;
                let manifest = process.board.snapshot().manifest.clone();
                braid_storage::collect(&*self.ground.store, &manifest, &[]).await.map_err(Failure::runtime)?;
                Ok(None)
            }
            Action::Compare { of_base } => {
                let snapshot = process.board.snapshot();
                // A base is read as another process would.
                let (reader, snapshot) = match of_base {
                    true => {
                        let cold = Snapshot { manifest: snapshot.manifest.clone(), ..Snapshot::default() };
                        (layers::reader(&stage.prepared, self.ground.segments.clone()), Arc::new(cold))
                    }
                    false => (process.reader.clone(), snapshot),
                };
                self.compare(&reader, &snapshot, stage, case, how, *of_base).await
            }
        }
    }

    async fn compare(
        &self,
        reader: &Reader,
        snapshot: &Snapshot,
        stage: &Stage,
        case: &Case,
        how: &How,
        of_base: bool,
    ) -> Result<Option<Wrong>, Failure> {
        for (expect, one) in case.expect.iter().enumerate() {
            let mut found = match one.what {
                What::Table => {
                    let rows = reader.rows(snapshot, &one.of).await.map_err(Failure::runtime)?;
                    shown(&rows, &one.columns)
                }
                What::Sink => {
                    let sink = &stage.prepared.deployment.sinks[&one.of];
                    let info = &stage.prepared.engine.views()[&sink.from];
                    if sink.delivery == Delivery::AtMostOnce && how.crash.is_some() {
                        continue;
                    }
                    let keyed = (info.kind == TableKind::Keyed).then_some(info.keys.as_slice());
                    self.sinks[&one.of].rows(sink.output_mode, keyed, &one.columns)
                }
            };
            found.sort();
            let right = match &one.rows {
                Wanted::Count(count) => found.len() == *count,
                Wanted::Rows(rows) => found == *rows,
            };
            if !right {
                return Ok(Some(Wrong::Rows { expect, found, of_base }));
            }
        }
        let differs = self.sinks.iter().find_map(|(name, kept)| Some((name, kept.differs()?)));
        Ok(differs.map(|(sink, epoch)| Wrong::Differs { sink: sink.clone(), epoch }))
    }
}
