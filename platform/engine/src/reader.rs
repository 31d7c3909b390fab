//! Answers as of one manifest: final(merge(base, deltas)), by view, by key, or by ad-hoc SQL.
//!
//! A view's merged states are kept and only newer deltas are merged in; its answer is kept until it changes.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{and, cast_with_options, concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::FormatOptions;
use braid_kernel::manifest::Manifest;
use braid_kernel::serve::Snapshot;
use braid_kernel::{Segment, Segments};
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemTable, MemoryCatalogProvider, MemoryCatalogProviderList,
    MemorySchemaProvider,
};
use datafusion::common::TableReference;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::SQLOptions;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;

use crate::catalog::{CompileError, ReadError};
use crate::compile::{Keyed, View};
use crate::deep::on_deep_stack;
use crate::engine::{Engine, conform_by_name, job_error};
use crate::leaf::{conform, lowered, nullable};
use crate::sql::{self, Names, did_you_mean};
use crate::store::Store;
use crate::window;

/// How much of append views' and ledgers' segments is kept in memory, in bytes.
pub const SEGMENT_CACHE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Answers questions. Cheap to clone; clones share the caches.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

/// Rows that are kept elsewhere in this process, as of now.
pub type LiveRows = Arc<dyn Fn() -> Vec<RecordBatch> + Send + Sync>;

struct Shared {
    engine: Engine,
    segments: Arc<dyn Segments>,
    ledgers: BTreeMap<String, SchemaRef>,
    live: BTreeMap<String, (SchemaRef, LiveRows)>,
    views: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Merged>>>>>,
    cache: Mutex<SegmentCache>,
}

/// A view's states as of an epoch.
struct Merged {
    /// Which base they started from.
    base: BaseName,
    /// The epoch after the last that is in them.
    next: u64,
    store: Store,
    answer: Option<Vec<RecordBatch>>,
}

/// A base is known by its generation and its files.
type BaseName = (u64, Vec<String>);

impl Reader {
    /// Reads what is not in memory through `segments`.
    pub fn new(engine: Engine, segments: Arc<dyn Segments>) -> Self {
        Self::of(engine, segments, BTreeMap::new(), BTreeMap::new())
    }

    /// Makes a ledger (`dead_letters`, `late_rows`) readable under its name.
    pub fn with_ledger(self, name: &str, schema: SchemaRef) -> Self {
        let shared = &self.shared;
        let mut ledgers = shared.ledgers.clone();
        ledgers.insert(name.to_owned(), nullable(&schema));
        Self::of(shared.engine.clone(), shared.segments.clone(), ledgers, shared.live.clone())
    }

    /// Makes rows that are kept elsewhere (a memory sink's) readable under a name.
    pub fn with_live(self, name: &str, schema: SchemaRef, rows: LiveRows) -> Self {
        let shared = &self.shared;
        let mut live = shared.live.clone();
        live.insert(name.to_owned(), (schema, rows));
        Self::of(shared.engine.clone(), shared.segments.clone(), shared.ledgers.clone(), live)
    }

