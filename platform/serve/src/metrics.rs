//! `GET /metrics`: Prometheus text, from the newest manifest, the last progress report and this server's counters.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use braid_engine::StateUsage;
use braid_kernel::Manifest;
use braid_kernel::progress::Progress;

use crate::ServeState;
use crate::http::Shared;
use crate::queries::{bytes, rows};

/// Requests, counted.
#[derive(Debug, Default)]
pub struct HttpCounts {
    at_work: AtomicI64,
    ended: Mutex<Ended>,
}

/// How many and how long, by route and status.
type Ended = BTreeMap<(&'static str, u16), (u64, Duration)>;

/// Counts a request as at work until it is dropped.
pub struct AtWork<'a>(&'a AtomicI64);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HttpCounts {
    /// A request begins.
    pub fn begin(&self) -> AtWork<'_> {
        self.at_work.fetch_add(1, Ordering::Relaxed);
        AtWork(&self.at_work)
    }

    /// A request was answered.
    pub fn end(&self, route: &'static str, status: u16, took: Duration) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, time) = ended.entry((route, status)).or_default();
        *count += 1;
        *time += took;
    }
}

/// `GET /metrics`
pub async fn metrics(State(app): Shared) -> Response {
    let mut page = Page::new(&app.state.deployment);
    let snapshot = app.state.board.snapshot();
    let last = app.state.board.recent().pop();
    query(&mut page, &app.state);
    layers(&mut page, &snapshot.manifest, last.as_ref());
    sources(&mut page, &snapshot.manifest);
    views(&mut page, &snapshot.manifest);
    remembered(&mut page, app.state.reader.engine().memory().usage());
    requests(&mut page, &app.counts);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page.text).into_response()
}

fn query(page: &mut Page, state: &ServeState) {
    let now = state.status.get();
    let all = ["starting", "running", "restarting", "stopping", "stopped", "failed"];
    page.family("braid_query_state_info", "gauge", "1 for the state the query is in.");
    for name in all {
        page.value(&[("state", name)], u8::from(name == now.name()));
    }
    let up = !now.terminated();
    page.family("braid_query_up_info", "gauge", "Whether the query runs or is about to.");
    page.value(&[], u8::from(up));
    page.family(
        "braid_query_restarts_total",
        "counter",
        "Restarts of the query after a failure, since the process began.",
    );
    page.value(&[], state.status.restarts());
}

fn layers(page: &mut Page, manifest: &Manifest, last: Option<&Progress>) {
    let speed = &[("layer", "speed")];
    let base = &[("layer", "base")];
    page.family("braid_manifest_edits_total", "counter", "Edits of the manifest.");
    page.value(&[], manifest.sequence);
    page.family("braid_speed_epochs_total", "counter", "Epochs committed since the first start.");
    page.value(speed, manifest.next);
    page.family("braid_speed_committed_timestamp_seconds", "gauge", "When the last epoch was committed.");
    page.value(speed, manifest.committed_at_ms as f64 / 1e3);
    if let Some(last) = last {
        page.family(
            "braid_speed_epoch_duration_seconds",
            "gauge",
            "The last epoch, by phase; triggerExecution is all of it.",
        );
        for (phase, ms) in &last.duration_ms {
            page.value(&[("layer", "speed"), ("phase", phase)], *ms as f64 / 1e3);
        }
        page.family("braid_speed_epoch_rows", "gauge", "Rows read by the last epoch.");
        page.value(speed, last.num_input_rows);
        page.family("braid_speed_processed_rows_per_second", "gauge", "Rows of the last epoch per second of its work.");
        page.value(speed, last.processed_rows_per_second);
    }
    page.family("braid_base_horizon_epochs", "gauge", "The base covers the epochs below this one.");
    page.value(base, manifest.horizon());
    page.family("braid_base_lag_epochs", "gauge", "Epochs committed since the horizon.");
    page.value(base, manifest.next - manifest.horizon().min(manifest.next));
    page.family("braid_base_generations_total", "counter", "Bases published.");
    page.value(base, manifest.base.as_ref().map_or(0, |base| base.generation));
    if let Some(published) = &manifest.base {
        page.family("braid_base_published_timestamp_seconds", "gauge", "When the base was published.");
        page.value(base, published.at_ms as f64 / 1e3);
    }
    if let Some(watermark) = manifest.watermark {
        page.family(
            "braid_speed_watermark_timestamp_seconds",
            "gauge",
            "Windows that ended at or before it are closed.",
        );
        page.value(speed, watermark as f64 / 1e3);
    }
}

