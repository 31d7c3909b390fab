//! A started query: the tasks of its layers, and the ways in which they end.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use braid_kernel::Store;
use braid_kernel::base::{BaseError, BaseWriter};
use braid_kernel::serve::Board;
use braid_kernel::speed::SpeedError;
use braid_serve::{Exception, QueryStatus, ServeState, Socket};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};

use crate::failure::Failure;
use crate::layers::{Layers, base_by};
use crate::prepare::Prepared;

/// How a query ended that nobody asked to.
pub enum Ended {
    /// Its trigger says so.
    ByTrigger,
    /// It failed.
    Failed { exception: Exception, restartable: bool },
}

/// The tasks of one start.
pub struct Running {
    speed: Option<JoinHandle<Result<(), SpeedError>>>,
    base_loop: Option<JoinHandle<Result<(), BaseError>>>,
    base: Arc<BaseWriter>,
    /// Ends the two loops above.
    stop: watch::Sender<bool>,
    /// The server, and what looks after tables and old segments.
    others: JoinSet<Result<(), Failure>>,
    /// Ends the others.
    close: watch::Sender<bool>,
}

impl Running {
    /// Starts the loops and the server.
    pub fn start(
        prepared: &Arc<Prepared>,
        layers: Layers,
        board: &Board,
        status: &Arc<QueryStatus>,
        socket: Option<&Socket>,
    ) -> Result<Self, Failure> {
        let deployment = &prepared.deployment;
        let Layers { mut speed, base, reader, ingest, store, id, run_id } = layers;
        let (stop, stopping) = watch::channel(false);
        let (close, closing) = watch::channel(false);
        let mut others = JoinSet::new();
        if let Some(socket) = socket {
            let state = ServeState {
                deployment: deployment.name.clone(),
                layout: deployment.layout.name.clone(),
                id,
                run_id,
                trigger: deployment.trigger.to_string(),
                engine: prepared.engine.clone(),
                reader,
                board: board.clone(),
                ingest,
                plugins: prepared.plugins.iter().map(|(name, plugin)| (name.clone(), plugin.digest().into())).collect(),
                status: status.clone(),
            };
            let server = socket.server(state).map_err(Failure::environment)?;
            let closed = closed(closing.clone());
            others.spawn(async move { server.run(closed).await.map_err(Failure::runtime) });
        }
        others.spawn(refresh_tables(prepared.clone(), closing.clone()));
        others.spawn(collect(store, board.clone(), closing));
        let (by, every) = (base_by(&deployment.layout), deployment.layout.base_every);
        let (base_stop, looped) = (stopping.clone(), base.clone());
        let base_loop = Some(tokio::spawn(async move { looped.run(by, every, base_stop).await }));
        let speed = Some(tokio::spawn(async move { speed.run(stopping).await }));
        Ok(Self { speed, base_loop, base, stop, others, close })
    }

    /// Completes when something ends by itself.
    pub async fn ended(&mut self) -> Ended {
        let Self { speed, base_loop, others, .. } = self;
        tokio::select! {
            ended = join(speed) => of_speed(ended),
            ended = join(base_loop) => match ended {
                // It gives up only when it is fenced.
                Ok(Err(error)) => failed(error.to_string(), false),
                Ok(Ok(())) => failed("bug: the base loop ended without being asked".into(), true),
                Err(panic) => failed(format!("bug: the base loop ended badly: {panic}"), true),
            },
            ended = others.join_next(), if !others.is_empty() => match ended {
                Some(Ok(Err(failure))) => failed(failure.message().into(), true),
                Some(Err(panic)) => failed(format!("bug: a task ended badly: {panic}"), true),
                _ => failed("bug: a task ended without being asked".into(), true),
            },
        }
    }

    /// Lets the epoch under way end, and no other begin.
    pub async fn finish_epoch(&mut self) {
        self.stop.send_replace(true);
        if let Some(Ok(Err(error))) = ended(&mut self.speed).await {
            tracing::error!(%error, "while stopping");
        }
        if let Some(Ok(Err(error))) = ended(&mut self.base_loop).await {
            tracing::error!(%error, "while stopping");
        }
    }

