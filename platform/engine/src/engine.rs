//! The compiled deployment: views with their plans, and what they merge to.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use braid_kernel::{Front, JobError, Merge};
use datafusion::common::DataFusionError;
use datafusion::execution::session_state::SessionState;

use crate::catalog::{Catalog, CompileError, OutputMode, ViewInfo};
use crate::compile::{Compiled, View, compile};
use crate::deep::on_deep_stack;
use crate::job::EngineJob;
use crate::leaf::{Statics, conform, lowered};
use crate::memory::StateMemory;
use crate::output::Output;
use crate::plans::Plans;
use crate::sql::did_you_mean;
use crate::stage::Stage;
use crate::state_merge;

/// Views, compiled. Cheap to clone; clones share the static tables.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    memory: Arc<StateMemory>,
    /// Where jobs leave their plans to those after them, if they do.
    plans: Option<Arc<Plans>>,
}

struct Shared {
    views: BTreeMap<String, Arc<View>>,
    infos: BTreeMap<String, ViewInfo>,
    gates: BTreeMap<String, Arc<Stage>>,
    session: SessionState,
    static_schemas: BTreeMap<String, SchemaRef>,
    statics: RwLock<Arc<Statics>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Engine").field("views", &self.shared.views.keys()).finish()
    }
}

impl Engine {
    /// Plans every view. All errors of all views come back together.
    pub async fn compile(catalog: Catalog) -> Result<Engine, Vec<CompileError>> {
        let compiled = on_deep_stack(|| compile(catalog)).map_err(|error| {
            let message = format!("no thread to plan on: {error}");
            vec![CompileError { view: String::new(), position: None, message, hint: None }]
        })?;
        let Compiled { views, gates, session, static_schemas, statics } = compiled?;
        Ok(Engine {
            memory: StateMemory::unbounded(),
            plans: None,
            shared: Arc::new(Shared {
                infos: views.iter().map(|(name, view)| (name.clone(), view.info.clone())).collect(),
                views,
                gates,
                session,
                static_schemas,
                statics: RwLock::new(Arc::new(statics)),
            }),
        })
    }

    /// The same views, whose states share this memory.
    pub fn within(&self, memory: Arc<StateMemory>) -> Engine {
        Engine { memory, ..self.clone() }
    }

    /// The same views, whose jobs leave their plans to those after them.
    pub fn keeping_plans(&self) -> Engine {
        Engine { plans: Some(Arc::default()), ..self.clone() }
    }

    /// Where jobs leave their plans, if they do.
    pub(crate) fn plans(&self) -> Option<&Arc<Plans>> {
        self.plans.as_ref()
    }

    /// What all states share.
    pub fn memory(&self) -> &Arc<StateMemory> {
        &self.memory
    }

    /// The views by name.
    pub fn views(&self) -> &BTreeMap<String, ViewInfo> {
        &self.shared.infos
    }

    /// A runner for one layer. Its plans are built at its first epoch and kept.
    pub fn job(&self) -> Result<EngineJob, JobError> {
        EngineJob::new(self.clone()).map_err(|error| job_error("", &error))
    }

    /// The tables of what operators remember, each with the text that changes when its meaning could.
    pub fn states(&self) -> BTreeMap<String, String> {
        let of_views = self.compiled().values().flat_map(|view| &view.stages);
        let stages = of_views.chain(self.gates().values().map(Arc::as_ref));
        let tables =
            stages.flat_map(|stage| stage.tables.iter().map(|table| (table.clone(), stage.definition.clone())));
        tables.collect()
    }

    /// Replaces a static table's rows, whose columns are found by name; jobs take them at their next `begin`.
    pub async fn refresh(&self, table: &str, batches: Vec<RecordBatch>) -> Result<(), CompileError> {
        let rows = self.conformed(table, batches)?;
        let mut statics = self.shared.statics.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = statics.as_ref().clone();
        next.0.insert(table.to_owned(), Arc::new(rows));
        *statics = Arc::new(next);
        Ok(())
    }