    fn of(
        engine: Engine,
        segments: Arc<dyn Segments>,
        ledgers: BTreeMap<String, SchemaRef>,
        live: BTreeMap<String, (SchemaRef, LiveRows)>,
    ) -> Self {
        let shared = Shared { engine, segments, ledgers, live, views: Mutex::default(), cache: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// The engine that it answers for.
    pub fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    /// The columns of a view or ledger.
    pub fn schema(&self, name: &str) -> Option<SchemaRef> {
        let view = self.shared.engine.views().get(name).map(|view| view.schema.clone());
        let ledger = || self.shared.ledgers.get(name).cloned();
        view.or_else(ledger).or_else(|| self.shared.live.get(name).map(|(schema, _)| schema.clone()))
    }

    /// The whole answer of a view or ledger.
    pub async fn rows(&self, snap: &Snapshot, view: &str) -> Result<Vec<RecordBatch>, ReadError> {
        if let Some(schema) = self.shared.ledgers.get(view) {
            return self.appended(snap, view, schema).await;
        }
        if let Some((_, rows)) = self.shared.live.get(view) {
            return Ok(rows());
        }
        let compiled = self.view(view)?;
        let Some(keyed) = &compiled.keyed else {
            return self.appended(snap, view, &compiled.info.schema).await;
        };
        let cell = self.cell(view);
        let mut cached = cell.lock().await;
        let merged = self.merged(snap, &compiled, keyed, &mut cached).await?;
        if let Some(answer) = &merged.answer {
            return Ok(answer.clone());
        }
        let failed = |error| ReadError::Job(job_error(view, &error));
        let states = merged.store.all(&keyed.aggregation).map_err(failed)?;
        let answers = keyed.aggregation.answer(&states).map_err(failed)?;
        let rows = keyed.upper.run(&answers).await.map_err(failed)?;
        merged.answer = Some(rows.clone());
        Ok(rows)
    }

    /// The rows with these key values, given as text by column name. A window is named by its start, as `w` or
    /// `w.start`, or by its end, as `w.end`. Instants are ISO 8601; the empty list asks for a global aggregate's row.
    pub async fn lookup(
        &self,
        snap: &Snapshot,
        view: &str,
        key: &[(String, String)],
    ) -> Result<RecordBatch, ReadError> {
        if let Ok(compiled) = self.view(view)
            && let Some(keyed) = &compiled.keyed
            && !keyed.upper.ordered
            && let Some(values) = whole_key(&compiled, keyed, key)?
        {
            let cell = self.cell(view);
            let mut cached = cell.lock().await;
            let merged = self.merged(snap, &compiled, keyed, &mut cached).await?;
            let failed = |error| ReadError::Job(job_error(view, &error));
            let state = merged.store.get(&keyed.aggregation, &values).map_err(failed)?;
            drop(cached);
            if state.num_rows() == 0 && keyed.aggregation.keys() > 0 {
                return Ok(RecordBatch::new_empty(compiled.info.schema.clone()));
            }
            let answer = keyed.aggregation.answer(&state).map_err(failed)?;
            let rows = keyed.upper.run(&answer).await.map_err(failed)?;
            return together(&compiled.info.schema, &rows);
        }
        let rows = self.rows(snap, view).await?;
        let Some(schema) = self.schema(view) else {
            return Err(self.unknown(view));
        };
        let rows = rows.iter().map(|batch| select(batch, key)).collect::<Result<Vec<_>, _>>()?;
        together(&schema, &rows)
    }

    /// One SELECT over views, ledgers, static tables and live rows, in Spark's dialect.
    pub async fn sql(&self, snap: &Snapshot, sql: &str) -> Result<(SchemaRef, Vec<RecordBatch>), ReadError> {
        let engine = &self.shared.engine;
        let columns = |schema: &SchemaRef| schema.fields().iter().map(|field| field.name().clone()).collect();
        let views = engine.views().iter().map(|(name, view)| (name, &view.schema));
        let live = self.shared.live.iter().map(|(name, (schema, _))| (name, schema));
        let tables = views.chain(&self.shared.ledgers).chain(engine.static_schemas()).chain(live);
        let names: Names = tables.clone().map(|(name, schema)| (name.clone(), columns(schema))).collect();
        let parse = on_deep_stack(async || sql::parse("query", sql, &names, false));
        let parsed = parse.map_err(no_thread)?.map_err(|mut errors| ReadError::Sql(errors.remove(0)))?;
        let planning = |error| ReadError::Sql(parsed.planning_error(&error));
        // Its own tables, but the engine's functions: to register those anew costs more than most queries.
        let catalogs = Arc::new(MemoryCatalogProviderList::new());
        let catalog = Arc::new(MemoryCatalogProvider::new());
        let options = engine.session().config_options().catalog.clone();
        catalog.register_schema(&options.default_schema, Arc::new(MemorySchemaProvider::new())).map_err(planning)?;
        catalogs.register_catalog(options.default_catalog, catalog);
        let state =
            SessionStateBuilder::new_from_existing(engine.session().clone()).with_catalog_list(catalogs).build();
        let context = SessionContext::new_with_state(state);
        for (name, schema) in tables {
            if !parsed.tables.contains(name) {
                continue;
            }
            let rows = match engine.static_schemas().contains_key(name) {
                true => engine.statics().0.get(name).map(|rows| rows.as_ref().clone()).unwrap_or_default(),
                false => self.rows(snap, name).await?,
            };
            let schema = lowered(schema);
            let rows = rows.into_iter().map(|batch| conform(batch, &schema)).collect::<Result<_, _>>();
            let table = MemTable::try_new(schema, vec![rows.map_err(planning)?]).map_err(planning)?;
            let name = TableReference::bare(name.to_lowercase());
            context.register_table(name, Arc::new(table)).map_err(planning)?;
        }
        let state = context.state();
        let (schema, physical) = on_deep_stack(async || {
            let plan = state.statement_to_plan(parsed.statement.clone()).await?;
            let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
            read_only.verify_plan(&plan)?;
            let schema = nullable(&parsed.spell(plan.schema().as_arrow()));
            Ok((schema, state.create_physical_plan(&plan).await?))
        })
        .map_err(no_thread)?
        .map_err(planning)?;
        let rows = collect(physical, state.task_ctx())
            .await
            .and_then(|rows| rows.into_iter().map(|batch| conform(batch, &schema)).collect::<Result<Vec<_>, _>>())
            .map_err(|error| ReadError::Job(job_error("query", &error)))?;
        Ok((schema, rows))
    }

    fn view(&self, name: &str) -> Result<Arc<View>, ReadError> {
        self.shared.engine.compiled().get(name).cloned().ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> ReadError {
        let names = self.shared.engine.views().keys().chain(self.shared.ledgers.keys()).chain(self.shared.live.keys());
        ReadError::UnknownView { view: name.to_owned(), hint: did_you_mean(name, names) }
    }

    fn cell(&self, view: &str) -> Arc<tokio::sync::Mutex<Option<Merged>>> {
        let mut views = self.shared.views.lock().unwrap_or_else(PoisonError::into_inner);
        views.entry(view.to_owned()).or_default().clone()
    }

    /// Brings a view's states to a snapshot.
    async fn merged<'a>(
        &self,
        snap: &Snapshot,
        view: &View,
        keyed: &Keyed,
        cached: &'a mut Option<Merged>,
    ) -> Result<&'a mut Merged, ReadError> {
        let name = &view.info.name;
        let failed = |error| ReadError::Job(job_error(name, &error));
        let manifest = &snap.manifest;
        let horizon = whole(manifest, name)?;
        let base = base_name(manifest, name);
        let goes_on = cached.as_ref().is_some_and(|merged| merged.base == base && merged.next <= manifest.next);
        let mut merged = match cached.take() {
            Some(merged) if goes_on => merged,
            _ => {
                let mut store = Store::new(&keyed.aggregation, false).map_err(failed)?;
                store.state().within(self.shared.engine.memory());
                for segment in manifest.tables.get(name).into_iter().flat_map(|table| &table.base) {
                    let states = self.shared.segments.read(segment).await?;
                    let states = fit(states, &view.info.delta_schema, name)?;
                    store.merge(&keyed.aggregation, &states).map_err(failed)?;
                    store.state().settle();
                }
                Merged { base, next: horizon, store, answer: None }
            }
        };
        let mut deltas = Vec::new();
        for epoch in merged.next.max(horizon)..manifest.next {
            deltas.extend(self.delta(snap, name, epoch, &view.info.delta_schema).await?);
        }
        if deltas.iter().any(|delta| delta.num_rows() > 0) {
            merged.store.merge(&keyed.aggregation, &deltas).map_err(failed)?;
            merged.store.state().settle();
            merged.answer = None;
        }
        merged.next = manifest.next;
        Ok(cached.insert(merged))
    }

    /// An epoch's rows of a table, from memory or from its segments.
    async fn delta(
        &self,
        snap: &Snapshot,
        table: &str,
        epoch: u64,
        schema: &SchemaRef,
    ) -> Result<Vec<RecordBatch>, ReadError> {
        if let Some(rows) = snap.hot.get(table).and_then(|epochs| epochs.get(&epoch)) {
            return fit(rows.as_ref().clone(), schema, table);
        }
        let hole = || ReadError::Hole { view: table.to_owned(), epoch };
        let deltas = snap.manifest.tables.get(table).map(|table| &table.deltas).ok_or_else(hole)?;
        let delta = deltas.iter().find(|delta| delta.epoch == epoch).ok_or_else(hole)?;
        let mut rows = Vec::new();
        for segment in &delta.segments {
            rows.extend(self.shared.segments.read(segment).await?);
        }
        fit(rows, schema, table)
    }

    /// All rows of a table that only accumulates.
    async fn appended(&self, snap: &Snapshot, table: &str, schema: &SchemaRef) -> Result<Vec<RecordBatch>, ReadError> {
        let manifest = &snap.manifest;
        let horizon = whole(manifest, table)?;
        let mut rows = Vec::new();
        for segment in manifest.tables.get(table).into_iter().flat_map(|table| &table.base) {
            rows.extend(self.cached(segment).await?);
        }
        let mut rows = fit(rows, schema, table)?;
        let hot = snap.hot.get(table);
        for delta in manifest.tables.get(table).into_iter().flat_map(|table| &table.deltas) {
            if delta.epoch < horizon {
                continue;
            }
            let delta_rows = match hot.and_then(|epochs| epochs.get(&delta.epoch)) {
                Some(rows) => rows.as_ref().clone(),
                None => {
                    let mut rows = Vec::new();
                    for segment in &delta.segments {
                        rows.extend(self.cached(segment).await?);
                    }
                    rows
                }
            };
            rows.extend(fit(delta_rows, schema, table)?);
        }
        Ok(rows)
    }

    /// A segment's rows, kept within [`SEGMENT_CACHE_BYTES_MAX`].
    async fn cached(&self, segment: &Segment) -> Result<Vec<RecordBatch>, ReadError> {
        let cache = || self.shared.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rows) = cache().rows.get(&segment.name) {
            return Ok(rows.as_ref().clone());
        }
        let rows = Arc::new(self.shared.segments.read(segment).await?);
        cache().keep(&segment.name, rows.clone());
        Ok(rows.as_ref().clone())
    }
}

