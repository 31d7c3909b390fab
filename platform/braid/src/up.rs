//! `braid up`: every layer at once, until stopped. `braid run`: what is there, and a base of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use braid_kernel::serve::Board;
use braid_kernel::speed::Until;
use braid_kernel::{Manifest, Store};
use braid_serve::{QueryState, QueryStatus, ServeState};
use braid_spec::model::{Deployment, Source, SourceKind};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::failure::Failure;
use crate::layers::{Layers, base_by, layers};
use crate::prepare::Prepared;
use crate::screen::Screen;

/// A signal that ended the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Interrupt,
    Terminate,
}

/// Runs everything until a signal, or until something fails that does not pass.
pub async fn up(prepared: Arc<Prepared>) -> Result<Signal, Failure> {
    let deployment = &prepared.deployment;
    endless(deployment)?;
    let signals = signals()?;
    let Layers { mut speed, base, board, reader, ingest, store, id, run_id } =
        layers(&prepared, Until::Stopped, None).await?;
    let status = Arc::new(QueryStatus::default());
    let (stop, stopping) = watch::channel(false);
    let mut tasks: JoinSet<Result<(), Failure>> = JoinSet::new();

    let mut address = None;
    if let Some(http) = &deployment.serving.http {
        let state = ServeState {
            deployment: deployment.name.clone(),
            layout: deployment.layout.name.clone(),
            id,
            run_id,
            engine: prepared.engine.clone(),
            reader,
            board: board.clone(),
            ingest,
            plugins: prepared.plugins.iter().map(|(name, plugin)| (name.clone(), plugin.digest().into())).collect(),
            status: status.clone(),
        };
        let server = braid_serve::bind(http, state).await.map_err(Failure::environment)?;
        address = Some(server.address());
        let stopping = stopping.clone();
        tasks.spawn(async move { server.run(stopped(stopping)).await.map_err(Failure::runtime) });
    }
    let (by, every) = (base_by(&deployment.layout), deployment.layout.base_every);
    let base_stop = stopping.clone();
    tasks.spawn(async move { base.run(by, every, base_stop).await.map_err(Failure::runtime) });
    tasks.spawn(refresh_tables(prepared.clone(), stopping.clone()));
    tasks.spawn(collect(store, board.clone(), stopping.clone()));
    let screen = Screen::new(&prepared, address);
    let drawing = AbortOnDropHandle::new(tokio::spawn(screen.draw(board, stopping.clone())));
    status.set(QueryState::Running);
    let speed_stop = stopping.clone();
    tasks.spawn(async move { speed.run(Until::Stopped, speed_stop).await.map_err(Failure::runtime) });

    let outcome = tokio::select! {
        signal = signals => Ok(signal),
        ended = tasks.join_next() => Err(match ended {
            Some(Ok(Err(failure))) => failure,
            Some(Err(panic)) => Failure::Runtime(format!("bug: a task ended badly: {panic}")),
            _ => Failure::Runtime("bug: a task ended without being asked".into()),
        }),
    };
    status.set(match &outcome {
        Ok(_) => QueryState::Stopping,
        Err(failure) => QueryState::Failed(failure.to_string()),
    });
    stop.send_replace(true);
    while let Some(ended) = tasks.join_next().await {
        if let Ok(Err(failure)) = ended {
            tracing::error!(%failure, "while stopping");
        }
    }
    drawing.await.map_err(Failure::runtime)?;
    outcome
}

/// As in Spark, a source that has an end cannot be a stream.
fn endless(deployment: &Deployment) -> Result<(), Failure> {
    let ends = |source: &Source| matches!(&source.from, SourceKind::Kafka(kafka) if kafka.end.is_some());
    match deployment.sources.iter().find(|(_, source)| ends(source)) {
        Some((name, _)) => Err(Failure::Invalid(format!(
            "error: source `{name}` has an end (`ending_…`), and `braid up` runs until it is stopped\n  \
             = help: use `braid run`, or remove the end"
        ))),
        None => Ok(()),
    }
}