    /// Rows of a static table as views read them.
    pub(crate) fn conformed(&self, table: &str, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, CompileError> {
        let error = |message: String, hint| CompileError { view: table.to_owned(), position: None, message, hint };
        let schemas = &self.shared.static_schemas;
        let Some(schema) = schemas.get(table) else {
            return Err(error("there is no such table".into(), did_you_mean(table, schemas.keys())));
        };
        let rows = batches.into_iter().map(|batch| conform_by_name(&batch, &lowered(schema)));
        rows.collect::<Result<_, _>>().map_err(|reason| error(reason, None))
    }

    /// What a sink of this view and mode is to write; or why they do not go together, in Spark's sense.
    pub fn output(&self, view: &str, mode: OutputMode) -> Result<Output, String> {
        match self.shared.views.get(view) {
            Some(view) => Output::new(view.clone(), mode, &self.memory),
            None => Err(format!("there is no view `{view}`")),
        }
    }

    /// The view's plans and its state, for people.
    pub fn explain(&self, view: &str) -> String {
        match self.shared.views.get(view) {
            Some(view) => view.explain.clone(),
            None => format!("there is no view `{view}`"),
        }
    }

    /// Per input the operator that its rows pass before any view reads them.
    pub(crate) fn gates(&self) -> &BTreeMap<String, Arc<Stage>> {
        &self.shared.gates
    }

    /// The compiled views.
    pub(crate) fn compiled(&self) -> &BTreeMap<String, Arc<View>> {
        &self.shared.views
    }

    /// The session with all tables.
    pub(crate) fn session(&self) -> &SessionState {
        &self.shared.session
    }

    /// The static tables' columns.
    pub(crate) fn static_schemas(&self) -> &BTreeMap<String, SchemaRef> {
        &self.shared.static_schemas
    }

    /// The static tables as of now.
    pub(crate) fn statics(&self) -> Arc<Statics> {
        self.shared.statics.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Merge for Engine {
    fn merge(&self, table: &str, parts: &[RecordBatch]) -> Result<Vec<RecordBatch>, JobError> {
        let of_views = self.shared.views.values().flat_map(|view| &view.stages);
        let mut stages = of_views.chain(self.shared.gates.values().map(Arc::as_ref));
        if stages.any(|stage| stage.tables.iter().any(|name| name == table)) {
            let merged = state_merge::merge(parts).map_err(|error| job_error(table, &error))?;
            return Ok(merged.into_iter().collect());
        }
        let keyed = self.shared.views.get(table).and_then(|view| view.keyed.as_ref());
        let Some(keyed) = keyed else {
            return Err(JobError::Bug(format!("`{table}` is no keyed view")));
        };
        let merged = keyed.aggregation.merge(parts).map_err(|error| job_error(table, &error))?;
        Ok(if merged.num_rows() == 0 { Vec::new() } else { vec![merged] })
    }

    fn split(&self, table: &str, rows: &RecordBatch, parts: usize) -> Result<Vec<RecordBatch>, JobError> {
        let keyed = self.shared.views.get(table).and_then(|view| view.keyed.as_ref());
        let Some(keyed) = keyed else {
            return Err(JobError::Bug(format!("`{table}` is no keyed view")));
        };
        keyed.aggregation.split(rows, parts).map_err(|error| job_error(table, &error))
    }

    fn front(&self, table: &str, parts: &[RecordBatch], goes_on: &[bool], first: bool) -> Result<Front, JobError> {
        state_merge::front(parts, goes_on, first).map_err(|error| job_error(table, &error))
    }
}

/// An error while a view's plan ran.
pub(crate) fn job_error(view: &str, error: &DataFusionError) -> JobError {
    match error.find_root() {
        DataFusionError::External(outside) if outside.is::<JobError>() => {
            outside.downcast_ref::<JobError>().cloned().unwrap_or_else(|| JobError::Bug(outside.to_string()))
        }
        DataFusionError::Internal(reason) => JobError::Bug(format!("view `{view}`: {reason}")),
        root => {
            let text = root.strip_backtrace();
            let reason = text.trim_start_matches("Execution error: ").trim_start_matches("Arrow error: ");
            JobError::View { view: view.to_owned(), reason: reason.to_owned() }
        }
    }
}

/// The columns of a schema, found by name in a batch; names that differ in case only are the same.
pub(crate) fn conform_by_name(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let given = batch.schema_ref().fields();
    let columns = schema
        .fields()
        .iter()
        .map(|field| {
            let exact = given.iter().position(|given| given.name() == field.name());
            let index = exact
                .or_else(|| given.iter().position(|given| given.name().to_lowercase() == field.name().to_lowercase()))
                .ok_or_else(|| format!("there is no column `{}`", field.name()))?;
            let found = &given[index];
            if found.data_type() != field.data_type() {
                return Err(format!("`{}` is {} and not {}", field.name(), found.data_type(), field.data_type()));
            }
            Ok(index)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let projected = batch.project(&columns).map_err(|error| error.to_string())?;
    conform(projected, schema).map_err(|error| error.strip_backtrace())
}
