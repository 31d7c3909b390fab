//! The swaps of a running query: at most one is tried at a time, and the last one done may be on probation.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use braid_kernel::ledger;
use braid_kernel::serve::Board;
use braid_serve::{Exception, QueryStatus, SwapAsked};
use braid_spec::model::PluginCode;
use braid_wasm_host::Plugin;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::layers::{Swapping, open_store};
use crate::prepare::Prepared;
use crate::restarts;
use crate::swap::{Answer, Probation, Tried, aside};
use crate::up::Event;

/// How often it is looked at how a plugin on probation does.
const LOOK: Duration = Duration::from_millis(200);

/// See the module.
pub struct Swaps {
    asked: Option<mpsc::Receiver<SwapAsked>>,
    /// The plugin that is being tried.
    aside: Option<BoxFuture<'static, (Answer, Result<Tried, String>)>>,
    probation: Option<Probation>,
}

/// A deployment that is to take the place of the one at work, which has ended its last epoch.
pub struct Replacement {
    pub next: Arc<Prepared>,
    pub swapping: Swapping,
    since: Instant,
    why: Why,
}

/// Why a plugin is replaced.
enum Why {
    /// Somebody asked, and waits.
    Asked { answer: Answer, canary: Value, states: Option<String>, probation: Option<Probation>, probation_epochs: u64 },
    /// It had been swapped, and failed.
    Back(String),
}

impl Replacement {
    /// By a plugin that was tried.
    pub fn by(tried: Tried, before: &Arc<Prepared>, board: &Board, answer: Answer) -> Self {
        let probation = Probation::new(&tried, before.clone(), board.snapshot().manifest.next);
        let Tried { plugin, next, probation_epochs, canary, states } = tried;
        // An epoch that a sink could not take is taken by another: nothing else of it is the plugin's.
        let over_plan = next.plugins.get(&plugin).is_some_and(Plugin::is_sink);
        let swapping = Swapping { before: before.clone(), plugin, over_plan };
        let why = Why::Asked { answer, canary, states, probation, probation_epochs };
        Self { next, swapping, since: Instant::now(), why }
    }
}

impl Swaps {
    /// Nothing was asked yet.
    pub fn new(status: &QueryStatus) -> Self {
        Self { asked: status.swaps.asked(), aside: None, probation: None }
    }

    /// What is to be done next, if ever. Can be given up and asked again.
    pub async fn next(&mut self, prepared: &Arc<Prepared>, board: &Board) -> Event {
        let Self { asked, aside: trying, probation } = self;
        let mut commits = board.subscribe();
        loop {
            let next_epoch = commits.borrow_and_update().manifest.next;
            if let Some(reason) = probation.as_ref().and_then(Probation::verdict) {
                return Event::Back(reason);
            }
            probation.take_if(|probation| probation.is_over(next_epoch));
            let (idle, watched) = (trying.is_none(), probation.is_some());
            let tried = async {
                match &mut *trying {
                    Some(trying) => trying.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                (answer, tried) = tried => {
                    *trying = None;
                    return Event::Tried(answer, tried);
                }
                Some(asked) = wish(asked), if idle => {
                    *trying = Some(Box::pin(aside(prepared.clone(), board.clone(), asked)));
                }
                Ok(()) = commits.changed(), if watched => {}
                // An epoch that is tried again and again has no commit.
                () = tokio::time::sleep(LOOK), if watched => {}
            }
        }
    }

    /// Why the plugin on probation has to go, where this failure is its doing.
    pub fn verdict_of(&self, exception: &Exception) -> Option<String> {
        self.probation.as_ref()?.verdict_of(exception)
    }

    /// Nothing has changed, for this reason.
    pub fn refuse(&self, answer: Answer, reason: String) {
        tracing::warn!(reason, "a plugin is not swapped");
        // Who asked may have gone.
        let _ = answer.send(Err(reason));
    }

    /// The plugin on probation is to go. Who has another one tried is told to ask again.
    pub fn back(&mut self, reason: String, now: &Arc<Prepared>) -> Option<Replacement> {
        self.aside = None;
        let Probation { plugin, before, .. } = self.probation.take()?;
        tracing::error!(plugin, reason, "the plugin is swapped back");
        // An epoch on which it failed is the old one's.
        let swapping = Swapping { before: now.clone(), plugin, over_plan: true };
        Some(Replacement { next: before, swapping, since: Instant::now(), why: Why::Back(reason) })
    }

    /// Everything runs again, with the new plugin or without.
    pub fn replaced(&mut self, done: Replacement, which: &Arc<Prepared>, board: &Board, status: &QueryStatus) {
        let Replacement { next, swapping, since, why } = done;
        let manifest = board.snapshot().manifest.clone();
        let swapped = manifest.swaps.last().filter(|_| Arc::ptr_eq(which, &next));
        let Some(swapped) = swapped else {
            match why {
                Why::Asked { answer, .. } => {
                    self.refuse(answer, "it could not be started: the one before runs again".into())
                }
                Why::Back(_) => tracing::error!(plugin = swapping.plugin, "the plugin could not be swapped back"),
            }
            return;
        };
        let mut report = json!({
            "plugin": swapped.plugin,
            "from": swapped.from,
            "to": swapped.to,
            "epoch": swapped.epoch,
            "file": file(&next.deployment.plugins[&swapped.plugin].code),
            "pauseMs": since.elapsed().as_secs_f64() * 1000.0,
        });
        match why {
            Why::Asked { answer, canary, states, probation, probation_epochs } => {
                self.probation = probation;
                report["canary"] = canary;
                report["states"] = states.into();
                report["probationEpochs"] = probation_epochs.into();
                report["back"] = Value::Null;
                status.swaps.set_last(report.clone());
                // Who asked may have gone.
                let _ = answer.send(Ok(report));
            }
            Why::Back(reason) => {
                report["back"] = reason.into();
                status.swaps.set_last(report);
            }
        }
    }
}

fn file(code: &PluginCode) -> &Path {
    match code {
        PluginCode::Component(file) | PluginCode::Script { file, .. } => file,
    }
}

async fn wish(asked: &mut Option<mpsc::Receiver<SwapAsked>>) -> Option<SwapAsked> {
    match asked {
        Some(asked) => asked.recv().await,
        None => std::future::pending().await,
    }
}

/// Which of two deployments the store was last written as: what a swap whose end was not seen has come to.
pub async fn stored(prepared: &Arc<Prepared>, other: Option<&Arc<Prepared>>) -> Result<Arc<Prepared>, Failure> {
    let Some(other) = other else { return Ok(prepared.clone()) };
    let (store, _) = open_store(prepared)?;
    let manifest = ledger::load(&*store).await.map_err(Failure::environment)?;
    Ok(if manifest.described == restarts::describe(other) { other.clone() } else { prepared.clone() })
}
