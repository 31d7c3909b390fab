//! Changes out: a view's answer, and then what changed in it with each commit, as server-sent events.

use std::cmp::Ordering;
use std::convert::Infallible;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use braid_kernel::TableKind;
use braid_kernel::serve::Snapshot;
use futures::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::Limits;
use crate::answer::{Answer, ByKey, Subject, subject};
use crate::http::{App, Named, Shared, stopped};
use crate::problem::{Code, Problem};
use crate::provenance::{Provenance, finality};
use crate::views::{Parameters, json_text, read, rows_json};

/// One reader of one view. It holds the answer it has seen; commits that come while it is busy are told as one change.
struct Follower {
    app: Arc<App>,
    view: String,
    commits: watch::Receiver<Arc<Snapshot>>,
    seen: Option<Arc<Answer>>,
    with_snapshot: bool,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

/// What is told about an answer.
enum Telling {
    /// All of it: the first time, or where what was told before cannot be built upon.
    Snapshot(RecordBatch),
    /// New or changed rows; and rows that are gone, of which the key columns count.
    Change { rows: RecordBatch, removed: RecordBatch },
}

/// `GET /v1/views/{view}/changes`: an event `snapshot` with all rows (without rows for `snapshot=false`), then an event
/// `change` whenever the answer changed. An event `error` holds a problem and is the last.
pub async fn changes(
    State(app): Shared,
    Named(view): Named<String>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    let mut with_snapshot = true;
    for (name, value) in read(parameters)? {
        match (name.as_str(), value.as_str()) {
            ("snapshot", "true") => with_snapshot = true,
            ("snapshot", "false") => with_snapshot = false,
            _ => {
                let detail = format!("`{name}={value}`; there is snapshot=true|false");
                return Err(Problem::new(Code::BadParameter, detail));
            }
        }
    }
    let permit = app.waiter()?;
    let commits = app.state.board.subscribe();
    // Asked once before the first event, so that what is wrong has its status.
    let snapshot = app.state.board.snapshot();
    let about = subject(&app.state, &snapshot.manifest, &view)?;
    followable(&*app.answers.whole(&snapshot, &about).await?)?;
    let follower = Follower { app, view, commits, seen: None, with_snapshot, ended: false, _permit: permit };
    let events = stream::unfold(follower, |mut follower| async {
        let event = follower.next().await?;
        Some((Ok::<Event, Infallible>(event), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

fn followable(answer: &Answer) -> Result<(), Problem> {
    let (rows, most) = (answer.rows.num_rows(), Limits::CHANGES_ROWS_MAX);
    if rows > most {
        let detail = format!("{rows} rows; changes are told of views with at most {most}");
        return Err(Problem::new(Code::AnswerTooLarge, detail));
    }
    if answer.kind == TableKind::Keyed && rows > 0 {
        answer.whole()?;
    }
    Ok(())
}

impl Follower {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.ended {
                return None;
            }
            if self.seen.is_some() {
                tokio::select! {
                    changed = self.commits.changed() => changed.ok()?,
                    () = stopped(self.app.stopping.clone()) => return None,
                }
            }
            let snapshot = self.commits.borrow_and_update().clone();
            match self.told(&snapshot).await {
                Ok(None) => {}
                Ok(Some(event)) => return Some(event),
                Err(problem) => {
                    self.ended = true;
                    let body = problem.body().to_string();
                    return Some(Event::default().event("error").data(body));
                }
            }
        }
    }

    async fn told(&mut self, snapshot: &Snapshot) -> Result<Option<Event>, Problem> {
        let app = self.app.clone();
        let about = subject(&app.state, &snapshot.manifest, &self.view)?;
        let answer = app.answers.whole(snapshot, &about).await?;
        followable(&answer)?;
        let telling = match &self.seen {
            None if self.with_snapshot => Some(Telling::Snapshot(answer.rows.clone())),
            None => Some(Telling::Snapshot(answer.rows.slice(0, 0))),
            Some(seen) if Arc::ptr_eq(seen, &answer) => None,
            Some(seen) => difference(seen, &answer)?,
        };
        self.seen = Some(answer);
        match telling {
            Some(telling) => Ok(Some(event(&app, snapshot, &about, &telling)?)),
            None => Ok(None),
        }
    }
}

fn event(app: &App, snapshot: &Snapshot, about: &Subject<'_>, telling: &Telling) -> Result<Event, Problem> {
    let (name, rows, removed) = match telling {
        Telling::Snapshot(rows) => ("snapshot", rows, None),
        Telling::Change { rows, removed } => ("change", rows, Some(removed)),
    };
    let status = finality(about.info, rows, &snapshot.manifest);
    let manifest = &snapshot.manifest;
    let provenance = Provenance::new(&app.state, manifest, [about.name.to_owned()], status);
    let mut data = b"{\"rows\":".to_vec();
    data.extend(rows_json(rows)?);
    if let Some(removed) = removed {
        data.extend_from_slice(b",\"removed\":");
        data.extend(rows_json(removed)?);
    }
    data.extend_from_slice(b",\"provenance\":");
    data.extend(json_text(&provenance)?);
    data.push(b'}');
    let data = String::from_utf8(data).map_err(Problem::internal)?;
    Ok(Event::default().event(name).id(manifest.sequence.to_string()).data(data))
}

/// What changed between two answers of a view; `None` where nothing did.
fn difference(old: &Answer, new: &Answer) -> Result<Option<Telling>, Problem> {
    if new.kind != TableKind::Keyed {
        let (before, now) = (old.rows.num_rows(), new.rows.num_rows());
        return Ok(match now.cmp(&before) {
            Ordering::Equal => None,
            Ordering::Greater => {
                Some(Telling::Change { rows: new.rows.slice(before, now - before), removed: new.rows.slice(0, 0) })
            }
            // An append view does not shrink; should its definition have changed, all is told again.
            Ordering::Less => Some(Telling::Snapshot(new.rows.clone())),
        });
    }
    if old.rows.num_columns() == 0 || old.rows == new.rows {
        return Ok(None);
    }
    let (Some(was), Some(is)) = (old.by_key(), new.by_key()) else {
        return Ok(Some(Telling::Snapshot(new.rows.clone())));
    };
    let (old_rows, new_rows) = (old.whole()?, new.whole()?);
    let differs = |key: &[u8], row: usize| {
        let before = was.get(key);
        before.is_none_or(|before| old_rows.row(*before).data() != new_rows.row(row).data())
    };
    let changed = places(is, differs);
    let gone = places(was, |key, _| !is.contains_key(key));
    if changed.is_empty() && gone.is_empty() {
        return Ok(None);
    }
    let rows = take_record_batch(&new.rows, &changed).map_err(Problem::internal)?;
    let removed = take_record_batch(&old.rows, &gone).map_err(Problem::internal)?;
    let removed = match old.keys.is_empty() {
        true => removed,
        false => removed.project(&old.keys).map_err(Problem::internal)?,
    };
    Ok(Some(Telling::Change { rows, removed }))
}

/// The row numbers of some keys, ascending.
fn places(by_key: &ByKey, which: impl Fn(&[u8], usize) -> bool) -> UInt64Array {
    let chosen = by_key.iter().filter(|(key, row)| which(key, **row));
    let mut places: Vec<u64> = chosen.map(|(_, row)| *row as u64).collect();
    places.sort_unstable();
    UInt64Array::from(places)
}
