//! One layer's runner: rows in, deltas out, epoch by epoch.
//!
//! An epoch's rows run through each view's plans as they are fed. When it ends, the stateful operators have their turn,
//! each reading what those before it gave out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use braid_kernel::{EpochStart, JobError, Tables};
use datafusion::common::{DataFusionError, Result as PlanResult};
use datafusion::execution::session_state::SessionState;

use crate::compile::View;
use crate::engine::{Engine, job_error};
use crate::keyed::Failed;
use crate::leaf::Statics;
use crate::pipeline::{Late, Pipeline, Trouble};
use crate::stage::{Bounds, Machine, Operator, Stage, late_apart};
use crate::state::State;
use crate::user::{Unanswered, noting};

/// The most late rows of one view that an epoch keeps; further ones are only counted.
pub const LATE_ROWS_MAX: u64 = 10_000;

/// Runs every view over the epochs of one layer.
#[derive(Debug)]
pub struct EngineJob {
    engine: Engine,
    statics: Arc<Statics>,
    /// What static tables were, where an epoch of the past is run again.
    seen: Option<Arc<Statics>>,
    /// What rows of an input pass before any view reads them.
    gates: Vec<Chain>,
    views: Vec<Chain>,
    planned: bool,
    late_before_ms: Option<i64>,
    /// Rows were lost to an error: the epoch cannot be finished.
    failed: bool,
    /// What went wrong when the epoch began.
    trouble: Option<JobError>,
    /// Rows of this epoch for which the user's functions had no answer.
    unanswered: Vec<Unanswered>,
}

/// What an epoch gave.
#[derive(Debug, Clone, Default)]
pub struct EpochResult {
    /// Each table's delta; a view without rows in this epoch is missing.
    pub deltas: BTreeMap<String, Vec<RecordBatch>>,
    /// Rows too late for the view's windowed sinks, as they entered its aggregate, or for an operator; at most
    /// [`LATE_ROWS_MAX`].
    pub late: BTreeMap<String, Vec<RecordBatch>>,
    /// How many rows were too late, including those beyond the bound.
    pub late_rows: BTreeMap<String, u64>,
    /// Per input the rows on which its code failed.
    pub failed: BTreeMap<String, Vec<Failed>>,
}

/// A view's operators and its last part; or the one operator of an input's gate.
#[derive(Debug)]
struct Chain {
    owner: Owner,
    machines: Vec<Machine>,
    /// Per operator its inputs.
    before: Vec<Vec<Pipeline>>,
    last: Option<Pipeline>,
    /// Rows of this epoch that were given out already.
    flowed: Vec<RecordBatch>,
}

#[derive(Debug)]
enum Owner {
    View(Arc<View>),
    Gate(String, Arc<Stage>),
}

impl Owner {
    fn name(&self) -> &str {
        match self {
            Self::View(view) => &view.info.name,
            Self::Gate(input, _) => input,
        }
    }

    fn stages(&self) -> &[Stage] {
        match self {
            Self::View(view) => &view.stages,
            Self::Gate(_, stage) => std::slice::from_ref(stage),
        }
    }

    /// By how many microseconds rows of the last part may be older than the watermark.
    fn lag(&self) -> i64 {
        match self {
            Self::View(view) => view.info.lag,
            Self::Gate(..) => 0,
        }
    }
}

impl EngineJob {
    pub(crate) fn new(engine: Engine) -> PlanResult<Self> {
        let statics = engine.statics();
        let gates = engine.gates().iter().map(|(input, stage)| Owner::Gate(input.clone(), stage.clone()));
        let gates = gates.map(Chain::new).collect::<PlanResult<_>>()?;
        let views = engine.compiled().values().map(|view| Chain::new(Owner::View(view.clone())));
        let views = views.collect::<PlanResult<_>>()?;
        let (planned, late_before_ms, failed, trouble) = (false, None, false, None);
        let unanswered = Vec::new();
        let mut job =
            Self { engine, statics, seen: None, gates, views, planned, late_before_ms, failed, trouble, unanswered };
        let memory = job.engine.memory().clone();
        job.states().for_each(|state| state.within(&memory));
        Ok(job)
    }

