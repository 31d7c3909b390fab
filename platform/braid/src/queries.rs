//! `braid queries`: the running query of a deployment, asked over its HTTP API.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{Schema, SchemaRef};
use braid_spec::LoadOptions;
use braid_spec::model::Format;
use serde_json::Value;

use crate::cli::{Output, Queries, StopMode, Which};
use crate::failure::Failure;

/// How long one request waits for the query's end; a longer wait is several.
const WAIT: Duration = Duration::from_secs(30);
/// How long an answer may take beyond what was asked to wait.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// Where a query is, and its name there.
pub struct Remote {
    client: reqwest::Client,
    address: String,
    name: String,
}

/// Runs the command: what to print, and the exit code.
pub async fn queries(action: &Queries, output: Output) -> Result<(String, u8), Failure> {
    let (which, path) = match action {
        Queries::List { which } => (which, "/v1/queries".to_owned()),
        Queries::Get { which } => (which, String::new()),
        Queries::Explain { which } => (which, "/explain".to_owned()),
        Queries::Status { which } => (which, "/status".to_owned()),
        Queries::Progress { which, limit } => {
            (which, limit.map_or("/progress".to_owned(), |limit| format!("/progress?limit={limit}")))
        }
        Queries::Stop { which, mode, timeout } => {
            let remote = Remote::of(which)?;
            let mode = if *mode == StopMode::Drain { "drain" } else { "now" };
            let ended = remote.wait(true, &remote.of_query(&format!("/stop?mode={mode}&")), *timeout).await?;
            return Ok(end(&ended, output));
        }
        Queries::Await { which, any, timeout } => {
            let remote = Remote::of(which)?;
            let path = if *any { "/v1/queries:await_any?".to_owned() } else { remote.of_query("/await?") };
            return Ok(end(&remote.wait(false, &path, *timeout).await?, output));
        }
    };
    let remote = Remote::of(which)?;
    let path = if path.starts_with("/v1/") { path } else { remote.of_query(&path) };
    let answer = remote.ask(false, &path).await?;
    let text = match (output, action) {
        (Output::Table, Queries::List { .. }) => list(&answer),
        (Output::Table, Queries::Explain { .. }) => explained(&answer),
        (Output::Table, Queries::Status { .. }) => status(&answer),
        // The rest has no shape that is shorter for people.
        _ => serde_json::to_string_pretty(&answer).map_err(Failure::runtime)?,
    };
    Ok((text, 0))
}

impl Remote {
    pub fn of(which: &Which) -> Result<Self, Failure> {
        let (name, http) = deployment(&which.deployment)?;
        let address = match (&which.address, http) {
            (Some(given), _) => given.clone(),
            (None, Some(http)) if !http.ends_with(":0") => http,
            (None, Some(_)) => {
                return Err(Failure::Invalid(format!(
                    "error: `serving.http` of {} has port 0, so it is not known where `braid up` listens; \
                     say --address as `braid up` printed it",
                    which.deployment.display()
                )));
            }
            (None, None) => {
                return Err(Failure::Invalid(format!(
                    "error: {} has no `serving.http`, so its query cannot be asked; add `serving: {{http: \"127.0.0.1:8080\"}}`",
                    which.deployment.display()
                )));
            }
        };
        // A proxy has nothing to do with a deployment of one's own.
        let client = reqwest::Client::builder().no_proxy().build().map_err(Failure::runtime)?;
        Ok(Self { client, address, name: which.query.clone().unwrap_or(name) })
    }

    /// A path below it.
    pub fn of_query(&self, path: &str) -> String {
        format!("/v1/queries/{}{path}", self.name)
    }

    async fn ask(&self, post: bool, path: &str) -> Result<Value, Failure> {
        let url = format!("http://{}{path}", self.address);
        let request = if post { self.client.post(&url) } else { self.client.get(&url) };
        self.answer(request, WAIT + ANSWER_TIME).await
    }

