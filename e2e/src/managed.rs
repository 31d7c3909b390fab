//! A query managed from outside: looked at, stopped, waited for, and started again by itself after a failure.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::braid::{Ended, River, Running, TERMINATED, binary, eventually, root};
use crate::http;
use crate::parquet::parquet_rows;

struct Bench {
    home: tempfile::TempDir,
    river: River,
}

/// Lines that are posted, counted, and written to `out`.
const POSTED: &str = "\
apiVersion: braid/v1
name: managed
layout: kappa
store: memory://
sources: {numbers: {http: {}, format: json, schema: {n: long}, on_bad_record: fail}}
views:
  totals: {sql: SELECT count(*) AS n FROM numbers}
  rows: {sql: SELECT n FROM numbers}
sinks: {out: {from: rows, parquet: {path: \"${OUTPUT}/out\"}}}
serving: {http: \"127.0.0.1:0\"}
";

impl Bench {
    fn new(more: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let file = home.path().join("deployment.yaml");
        std::fs::write(&file, format!("{POSTED}{more}\n")).expect("a fresh file");
        let river = River::new(file, home.path()).env("OUTPUT", home.path().join("output").display());
        Self { home, river }
    }

    fn output(&self) -> PathBuf {
        self.home.path().join("output")
    }

    /// `braid queries <action> <deployment> --address … <more>`, not yet started.
    fn command(&self, address: &str, action: &str, more: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(["queries", action]).arg(&self.river.deployment).args(["--address", address]).args(more);
        command.envs(self.river.env.iter().map(|(name, value)| (name, value)));
        command.current_dir(root()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn queries(&self, address: &str, action: &str, more: &[&str]) -> Ended {
        ended(self.command(address, action, more).spawn().expect("the binary starts"))
    }

    fn json(&self, address: &str, action: &str, more: &[&str]) -> Value {
        let more: Vec<&str> = more.iter().copied().chain(["--output", "json"]).collect();
        let said = self.queries(address, action, &more).ok(action);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{action}: no JSON ({error}): {said}"))
    }

    /// Epochs that are committed, and those that the base covers.
    fn committed(&self) -> (u64, u64) {
        let status = self.river.finish("status", &["--output", "json"]).ok("a status");
        let status: Value = serde_json::from_str(&status).expect("JSON");
        (status["epochs"].as_u64().expect("a number"), status["base"]["horizon"].as_u64().unwrap_or_default())
    }
}

fn ended(child: Child) -> Ended {
    let done = child.wait_with_output().expect("it ends");
    Ended {
        status: done.status,
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        err: String::from_utf8_lossy(&done.stderr).into_owned(),
    }
}

/// Posts numbers and waits until they are in the answers.
fn post(address: &str, numbers: std::ops::Range<u32>) {
    let body: String = numbers.map(|n| format!("{{\"n\": {n}}}\n")).collect();
    let answer = http::ingest(address, "numbers", body.as_bytes()).expect("an answer").ok();
    let completion = answer["completion"].as_str().expect("a path").to_owned();
    eventually("visible", || {
        let answer = http::get(address, &completion).ok();
        if answer["visible"] == true { Ok(()) } else { Err(answer.to_string()) }
    });
}

/// Waits until so many requests are at work beside the one that asks.
fn requests_wait(address: &str, many: u64) {
    eventually("requests at work", || {
        let metrics = http::get(address, "/metrics").body;
        let line = metrics.lines().find(|line| line.starts_with("braid_http_at_work_requests")).unwrap_or_default();
        let found: u64 = line.rsplit(' ').next().and_then(|n| n.parse().ok()).unwrap_or_default();
        if found > many { Ok(()) } else { Err(line.to_owned()) }
    });
}

#[test]
fn a_query_is_found_described_and_explained() {
    let bench = Bench::new("");
    let mut running = bench.river.up();
    let address = running.address();
    post(&address, 0..3);
    let list = bench.json(&address, "list", &[]);
    let query = &list["queries"][0];
    assert_eq!((list["queries"].as_array().map(Vec::len), &query["name"]), (Some(1), &Value::from("managed")));
    let (id, run) = (query["id"].as_str().expect("an id").to_owned(), query["runId"].clone());
    for by in ["managed", &id] {
        let got = bench.json(&address, "get", &[by]);
        assert_eq!((&got["id"], &got["runId"]), (&query["id"], &run));
        assert_eq!((&got["exception"], &got["restarts"]), (&Value::Null, &Value::from(0)));
    }
    let unknown = bench.queries(&address, "get", &["other"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(unknown.err.contains("there is no query `other`"), "{}", unknown.err);

    let status = eventually("a pause", || {
        let status = bench.json(&address, "status", &[]);
        if status["message"] == "Waiting for data to arrive" { Ok(status) } else { Err(status.to_string()) }
    });
    assert_eq!((&status["isDataAvailable"], &status["isTriggerActive"]), (&Value::from(false), &Value::from(false)));
    assert!(bench.queries(&address, "status", &[]).ok("status").starts_with("running: "));

    let explained = bench.queries(&address, "explain", &[]).ok("explain");
    for part in ["view totals", "logical plan", "per epoch", "on merged states", "state", "key"] {
        assert!(part == "key" || explained.contains(part), "{part} is not in:\n{explained}");
    }

    let progress = bench.json(&address, "progress", &["--limit", "1"]);
    let last = &progress["recentProgress"][0];
    for field in [
        "id",
        "runId",
        "name",
        "timestamp",
        "batchId",
        "batchDuration",
        "durationMs",
        "numInputRows",
        "inputRowsPerSecond",
        "processedRowsPerSecond",
        "stateOperators",
        "sources",
        "sinks",
        "eventTime",
    ] {
        assert!(!last[field].is_null(), "{field} is not in {last}");
    }
    for field in [
        "description",
        "startOffset",
        "endOffset",
        "latestOffset",
        "numInputRows",
        "inputRowsPerSecond",
        "processedRowsPerSecond",
    ] {
        assert!(!last["sources"][0][field].is_null(), "{field} is not in {last}");
    }
    assert_eq!(bench.json(&address, "get", &[])["lastProgress"], *last);

    assert_eq!(running.stop().code(), Some(TERMINATED));
    let mut again = bench.river.up();
    let address = again.address();
    let got = bench.json(&address, "get", &[]);
    assert_eq!(got["id"].as_str(), Some(&*id), "the id is the same over restarts");
    assert_ne!(got["runId"], run, "the run id is not");
}

#[test]
fn a_drained_query_has_a_base_of_all_and_ends_well() {
    let bench = Bench::new("");
    let mut running = bench.river.up();
    let address = running.address();
    post(&address, 0..3);
    let waiting = [
        bench.command(&address, "await", &["--output", "json"]).spawn().expect("it starts"),
        bench.command(&address, "await", &["--any"]).spawn().expect("it starts"),
    ];
    requests_wait(&address, 2);
    let soon = bench.queries(&address, "await", &["--timeout", "0.01"]);
    assert_eq!((soon.status.code(), soon.out.trim()), (Some(1), "managed is running"));
    let said = bench.queries(&address, "stop", &[]).ok("stop");
    assert_eq!(said.trim(), "managed has stopped");
    assert_eq!(running.wait().code(), Some(0), "{}", running.said());
    let [one, any] = waiting.map(ended);
    let one: Value = serde_json::from_str(&one.ok("await")).expect("JSON");
    assert_eq!((&one["terminated"], &one["exception"]), (&Value::from(true), &Value::Null));
    assert_eq!(any.ok("await --any").trim(), "managed has stopped");
    let (epochs, horizon) = bench.committed();
    assert!(epochs > 0 && epochs == horizon, "{epochs} epochs, and a base of {horizon}");
    assert_eq!(bench.river.rows("SELECT n FROM totals"), ["3"]);
    let gone = bench.queries(&address, "list", &[]);
    assert_eq!(gone.status.code(), Some(3), "{}", gone.out);
    assert!(gone.err.contains("is `braid up` running?"), "{}", gone.err);
}

#[test]
fn a_query_stopped_now_leaves_its_epoch_to_the_next_start() {
    let bench = Bench::new("");
    let mut running = bench.river.clone().env("FAILPOINTS", "epoch::read=sleep(3600000)").up();
    let address = running.address();
    http::ingest(&address, "numbers", b"{\"n\": 7}\n").expect("an answer").ok();
    eventually("an epoch under way", || {
        let status = http::get(&address, "/v1/queries/managed/status").ok();
        let both = status["isTriggerActive"] == true && status["isDataAvailable"] == true;
        if both { Ok(()) } else { Err(status.to_string()) }
    });
    let stopped = bench.queries(&address, "stop", &["--mode", "now", "--output", "json"]).ok("stop");
    assert_eq!(serde_json::from_str::<Value>(&stopped).expect("JSON")["state"], "stopped");
    assert_eq!(running.wait().code(), Some(0), "{}", running.said());
    assert_eq!(bench.committed(), (0, 0));
    let mut again = bench.river.up();
    let address = again.address();
    eventually("the epoch", || match bench.committed() {
        (1, 0) => Ok(()),
        other => Err(format!("{other:?}: {}", again.said())),
    });
    let first = http::get(&address, "/v1/queries/managed/progress").ok()["recentProgress"][0].clone();
    assert_eq!((&first["batchId"], &first["numInputRows"]), (&Value::from(0), &Value::from(1)));
}

#[test]
fn a_failure_that_cannot_pass_ends_the_query_at_once_and_is_told_to_who_waits() {
    let bench = Bench::new("restart: {max_attempts: 9, backoff_min: 1h, backoff_max: 1h}");
    let mut running = bench.river.up();
    let address = running.address();
    let waiting = bench.command(&address, "await", &["--output", "json"]).spawn().expect("it starts");
    requests_wait(&address, 1);
    http::ingest(&address, "numbers", b"no number\n").expect("an answer").ok();
    let told = ended(waiting);
    assert_eq!(told.status.code(), Some(1), "{}", told.out);
    let told: Value = serde_json::from_str(&told.out).expect("JSON");
    assert_eq!((&told["state"], &told["exception"]["part"]["source"]), (&"failed".into(), &"numbers".into()));
    assert_eq!(running.wait().code(), Some(1));
    let said = running.said();
    assert_eq!(said.matches("bad record at").count(), 1, "it is said once:\n{said}");
    assert!(!said.contains("starts again"), "{said}");
}

/// A file where the sink wants a folder: it cannot write until that is mended.
fn block(bench: &Bench) {
    std::fs::write(bench.output(), "in the way").expect("a file");
}

#[test]
fn a_failed_query_starts_again_until_it_runs() {
    let bench = Bench::new("restart: {max_attempts: 1000, backoff_min: 20ms, backoff_max: 100ms}");
    block(&bench);
    let mut running = bench.river.up();
    let address = running.address();
    let before = bench.json(&address, "get", &[])["runId"].clone();
    let body = "{\"n\": 1}\n{\"n\": 2}\n";
    let posted = http::ingest(&address, "numbers", body.as_bytes()).expect("an answer").ok();
    let failing = eventually("a restart", || {
        let got = http::get(&address, "/v1/queries/managed").ok();
        let twice = got["restarts"].as_u64() > Some(1) && got["status"]["state"] == "restarting";
        if twice { Ok(got) } else { Err(format!("{}\n{}", got["status"], running.said())) }
    });
    assert_eq!(failing["exception"]["part"]["sink"], "out", "{}", failing["exception"]);
    assert_eq!(http::get(&address, "/readyz").status, 503);
    assert_eq!(bench.committed().0, 0);
    std::fs::remove_file(bench.output()).expect("mended");
    let completion = posted["completion"].as_str().expect("a path").to_owned();
    let described = eventually("visible", || {
        let answer = http::get(&address, &completion);
        let described = http::get(&address, "/v1/queries/managed").ok();
        let well =
            answer.status == 200 && answer.json()["visible"] == true && described["status"]["state"] == "running";
        if well { Ok(described) } else { Err(format!("{}\n{}", answer.body, running.said())) }
    });
    assert_eq!(described["exception"], Value::Null);
    assert_ne!(described["runId"], before, "each start is a run");
    assert_eq!(parquet_rows(&bench.output().join("out")), ["1", "2"]);
    post(&address, 3..5);
    assert_eq!(running.stop().code(), Some(TERMINATED));
    assert_eq!(parquet_rows(&bench.output().join("out")), ["1", "2", "3", "4"]);
}

#[test]
fn a_query_that_fails_too_often_ends_and_names_the_cause() {
    let bench = Bench::new("restart: {max_attempts: 2, backoff_min: 10ms, backoff_max: 10ms}");
    block(&bench);
    let mut running = bench.river.up();
    let address = running.address();
    http::ingest(&address, "numbers", b"{\"n\": 1}\n").expect("an answer").ok();
    assert_eq!(running.wait().code(), Some(1));
    let said = running.said();
    assert_eq!(said.matches("starts again").count(), 2, "{said}");
    let last: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(matches!(&last[..], [one] if one.contains("sink `out`")), "{said}");
    assert_eq!(bench.committed().0, 0);
}

#[test]
fn a_writer_that_was_overtaken_does_not_start_again() {
    let bench = Bench::new("");
    let mut first = bench.river.up();
    let address = first.address();
    let mut second = bench.river.up();
    second.address();
    http::ingest(&address, "numbers", b"{\"n\": 1}\n").expect("an answer").ok();
    assert_eq!(first.wait().code(), Some(1));
    let said = first.said();
    assert!(said.contains("another process has taken over") && !said.contains("starts again"), "{said}");
    let running: &mut Running = &mut second;
    assert!(running.ended().is_none(), "{}", running.said());
}

#[test]
fn an_address_that_is_not_known_is_asked_for() {
    let bench = Bench::new("");
    let mut command = Command::new(binary());
    command.args(["queries", "list"]).arg(&bench.river.deployment).env("OUTPUT", "x");
    let said = command.output().expect("the binary starts");
    assert_eq!(said.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&said.stderr).contains("--address"), "{said:?}");
}