    /// Starts an epoch. What an epoch that was not finished had taken is forgotten, and what this one changed before is undone.
    pub fn begin(&mut self, start: EpochStart) {
        self.late_before_ms = start.late_before;
        (self.failed, self.trouble) = (false, None);
        self.unanswered.clear();
        let statics = self.seen.clone().unwrap_or_else(|| self.engine.statics());
        if !Arc::ptr_eq(&statics, &self.statics) {
            self.statics = statics;
            self.planned = false;
        }
        for chain in self.gates.iter_mut().chain(&mut self.views) {
            chain.pipelines().for_each(Pipeline::reset);
            chain.flowed.clear();
            for (stage, machine) in chain.owner.stages().iter().zip(&mut chain.machines) {
                if let Err(error) = machine.begin(stage, start, &self.statics) {
                    self.trouble = Some(job_error(chain.owner.name(), &error));
                }
            }
        }
    }

    /// Takes what an operator remembered, oldest first, as it was before the next epoch.
    pub fn restore(&mut self, table: &str, rows: &[RecordBatch]) -> Result<(), JobError> {
        for chain in self.gates.iter_mut().chain(&mut self.views) {
            for (stage, machine) in chain.owner.stages().iter().zip(&mut chain.machines) {
                if let Some(index) = stage.tables.iter().position(|name| name == table) {
                    let mut states = machine.states();
                    states[index].restore(rows).map_err(|error| job_error(chain.owner.name(), &error))?;
                    return self.states().try_for_each(State::make_room).map_err(|error| job_error(table, &error));
                }
            }
        }
        Err(JobError::Bug(format!("no operator remembers `{table}`")))
    }

    /// What an operator remembers: the rows behind a key, so many at most, and the key of the last.
    pub fn remembered(
        &mut self,
        table: &str,
        after: Option<&[u8]>,
        rows_max: usize,
    ) -> Result<Option<(RecordBatch, Vec<u8>)>, JobError> {
        for chain in self.gates.iter_mut().chain(&mut self.views) {
            for (stage, machine) in chain.owner.stages().iter().zip(&mut chain.machines) {
                if let Some(index) = stage.tables.iter().position(|name| name == table) {
                    let part = machine.states()[index].part(after, rows_max);
                    let part = part.map_err(|error| job_error(chain.owner.name(), &error))?;
                    return Ok(part.map(|(rows, last)| (rows, last.to_vec())));
                }
            }
        }
        Err(JobError::Bug(format!("no operator remembers `{table}`")))
    }

    fn states(&mut self) -> impl Iterator<Item = &mut State> {
        let chains = self.gates.iter_mut().chain(&mut self.views);
        chains.flat_map(|chain| &mut chain.machines).flat_map(Machine::states)
    }

    /// The static tables as the epoch under way sees them.
    pub fn tables(&self) -> Tables {
        self.statics.0.clone()
    }

    /// From the next `begin` on a static table has these rows, and others only in this way.
    pub fn see(&mut self, table: &str, rows: Vec<RecordBatch>) -> Result<(), JobError> {
        let rows = self.engine.conformed(table, rows).map_err(|error| JobError::Bug(error.message))?;
        let mut seen = self.seen.as_ref().unwrap_or(&self.statics).as_ref().clone();
        seen.0.insert(table.to_owned(), Arc::new(rows));
        self.seen = Some(Arc::new(seen));
        Ok(())
    }

    /// When an epoch has something to do even without rows, in milliseconds since the Unix epoch.
    pub fn wakes_at(&self) -> Option<i64> {
        let machines = self.gates.iter().flat_map(|gate| gate.owner.stages().iter().zip(&gate.machines));
        // An epoch that begins finds out what is wrong.
        machines.filter_map(|(stage, machine)| machine.wakes_at(stage).unwrap_or(Some(i64::MIN))).min()
    }

    async fn plan(&mut self) -> Result<(), JobError> {
        if let Some(trouble) = &self.trouble {
            return Err(trouble.clone());
        }
        if self.planned {
            return Ok(());
        }
        if let Some(kept) = self.engine.plans().and_then(|plans| plans.take(&self.statics)) {
            for (chain, (before, last)) in self.gates.iter_mut().chain(&mut self.views).zip(kept) {
                (chain.before, chain.last) = (before, last);
            }
            self.planned = true;
            return Ok(());
        }
        let mut session = self.engine.session().clone();
        session.config_mut().set_extension(self.statics.clone());
        for chain in self.gates.iter_mut().chain(&mut self.views) {
            chain.plan(&session).await.map_err(|error| job_error(chain.owner.name(), &error))?;
        }
        self.planned = true;
        Ok(())
    }