/// Segments in memory, the oldest leaves first.
#[derive(Default)]
struct SegmentCache {
    rows: HashMap<String, Arc<Vec<RecordBatch>>>,
    order: VecDeque<(String, usize)>,
    bytes: usize,
}

impl SegmentCache {
    fn keep(&mut self, name: &str, rows: Arc<Vec<RecordBatch>>) {
        let bytes = rows.iter().map(RecordBatch::get_array_memory_size).sum();
        if bytes > SEGMENT_CACHE_BYTES_MAX || self.rows.insert(name.to_owned(), rows).is_some() {
            return;
        }
        self.order.push_back((name.to_owned(), bytes));
        self.bytes += bytes;
        while self.bytes > SEGMENT_CACHE_BYTES_MAX {
            let Some((oldest, bytes)) = self.order.pop_front() else {
                break;
            };
            self.rows.remove(&oldest);
            self.bytes -= bytes;
        }
    }
}

fn no_thread(error: std::io::Error) -> ReadError {
    ReadError::Job(braid_kernel::JobError::Bug(format!("no thread to plan on: {error}")))
}

fn base_name(manifest: &Manifest, table: &str) -> BaseName {
    let generation = manifest.base.as_ref().map_or(0, |base| base.generation);
    let files = manifest.tables.get(table).into_iter().flat_map(|table| &table.base);
    (generation, files.map(|segment| segment.name.clone()).collect())
}