    /// Posts this, and waits so long for what comes of it.
    pub async fn post(&self, path: &str, body: &Value, wait: Duration) -> Result<Value, Failure> {
        let request = self.client.post(format!("http://{}{path}", self.address));
        let request = request.header("content-type", "application/json").body(body.to_string());
        self.answer(request, wait + ANSWER_TIME).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder, wait: Duration) -> Result<Value, Failure> {
        let away = |error: reqwest::Error| {
            let reason = error.without_url();
            let address = &self.address;
            Failure::Environment(format!("nothing answers at {address} ({reason}): is `braid up` running?"))
        };
        let answer = request.timeout(wait).send().await.map_err(away)?;
        let right = answer.status().is_success();
        let text = answer.text().await.map_err(away)?;
        let answer: Value = serde_json::from_str(&text)
            .map_err(|_| Failure::Environment(format!("what answers at {} is not braid: {text}", self.address)))?;
        match right {
            true => Ok(answer),
            false => Err(Failure::Runtime(answer["detail"].as_str().unwrap_or(&text).to_owned())),
        }
    }

    /// Asks this until the query has ended, at most so many seconds. The request itself waits, so that the answer comes
    /// before the process is gone.
    async fn wait(&self, post: bool, path: &str, timeout_seconds: Option<f64>) -> Result<Value, Failure> {
        let timeout = match timeout_seconds.map(Duration::try_from_secs_f64) {
            Some(Err(error)) => return Err(Failure::Invalid(format!("error: --timeout: {error}"))),
            Some(Ok(timeout)) => Some(timeout),
            None => None,
        };
        let begun = Instant::now();
        loop {
            let left = timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()));
            let wait = left.map_or(WAIT, |left| left.min(WAIT)).as_millis();
            let answer = self.ask(post, &format!("{path}timeout={wait}ms")).await?;
            if terminated(&answer) || left.is_some_and(|left| left <= WAIT) {
                return Ok(answer);
            }
        }
    }
}

/// A deployment's name and address. Nothing else of it needs to be right, or even here.
fn deployment(path: &Path) -> Result<(String, Option<String>), Failure> {
    let columns = |_: &mut Format, declared: Option<&SchemaRef>| {
        Ok(declared.cloned().unwrap_or_else(|| Arc::new(Schema::empty())))
    };
    let options = LoadOptions { check_files: false, columns: &columns, ..LoadOptions::default() };
    let loaded = braid_spec::load(path, &options).map_err(|mistakes| Failure::Invalid(mistakes.to_string()))?;
    Ok((loaded.deployment.name, loaded.deployment.serving.http))
}

fn terminated(answer: &Value) -> bool {
    answer["terminated"] == true
}

/// A query's end, or that it has not come: the text and the exit code.
fn end(answer: &Value, output: Output) -> (String, u8) {
    let name = text(&answer["name"]);
    let (words, code) = match answer["exception"]["message"].as_str() {
        _ if !terminated(answer) => (format!("{name} is {}", text(&answer["state"])), 1),
        Some(message) => (format!("{name} failed: {message}"), 1),
        None => (format!("{name} has stopped"), 0),
    };
    (if output == Output::Table { words } else { answer.to_string() }, code)
}

fn list(answer: &Value) -> String {
    let queries = answer["queries"].as_array().map_or(&[][..], Vec::as_slice);
    let line = |query: &Value| {
        let (id, run, name) = (text(&query["id"]), text(&query["runId"]), text(&query["name"]));
        format!("{id:<36}  {run:<36}  {name:<20}  {}", status(&query["status"]))
    };
    let head = format!("{:<36}  {:<36}  {:<20}  status", "id", "run id", "name");
    std::iter::once(head).chain(queries.iter().map(line)).collect::<Vec<_>>().join("\n")
}

fn status(answer: &Value) -> String {
    let yes = |key: &str, words: &'static str| if answer[key] == true { words } else { "" };
    let more =
        [yes("isTriggerActive", ", a trigger is active"), yes("isDataAvailable", ", data is available")].concat();
    format!("{}: {}{more}", text(&answer["state"]), text(&answer["message"]))
}

fn explained(answer: &Value) -> String {
    let views = answer["views"].as_object();
    views.into_iter().flat_map(|views| views.values()).map(text).collect::<Vec<_>>().join("\n")
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