fn remembered(page: &mut Page, usage: StateUsage) {
    page.family("braid_state_rows", "gauge", "Keys that operators, sinks and answers remember.");
    page.value(&[], usage.rows);
    page.family("braid_state_memory_bytes", "gauge", "Memory that they take, of state.memory.");
    page.value(&[], usage.memory_bytes);
    page.family("braid_state_disk_bytes", "gauge", "What they take on the local disk.");
    page.value(&[], usage.disk_bytes);
}

fn sources(page: &mut Page, manifest: &Manifest) {
    page.family("braid_source_rows_total", "counter", "Rows read.");
    for (source, count) in &manifest.counts.rows {
        page.value(&[("source", source)], count);
    }
    page.family("braid_source_bad_records_total", "counter", "Records that were no rows.");
    for source in manifest.sources.keys() {
        let count = manifest.counts.bad.get(source).copied().unwrap_or(0);
        page.value(&[("source", source)], count);
    }
    page.family("braid_source_offset_records", "gauge", "The next offset to read.");
    for (source, state) in &manifest.sources {
        for (partition, offset) in &state.offsets {
            page.value(&[("source", source), ("partition", partition)], offset);
        }
    }
    page.family("braid_source_watermark_timestamp_seconds", "gauge", "The source's watermark.");
    for (source, state) in &manifest.sources {
        if let Some(watermark) = state.watermark {
            page.value(&[("source", source)], watermark as f64 / 1e3);
        }
    }
    page.family("braid_source_event_time_max_timestamp_seconds", "gauge", "The greatest event time seen.");
    for (source, state) in &manifest.sources {
        if let Some(max) = state.event_time_max {
            page.value(&[("source", source)], max as f64 / 1e3);
        }
    }
    page.family("braid_sink_late_rows_total", "counter", "Rows too late for a sink that waits for windows to end.");
    for (sink, count) in &manifest.counts.late {
        page.value(&[("sink", sink)], count);
    }
}

fn views(page: &mut Page, manifest: &Manifest) {
    let mut each = |name, help, base: fn(&[braid_kernel::Segment]) -> u64| {
        page.family(name, "gauge", help);
        for (view, table) in &manifest.tables {
            page.value(&[("view", view), ("layer", "base")], base(&table.base));
            let deltas: u64 = table.deltas.iter().map(|delta| base(&delta.segments)).sum();
            page.value(&[("view", view), ("layer", "speed")], deltas);
        }
    };
    each("braid_view_stored_rows", "Rows in the segments of a table, by layer.", rows);
    each("braid_view_stored_bytes", "Bytes of the segments of a table, by layer.", bytes);
    each("braid_view_stored_segments", "Segments of a table, by layer.", |all| all.len() as u64);
}

fn requests(page: &mut Page, counts: &HttpCounts) {
    page.family("braid_http_at_work_requests", "gauge", "Requests at work, this one included.");
    page.value(&[], counts.at_work.load(Ordering::Relaxed));
    let ended = counts.ended.lock().unwrap_or_else(PoisonError::into_inner).clone();
    page.family("braid_http_requests_total", "counter", "Requests answered.");
    for ((route, status), (count, _)) in &ended {
        page.value(&[("route", route), ("status", &status.to_string())], count);
    }
    page.family("braid_http_request_seconds_total", "counter", "Time until the answer was ready, summed.");
    for ((route, status), (_, time)) in &ended {
        page.value(&[("route", route), ("status", &status.to_string())], time.as_secs_f64());
    }
}

/// The text, family by family.
struct Page {
    text: String,
    deployment: String,
    name: &'static str,
}

impl Page {
    fn new(deployment: &str) -> Self {
        Self { text: String::new(), deployment: escaped(deployment), name: "" }
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn value(&mut self, labels: &[(&str, &str)], value: impl Display) {
        let _ = write!(self.text, "{}{{deployment=\"{}\"", self.name, self.deployment);
        for (label, text) in labels {
            let _ = write!(self.text, ",{label}=\"{}\"", escaped(text));
        }
        let _ = writeln!(self.text, "}} {value}");
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