/// The horizon, after a proof that no delta is missing between it and the next epoch.
fn whole(manifest: &Manifest, table: &str) -> Result<u64, ReadError> {
    let horizon = manifest.base.as_ref().map_or(0, |base| base.horizon);
    let deltas = manifest.tables.get(table).into_iter().flat_map(|table| &table.deltas);
    let mut present = deltas.map(|delta| delta.epoch).filter(|epoch| *epoch >= horizon);
    for epoch in horizon..manifest.next {
        if present.next() != Some(epoch) {
            return Err(ReadError::Hole { view: table.to_owned(), epoch });
        }
    }
    Ok(horizon)
}

/// Stored rows in the columns that the engine expects.
fn fit(rows: Vec<RecordBatch>, schema: &SchemaRef, table: &str) -> Result<Vec<RecordBatch>, ReadError> {
    rows.iter()
        .map(|batch| {
            conform_by_name(batch, schema)
                .map_err(|reason| ReadError::Job(braid_kernel::JobError::Bug(format!("table `{table}`: {reason}"))))
        })
        .collect()
}

fn together(schema: &SchemaRef, rows: &[RecordBatch]) -> Result<RecordBatch, ReadError> {
    concat_batches(schema, rows).map_err(|error| ReadError::Job(braid_kernel::JobError::Bug(error.to_string())))
}

