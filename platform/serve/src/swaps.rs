//! Swapping a plugin of the running query: who may ask for what, and the answer. The binary does it.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::http::{Named, Shared, stopped};
use crate::problem::{Code, Problem};
use crate::queries::known;
use crate::views::body_json;

/// Rows that a canary is given, where the request does not say.
pub const CANARY_ROWS_DEFAULT: u64 = 10_000;
/// Rows that a canary is given at most.
pub const CANARY_ROWS_MAX: u64 = 1_000_000_000;
/// How long a canary waits for its rows, where the request does not say, in seconds.
pub const CANARY_SECONDS_DEFAULT: u64 = 30;
/// How long a canary waits for its rows at most, in seconds.
pub const CANARY_SECONDS_MAX: u64 = 3_600;
/// Epochs for which a new plugin can still be swapped back, where the request does not say.
pub const PROBATION_EPOCHS_DEFAULT: u64 = 20;
/// Epochs for which a new plugin can still be swapped back at most.
pub const PROBATION_EPOCHS_MAX: u64 = 1_000_000;

/// Whether the new plugin may answer otherwise than the old one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// It may; how often is said.
    #[default]
    Any,
    /// Then it is not taken.
    Same,
}

/// Whether a new aggregate must answer states that the old one made as that did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum States {
    /// It must: what is known of epochs before the swap stays as it is.
    #[default]
    Same,
    /// It may read them in its own way.
    Any,
}

/// The body.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwapWanted {
    /// The new component's file, on this machine.
    pub component: PathBuf,
    /// Whether it may answer otherwise.
    #[serde(default)]
    pub expect: Expect,
    /// What it may make of states that are kept.
    #[serde(default)]
    pub states: States,
    /// So many rows are given to both first.
    #[serde(default = "canary_rows")]
    pub canary_rows: u64,
    /// Not longer than so many seconds.
    #[serde(default = "canary_seconds")]
    pub canary_seconds: u64,
    /// For so many epochs it can still be swapped back.
    #[serde(default = "probation_epochs")]
    pub probation_epochs: u64,
}

fn canary_rows() -> u64 {
    CANARY_ROWS_DEFAULT
}

fn canary_seconds() -> u64 {
    CANARY_SECONDS_DEFAULT
}

fn probation_epochs() -> u64 {
    PROBATION_EPOCHS_DEFAULT
}

impl SwapWanted {
    /// How long the canary waits for its rows.
    pub fn canary_time(&self) -> Duration {
        Duration::from_secs(self.canary_seconds)
    }
}

/// A swap that somebody waits for.
#[derive(Debug)]
pub struct SwapAsked {
    /// Which plugin.
    pub plugin: String,
    /// What is wanted.
    pub wanted: SwapWanted,
    /// Who waits: what was done, or why nothing was.
    pub answer: oneshot::Sender<Result<Value, String>>,
}

/// Wishes on their way to who fulfils them, one at a time; and what came of the last.
#[derive(Debug)]
pub struct Swaps {
    send: mpsc::Sender<SwapAsked>,
    receive: Mutex<Option<mpsc::Receiver<SwapAsked>>>,
    one: tokio::sync::Mutex<()>,
    last: Mutex<Option<Value>>,
}

impl Default for Swaps {
    fn default() -> Self {
        let (send, receive) = mpsc::channel(1);
        Self { send, receive: Mutex::new(Some(receive)), one: Default::default(), last: Mutex::default() }
    }
}

impl Swaps {
    /// The wishes, for who fulfils them: given out once.
    pub fn asked(&self) -> Option<mpsc::Receiver<SwapAsked>> {
        self.receive.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What came of the last swap in this process that was not refused.
    pub fn last(&self) -> Option<Value> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says what came of a swap.
    pub fn set_last(&self, last: Value) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }
}

/// `POST /v1/queries/{id}/plugins/{plugin}/swap`: other code in the place of a plugin's, from an epoch on.
pub async fn swap(
    State(app): Shared,
    Named((id, plugin)): Named<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    known(&app.state, &id)?;
    if !app.state.plugins.contains_key(&plugin) {
        let there: Vec<&str> = app.state.plugins.keys().map(String::as_str).collect();
        let detail = format!("there is no plugin `{plugin}`; there are: {}", there.join(", "));
        return Err(Problem::new(Code::UnknownPlugin, detail));
    }
    let wanted: SwapWanted = body_json(body)?;
    for (name, value, most) in [
        ("canary_rows", wanted.canary_rows, CANARY_ROWS_MAX),
        ("canary_seconds", wanted.canary_seconds, CANARY_SECONDS_MAX),
        ("probation_epochs", wanted.probation_epochs, PROBATION_EPOCHS_MAX),
    ] {
        if value > most {
            return Err(Problem::new(Code::BadBody, format!("`{name}` is at most {most}, not {value}")));
        }
    }
    let _permit = app.waiter()?;
    let swaps = &app.state.status.swaps;
    let refused = |detail: String| Problem::new(Code::SwapRefused, detail);
    let Ok(_one) = swaps.one.try_lock() else {
        return Err(refused("another swap is under way".into()));
    };
    let gone = || Problem::new(Code::NotReady, "the query ended or starts again: ask how it is, and again");
    let (answer, answered) = oneshot::channel();
    swaps.send.try_send(SwapAsked { plugin, wanted, answer }).map_err(|_| gone())?;
    tokio::select! {
        biased;
        answered = answered => match answered {
            Ok(Ok(done)) => Ok(Json(done).into_response()),
            Ok(Err(reason)) => Err(refused(reason)),
            Err(_) => Err(gone()),
        },
        () = stopped(app.stopping.clone()) => Err(gone()),
    }
}
