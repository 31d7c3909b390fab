//! Waiting until records are visible in the answers.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use braid_kernel::Manifest;
use serde_json::json;

use crate::Limits;
use crate::http::{Shared, stopped};
use crate::problem::{Code, Problem};
use crate::views::{Parameters, read};

#[derive(Debug)]
struct Wanted {
    source: String,
    partition: Option<String>,
    offset: i64,
    timeout: Duration,
}

/// `GET /v1/completion?source=s&offset=n[&partition=p][&timeout=5s]`: whether every record below offset `n` is in the
/// answers; waits until it is so, the time is over, or the query ends.
pub async fn completion(State(app): Shared, parameters: Parameters) -> Result<Response, Problem> {
    let wanted = Wanted::parse(&read(parameters)?)?;
    let _permit = app.waiter()?;
    let mut commits = app.state.board.subscribe();
    let mut status = app.state.status.subscribe();
    let deadline = tokio::time::sleep(wanted.timeout);
    tokio::pin!(deadline);
    loop {
        let query = status.borrow_and_update().clone();
        let manifest = commits.borrow_and_update().manifest.clone();
        let next = wanted.next(&manifest)?;
        let visible = next.is_some_and(|next| next >= wanted.offset);
        let mut over = visible || !query.may_advance();
        if !over {
            tokio::select! {
                biased;
                changed = commits.changed() => over = changed.is_err(),
                changed = status.changed() => over = changed.is_err(),
                () = &mut deadline => over = true,
                () = stopped(app.stopping.clone()) => over = true,
            }
            if !over {
                continue;
            }
        }
        return Ok(Json(json!({
            "visible": visible,
            "source": wanted.source,
            "partition": wanted.partition,
            "offset": wanted.offset,
            "next": next,
            "manifest": manifest.sequence,
            "epochs": manifest.next,
            "query": query.name(),
        }))
        .into_response());
    }
}

impl Wanted {
    fn parse(parameters: &[(String, String)]) -> Result<Self, Problem> {
        let (mut source, mut partition, mut offset) = (None, None, None);
        let mut timeout = Limits::COMPLETION_TIME_DEFAULT;
        for (name, value) in parameters {
            match name.as_str() {
                "source" => source = Some(value.clone()),
                "partition" => partition = Some(value.clone()),
                "offset" => {
                    let wrong = |_| bad(format!("`offset` is a whole number, not `{value}`"));
                    offset = Some(value.parse().map_err(wrong)?);
                }
                "timeout" => timeout = duration(value)?,
                other => {
                    return Err(bad(format!(
                        "there is no parameter `{other}`; there are: source, offset, partition, timeout"
                    )));
                }
            }
        }
        match (source, offset) {
            (Some(source), Some(offset)) => Ok(Self { source, partition, offset, timeout }),
            _ => Err(bad("`source` and `offset` are needed")),
        }
    }

    /// The next offset that is not in the answers; `None` where nothing was read.
    fn next(&self, manifest: &Manifest) -> Result<Option<i64>, Problem> {
        let Some(state) = manifest.sources.get(&self.source) else {
            return Ok(None);
        };
        match &self.partition {
            Some(partition) => Ok(state.offsets.get(partition).copied()),
            None if state.offsets.len() > 1 => {
                let partitions: Vec<&str> = state.offsets.keys().map(String::as_str).collect();
                Err(bad(format!(
                    "source `{}` has several partitions, say which: {}",
                    self.source,
                    partitions.join(", ")
                )))
            }
            None => Ok(state.offsets.values().next().copied()),
        }
    }
}

/// `5s`, `500ms`, `1m`; at most [`Limits::COMPLETION_TIME_MAX`].
pub fn duration(text: &str) -> Result<Duration, Problem> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ms = match &text[digits.len()..] {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        _ => None,
    };
    let ms = digits.parse::<u64>().ok().zip(unit_ms).and_then(|(n, unit)| n.checked_mul(unit));
    let most = Limits::COMPLETION_TIME_MAX;
    match ms.map(Duration::from_millis) {
        Some(duration) if duration <= most => Ok(duration),
        _ => Err(bad(format!("`timeout` is a duration like 500ms or 5s, at most {} s, not `{text}`", most.as_secs()))),
    }
}

fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(Code::BadParameter, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("1m").unwrap(), Duration::from_secs(60));
        for wrong in ["", "5", "s", "-1s", "61s", "5 s", "99999999999999999999s", "5é"] {
            assert_eq!(duration(wrong).unwrap_err().code, Code::BadParameter, "{wrong}");
        }
    }
}
