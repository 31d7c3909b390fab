//! Managing the query: its status, its plans, stopping it, and waiting for its end.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::completion::duration;
use crate::http::{App, Named, Shared, stopped};
use crate::problem::{Code, Problem};
use crate::queries::known;
use crate::status::StopMode;
use crate::views::{Parameters, read};
use crate::{Limits, QueryState, ServeState};

/// `GET /v1/queries/{id}/status`: Spark's `StreamingQueryStatus`, and the state.
pub async fn status(State(app): Shared, Named(id): Named<String>) -> Result<Response, Problem> {
    known(&app.state, &id)?;
    Ok(Json(status_of(&app.state)).into_response())
}

/// What the query is doing, as it is answered.
pub fn status_of(state: &ServeState) -> Value {
    let query = state.status.get();
    let (activity, available) = state.board.activity();
    let at_work = matches!(query, QueryState::Running | QueryState::Stopping);
    let message = match &query {
        QueryState::Starting => "Initializing sources".to_owned(),
        QueryState::Running | QueryState::Stopping => activity.message(),
        QueryState::Restarting(exception) => format!("Restarting after: {}", exception.message),
        QueryState::Stopped => "Stopped".to_owned(),
        QueryState::Failed(exception) => format!("Terminated with exception: {}", exception.message),
    };
    json!({
        "state": query.name(),
        "reason": query.reason(),
        "message": message,
        "isDataAvailable": at_work && available,
        "isTriggerActive": at_work && activity.trigger_active(),
    })
}

/// `GET /v1/queries/{id}/explain`: per view its logical plan, what runs per epoch and on merged states, and its state.
pub async fn explain(State(app): Shared, Named(id): Named<String>) -> Result<Response, Problem> {
    known(&app.state, &id)?;
    let engine = &app.state.engine;
    let views: Map<String, Value> =
        engine.views().keys().map(|view| (view.clone(), engine.explain(view).into())).collect();
    Ok(Json(json!({"id": app.state.id, "name": app.state.deployment, "views": views})).into_response())
}

/// `GET /v1/queries/{id}/await?timeout=5s`: waits until the query has ended, or the time is over, and says which.
pub async fn wait(State(app): Shared, Named(id): Named<String>, parameters: Parameters) -> Result<Response, Problem> {
    known(&app.state, &id)?;
    wait_any(State(app), parameters).await
}

/// `GET /v1/queries:await_any?timeout=5s`: the same of any query. A deployment is one, so it is that one.
pub async fn wait_any(State(app): Shared, parameters: Parameters) -> Result<Response, Problem> {
    let mut timeout = Limits::COMPLETION_TIME_DEFAULT;
    for (name, value) in read(parameters)? {
        match name.as_str() {
            "timeout" => timeout = duration(&value)?,
            other => return Err(unknown(other, "timeout")),
        }
    }
    ended(&app, timeout).await
}

/// `POST /v1/queries/{id}/stop?mode=drain&timeout=5s`: asks the query to stop, then waits for its end as `await` does.
pub async fn stop(State(app): Shared, Named(id): Named<String>, parameters: Parameters) -> Result<Response, Problem> {
    known(&app.state, &id)?;
    let (mut mode, mut timeout) = (StopMode::Drain, Limits::COMPLETION_TIME_DEFAULT);
    for (name, value) in read(parameters)? {
        match (name.as_str(), value.as_str()) {
            ("mode", "drain") => mode = StopMode::Drain,
            ("mode", "now") => mode = StopMode::Now,
            ("mode", other) => {
                let detail = format!("`mode` is drain or now, not `{other}`");
                return Err(Problem::new(Code::BadParameter, detail));
            }
            ("timeout", _) => timeout = duration(&value)?,
            (other, _) => return Err(unknown(other, "mode, timeout")),
        }
    }
    app.state.status.ask_stop(mode);
    ended(&app, timeout).await
}

async fn ended(app: &App, timeout: Duration) -> Result<Response, Problem> {
    let _permit = app.waiter()?;
    let mut status = app.state.status.subscribe();
    {
        let over = status.wait_for(QueryState::terminated);
        tokio::select! {
            biased;
            _ = over => {}
            () = tokio::time::sleep(timeout) => {}
            () = stopped(app.stopping.clone()) => {}
        }
    }
    let query = app.state.status.get();
    Ok(Json(json!({
        "id": app.state.id,
        "name": app.state.deployment,
        "terminated": query.terminated(),
        "state": query.name(),
        "exception": query.exception().map(|exception| exception.json()),
    }))
    .into_response())
}

fn unknown(name: &str, there: &str) -> Problem {
    Problem::new(Code::BadParameter, format!("there is no parameter `{name}`; there are: {there}"))
}
