//! `braid up`: every layer at once, until stopped. `braid run`: what is there, and a base of it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use braid_kernel::serve::{Board, Snapshot};
use braid_kernel::{Manifest, Trigger};
use braid_serve::{Exception, QueryState, QueryStatus, StopMode};
use braid_spec::model::{Deployment, Restart, Source, SourceKind};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::cli::Until;
use crate::door::Doors;
use crate::failure::Failure;
use crate::layers::{Layers, Swapping, base_by, layers, open_states, trigger};
use crate::prepare::Prepared;
use crate::running::{Ended, Running};
use crate::screen::Screen;
use crate::swap::{Answer, Tried};
use crate::swaps::{Replacement, Swaps, stored};

/// A signal that ended the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Interrupt,
    Terminate,
}

/// How `up` ends where nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By a signal.
    Signal(Signal),
    /// As it was asked to, or as its trigger says.
    Done,
}

/// What ends or changes the course of a running query.
pub enum Event {
    Signal(Signal),
    Asked(StopMode),
    Ended(Ended),
    /// A plugin was tried, or is not to be had.
    Tried(Answer, Result<Tried, String>),
    /// A plugin has to go, for this reason.
    Back(String),
}

/// Runs everything until a signal, a request to stop, the trigger's end, or until it has failed too often.
pub async fn up(mut prepared: Arc<Prepared>) -> Result<End, Failure> {
    let trigger = trigger(&prepared.deployment);
    if !trigger.ends() {
        endless(&prepared.deployment)?;
    }
    let mut signals = pin!(signals()?);
    let status = Arc::new(QueryStatus::default());
    let mut asked = status.asked();
    let board = Board::new(Snapshot::default());
    let socket = match &prepared.deployment.serving.http {
        Some(http) => Some(braid_serve::listen(http).await.map_err(Failure::environment)?),
        None => None,
    };
    open_states(&prepared)?;
    let mut restarts = Restarts::new(prepared.deployment.restart, trigger);
    let first = restarts.layers(&prepared, &board, None).await?;
    restarts.next = board.snapshot().manifest.next;
    let (close, closing) = watch::channel(false);
    let screen = Screen::new(&prepared, socket.as_ref().map(braid_serve::Socket::address));
    let drawing = AbortOnDropHandle::new(tokio::spawn(screen.draw(board.clone(), closing)));
    let mut running = Running::start(&prepared, first, &board, &status, socket.as_ref())?;
    let mut swaps = Swaps::new(&status);
    status.set(QueryState::Running);
    let outcome = loop {
        let mut event = tokio::select! {
            signal = &mut signals => Event::Signal(signal),
            mode = stop_asked(&mut asked) => Event::Asked(mode),
            ended = running.ended() => Event::Ended(ended),
            event = swaps.next(&prepared, &board) => event,
        };
        // A plugin on probation that fails the query goes back too.
        if let Event::Ended(Ended::Failed { exception, .. }) = &event
            && let Some(reason) = swaps.verdict_of(exception)
        {
            event = Event::Back(reason);
        }
        let mut next = None;
        let failed = match event {
            Event::Signal(signal) => {
                status.set(QueryState::Stopping);
                running.finish_epoch().await;
                break Ok(End::Signal(signal));
            }
            Event::Asked(mode) => {
                status.set(QueryState::Stopping);
                break match mode {
                    StopMode::Now => {
                        running.abort();
                        Ok(End::Done)
                    }
                    // A second request, or a signal, may be less patient than the first.
                    StopMode::Drain => tokio::select! {
                        drained = running.drain(&prepared) => drained.map(|()| End::Done),
                        _ = asked.wait_for(|mode| *mode == Some(StopMode::Now)) => Ok(End::Done),
                        signal = &mut signals => Ok(End::Signal(signal)),
                    },
                };
            }
            Event::Ended(Ended::ByTrigger) => {
                status.set(QueryState::Stopping);
                break running.drain(&prepared).await.map(|()| End::Done);
            }
            Event::Ended(Ended::Failed { exception, restartable: false }) => break Err(exception),
            Event::Ended(Ended::Failed { exception, restartable: true }) => Some(exception),
            Event::Tried(answer, Err(reason)) => {
                swaps.refuse(answer, reason);
                continue;
            }
            Event::Tried(answer, Ok(tried)) => match running.make_way().await {
                Ok(()) => {
                    next = Some(Replacement::by(tried, &prepared, &board, answer));
                    None
                }
                Err(ended) => {
                    swaps.refuse(answer, "the epoch under way failed".into());
                    match ended {
                        Ended::Failed { exception, restartable: false } => break Err(exception),
                        Ended::Failed { exception, .. } => Some(exception),
                        Ended::ByTrigger => None,
                    }
                }
            },
            Event::Back(reason) => {
                // The epoch under way may be the one that fails.
                let _ = running.make_way().await;
                next = swaps.back(reason, &prepared);
                None
            }
        };
        running.halt().await;
        let again = tokio::select! {
            signal = &mut signals => break Ok(End::Signal(signal)),
            _ = stop_asked(&mut asked) => break Ok(End::Done),
            again = restarts.open(&prepared, next.as_ref(), &board, &status, failed) => again,
        };
        match again {
            Err(exception) => break Err(exception),
            Ok((layers, which)) => {
                let started = Running::start(&which, layers, &board, &status, socket.as_ref())?;
                let before = std::mem::replace(&mut running, started);
                status.set(QueryState::Running);
                if let Some(next) = next {
                    // Who waits is answered before the server closes that it asked.
                    swaps.replaced(next, &which, &board, &status);
                }
                prepared = which;
                before.close().await;
            }
        }
    };
    // What was not finished above is left as it is.
    running.abort();
    status.set(match &outcome {
        Ok(_) => QueryState::Stopped,
        Err(exception) => QueryState::Failed(exception.clone()),
    });
    running.close().await;
    close.send_replace(true);
    drawing.await.map_err(Failure::runtime)?;
    outcome.map_err(|exception| Failure::Runtime(exception.message))
}

