//! How the deployment's query is doing, as the binary says and readers are told.

use tokio::sync::watch;

/// What the query is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryState {
    /// Opening the store and the sources.
    Starting,
    /// Epochs run as rows arrive.
    Running,
    /// The last epoch is being finished.
    Stopping,
    /// It ended as it was asked to.
    Stopped,
    /// It ended with this error. What was committed before is still served.
    Failed(String),
}

impl QueryState {
    /// Its name in answers.
    pub fn name(&self) -> &'static str {
        match self {
            QueryState::Starting => "starting",
            QueryState::Running => "running",
            QueryState::Stopping => "stopping",
            QueryState::Stopped => "stopped",
            QueryState::Failed(_) => "failed",
        }
    }

    /// Why it failed, if it did.
    pub fn reason(&self) -> Option<&str> {
        match self {
            QueryState::Failed(reason) => Some(reason),
            _ => None,
        }
    }

    /// Whether more epochs may come.
    pub fn may_advance(&self) -> bool {
        !matches!(self, QueryState::Stopped | QueryState::Failed(_))
    }
}

/// The state, set by one and watched by many.
#[derive(Debug)]
pub struct QueryStatus(watch::Sender<QueryState>);

impl Default for QueryStatus {
    fn default() -> Self {
        Self(watch::Sender::new(QueryState::Starting))
    }
}

impl QueryStatus {
    /// Says what the query is doing now.
    pub fn set(&self, state: QueryState) {
        self.0.send_replace(state);
    }

    /// What the query is doing now.
    pub fn get(&self) -> QueryState {
        self.0.borrow().clone()
    }

    /// Wakes at each change.
    pub fn subscribe(&self) -> watch::Receiver<QueryState> {
        self.0.subscribe()
    }
}
