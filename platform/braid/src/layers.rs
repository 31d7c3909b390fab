//! Wiring: a prepared deployment becomes the layers that run it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use braid_connect::{MemoryTable, SourceContext};
use braid_engine::{Output, Reader, Seed};
use braid_kernel::base::{BaseWriter, OnProgress};
use braid_kernel::fold::FoldLimits;
use braid_kernel::ledger::{Ledger, load};
use braid_kernel::manifest::{BaseBy, Open, Swap, Swapped};
use braid_kernel::notices::{DEAD_LETTERS, LATE_ROWS, dead_letters_schema, late_rows_schema};
use braid_kernel::pressure::Backpressure;
use braid_kernel::serve::{Board, Snapshot};
use braid_kernel::speed::{EventTime, Settings, Speed, WatermarkPolicy};
use braid_kernel::{Clock, Ingest, Manifest, Segments, Sink, Source, Store, TableKind, Trigger};
use braid_spec::model::{self, Delivery, OnBadRecord};
use braid_storage::ParquetSegments;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::clock::SystemClock;
use crate::failure::Failure;
use crate::job::DeploymentJob;
use crate::outlet::{Outlet, Taker};
use crate::prepare::{Prepared, output_mode};
use crate::restarts;

/// Rows in a batch on their way from a source.
const BATCH_ROWS: usize = 8_192;

/// A deployment's layers, ready to run.
pub struct Layers {
    pub speed: Speed,
    pub base: Arc<BaseWriter>,
    pub reader: Arc<Reader>,
    pub ingest: BTreeMap<String, Arc<dyn Ingest>>,
    pub store: Arc<dyn Store>,
    pub id: String,
    pub run_id: String,
}

/// Who writes the base in this deployment's layout.
pub fn base_by(layout: &model::Layout) -> BaseBy {
    match layout.base {
        model::BaseBy::Fold => BaseBy::Fold,
        model::BaseBy::Recompute => BaseBy::Recompute,
    }
}

/// About so many rows of a view's deltas are given to a sink at once, at the start.
const SEED_ROWS: usize = 128 * 1024;

/// Answers over a store's segments: the views, and the tables about the processing.
pub fn reader(prepared: &Prepared, segments: Arc<dyn Segments>) -> Reader {
    Reader::new(prepared.engine.clone(), segments)
        .with_ledger(DEAD_LETTERS, dead_letters_schema())
        .with_ledger(LATE_ROWS, late_rows_schema())
}

/// Opens the deployment's store.
pub fn open_store(prepared: &Prepared) -> Result<(Arc<dyn Store>, Arc<dyn Segments>), Failure> {
    let store = braid_storage::open(&prepared.deployment.store).map_err(Failure::environment)?;
    let segments = Arc::new(ParquetSegments::new(store.clone()));
    Ok((store, segments))
}

/// What layers stand on.
#[derive(Clone)]
pub struct Ground {
    pub store: Arc<dyn Store>,
    pub segments: Arc<dyn Segments>,
    pub clock: Arc<dyn Clock>,
}

impl Ground {
    /// Segments on a store.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { segments: Arc::new(ParquetSegments::new(store.clone())), store, clock }
    }

    /// Who writes bases.
    pub fn base_writer(
        &self,
        prepared: &Arc<Prepared>,
        ledger: Arc<Mutex<Ledger>>,
        board: &Board,
        on_progress: Option<OnProgress>,
    ) -> BaseWriter {
        let for_job = prepared.clone();
        BaseWriter {
            ledger,
            segments: self.segments.clone(),
            merge: Arc::new(prepared.engine.clone()),
            job: Box::new(move || Ok(Box::new(DeploymentJob::new(&for_job)?))),
            board: board.clone(),
            clock: self.clock.clone(),
            on_progress,
            limits: FoldLimits::default(),
        }
    }

    /// The speed layer.
    pub fn speed(
        &self,
        prepared: &Prepared,
        base: &BaseWriter,
        sources: BTreeMap<String, Box<dyn Source>>,
        sinks: BTreeMap<String, Box<dyn Sink>>,
        settings: Settings,
    ) -> Result<Speed, Failure> {
        Ok(Speed {
            ledger: base.ledger.clone(),
            sources,
            job: Box::new(DeploymentJob::new(prepared).map_err(Failure::runtime)?),
            segments: self.segments.clone(),
            sinks,
            board: base.board.clone(),
            clock: self.clock.clone(),
            settings,
            memory: Default::default(),
        })
    }
}

