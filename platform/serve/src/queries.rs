//! The deployment's query: whether it lives, what it has done, how its layers stand.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use braid_kernel::Manifest;
use braid_kernel::manifest::{Segment, Table};
use braid_kernel::serve::{Board, Snapshot};
use braid_kernel::time::rfc3339;
use serde_json::{Value, json};

use crate::http::{Named, Shared};
use crate::manage::status_of;
use crate::problem::{Code, Problem};
use crate::select::limit;
use crate::views::{Parameters, read};
use crate::{QueryState, ServeState};

/// `GET /livez`: this process answers.
pub async fn livez() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: there is a commit to answer from, and the query has not failed.
pub async fn readyz(State(app): Shared) -> Result<&'static str, Problem> {
    let not = |detail: String| Err(Problem::new(Code::NotReady, detail));
    match app.state.status.get() {
        QueryState::Failed(exception) => not(format!("the query failed: {}", exception.message)),
        QueryState::Restarting(exception) => not(format!("the query restarts after: {}", exception.message)),
        QueryState::Starting => not("the query is starting".into()),
        _ if app.state.board.snapshot().manifest.sequence == 0 => not("there is no manifest yet".into()),
        _ => Ok("ready\n"),
    }
}

/// `GET /v1/queries`
pub async fn list(State(app): Shared) -> Response {
    Json(json!({"queries": [Value::Object(head(&app.state))]})).into_response()
}

/// `GET /v1/queries/{id}`, by id or name.
pub async fn describe(State(app): Shared, Named(id): Named<String>) -> Result<Response, Problem> {
    known(&app.state, &id)?;
    Ok(Json(described(&app.state)).into_response())
}

/// `GET /v1/queries/{id}/progress`: the last reports, newest last; `limit` gives the newest so many.
pub async fn progress(
    State(app): Shared,
    Named(id): Named<String>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    known(&app.state, &id)?;
    let mut most = Board::RECENT_MAX;
    for (name, value) in read(parameters)? {
        match name.as_str() {
            "limit" => most = limit(&value, Board::RECENT_MAX)?,
            other => {
                let detail = format!("there is no parameter `{other}`; there is: limit");
                return Err(Problem::new(Code::BadParameter, detail));
            }
        }
    }
    let recent = app.state.board.recent();
    let newest = &recent[recent.len().saturating_sub(most)..];
    Ok(Json(json!({"recentProgress": newest})).into_response())
}

/// What is said of a query first.
fn head(state: &ServeState) -> serde_json::Map<String, Value> {
    let mut head = serde_json::Map::new();
    for (name, value) in [
        ("id", json!(state.id)),
        ("runId", json!(state.run_id)),
        ("name", json!(state.deployment)),
        ("layout", json!(state.layout)),
        ("trigger", json!(state.trigger)),
        ("status", status_of(state)),
        ("exception", json!(state.status.get().exception().map(|exception| exception.json()))),
        ("restarts", json!(state.status.restarts())),
    ] {
        head.insert(name.to_owned(), value);
    }
    head
}

/// A deployment is one query: its epoch loop, of which every view and sink is a part. It is found by id or name.
pub fn known(state: &ServeState, id: &str) -> Result<(), Problem> {
    if id == state.id || id == state.deployment {
        return Ok(());
    }
    let detail = format!("there is no query `{id}`; there is {} ({})", state.id, state.deployment);
    Err(Problem::new(Code::UnknownQuery, detail))
}

fn described(state: &ServeState) -> Value {
    let snapshot = state.board.snapshot();
    let manifest = &snapshot.manifest;
    let last = state.board.recent().pop();
    let mut described = head(state);
    let rest = json!({
        "manifest": manifest.sequence,
        "committedAt": (manifest.committed_at_ms > 0).then(|| rfc3339(manifest.committed_at_ms)),
        "watermark": manifest.watermark.map(rfc3339),
        "layers": {
            "speed": speed(&snapshot),
            "base": manifest.base.as_ref().map(|base| json!({
                "generation": base.generation,
                "by": base.by,
                "horizon": base.horizon,
                "publishedAt": rfc3339(base.at_ms),
                "lagEpochs": manifest.next - base.horizon.min(manifest.next),
            })),
            "log": manifest.log.from.map(|from| json!({"from": from, "kept": manifest.keeps_log()})),
        },
        "sources": sources(manifest),
        "views": manifest.tables.iter().map(|(name, table)| (name.clone(), sizes(table))).collect::<BTreeMap<String, Value>>(),
        "counts": manifest.counts,
        "plugins": state.plugins,
        "swap": state.status.swaps.last(),
        "lastProgress": last,
    });
    if let Value::Object(rest) = rest {
        described.extend(rest);
    }
    Value::Object(described)
}

fn speed(snapshot: &Snapshot) -> Value {
    let manifest = &snapshot.manifest;
    let hot = snapshot.hot.values().flat_map(|epochs| epochs.values());
    let hot_rows: usize = hot.flat_map(|batches| batches.iter()).map(|b| b.num_rows()).sum();
    json!({
        "nextEpoch": manifest.next,
        "planned": manifest.planned.as_ref().map(|plan| plan.epoch),
        "deltaEpochs": manifest.next - manifest.horizon().min(manifest.next),
        "hotRows": hot_rows,
    })
}

fn sources(manifest: &Manifest) -> BTreeMap<String, Value> {
    let one = |(name, source): (&String, &braid_kernel::SourceState)| {
        let about = json!({
            "rows": manifest.counts.rows.get(name).copied().unwrap_or(0),
            "bad": manifest.counts.bad.get(name).copied().unwrap_or(0),
            "offsets": source.offsets,
            "eventTimeMax": source.event_time_max.map(rfc3339),
            "watermark": source.watermark.map(rfc3339),
        });
        (name.clone(), about)
    };
    manifest.sources.iter().map(one).collect()
}

fn sizes(table: &Table) -> Value {
    json!({
        "baseRows": rows(&table.base),
        "baseBytes": bytes(&table.base),
        "deltaRows": table.deltas.iter().map(|delta| rows(&delta.segments)).sum::<u64>(),
        "deltaBytes": table.deltas.iter().map(|delta| bytes(&delta.segments)).sum::<u64>(),
    })
}

/// Rows of segments. A delta's rows are keys and partial states: a key that several epochs touched counts in each.
pub fn rows(segments: &[Segment]) -> u64 {
    segments.iter().map(|segment| segment.rows).sum()
}

/// Bytes of segments.
pub fn bytes(segments: &[Segment]) -> u64 {
    segments.iter().map(|segment| segment.bytes).sum()
}