    /// Takes rows of one input: all its columns, or those that views need, found by name.
    pub async fn feed(&mut self, input: &str, batch: &RecordBatch) -> Result<(), JobError> {
        self.plan().await?;
        let bounds = Bounds::of_ms(self.late_before_ms, None);
        let gated = self.gates.iter().any(|gate| gate.owner.name() == input);
        let chains = if gated { &mut self.gates } else { &mut self.views };
        let (fed, unanswered) = noting(feed(chains, self.engine.session(), input, batch, bounds)).await;
        self.unanswered.extend(unanswered);
        self.failed |= fed.is_err();
        fed
    }

    /// What came of the rows since the last time, of these views, whose rows wait for nothing; the epoch's result has it
    /// too. After an error the next `begin` starts anew.
    pub async fn flow(&mut self, views: &BTreeSet<String>) -> Result<BTreeMap<String, Vec<RecordBatch>>, JobError> {
        let mut flowing = BTreeMap::new();
        for view in self.views.iter_mut().filter(|view| views.contains(view.owner.name())) {
            match view.flow().await {
                Ok(rows) if rows.is_empty() => {}
                Ok(rows) => drop(flowing.insert(view.owner.name().to_owned(), rows)),
                Err(error) => {
                    self.failed = true;
                    return Err(job_error(view.owner.name(), &error));
                }
            }
        }
        Ok(flowing)
    }

    /// Ends the epoch: everything at or before `final_before_ms` is final. After an error, here or in `feed`, the next
    /// `begin` starts anew.
    pub async fn finish(&mut self, final_before_ms: Option<i64>) -> Result<EpochResult, JobError> {
        let (result, unanswered) = noting(self.end(final_before_ms)).await;
        self.unanswered.extend(unanswered);
        result
    }

    /// Takes out the rows for which the user's functions had no answer since the last time.
    pub fn unanswered(&mut self) -> Vec<Unanswered> {
        std::mem::take(&mut self.unanswered)
    }

    async fn end(&mut self, final_before_ms: Option<i64>) -> Result<EpochResult, JobError> {
        if std::mem::replace(&mut self.failed, true) {
            return Err(JobError::Bug("an epoch was finished that had failed".into()));
        }
        // An operator runs also without rows: time may have passed what it keeps.
        if self.gates.iter().chain(&self.views).any(|chain| !chain.machines.is_empty()) {
            self.plan().await?;
        }
        let bounds = Bounds::of_ms(self.late_before_ms, final_before_ms);
        let session = self.engine.session().clone();
        let mut result = EpochResult::default();
        for gate in &mut self.gates {
            let input = gate.owner.name().to_owned();
            let rows = gate.run(&session, bounds, &mut result).await.map_err(|error| job_error(&input, &error))?;
            for machine in &mut gate.machines {
                let failed = machine.failed();
                if !failed.is_empty() {
                    result.failed.entry(input.clone()).or_default().extend(failed);
                }
            }
            for batch in rows {
                feed(&mut self.views, &session, &input, &batch, bounds).await?;
            }
        }
        for view in &mut self.views {
            let name = view.owner.name().to_owned();
            let rows = view.run(&session, bounds, &mut result).await.map_err(|error| job_error(&name, &error))?;
            if !rows.is_empty() {
                result.deltas.insert(name, rows);
            }
        }
        self.failed = false;
        Ok(result)
    }
}

impl Drop for EngineJob {
    fn drop(&mut self) {
        let Some(plans) = self.engine.plans().filter(|_| self.planned).cloned() else { return };
        let chains = self.gates.iter_mut().chain(&mut self.views);
        let chains = chains.map(|chain| {
            chain.pipelines().for_each(Pipeline::reset);
            (std::mem::take(&mut chain.before), chain.last.take())
        });
        plans.leave(self.statics.clone(), chains.collect());
    }
}

async fn feed(
    chains: &mut [Chain],
    session: &SessionState,
    input: &str,
    batch: &RecordBatch,
    bounds: Bounds,
) -> Result<(), JobError> {
    for chain in chains {
        let fed = chain.feed(session, input, batch, bounds).await;
        fed.map_err(|trouble| match trouble {
            Trouble::Rows(reason) => JobError::Bug(format!("input `{input}`: {reason}")),
            Trouble::Plan(error) => job_error(chain.owner.name(), &error),
        })?;
    }
    Ok(())
}

impl Chain {
    fn new(owner: Owner) -> PlanResult<Self> {
        let machines = owner.stages().iter().map(Machine::new).collect::<PlanResult<_>>()?;
        Ok(Self { owner, machines, before: Vec::new(), last: None, flowed: Vec::new() })
    }

