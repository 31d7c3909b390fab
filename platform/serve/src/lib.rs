//! HTTP: answers with their provenance, records in, changes out, health, metrics and the console.

mod answer;
mod changes;
mod completion;
mod connection;
mod console;
mod http;
mod ingest;
mod manage;
mod metrics;
mod problem;
mod provenance;
mod queries;
pub mod render;
mod select;
mod sql;
mod status;
mod swaps;
mod views;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use braid_engine::{Engine, Reader};
use braid_kernel::Ingest;
use braid_kernel::serve::Board;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use problem::Code;
pub use status::{Exception, QueryState, QueryStatus, StopMode};
pub use swaps::{
    CANARY_ROWS_DEFAULT, CANARY_SECONDS_DEFAULT, Expect, PROBATION_EPOCHS_DEFAULT, States, SwapAsked, SwapWanted, Swaps,
};

/// What is served. Everything in it is shared with the loops that fill it.
#[derive(Clone)]
pub struct ServeState {
    /// The deployment's name.
    pub deployment: String,
    /// The layout's name.
    pub layout: String,
    /// The query's id: the same over restarts.
    pub id: String,
    /// New at each start.
    pub run_id: String,
    /// When epochs run, in words.
    pub trigger: String,
    /// What the views are.
    pub engine: Engine,
    /// Answers them.
    pub reader: Arc<Reader>,
    /// What was committed, and how the last epochs went.
    pub board: Board,
    /// Sources that take records over HTTP.
    pub ingest: BTreeMap<String, Arc<dyn Ingest>>,
    /// The plugins' digests.
    pub plugins: BTreeMap<String, String>,
    /// What the query is doing.
    pub status: Arc<QueryStatus>,
}

/// Every bound of this room.
pub struct Limits;

impl Limits {
    /// The longest body of records, in bytes. A source may take less.
    pub const RECORDS_BYTES_MAX: usize = 16 * 1024 * 1024;
    /// The longest body of any other request, in bytes.
    pub const BODY_BYTES_MAX: usize = 1024 * 1024;
    /// The longest SQL text, in bytes.
    pub const SQL_BYTES_MAX: usize = 64 * 1024;
    /// Rows of a SQL answer; what is beyond is left out, and said.
    pub const SQL_ROWS_MAX: usize = 10_000;
    /// Rows of a page, where the request does not say.
    pub const SCAN_ROWS_DEFAULT: usize = 1_000;
    /// Rows of a page at most.
    pub const SCAN_ROWS_MAX: usize = 10_000;
    /// Keys of one batch.
    pub const KEYS_MAX: usize = 1_000;
    /// A view with more rows than this has no stream of changes.
    pub const CHANGES_ROWS_MAX: usize = 100_000;
    /// An answer larger than this is not kept for the next who asks, in bytes.
    pub const CACHED_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
    /// Requests at work at once; more are refused with 503.
    pub const REQUESTS_MAX: usize = 64;
    /// Streams of changes and waits for completion at once; more are refused with 503.
    pub const WAITERS_MAX: usize = 256;
    /// Connections at once; more wait to be accepted.
    pub const CONNECTIONS_MAX: usize = 1_024;
    /// How long a request may work.
    pub const REQUEST_TIME: Duration = Duration::from_secs(30);
    /// How long the first request of a connection may take to come once the stop was asked for.
    pub const FIRST_REQUEST_TIME: Duration = Duration::from_secs(1);
    /// How long the body of a request that is refused may still come: who sends when the connection ends gets no answer.
    pub const REFUSED_BODY_TIME: Duration = Duration::from_secs(1);
    /// How long a wait for completion takes, where the request does not say.
    pub const COMPLETION_TIME_DEFAULT: Duration = Duration::from_secs(5);
    /// How long a wait for completion takes at most.
    pub const COMPLETION_TIME_MAX: Duration = Duration::from_secs(60);
    /// How long open requests may take to end after the stop was asked for.
    pub const STOP_TIME: Duration = Duration::from_secs(5);
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken, or is not one of this machine.
    #[error("cannot listen on {address}: {source}; choose another `serving.http` address")]
    Bind { address: String, source: std::io::Error },
    /// The listening socket failed.
    #[error("serving stopped: {0}")]
    Socket(std::io::Error),
}

/// A server that listens and does not answer yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    state: ServeState,
}

/// An address that is listened on, whoever answers there: connections wait while one server follows another.
pub struct Socket {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

/// Listens on exactly this address (`127.0.0.1:8080`; port 0 takes a free one).
pub async fn listen(address: &str) -> Result<Socket, ServeError> {
    let failed = |source| ServeError::Bind { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?.into_std().map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Socket { listener, address })
}

/// Listens on this address with one server.
pub async fn bind(address: &str, state: ServeState) -> Result<Server, ServeError> {
    listen(address).await?.server(state)
}

impl Socket {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A server for what comes here.
    pub fn server(&self, state: ServeState) -> Result<Server, ServeError> {
        let listener = self.listener.try_clone().and_then(TcpListener::from_std).map_err(ServeError::Socket)?;
        Ok(Server { listener, address: self.address, state })
    }
}

/// Listens and answers until `shutdown` completes, then lets open requests end.
pub async fn serve(
    address: &str,
    state: ServeState,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    bind(address, state).await?.run(shutdown).await
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` completes. Streams and waits then end at once, other requests have [`Limits::STOP_TIME`].
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), ServeError> {
        let (stop, stopping) = watch::channel(false);
        let router = http::router(self.state, self.address, stopping.clone());
        let (close, closed) = watch::channel(false);
        let listener = connection::Bounded::new(self.listener, closed);
        let mut silent = listener.silent();
        let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
            shutdown.await;
            close.send_replace(true);
            // A connection without a request is closed at once, and so would be one whose first request is on its way.
            let none = silent.wait_for(|silent| *silent == 0);
            let _ = tokio::time::timeout(Limits::FIRST_REQUEST_TIME, none).await;
            stop.send_replace(true);
        });
        let overdue = async move {
            http::stopped(stopping).await;
            tokio::time::sleep(Limits::STOP_TIME).await;
        };
        tokio::select! {
            served = async { serving.await } => served.map_err(ServeError::Socket),
            () = overdue => Ok(()),
        }
    }
}
