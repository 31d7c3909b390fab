//! Records in: newline-separated bodies for sources that take them.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use braid_kernel::SourceError;
use serde_json::json;

use crate::Limits;
use crate::http::{Named, Shared};
use crate::problem::{Code, Problem};
use crate::views;

/// `POST /v1/sources/{source}/records`: durable when it is answered.
pub async fn records(
    State(app): Shared,
    Named(source): Named<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let Some(ingest) = app.state.ingest.get(&source) else {
        let known: Vec<&str> = app.state.ingest.keys().map(String::as_str).collect();
        let known = match known.is_empty() {
            true => "none of this deployment's sources does".to_owned(),
            false => format!("these do: {}", known.join(", ")),
        };
        return Err(Problem::new(
            Code::UnknownSource,
            format!("no source `{source}` takes records over HTTP; {known}"),
        ));
    };
    let bytes = views::body(body, Limits::RECORDS_BYTES_MAX)?;
    if !app.state.status.get().may_advance() {
        let detail = "the query has ended; records would wait for its next start";
        return Err(Problem::new(Code::SourceUnavailable, detail));
    }
    let offsets = ingest.append(bytes).await.map_err(|error| match error {
        SourceError::Retry(reason) => Problem::new(Code::SourceUnavailable, reason),
        SourceError::TooLarge(reason) => Problem::new(Code::BodyTooLarge, reason),
        SourceError::BadRecord { .. } => Problem::new(Code::BadRecord, error.to_string()),
        SourceError::DataLoss(_) | SourceError::Fatal(_) => Problem::internal(error),
    })?;
    Ok(Json(json!({
        "offsets": {"start": offsets.start, "end": offsets.end},
        "completion": format!("/v1/completion?source={source}&offset={}", offsets.end),
    }))
    .into_response())
}
