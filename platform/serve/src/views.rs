//! Views: what there is, pages of rows, rows by key.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use braid_kernel::TableKind;
use braid_kernel::serve::Snapshot;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{self, Subject, ledger_schema, proven};
use crate::http::{App, Named, Shared, text};
use crate::problem::{Code, Problem};
use crate::provenance::{Finality, Provenance, finality};
use crate::select::Selection;
use crate::{Limits, render};

/// The parameters of a URL, in their order.
pub type Parameters = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// `GET /v1/views`
pub async fn list(State(app): Shared) -> Response {
    let snapshot = app.state.board.snapshot();
    let views: Vec<Value> = names(&app, &snapshot)
        .iter()
        .filter_map(|name| answer::subject(&app.state, &snapshot.manifest, name).ok())
        .map(|subject| described(&snapshot, &subject))
        .collect();
    let names = views.iter().filter_map(|view| Some(view["name"].as_str()?.to_owned()));
    let provenance = Provenance::new(&app.state, &snapshot.manifest, names, Finality::Provisional);
    Json(json!({"views": views, "provenance": provenance})).into_response()
}

/// `GET /v1/views/{view}`
pub async fn describe(State(app): Shared, Named(view): Named<String>) -> Result<Response, Problem> {
    let snapshot = app.state.board.snapshot();
    let subject = answer::subject(&app.state, &snapshot.manifest, &view)?;
    let mut described = described(&snapshot, &subject);
    if subject.info.is_some() {
        described["explain"] = app.state.engine.explain(&view).into();
    }
    Ok(Json(described).into_response())
}

/// Views, then ledgers.
fn names(app: &App, snapshot: &Snapshot) -> Vec<String> {
    let kinds = snapshot.manifest.kinds.iter();
    let ledgers = kinds.filter(|(_, kind)| **kind == TableKind::Ledger).map(|(name, _)| name.clone());
    let views = app.state.engine.views().keys().cloned();
    views.chain(ledgers).collect()
}

fn described(snapshot: &Snapshot, subject: &Subject<'_>) -> Value {
    let schema = match subject.info {
        Some(info) => info.schema.clone(),
        None => ledger_schema(subject.name),
    };
    let keys = subject.info.map_or(&[][..], |info| info.keys.as_slice());
    json!({
        "name": subject.name,
        "kind": match subject.kind {
            TableKind::Keyed => "keyed",
            TableKind::State => "state",
            TableKind::Append => "append",
            TableKind::Ledger => "ledger",
        },
        "columns": columns(&schema),
        "keys": keys,
        "window": subject.info.is_some_and(|info| info.window),
        "version": snapshot.manifest.definitions.get(subject.name),
    })
}

/// Names and types of columns.
pub fn columns(schema: &Schema) -> Vec<Value> {
    let column = |field: &arrow::datatypes::FieldRef| json!({"name": field.name(), "type": render::type_name(field.data_type())});
    schema.fields().iter().map(column).collect()
}

/// `GET /v1/views/{view}/scan`
pub async fn scan(
    State(app): Shared,
    Named(view): Named<String>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let parameters = read(parameters)?;
    let asked = Asked::new(&parameters, &headers)?;
    let snapshot = app.state.board.snapshot();
    let subject = answer::subject(&app.state, &snapshot.manifest, &view)?;
    let schema = match subject.info {
        Some(info) => info.schema.clone(),
        None => ledger_schema(&view),
    };
    let selection = Selection::parse(&parameters, &Asked::NAMES, &schema)?;
    let answer = app.answers.whole(&snapshot, &subject).await?;
    let page = selection.apply(&answer)?;
    let status = finality(subject.info, &page.rows, &snapshot.manifest);
    let provenance = Provenance::new(&app.state, &snapshot.manifest, [view.clone()], status);
    asked.proven(&provenance)?;
    if asked.csv {
        return csv_response(&page.rows, page.next.as_deref(), false, &provenance);
    }
    let mut parts = vec![("rows", rows_json(&page.rows)?)];
    if let Some(next) = &page.next {
        parts.push(("next", json_text(next)?));
    }
    parts.push(("provenance", json_text(&provenance)?));
    Ok(object(&parts))
}

