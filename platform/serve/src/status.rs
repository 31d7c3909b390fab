//! How the deployment's query is doing, as the binary says and readers are told; and what readers ask of it.

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::swaps::Swaps;

/// What the query is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryState {
    /// Opening the store and the sources.
    Starting,
    /// Epochs run as rows arrive.
    Running,
    /// It failed with this error, and starts again after a while.
    Restarting(Exception),
    /// The last epoch is being finished.
    Stopping,
    /// It ended as it was asked to, or as its trigger says.
    Stopped,
    /// It ended with this error. What was committed before is still served.
    Failed(Exception),
}

/// Why a query failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// What happened.
    pub message: String,
    /// Whose part failed, where it is one's: `source`, `view`, `sink` or `plugin`, and its name.
    pub part: Option<(String, String)>,
}

impl From<&str> for Exception {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

impl From<String> for Exception {
    fn from(message: String) -> Self {
        Self { message, part: None }
    }
}

impl Exception {
    /// As it is answered.
    pub fn json(&self) -> Value {
        let part = self.part.as_ref().map(|(kind, name)| json!({ kind.as_str(): name }));
        json!({"message": self.message, "part": part})
    }
}

/// How a query is stopped. The later one wins over the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopMode {
    /// The epoch under way is finished, and a base is written.
    Drain,
    /// The epoch under way is left; the next start runs it again.
    Now,
}

impl QueryState {
    /// Its name in answers.
    pub fn name(&self) -> &'static str {
        match self {
            QueryState::Starting => "starting",
            QueryState::Running => "running",
            QueryState::Restarting(_) => "restarting",
            QueryState::Stopping => "stopping",
            QueryState::Stopped => "stopped",
            QueryState::Failed(_) => "failed",
        }
    }

    /// Why it failed, if it did.
    pub fn exception(&self) -> Option<&Exception> {
        match self {
            QueryState::Failed(exception) | QueryState::Restarting(exception) => Some(exception),
            _ => None,
        }
    }

    /// The message of why it failed, if it did.
    pub fn reason(&self) -> Option<&str> {
        self.exception().map(|exception| exception.message.as_str())
    }

    /// Whether more epochs may come.
    pub fn may_advance(&self) -> bool {
        !self.terminated()
    }

    /// Whether it has ended.
    pub fn terminated(&self) -> bool {
        matches!(self, QueryState::Stopped | QueryState::Failed(_))
    }
}

/// The state, set by one and watched by many; and the wish to stop, the other way round.
#[derive(Debug)]
pub struct QueryStatus {
    state: watch::Sender<QueryState>,
    stop: watch::Sender<Option<StopMode>>,
    restarts: std::sync::atomic::AtomicU64,
    /// Plugins that are to be swapped.
    pub swaps: Swaps,
}

impl Default for QueryStatus {
    fn default() -> Self {
        let state = watch::Sender::new(QueryState::Starting);
        Self { state, stop: watch::Sender::new(None), restarts: Default::default(), swaps: Swaps::default() }
    }
}

impl QueryStatus {
    /// Says what the query is doing now.
    pub fn set(&self, state: QueryState) {
        if matches!(state, QueryState::Restarting(_)) {
            self.restarts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        self.state.send_replace(state);
    }

    /// What the query is doing now.
    pub fn get(&self) -> QueryState {
        self.state.borrow().clone()
    }

    /// Wakes at each change.
    pub fn subscribe(&self) -> watch::Receiver<QueryState> {
        self.state.subscribe()
    }

    /// How often this process has started the query again after a failure.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Asks the query to stop.
    pub fn ask_stop(&self, mode: StopMode) {
        self.stop.send_if_modified(|asked| {
            let more = asked.is_none_or(|asked| asked < mode);
            if more {
                *asked = Some(mode);
            }
            more
        });
    }

    /// What was asked; wakes at each change.
    pub fn asked(&self) -> watch::Receiver<Option<StopMode>> {
        self.stop.subscribe()
    }
}