/// A deployment in the place of another that differs in the code of a plugin.
pub struct Swapping {
    /// The one before.
    pub before: Arc<Prepared>,
    /// The plugin.
    pub plugin: String,
    /// Whether an epoch that was planned and not committed is left to the new code.
    pub over_plan: bool,
}

/// Takes over the store and wires everything. From here on an earlier process on the same store is fenced.
/// Where the trigger ends the run by itself, sources know it.
pub async fn layers(
    prepared: &Arc<Prepared>,
    trigger: Trigger,
    board: &Board,
    on_progress: Option<OnProgress>,
    swapping: Option<&Swapping>,
) -> Result<Layers, Failure> {
    let deployment = &prepared.deployment;
    let store = braid_storage::open(&deployment.store).map_err(Failure::environment)?;
    let ground = Ground::new(store, Arc::new(SystemClock));
    let Ground { store, segments, clock } = ground.clone();
    let stored = swapping.map_or(prepared, |swapping| &swapping.before);
    restarts::check(stored, &load(&*store).await.map_err(Failure::environment)?)?;
    let run_id = Uuid::new_v4().to_string();
    let ledger = Ledger::open(store.clone(), clock.clone(), run_id.clone(), opening(stored))
        .await
        .map_err(Failure::environment)?;
    board.publish(Snapshot { manifest: ledger.manifest(), ..Snapshot::default() });
    let base = ground.base_writer(prepared, Arc::new(Mutex::new(ledger)), board, on_progress);
    if let Some(swapping) = swapping {
        let manifest = base.ledger.lock().await.manifest();
        if let Some(plan) = manifest.planned.as_ref().filter(|_| !swapping.over_plan) {
            return Err(Failure::Runtime(format!("epoch {} was planned and is not finished", plan.epoch)));
        }
        base.swap(swap(swapping, prepared, manifest.next, clock.now_ms())).await.map_err(Failure::runtime)?;
    }
    base.enter(deployment.layout.log == model::LogKeep::Forever).await.map_err(Failure::runtime)?;
    let manifest = base.ledger.lock().await.manifest();

    let mut sources = BTreeMap::new();
    let mut ingest = BTreeMap::new();
    for (name, source) in &deployment.sources {
        let context = SourceContext {
            name: name.clone(),
            journal: store.clone(),
            projection: None,
            batch_rows: BATCH_ROWS,
            epoch_rows: deployment.layout.epoch_rows,
            ends: trigger.ends(),
        };
        let open = braid_connect::source(source, context)
            .map_err(|error| Failure::Environment(format!("source `{name}`: {error}")))?;
        sources.insert(name.clone(), open.source);
        ingest.extend(open.ingest.map(|ingest| (name.clone(), ingest)));
    }
    let mut reader = reader(prepared, segments.clone());
    let mut sinks = BTreeMap::new();
    for name in deployment.sinks.keys() {
        let (outlet, memory) = outlet(prepared, name, &manifest, &*segments).await?;
        if let Some(table) = memory {
            let schema = table.schema().clone();
            reader = reader.with_live(name, schema, Arc::new(move || table.rows()));
        }
        sinks.insert(name.clone(), Box::new(outlet) as _);
    }
    let speed = ground.speed(prepared, &base, sources, sinks, settings(prepared, trigger, &run_id))?;
    Ok(Layers { speed, base: Arc::new(base), reader: Arc::new(reader), ingest, store, id: id(prepared), run_id })
}

/// The query's id: the same over restarts, another for another deployment or store.
fn id(prepared: &Prepared) -> String {
    let name = format!("{}\n{}", prepared.deployment.name, prepared.deployment.store);
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).to_string()
}