/// `GET /v1/views/{view}/keys/{key}`: the key's values in the view's order, with commas between; a comma in a value is `%2C`.
pub async fn by_key(
    State(app): Shared,
    Named((view, _)): Named<(String, String)>,
    uri: Uri,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = Asked::new(&read(parameters)?, &headers)?;
    let raw = uri.path().rsplit('/').next().unwrap_or_default();
    let values = raw.split(',').map(decoded).collect::<Result<Vec<String>, Problem>>()?;
    let snapshot = app.state.board.snapshot();
    let subject = answer::subject(&app.state, &snapshot.manifest, &view)?;
    let key = named(&subject, values)?;
    one(&app, &snapshot, &subject, key, &asked).await
}

/// `GET /v1/views/{view}/keys?column=value&…`
pub async fn by_columns(
    State(app): Shared,
    Named(view): Named<String>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut parameters = read(parameters)?;
    let asked = Asked::new(&parameters, &headers)?;
    parameters.retain(|(name, _)| !Asked::NAMES.contains(&name.as_str()));
    let snapshot = app.state.board.snapshot();
    let subject = answer::subject(&app.state, &snapshot.manifest, &view)?;
    let key = ordered(&subject, parameters)?;
    one(&app, &snapshot, &subject, key, &asked).await
}

async fn one(
    app: &App,
    snapshot: &Snapshot,
    subject: &Subject<'_>,
    key: Vec<(String, String)>,
    asked: &Asked,
) -> Result<Response, Problem> {
    let rows = lookup(app, snapshot, subject, &key).await?;
    if rows.num_rows() == 0 {
        let key: Vec<String> = key.iter().map(|(name, value)| format!("{name}={value}")).collect();
        return Err(Problem::new(Code::KeyNotFound, format!("`{}` has no row with {}", subject.name, key.join(", "))));
    }
    let status = finality(subject.info, &rows, &snapshot.manifest);
    let provenance = Provenance::new(&app.state, &snapshot.manifest, [subject.name.to_owned()], status);
    asked.proven(&provenance)?;
    if asked.csv {
        return csv_response(&rows, None, false, &provenance);
    }
    let row = lines(&rows)?.swap_remove(0);
    Ok(object(&[("row", row.into_bytes()), ("provenance", json_text(&provenance)?)]))
}

/// The body of `keys:batch_get`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    /// Each a value, a list of values in the keys' order, or an object by column.
    keys: Vec<Value>,
}

/// `POST /v1/views/{view}/keys:batch_get`: all keys as of one commit; where a key has no row there is a null.
pub async fn batch_get(
    State(app): Shared,
    Named(view): Named<String>,
    parameters: Parameters,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let asked = Asked::new(&read(parameters)?, &headers)?;
    let batch: Batch = body_json(body)?;
    if batch.keys.len() > Limits::KEYS_MAX {
        let (have, most) = (batch.keys.len(), Limits::KEYS_MAX);
        return Err(Problem::new(Code::BadBody, format!("{have} keys, at most {most} at once")));
    }
    let snapshot = app.state.board.snapshot();
    let subject = answer::subject(&app.state, &snapshot.manifest, &view)?;
    let mut rows = vec![];
    let mut status = Finality::Final;
    for key in batch.keys {
        let found = lookup(&app, &snapshot, &subject, &key_of(&subject, key)?).await?;
        if finality(subject.info, &found, &snapshot.manifest) != Finality::Final {
            status = Finality::Provisional;
        }
        rows.push(match found.num_rows() {
            0 => "null".to_owned(),
            _ => lines(&found)?.swap_remove(0),
        });
    }
    if rows.is_empty() {
        status = Finality::Provisional;
    }
    let provenance = Provenance::new(&app.state, &snapshot.manifest, [view.clone()], status);
    asked.proven(&provenance)?;
    let rows = format!("[{}]", rows.join(",")).into_bytes();
    Ok(object(&[("rows", rows), ("provenance", json_text(&provenance)?)]))
}