    /// Lets the epoch under way end, and leaves a base that is being written; readers are still answered.
    pub async fn make_way(&mut self) -> Result<(), Ended> {
        self.stop.send_replace(true);
        let ended = ended(&mut self.speed).await;
        self.halt().await;
        match ended {
            Some(ended) => match of_speed(ended) {
                Ended::ByTrigger => Ok(()),
                failed => Err(failed),
            },
            None => Ok(()),
        }
    }

    /// Lets the epoch under way end, and writes a base of everything.
    pub async fn drain(&mut self, prepared: &Prepared) -> Result<(), Exception> {
        self.stop.send_replace(true);
        if let Some(Ok(Err(error))) = ended(&mut self.speed).await {
            return Err(error.to_string().into());
        }
        if let Some(Ok(Err(error))) = ended(&mut self.base_loop).await {
            return Err(error.to_string().into());
        }
        let by = base_by(&prepared.deployment.layout);
        self.base.write(by).await.map(drop).map_err(|error| error.to_string().into())
    }

    /// Leaves the epoch under way where it is, as a crash would, and waits for nothing.
    pub fn abort(&mut self) {
        self.stop.send_replace(true);
        if let Some(speed) = self.speed.take() {
            speed.abort();
        }
        if let Some(base_loop) = self.base_loop.take() {
            base_loop.abort();
        }
    }

    /// Ends the loops of a query that failed; readers are still answered.
    pub async fn halt(&mut self) {
        self.stop.send_replace(true);
        if let Some(speed) = self.speed.take() {
            speed.abort();
            let _ = speed.await;
        }
        if let Some(base_loop) = self.base_loop.take() {
            base_loop.abort();
            let _ = base_loop.await;
        }
    }

    /// Ends everything.
    pub async fn close(mut self) {
        self.halt().await;
        self.close.send_replace(true);
        while let Some(ended) = self.others.join_next().await {
            if let Ok(Err(failure)) = ended {
                tracing::error!(%failure, "while stopping");
            }
        }
    }
}

/// Waits for a task's end, once; for ever where it has been seen.
async fn join<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match task {
        Some(handle) => {
            let ended = handle.await;
            *task = None;
            ended
        }
        None => std::future::pending().await,
    }
}

/// Waits for a task's end; `None` where it has been seen.
async fn ended<T>(task: &mut Option<JoinHandle<T>>) -> Option<Result<T, JoinError>> {
    match task.is_some() {
        true => Some(join(task).await),
        false => None,
    }
}

fn of_speed(ended: Result<Result<(), SpeedError>, JoinError>) -> Ended {
    match ended {
        Ok(Ok(())) => Ended::ByTrigger,
        Ok(Err(error)) => {
            let part = error.part().map(|(kind, name)| (kind.to_owned(), name.to_owned()));
            let exception = Exception { message: error.to_string(), part };
            Ended::Failed { exception, restartable: error.restartable() }
        }
        Err(panic) => failed(format!("bug: the epoch loop ended badly: {panic}"), true),
    }
}

fn failed(message: String, restartable: bool) -> Ended {
    Ended::Failed { exception: message.into(), restartable }
}

async fn closed(mut closing: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop too.
    let _ = closing.wait_for(|close| *close).await;
}

/// Reads static tables again, each as often as it says.
async fn refresh_tables(prepared: Arc<Prepared>, closing: watch::Receiver<bool>) -> Result<(), Failure> {
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
        () = closed(closing) => Ok(()),
        _ = async { let _: Vec<()> = all.await; forever.await } => Ok(()),
    }
}

/// Removes what a new base made needless, a generation later, when no reader can still hold it.
async fn collect(store: Arc<dyn Store>, board: Board, closing: watch::Receiver<bool>) -> Result<(), Failure> {
    let mut snapshots = board.subscribe();
    let mut before = board.snapshot().manifest.clone();
    let closed = closed(closing);
    tokio::pin!(closed);
    loop {
        tokio::select! {
            () = &mut closed => return Ok(()),
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
