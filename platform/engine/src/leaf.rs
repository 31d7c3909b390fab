//! Where rows enter a plan: a leaf that is fed while the plan runs, and the static tables.
//!
//! A physical plan holds no rows of its own. Each run brings a [`Feeds`] in its task context, so one plan is run
//! epoch after epoch, and by several readers at once.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, Statistics, internal_err};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties};
use datafusion::prelude::SessionConfig;
use tokio::sync::mpsc;

use crate::functions::BATCH_ROWS;

/// Batches that wait between the feeder and a plan.
pub const LEAF_QUEUE_BATCHES: usize = 1;
/// What the optimizer believes of a leaf's size, so that static tables are the build side of a join.
const ASSUMED_ROWS: usize = 1 << 40;

/// A table whose rows come while the plan runs.
#[derive(Debug)]
pub struct LeafTable {
    name: Arc<str>,
    schema: SchemaRef,
}

impl LeafTable {
    /// A table of these columns.
    pub fn new(name: &str, schema: SchemaRef) -> Self {
        Self { name: name.into(), schema }
    }
}

#[async_trait]
impl TableProvider for LeafTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => self.schema.clone(),
        };
        Ok(Arc::new(LeafExec::new(self.name.clone(), schema)))
    }
}

/// The leaf of a physical plan.
#[derive(Debug)]
pub struct LeafExec {
    /// Unique in this process: how [`Feeds`] finds it.
    pub id: u64,
    /// The table.
    pub name: Arc<str>,
    properties: Arc<PlanProperties>,
}

impl LeafExec {
    fn new(name: Arc<str>, schema: SchemaRef) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), name, properties: Arc::new(properties) }
    }
}

/// All leaves of a plan.
pub fn leaves(plan: &Arc<dyn ExecutionPlan>) -> Vec<(u64, Arc<str>, SchemaRef)> {
    let mut found = Vec::new();
    let mut pending = vec![plan];
    while let Some(plan) = pending.pop() {
        if let Some(leaf) = plan.downcast_ref::<LeafExec>() {
            found.push((leaf.id, leaf.name.clone(), leaf.schema()));
        }
        pending.extend(plan.children());
    }
    found
}

impl DisplayAs for LeafExec {
    fn fmt_as(&self, _: DisplayFormatType, formatter: &mut fmt::Formatter) -> fmt::Result {
        let schema = self.schema();
        let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(formatter, "LeafExec: {}, columns=[{}]", self.name, columns.join(", "))
    }
}

impl ExecutionPlan for LeafExec {
    fn name(&self) -> &'static str {
        "LeafExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let feeds = context.session_config().get_extension::<Feeds>();
        let Some(mut rows) = feeds.and_then(|feeds| feeds.take(self.id)) else {
            return internal_err!("the leaf {} of {} is not fed", self.id, self.name);
        };
        let stream = futures::stream::poll_fn(move |cx| rows.poll_recv(cx).map(|batch| batch.map(Ok)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream)))
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.num_rows = Precision::Inexact(ASSUMED_ROWS);
        statistics.total_byte_size = Precision::Inexact(ASSUMED_ROWS);
        Ok(Arc::new(statistics))
    }
}

/// The rows of one run, by leaf.
#[derive(Debug, Default)]
pub struct Feeds(Mutex<HashMap<u64, mpsc::Receiver<RecordBatch>>>);

impl Feeds {
    /// Opens a leaf; its rows end when the sender is dropped.
    pub fn open(&self, leaf: u64) -> mpsc::Sender<RecordBatch> {
        let (sender, receiver) = mpsc::channel(LEAF_QUEUE_BATCHES);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(leaf, receiver);
        sender
    }

    fn take(&self, leaf: u64) -> Option<mpsc::Receiver<RecordBatch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&leaf)
    }

    /// What a plan needs to run on these rows.
    pub fn context(self, config: &SessionConfig, runtime: &Arc<RuntimeEnv>) -> Arc<TaskContext> {
        Arc::new(TaskContext::new(
            None,
            String::new(),
            config.clone().with_extension(Arc::new(self)),
            HashMap::new(),
            HashMap::new(),
            HashMap::new(),
            HashMap::new(),
            runtime.clone(),
        ))
    }
}

/// The rows of all static tables at one moment; an extension of the session that plans.
#[derive(Debug, Clone, Default)]
pub struct Statics(pub BTreeMap<String, Arc<Vec<RecordBatch>>>);

/// A table that is read whole.
#[derive(Debug)]
pub struct StaticTable {
    name: String,
    schema: SchemaRef,
}

impl StaticTable {
    /// A table of these columns; its rows are in the planning session's [`Statics`].
    pub fn new(name: &str, schema: SchemaRef) -> Self {
        Self { name: name.to_owned(), schema }
    }
}

#[async_trait]
impl TableProvider for StaticTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let statics = session.config().get_extension::<Statics>();
        let rows = statics.and_then(|statics| statics.0.get(&self.name).cloned());
        let rows = rows.map(|rows| rows.as_ref().clone()).unwrap_or_default();
        let source = MemorySourceConfig::try_new_exec(&[rows], self.schema.clone(), projection.cloned())?;
        Ok(source)
    }
}

/// The columns, each of which may be null: what a source promises is not relied on.
pub fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter();
    Arc::new(Schema::new(
        fields
            .map(|field| field.as_ref().clone().with_nullable(true).with_metadata(HashMap::new()))
            .collect::<Vec<_>>(),
    ))
}

/// The same columns under names in lower case, as plans know them.
pub fn lowered(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter();
    Arc::new(Schema::new(
        fields.map(|field| field.as_ref().clone().with_name(field.name().to_lowercase())).collect::<Vec<_>>(),
    ))
}

/// The same rows under a schema of the same types: for field names and nullability that differ.
pub fn conform(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &options)?)
}

/// Batches of at most [`BATCH_ROWS`] rows, so that a plan's own batches stay small.
pub fn pieces(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> {
    let rows = batch.num_rows();
    (0..rows).step_by(BATCH_ROWS).map(move |from| batch.slice(from, BATCH_ROWS.min(rows - from)))
}