/// Failures in a row, and how long to wait after each.
struct Restarts {
    allowed: Restart,
    trigger: Trigger,
    failures: u64,
    backoff: Duration,
    /// The next epoch at the last failure: a query that has come further since begins to count anew.
    next: u64,
    doors: Doors,
}

impl Restarts {
    fn new(allowed: Restart, trigger: Trigger) -> Self {
        Self { allowed, trigger, failures: 0, backoff: allowed.backoff_min, next: 0, doors: Doors::default() }
    }

    /// Opens everything, while records wait.
    async fn layers(
        &mut self,
        prepared: &Arc<Prepared>,
        board: &Board,
        swapping: Option<&Swapping>,
    ) -> Result<Layers, Failure> {
        let shut = self.doors.shut().await;
        let mut layers = layers(prepared, self.trigger, board, None, swapping).await?;
        self.doors.open(&mut layers.ingest, shut);
        Ok(layers)
    }

    /// Waits, if something failed, and opens everything again; as often as it may. With a replacement, that comes first;
    /// where it fails, the store says which of the two it is now.
    async fn open(
        &mut self,
        prepared: &Arc<Prepared>,
        replacement: Option<&Replacement>,
        board: &Board,
        status: &QueryStatus,
        failed: Option<Exception>,
    ) -> Result<(Layers, Arc<Prepared>), Exception> {
        let next = board.snapshot().manifest.next;
        if next > self.next {
            (self.failures, self.backoff, self.next) = (0, self.allowed.backoff_min, next);
        }
        let mut failed = match failed {
            Some(failed) => failed,
            None => {
                let target = replacement.map_or(prepared, |replacement| &replacement.next);
                let swapping = replacement.map(|replacement| &replacement.swapping);
                match self.layers(target, board, swapping).await {
                    Ok(layers) => return Ok((layers, target.clone())),
                    Err(failure) => failure.message().into(),
                }
            }
        };
        loop {
            if self.failures >= self.allowed.max_attempts {
                return Err(failed);
            }
            self.failures += 1;
            let (attempt, of, wait) = (self.failures, self.allowed.max_attempts, self.backoff);
            tracing::error!(attempt, of, ?wait, "the query failed and starts again: {}", failed.message);
            status.set(QueryState::Restarting(failed));
            tokio::time::sleep(wait).await;
            self.backoff = (wait * 2).min(self.allowed.backoff_max);
            let opened = async {
                let target = stored(prepared, replacement.map(|replacement| &replacement.next)).await?;
                Ok::<_, Failure>((self.layers(&target, board, None).await?, target))
            };
            match opened.await {
                Ok(opened) => return Ok(opened),
                Err(failure) => failed = failure.message().into(),
            }
        }
    }
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
pub async fn run(prepared: Arc<Prepared>, until: Option<Until>) -> Result<Arc<Manifest>, Failure> {
    let signals = signals()?;
    let bar = crate::screen::recompute_bar();
    let on_bar = bar.clone();
    let on_progress = Box::new(move |done, total| {
        on_bar.set_length(total);
        on_bar.set_position(done);
    });
    let trigger = match (until, trigger(&prepared.deployment)) {
        (Some(Until::CaughtUp), _) => Trigger::CaughtUp,
        (Some(Until::AvailableNow), _) => Trigger::AvailableNow,
        (Some(Until::Once), _) => Trigger::Once,
        (None, trigger) if trigger.ends() => trigger,
        (None, _) => Trigger::CaughtUp,
    };
    let board = Board::new(Snapshot::default());
    open_states(&prepared)?;
    let Layers { mut speed, base, store, .. } = layers(&prepared, trigger, &board, Some(on_progress), None).await?;
    let (stop, stopping) = watch::channel(false);
    let screen = Screen::new(&prepared, None);
    let drawing = AbortOnDropHandle::new(tokio::spawn(screen.draw(board.clone(), stopping.clone())));
    let caught_up = tokio::select! {
        signal = signals => {
            stop.send_replace(true);
            return Err(Failure::Runtime(format!("stopped by {signal:?}; what was committed is kept, run again to go on")));
        }
        ended = speed.run(stopping) => ended,
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

/// Completes when somebody asks the query to stop.
async fn stop_asked(asked: &mut watch::Receiver<Option<StopMode>>) -> StopMode {
    match asked.wait_for(Option::is_some).await.map(|mode| *mode) {
        Ok(Some(mode)) => mode,
        // Nobody can ask any more.
        _ => std::future::pending().await,
    }
}