/// What each view is made of: when it changes, what is stored no longer means what the file says.
pub fn definitions(prepared: &Prepared) -> BTreeMap<String, String> {
    let mut definitions = BTreeMap::new();
    for (name, view) in prepared.engine.views() {
        let mut definition = view.definition.clone();
        for stream in prepared.deployment.streams.iter().filter(|stream| view.inputs.contains_key(&stream.name)) {
            for plugin in stream.apply.iter().filter_map(|plugin| prepared.plugins.get(plugin)) {
                definition.push_str(&format!("\nplugin {}", plugin.digest()));
            }
        }
        definitions.insert(name.clone(), digest(&definition));
    }
    definitions
}

/// The edit that puts one deployment in the place of another.
fn swap(swapping: &Swapping, prepared: &Prepared, epoch: u64, at_ms: i64) -> Swap {
    let Open { definitions, described, .. } = opening(prepared);
    let digest = |of: &Prepared| of.plugins.get(&swapping.plugin).map_or_else(String::new, |code| code.digest().into());
    let (from, to) = (digest(&swapping.before), digest(prepared));
    let swapped = Swapped { epoch, plugin: swapping.plugin.clone(), from, to, at_ms };
    Swap { swapped, definitions, described, log_index: None }
}

/// What the store is opened as.
pub fn opening(prepared: &Prepared) -> Open {
    let mut definitions = definitions(prepared);
    let views = prepared.engine.views().iter();
    let mut kinds: BTreeMap<String, TableKind> = views.map(|(name, view)| (name.clone(), view.kind)).collect();
    for (table, definition) in prepared.engine.states() {
        definitions.insert(table.clone(), digest(&definition));
        kinds.insert(table, TableKind::State);
    }
    for table in [DEAD_LETTERS, LATE_ROWS] {
        definitions.insert(table.into(), "1".into());
        kinds.insert(table.into(), TableKind::Ledger);
    }
    Open {
        deployment: prepared.deployment.name.clone(),
        layout: prepared.deployment.layout.name.clone(),
        definitions,
        described: restarts::describe(prepared),
        kinds,
    }
}

fn digest(text: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string()
}

/// What the deployment says about its epochs.
pub fn settings(prepared: &Prepared, trigger: Trigger, run_id: &str) -> Settings {
    let sources = &prepared.deployment.sources;
    let keep_bad: BTreeSet<String> = sources
        .iter()
        .filter(|(_, source)| source.on_bad_record == OnBadRecord::DeadLetter)
        .map(|(name, _)| name.clone())
        .collect();
    let event_time = sources
        .iter()
        .filter_map(|(name, source)| {
            let watermark = source.watermark.as_ref()?;
            let delay_ms = watermark.delay.as_millis() as i64;
            let idle_ms = watermark.idle_timeout.map(|idle| idle.as_millis() as i64);
            Some((name.clone(), EventTime { delay_ms, idle_ms }))
        })
        .collect();
    Settings {
        id: id(prepared),
        run_id: run_id.into(),
        name: prepared.deployment.name.clone(),
        trigger,
        backpressure: backpressure(&prepared.deployment),
        event_time,
        watermark_policy: match prepared.deployment.watermark_policy {
            model::WatermarkPolicy::Min => WatermarkPolicy::Min,
            model::WatermarkPolicy::Max => WatermarkPolicy::Max,
        },
        at_most_once: (prepared.deployment.sinks.iter())
            .filter(|(_, sink)| sink.delivery == Delivery::AtMostOnce)
            .map(|(name, _)| name.clone())
            .collect(),
        keep_bad,
    }
}

/// When epochs run, as the kernel says it.
pub fn trigger(deployment: &model::Deployment) -> Trigger {
    match deployment.trigger {
        model::Trigger::Default => Trigger::Arrival { every: deployment.layout.epoch_every },
        model::Trigger::ProcessingTime(interval) => Trigger::ProcessingTime(interval),
        model::Trigger::Continuous(every) => Trigger::Continuous { every, rows: deployment.layout.epoch_rows },
        model::Trigger::Once => Trigger::Once,
        model::Trigger::AvailableNow => Trigger::AvailableNow,
    }
}