/// A text as one value of a type.
fn value_of(text: &str, data_type: &DataType, column: &str) -> Result<ArrayRef, ReadError> {
    let options = arrow::compute::CastOptions { safe: false, format_options: FormatOptions::default() };
    let text_array: ArrayRef = Arc::new(StringArray::from(vec![text]));
    cast_with_options(&text_array, data_type, &options)
        .map_err(|_| ReadError::Key(format!("`{text}` is no value of `{column}`, which is {data_type}")))
}

/// One value per group key in the order of the GROUP BY, if the key names each exactly once.
fn whole_key(view: &View, keyed: &Keyed, key: &[(String, String)]) -> Result<Option<Vec<ArrayRef>>, ReadError> {
    let count = keyed.aggregation.keys();
    let mut values: Vec<Option<ArrayRef>> = vec![None; count];
    if key.len() != count {
        return Ok(None);
    }
    for (name, text) in key {
        let (column, field) = match view.info.schema.index_of(name) {
            Ok(_) => (name.as_str(), None),
            Err(_) => match name.rsplit_once('.') {
                Some((column, field)) => (column, Some(field)),
                None => return Ok(None),
            },
        };
        let Ok(index) = view.info.schema.index_of(column) else {
            return Ok(None);
        };
        let Some(group) = keyed.keys[index] else {
            return Ok(None);
        };
        let is_window = keyed.aggregation.window.is_some_and(|window| window.index == group);
        // A window's end goes the slow way.
        if field.is_some_and(|field| !is_window || field != "start") {
            return Ok(None);
        }
        let data_type = keyed.aggregation.delta_schema.field(group).data_type();
        values[group] = Some(value_of(text, data_type, name)?);
    }
    Ok(values.into_iter().collect())
}

/// The rows of a batch with these values.
fn select(batch: &RecordBatch, key: &[(String, String)]) -> Result<RecordBatch, ReadError> {
    let mut wanted: Option<arrow::array::BooleanArray> = None;
    let failed = |error: arrow::error::ArrowError| ReadError::Key(error.to_string());
    for (name, text) in key {
        let column = column_of(batch, name).ok_or_else(|| {
            let schema = batch.schema();
            let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
            let hint = did_you_mean(name, names.iter()).unwrap_or_else(|| format!("there are {}", names.join(", ")));
            ReadError::Key(format!("there is no column `{name}` ({hint})"))
        })?;
        let value = value_of(text, column.data_type(), name)?;
        let equal = not_distinct(&column, &arrow::array::Scalar::new(value)).map_err(failed)?;
        wanted = Some(match wanted {
            Some(wanted) => and(&wanted, &equal).map_err(failed)?,
            None => equal,
        });
    }
    match wanted {
        Some(wanted) => filter_record_batch(batch, &wanted).map_err(failed),
        None => Ok(batch.clone()),
    }
}

/// A column, a field of a struct column as `column.field`, or the start of a window.
fn column_of(batch: &RecordBatch, name: &str) -> Option<ArrayRef> {
    let field = |column: &ArrayRef, field: &str| column.as_struct_opt()?.column_by_name(field).cloned();
    match batch.column_by_name(name) {
        Some(column) if *column.data_type() == window::struct_type() => field(column, "start"),
        Some(column) => Some(column.clone()),
        None => {
            let (column, name) = name.rsplit_once('.')?;
            field(batch.column_by_name(column)?, name)
        }
    }
}

impl From<CompileError> for ReadError {
    fn from(error: CompileError) -> Self {
        Self::Sql(error)
    }
}
