//! The routes, and what holds for each of them: limits, headers, who may ask, counting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::answer::Answers;
use crate::metrics::HttpCounts;
use crate::problem::{Code, Problem};
use crate::{Limits, ServeState, changes, completion, console, ingest, manage, metrics, queries, sql, swaps, views};

/// What every handler sees.
pub struct App {
    /// What is served.
    pub state: ServeState,
    /// Views' answers.
    pub answers: Answers,
    /// Requests so far.
    pub counts: HttpCounts,
    /// Becomes true when the server stops.
    pub stopping: watch::Receiver<bool>,
    /// Room for streams and waits.
    pub waiters: Arc<Semaphore>,
    requests: Semaphore,
    loopback: bool,
}

/// Shared by the handlers.
pub type Shared = State<Arc<App>>;

/// All routes.
pub fn router(state: ServeState, address: SocketAddr, stopping: watch::Receiver<bool>) -> Router {
    let app = Arc::new(App {
        answers: Answers::new(state.reader.clone()),
        state,
        counts: HttpCounts::default(),
        stopping,
        waiters: Arc::new(Semaphore::new(Limits::WAITERS_MAX)),
        requests: Semaphore::new(Limits::REQUESTS_MAX),
        loopback: address.ip().is_loopback(),
    });
    Router::new()
        .route("/", get(console::page))
        .route("/console.css", get(console::style))
        .route("/console.js", get(console::script))
        .route("/console.svg", get(console::icon))
        .route("/livez", get(queries::livez))
        .route("/readyz", get(queries::readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/v1/views", get(views::list))
        .route("/v1/views/{view}", get(views::describe))
        .route("/v1/views/{view}/scan", get(views::scan))
        .route("/v1/views/{view}/keys", get(views::by_columns))
        .route("/v1/views/{view}/keys/{key}", get(views::by_key))
        .route("/v1/views/{view}/keys:batch_get", post(views::batch_get))
        .route("/v1/views/{view}/changes", get(changes::changes))
        .route("/v1/sql", post(sql::sql))
        .route("/v1/queries", get(queries::list))
        .route("/v1/queries/{id}", get(queries::describe))
        .route("/v1/queries/{id}/progress", get(queries::progress))
        .route("/v1/queries/{id}/status", get(manage::status))
        .route("/v1/queries/{id}/explain", get(manage::explain))
        .route("/v1/queries/{id}/await", get(manage::wait))
        .route("/v1/queries/{id}/stop", post(manage::stop))
        .route("/v1/queries/{id}/plugins/{plugin}/swap", post(swaps::swap))
        .route("/v1/queries:await_any", get(manage::wait_any))
        .route(
            "/v1/sources/{source}/records",
            post(ingest::records).layer(DefaultBodyLimit::max(Limits::RECORDS_BYTES_MAX)),
        )
        .route("/v1/completion", get(completion::completion))
        .fallback(unknown)
        .method_not_allowed_fallback(other_method)
        .layer(DefaultBodyLimit::max(Limits::BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(app.clone(), gate))
        .with_state(app)
}

/// The names in a path; what is no UTF-8 in it is a problem like any other.
pub struct Named<T>(pub T);

impl<T, S> FromRequestParts<S> for Named<T>
where
    T: serde::de::DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(names)) => Ok(Self(names)),
            Err(rejection) => Err(Problem::new(Code::BadParameter, rejection.body_text())),
        }
    }
}

/// Completes when the server stops.
pub async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the server itself is gone, which is a stop too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

impl App {
    /// Room for one stream or wait.
    pub fn waiter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.waiters.clone().try_acquire_owned().map_err(|_| {
            let most = Limits::WAITERS_MAX;
            Problem::new(Code::Busy, format!("{most} streams and waits are open; try again later"))
        })
    }
}

async fn unknown(uri: Uri) -> Problem {
    Problem::new(Code::UnknownRoute, format!("{} is no route; docs/http.md lists them", uri.path()))
}

async fn other_method(method: Method, uri: Uri) -> Problem {
    Problem::new(Code::MethodNotAllowed, format!("{method} is not a method of {}", uri.path()))
}