/// How the intake follows what is processed, where it does.
fn backpressure(deployment: &model::Deployment) -> Option<Backpressure> {
    let given = deployment.backpressure?;
    let interval = match deployment.trigger {
        model::Trigger::ProcessingTime(interval) if !interval.is_zero() => interval,
        _ => deployment.layout.epoch_every,
    };
    Some(Backpressure {
        interval,
        initial_rate: given.initial_rate.map(|rate| rate as f64),
        min_rate: given.min_rate as f64,
        proportional: given.proportional,
        integral: given.integral,
        derived: given.derived,
    })
}

/// Makes ready for states that do not fit into memory: what killed processes left is removed, and a directory that was
/// given has to take files.
pub fn open_states(prepared: &Prepared) -> Result<(), Failure> {
    let memory = prepared.engine.memory();
    memory.sweep();
    if prepared.deployment.state.directory.is_none() {
        return Ok(());
    }
    memory.prepare().map_err(|error| {
        let directory = memory.directory().display();
        Failure::Environment(format!(
            "state.directory: {directory} does not take files: {error}; name a directory on a local disk that can be written, \
             or leave it out for the system's directory for temporary files"
        ))
    })
}

/// What a sink is to be given, with the state that its output mode needs.
pub async fn output(
    prepared: &Prepared,
    sink: &model::Sink,
    manifest: &Manifest,
    segments: &dyn Segments,
) -> Result<Output, Failure> {
    let view = &prepared.engine.views()[&sink.from];
    let mut output = prepared.engine.output(&sink.from, output_mode(sink.output_mode)).map_err(Failure::Invalid)?;
    if view.kind == TableKind::Keyed {
        for segment in manifest.tables.get(&sink.from).into_iter().flat_map(|table| &table.base) {
            let rows = segments.read(segment).await.map_err(Failure::runtime)?;
            output.seed(Seed::Base, &rows, manifest.watermark).map_err(Failure::runtime)?;
        }
        let deltas = manifest.deltas(&sink.from).map_err(Failure::runtime)?;
        let mut rows: Vec<RecordBatch> = vec![];
        for segment in deltas.iter().flat_map(|delta| &delta.segments) {
            rows.extend(segments.read(segment).await.map_err(Failure::runtime)?);
            if rows.iter().map(RecordBatch::num_rows).sum::<usize>() >= SEED_ROWS {
                output.seed(Seed::Deltas, &std::mem::take(&mut rows), manifest.watermark).map_err(Failure::runtime)?;
            }
        }
        output.seed(Seed::Deltas, &rows, manifest.watermark).map_err(Failure::runtime)?;
    }
    Ok(output)
}

/// A sink.
async fn outlet(
    prepared: &Prepared,
    name: &str,
    manifest: &Manifest,
    segments: &dyn Segments,
) -> Result<(Outlet, Option<Arc<MemoryTable>>), Failure> {
    let sink = &prepared.deployment.sinks[name];
    let output = output(prepared, sink, manifest, segments).await?;
    if let Some(taker) = prepared.takers.get(name) {
        let to = Box::new(Taker::new(taker.clone(), manifest.history.clone()));
        return Ok((Outlet::new(sink.from.clone(), output, to), None));
    }
    let writer = format!("{}-{name}", prepared.deployment.name);
    let flows = match prepared.deployment.trigger {
        model::Trigger::Continuous(every) => Some(every),
        _ => None,
    };
    let schema = prepared.engine.views()[&sink.from].schema.clone();
    let to = braid_connect::sink(&writer, &manifest.history, &sink.to, sink.output_mode, sink.delivery, schema, flows)
        .map_err(|error| Failure::Environment(format!("sink `{name}`: {error}")))?;
    Ok((Outlet::new(sink.from.clone(), output, to.output), to.memory))
}