fn key_of(subject: &Subject<'_>, key: Value) -> Result<Vec<(String, String)>, Problem> {
    let plain = |value: Value| match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(yes) => Ok(yes.to_string()),
        other => Err(Problem::new(Code::BadKey, format!("{other} is no value of a key"))),
    };
    match key {
        Value::Array(values) => {
            let values = values.into_iter().map(plain).collect::<Result<_, _>>()?;
            named(subject, values)
        }
        Value::Object(fields) => {
            let mut key = vec![];
            for (name, value) in fields {
                key.push((name, plain(value)?));
            }
            ordered(subject, key)
        }
        value => named(subject, vec![plain(value)?]),
    }
}

async fn lookup(
    app: &App,
    snapshot: &Snapshot,
    subject: &Subject<'_>,
    key: &[(String, String)],
) -> Result<RecordBatch, Problem> {
    proven(&snapshot.manifest, subject.name)?;
    Ok(app.state.reader.lookup(snapshot, subject.name, key).await?)
}

/// The columns that make a key, as [`braid_engine::Reader::lookup`] names them: a window is known by its start.
fn key_columns(subject: &Subject<'_>) -> Result<Vec<String>, Problem> {
    let name = subject.name;
    let Some(info) = subject.info.filter(|info| info.kind == TableKind::Keyed) else {
        return Err(Problem::new(Code::BadKey, format!("rows of `{name}` have no key; use scan")));
    };
    let window = |key: &str| {
        let field = info.schema.field_with_name(key);
        field.is_ok_and(|field| matches!(field.data_type(), DataType::Struct(_)))
    };
    let column = |key: &String| match window(key) {
        true => format!("{key}.start"),
        false => key.clone(),
    };
    Ok(info.keys.iter().map(column).collect())
}

fn named(subject: &Subject<'_>, values: Vec<String>) -> Result<Vec<(String, String)>, Problem> {
    let columns = key_columns(subject)?;
    if columns.len() != values.len() {
        return Err(other_key(subject, &columns));
    }
    Ok(columns.into_iter().zip(values).collect())
}

fn ordered(subject: &Subject<'_>, mut given: Vec<(String, String)>) -> Result<Vec<(String, String)>, Problem> {
    let columns = key_columns(subject)?;
    let mut key = vec![];
    for column in &columns {
        let short = column.strip_suffix(".start");
        let place = given.iter().position(|(name, _)| name == column || Some(name.as_str()) == short);
        key.extend(place.map(|place| (column.clone(), given.swap_remove(place).1)));
    }
    match given.is_empty() && key.len() == columns.len() {
        true => Ok(key),
        false => Err(other_key(subject, &columns)),
    }
}

fn other_key(subject: &Subject<'_>, columns: &[String]) -> Problem {
    let detail = match columns {
        [] => format!("`{}` has one row and no key columns: ask for /keys", subject.name),
        columns => format!("a key of `{}` is {}", subject.name, columns.join(",")),
    };
    Problem::new(Code::BadKey, detail)
}

/// What a request asks of its answer's form.
pub struct Asked {
    /// CSV in place of JSON.
    pub csv: bool,
    require_final: bool,
}

impl Asked {
    /// The parameters that it reads.
    pub const NAMES: [&str; 2] = ["require", "format"];

    /// Reads them and `Accept`.
    pub fn new(parameters: &[(String, String)], headers: &HeaderMap) -> Result<Self, Problem> {
        let accept = text(headers, header::ACCEPT);
        let mut asked = Self { csv: accept.is_some_and(|accept| accept.contains("text/csv")), require_final: false };
        for (name, value) in parameters {
            match (name.as_str(), value.as_str()) {
                ("require", "final") => asked.require_final = true,
                ("format", "csv") => asked.csv = true,
                ("format", "json") => asked.csv = false,
                ("require", other) => {
                    return Err(bad(format!("`require` takes final, not `{other}`")));
                }
                ("format", other) => {
                    return Err(bad(format!("`format` takes json or csv, not `{other}`")));
                }
                _ => {}
            }
        }
        Ok(asked)
    }