/// What stands before and behind every handler.
async fn gate(State(app): Shared, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let route = route(request.uri().path());
    let _counted = app.counts.begin();
    let admitted = admitted(&app, &request).and_then(|()| short(route, request.headers()));
    let mut response = match admitted {
        Ok(()) => bounded(&app, route, request, next).await,
        Err(problem) => problem.into_response(),
    };
    secure(response.headers_mut());
    app.counts.end(route, response.status().as_u16(), began.elapsed());
    response
}

async fn bounded(app: &App, route: &'static str, request: Request<Body>, next: Next) -> Response {
    match route {
        // These hold a waiter's permit instead, and have their own time.
        "changes" | "completion" | "await" | "swap" => return next.run(request).await,
        // These must answer also when everything else is busy.
        "livez" | "readyz" | "metrics" | "console" => return next.run(request).await,
        _ => {}
    }
    let Ok(_permit) = app.requests.try_acquire() else {
        let most = Limits::REQUESTS_MAX;
        let mut rest = request.into_body().into_data_stream();
        let read = async { while rest.next().await.is_some_and(|piece| piece.is_ok()) {} };
        let _ = tokio::time::timeout(Limits::REFUSED_BODY_TIME, read).await;
        return Problem::new(Code::Busy, format!("{most} requests are at work; try again later")).into_response();
    };
    match tokio::time::timeout(Limits::REQUEST_TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let seconds = Limits::REQUEST_TIME.as_secs();
            Problem::new(Code::Timeout, format!("no answer within {seconds} s; ask for less")).into_response()
        }
    }
}

/// A page of another site must not read (DNS rebinding) or write (cross-site requests) through the user's browser.
fn admitted(app: &App, request: &Request) -> Result<(), Problem> {
    let host = text(request.headers(), header::HOST);
    if app.loopback && host.is_some_and(|host| !is_local(host)) {
        return Err(Problem::new(
            Code::ForeignOrigin,
            "this server listens on a loopback address and answers only to `localhost` or an IP address as Host",
        ));
    }
    let origin = text(request.headers(), header::ORIGIN);
    let own = |origin: &str| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_some() && authority == host
    };
    if !request.method().is_safe() && origin.is_some_and(|origin| !own(origin)) {
        return Err(Problem::new(Code::ForeignOrigin, "a page of another origin cannot post here"));
    }
    Ok(())
}

/// A body that says that it is over the limit is refused before it is sent.
fn short(route: &str, headers: &HeaderMap) -> Result<(), Problem> {
    let most = match route {
        "records" => Limits::RECORDS_BYTES_MAX,
        _ => Limits::BODY_BYTES_MAX,
    };
    let length = text(headers, header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    match length {
        Some(length) if length > most => {
            Err(Problem::new(Code::BodyTooLarge, format!("at most {most} bytes at once, not {length}")))
        }
        _ => Ok(()),
    }
}

fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse::<std::net::IpAddr>().is_ok()
}

fn secure(headers: &mut HeaderMap) {
    let set = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in set {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// A header's text.
pub fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// A route's name in the metrics: few, whatever is asked for.
fn route(path: &str) -> &'static str {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts.as_slice() {
        [""] | ["console.css" | "console.js" | "console.svg"] => "console",
        ["livez"] => "livez",
        ["readyz"] => "readyz",
        ["metrics"] => "metrics",
        ["v1", "views"] | ["v1", "views", _] => "views",
        ["v1", "views", _, "scan"] => "scan",
        ["v1", "views", _, "keys"] | ["v1", "views", _, "keys", _] => "keys",
        ["v1", "views", _, "keys:batch_get"] => "batch_get",
        ["v1", "views", _, "changes"] => "changes",
        ["v1", "sql"] => "sql",
        ["v1", "queries", _, "await" | "stop"] | ["v1", "queries:await_any"] => "await",
        ["v1", "queries", _, "plugins", _, "swap"] => "swap",
        ["v1", "queries", ..] => "queries",
        ["v1", "sources", _, "records"] => "records",
        ["v1", "completion"] => "completion",
        _ => "unknown",
    }
}