/// Processes what is there, writes a base, and returns the manifest.
pub async fn run(prepared: Arc<Prepared>) -> Result<Arc<Manifest>, Failure> {
    let signals = signals()?;
    let bar = crate::screen::recompute_bar();
    let on_bar = bar.clone();
    let on_progress = Box::new(move |done, total| {
        on_bar.set_length(total);
        on_bar.set_position(done);
    });
    let Layers { mut speed, base, board, store, .. } = layers(&prepared, Until::CaughtUp, Some(on_progress)).await?;
    let (stop, stopping) = watch::channel(false);
    let screen = Screen::new(&prepared, None);
    let drawing = AbortOnDropHandle::new(tokio::spawn(screen.draw(board.clone(), stopping.clone())));
    let caught_up = tokio::select! {
        signal = signals => {
            stop.send_replace(true);
            return Err(Failure::Runtime(format!("stopped by {signal:?}; what was committed is kept, run again to go on")));
        }
        ended = speed.run(Until::CaughtUp, stopping) => ended,
    };
    stop.send_replace(true);
    drawing.await.map_err(Failure::runtime)?;
    caught_up.map_err(Failure::runtime)?;
    base.write(base_by(&prepared.deployment.layout)).await.map_err(Failure::runtime)?;
    bar.finish_and_clear();
    let manifest = board.snapshot().manifest.clone();
    braid_storage::collect(&*store, &manifest, &[]).await.map_err(Failure::runtime)?;
    Ok(manifest)
}

/// Completes at the first interrupt or terminate signal. They are caught from now on.
fn signals() -> Result<impl Future<Output = Signal>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::environment)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::environment)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => Signal::Interrupt,
            _ = terminate.recv() => Signal::Terminate,
        }
    })
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Reads static tables again, each as often as it says.
async fn refresh_tables(prepared: Arc<Prepared>, stopping: watch::Receiver<bool>) -> Result<(), Failure> {
    let refreshed = prepared.deployment.tables.iter().filter_map(|(name, table)| Some((name, table, table.refresh?)));
    let loops = refreshed.map(|(name, table, every)| {
        let prepared = &prepared;
        async move {
            let mut last: Option<Vec<RecordBatch>> = None;
            loop {
                tokio::time::sleep(every).await;
                match braid_connect::read_table(table).await {
                    Ok(batches) if last.as_ref() == Some(&batches) => {}
                    Ok(batches) => {
                        if let Err(error) = prepared.engine.refresh(name, batches.clone()).await {
                            tracing::error!(table = name, error = error.message, "the table stays as it was");
                        }
                        last = Some(batches);
                    }
                    Err(error) => tracing::warn!(table = name, %error, "the table stays as it was"),
                }
            }
        }
    });
    let all = futures::future::join_all(loops);
    let forever: futures::future::Pending<()> = futures::future::pending();
    tokio::select! {
        () = stopped(stopping) => Ok(()),
        _ = async { let _: Vec<()> = all.await; forever.await } => Ok(()),
    }
}

/// Removes what a new base made needless, a generation later, when no reader can still hold it.
async fn collect(store: Arc<dyn Store>, board: Board, stopping: watch::Receiver<bool>) -> Result<(), Failure> {
    let mut snapshots = board.subscribe();
    let mut before = board.snapshot().manifest.clone();
    let stopped = stopped(stopping);
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => return Ok(()),
            changed = snapshots.changed() => if changed.is_err() { return Ok(()) },
        }
        let manifest = board.snapshot().manifest.clone();
        if manifest.horizon() == before.horizon() {
            continue;
        }
        match braid_storage::collect(&*store, &manifest, &[&before]).await {
            Ok(report) => tracing::debug!(removed = report.removed.len(), "collected"),
            Err(error) => tracing::warn!(%error, "the collection of old segments is left to the next base"),
        }
        before = manifest;
    }
}

/// Per table: rows in its base and rows in its deltas.
pub fn table_rows(manifest: &Manifest) -> BTreeMap<String, (u64, u64)> {
    let rows = |segments: &mut dyn Iterator<Item = &braid_kernel::Segment>| segments.map(|segment| segment.rows).sum();
    manifest
        .tables
        .iter()
        .map(|(name, table)| {
            let base = rows(&mut table.base.iter());
            let deltas = rows(&mut table.deltas.iter().flat_map(|delta| &delta.segments));
            (name.clone(), (base, deltas))
        })
        .collect()
}