    async fn plan(&mut self, session: &SessionState) -> PlanResult<()> {
        self.before.clear();
        for stage in self.owner.stages() {
            let mut inputs = Vec::new();
            for input in &stage.inputs {
                let (groups, late) = match &stage.operator {
                    Operator::Closing { window, .. } => (Some(*window), Some(input.schema.clone())),
                    _ => (None, None),
                };
                inputs.push(Pipeline::plan(session, &input.plan, input.schema.clone(), groups, late).await?);
            }
            self.before.push(inputs);
        }
        if let Owner::View(view) = &self.owner {
            let groups = view.keyed.as_ref().map(|keyed| keyed.aggregation.window);
            let (schema, late) = (view.info.schema.clone(), view.info.late_schema.clone());
            self.last = Some(Pipeline::plan(session, &view.lower, schema, groups, late).await?);
        }
        Ok(())
    }

    /// Gives out what came of the rows so far, where it waits for nothing.
    async fn flow(&mut self) -> PlanResult<Vec<RecordBatch>> {
        let waits = match &self.owner {
            Owner::View(view) => view.keyed.is_some() || !self.machines.is_empty(),
            Owner::Gate(..) => true,
        };
        let Some(last) = self.last.as_mut().filter(|_| !waits) else { return Ok(Vec::new()) };
        let rows = last.finish(None).await?.rows;
        self.flowed.extend(rows.iter().cloned());
        Ok(rows)
    }

    fn pipelines(&mut self) -> impl Iterator<Item = &mut Pipeline> {
        self.before.iter_mut().flatten().chain(&mut self.last)
    }

    async fn feed(
        &mut self,
        session: &SessionState,
        input: &str,
        batch: &RecordBatch,
        bounds: Bounds,
    ) -> Result<(), Trouble> {
        let Self { owner, before, last, .. } = self;
        for (stage, inputs) in owner.stages().iter().zip(before) {
            let late = bounds.behind(stage.operator.lag()).late;
            for pipeline in inputs.iter_mut().filter(|pipeline| pipeline.reads(input)) {
                pipeline.feed(session, input, batch, late).await?;
            }
        }
        let late = bounds.behind(owner.lag()).late;
        for pipeline in last.iter_mut().filter(|pipeline| pipeline.reads(input)) {
            pipeline.feed(session, input, batch, late).await?;
        }
        Ok(())
    }

    /// Ends the epoch of each operator in turn, then of the last part; gives the rows out.
    async fn run(
        &mut self,
        session: &SessionState,
        bounds: Bounds,
        result: &mut EpochResult,
    ) -> PlanResult<Vec<RecordBatch>> {
        let mut late_rows = Late::default();
        let mut out = Vec::new();
        for number in 0..self.machines.len() {
            let stage = &self.owner.stages()[number];
            let mut inputs = Vec::new();
            for (input, pipeline) in stage.inputs.iter().zip(&mut self.before[number]) {
                let done = pipeline.finish(bounds.behind(stage.operator.lag()).late).await?;
                late_rows.kept.extend(done.late.kept);
                late_rows.rows += done.late.rows;
                let mut rows = done.rows;
                if let Some(time) = input.time {
                    for batch in &mut rows {
                        let (good, late) = late_apart(batch, time, bounds)?;
                        if let Some(late) = late {
                            late_rows.add(&late, &input.schema)?;
                            *batch = good;
                        }
                    }
                }
                inputs.push(rows);
            }
            out = self.machines[number].run(stage, inputs, bounds)?;
            for (table, delta) in self.machines[number].deltas(stage)? {
                result.deltas.entry(table).or_default().push(delta);
            }
            if self.last.is_some() {
                let leaf = stage.leaf.clone();
                for batch in &out {
                    self.feed(session, &leaf, batch, bounds).await.map_err(|trouble| match trouble {
                        Trouble::Rows(reason) => DataFusionError::Internal(reason),
                        Trouble::Plan(error) => error,
                    })?;
                }
            }
        }
        if let Some(last) = &mut self.last {
            let done = last.finish(bounds.behind(self.owner.lag()).late).await?;
            late_rows.kept.extend(done.late.kept);
            late_rows.rows += done.late.rows;
            out = done.rows;
        }
        if !self.flowed.is_empty() {
            let all = std::mem::take(&mut self.flowed);
            let schema = all[0].schema();
            // Many a batch is of a row or two.
            out = vec![concat_batches(&schema, all.iter().chain(&out))?];
        }
        if late_rows.rows > 0 {
            let name = self.owner.name().to_owned();
            result.late.insert(name.clone(), late_rows.kept);
            result.late_rows.insert(name, late_rows.rows);
        }
        Ok(out)
    }
}
