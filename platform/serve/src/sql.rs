//! Ad-hoc questions: one SELECT over views, ledgers and static tables.

use arrow::compute::concat_batches;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

use crate::Limits;
use crate::http::Shared;
use crate::problem::{Code, Problem};
use crate::provenance::{Finality, Provenance};
use crate::select::limit;
use crate::views::{Asked, Parameters, body_json, columns, csv_response, json_text, object, read, rows_json};

/// The body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    /// One SELECT.
    sql: String,
}

/// `POST /v1/sql`
pub async fn sql(
    State(app): Shared,
    parameters: Parameters,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let parameters = read(parameters)?;
    let asked = Asked::new(&parameters, &headers)?;
    let mut most = Limits::SQL_ROWS_MAX;
    for (name, value) in &parameters {
        match name.as_str() {
            "limit" => most = limit(value, Limits::SQL_ROWS_MAX)?,
            name if Asked::NAMES.contains(&name) => {}
            other => {
                let detail = format!("there is no parameter `{other}`; there are: limit, format, require");
                return Err(Problem::new(Code::BadParameter, detail));
            }
        }
    }
    let question: Question = body_json(body)?;
    if question.sql.len() > Limits::SQL_BYTES_MAX {
        let detail = format!("at most {} bytes of SQL", Limits::SQL_BYTES_MAX);
        return Err(Problem::new(Code::BodyTooLarge, detail));
    }
    let snapshot = app.state.board.snapshot();
    let (schema, batches) = app.state.reader.sql(&snapshot, &question.sql).await?;
    let mut kept = vec![];
    let mut room = most;
    for batch in &batches {
        let take = batch.num_rows().min(room);
        kept.push(batch.slice(0, take));
        room -= take;
    }
    let rows = concat_batches(&schema, &kept).map_err(Problem::internal)?;
    let truncated = batches.iter().map(|batch| batch.num_rows()).sum::<usize>() > most;
    let status = match truncated {
        true => Finality::Partial,
        false => Finality::Provisional,
    };
    let views = app.state.engine.views().keys().cloned();
    let provenance = Provenance::new(&app.state, &snapshot.manifest, views, status);
    asked.proven(&provenance)?;
    if asked.csv {
        return csv_response(&rows, None, truncated, &provenance);
    }
    Ok(object(&[
        ("columns", json_text(&columns(&schema))?),
        ("rows", rows_json(&rows)?),
        ("truncated", json_text(&truncated)?),
        ("provenance", json_text(&provenance)?),
    ]))
}