    /// Refuses an answer that is not what was required.
    pub fn proven(&self, provenance: &Provenance) -> Result<(), Problem> {
        if !self.require_final || provenance.status == Finality::Final {
            return Ok(());
        }
        let watermark = provenance.watermark.as_deref().unwrap_or("none yet");
        Err(Problem::new(
            Code::NotFinal,
            format!(
                "not every row belongs to a window that ended at or before the watermark ({watermark}); ask for closed windows only, or without `require=final`"
            ),
        ))
    }
}

/// The parameters, or what is wrong with the URL.
pub fn read(parameters: Parameters) -> Result<Vec<(String, String)>, Problem> {
    match parameters {
        Ok(Query(parameters)) => Ok(parameters),
        Err(rejection) => Err(bad(rejection.body_text())),
    }
}

/// A body's bytes, within its limit.
pub fn body(body: Result<Bytes, BytesRejection>, most: usize) -> Result<Bytes, Problem> {
    body.map_err(|rejection| match rejection.status().as_u16() {
        413 => Problem::new(Code::BodyTooLarge, format!("at most {most} bytes at once")),
        _ => Problem::new(Code::BadBody, rejection.body_text()),
    })
}

/// A JSON body.
pub fn body_json<T: serde::de::DeserializeOwned>(bytes: Result<Bytes, BytesRejection>) -> Result<T, Problem> {
    let bytes = body(bytes, Limits::BODY_BYTES_MAX)?;
    serde_json::from_slice(&bytes).map_err(|error| Problem::new(Code::BadBody, error.to_string()))
}

/// Rows as a JSON array.
pub fn rows_json(rows: &RecordBatch) -> Result<Vec<u8>, Problem> {
    render::json_array(rows).map_err(unsupported)
}

/// Rows as JSON objects.
pub fn lines(rows: &RecordBatch) -> Result<Vec<String>, Problem> {
    render::json_lines(rows).map_err(unsupported)
}

/// A value as JSON.
pub fn json_text(value: &impl serde::Serialize) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(value).map_err(Problem::internal)
}

/// A JSON object of parts that are JSON already.
pub fn object(parts: &[(&str, Vec<u8>)]) -> Response {
    let mut body = Vec::with_capacity(parts.iter().map(|(name, part)| name.len() + part.len() + 4).sum());
    for (place, (name, part)) in parts.iter().enumerate() {
        body.extend_from_slice(if place == 0 { b"{\"" } else { b",\"" });
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(b"\":");
        body.extend_from_slice(part);
    }
    body.extend_from_slice(b"}\n");
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Rows as CSV; what has no place in it stands in headers.
pub fn csv_response(
    rows: &RecordBatch,
    next: Option<&str>,
    truncated: bool,
    provenance: &Provenance,
) -> Result<Response, Problem> {
    let body = render::csv(rows).map_err(unsupported)?;
    let mut response = ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], body).into_response();
    let mut set = |name: &'static str, value: &[u8]| {
        let value = HeaderValue::from_bytes(value).map_err(Problem::internal)?;
        response.headers_mut().insert(HeaderName::from_static(name), value);
        Ok::<(), Problem>(())
    };
    set("braid-provenance", &json_text(provenance)?)?;
    if let Some(next) = next {
        set("braid-next", next.as_bytes())?;
    }
    if truncated {
        set("braid-truncated", b"true")?;
    }
    Ok(response)
}

fn unsupported(error: arrow::error::ArrowError) -> Problem {
    Problem::new(Code::Unsupported, error.to_string())
}

fn bad(detail: String) -> Problem {
    Problem::new(Code::BadParameter, detail)
}

/// Undoes `%41`.
fn decoded(text: &str) -> Result<String, Problem> {
    let wrong = || Problem::new(Code::BadKey, format!("`{text}` is not percent-encoded UTF-8"));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2).ok_or_else(wrong)?;
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}
