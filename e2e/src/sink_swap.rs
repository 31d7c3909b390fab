//! Plugins that take rows away, swapped while a deployment runs: from an epoch on, refused, sent back, and mended.

use serde_json::Value;

use crate::braid::{TERMINATED, eventually};
use crate::hook::{Hook, Posted};
use crate::http;
use crate::scripts::interpreters;
use crate::swap::{Bench, post, while_posting};

const DEPLOYMENT: &str = r#"
apiVersion: braid/v1
name: taken
layout: kappa
store: memory://
sources:
  events: {http: {}, format: json, schema: {n: long, k: string}}
plugins:
  give: {script: "${GIVE}", limits: {time: 20s}, grants: {http: ["${HOOK}"]}}
views:
  numbers: {sql: "SELECT n, k FROM events"}
sinks:
  out: {from: numbers, plugin: give, options: {url: "${HOOK}/out"}}
serving: {http: "127.0.0.1:0"}
restart: {backoff_min: 100ms}
"#;

/// A script that posts an epoch's rows with its version, or fails on the row `bad`.
fn script(version: u32, picky: bool, more: &str) -> String {
    format!(
        "export const idempotent = {};\n{more}\n\
         export function open({{name, options}}, epoch) {{\n\
         \x20 const headers = {{'braid-sink': name, 'braid-epoch': `${{epoch.number}}`, 'idempotency-key': epoch.key}};\n\
         \x20 return {{url: options.url, headers, rows: []}};\n\
         }}\n\
         export function process(row, sent) {{\n\
         \x20 if ({picky} && row.k === 'bad') throw 'cannot take it';\n\
         \x20 sent.rows.push({{...row, version: {version}}});\n\
         }}\n\
         export function close(sent, error) {{\n\
         \x20 if (error === null) http.post(sent.url, JSON.stringify({{rows: sent.rows}}), sent.headers);\n\
         }}\n",
        !more.contains("// no promise"),
    )
}

struct Given {
    bench: Bench,
    hook: Hook,
}

impl Given {
    /// The deployment with this script.
    fn new(layout: &str, first: &str) -> Self {
        interpreters();
        let bench = Bench::new(DEPLOYMENT, layout);
        let hook = Hook::start();
        let given = Self { bench, hook };
        let river =
            given.bench.river.clone().env("GIVE", given.file("first.js", first)).env("HOOK", given.hook.origin());
        Self { bench: Bench { river, home: given.bench.home }, hook: given.hook }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.bench.home.path().join(name);
        std::fs::write(&path, text).expect("a fresh file");
        path.display().to_string()
    }

    /// The rows of a key that were taken, each with its epoch and the version that took it; epochs that came again once.
    fn taken(&self, k: &str) -> Vec<(i64, u64, i64)> {
        let mut found = vec![];
        for Posted { epoch, rows, .. } in self.hook.posted() {
            for row in rows {
                let row: Value = serde_json::from_str(&row).expect("JSON");
                if row["k"] == k {
                    found.push((row["n"].as_i64().expect("n"), epoch, row["version"].as_i64().expect("a version")));
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Waits until so many rows of a key were taken.
    fn wait(&self, k: &str, many: usize) -> Vec<(i64, u64, i64)> {
        eventually("the rows are taken", || match self.taken(k) {
            found if found.len() >= many => Ok(found),
            found => Err(format!("{found:?}")),
        })
    }
}

fn from_an_epoch_on(layout: &str) {
    let given = Given::new(layout, &script(1, false, ""));
    let second = given.file("second.js", &script(2, false, ""));
    let mut running = given.bench.river.up();
    let address = running.address();
    post(&address, &[(1, "a"), (2, "a")]);
    let done = while_posting(&address, || given.bench.swapped(&address, "give", &second, &[]));
    assert!(done["canary"].is_null() && done["states"].is_null(), "{done}");
    post(&address, &[(3, "a"), (4, "a")]);
    let swapped = done["epoch"].as_u64().expect("an epoch");
    let found = given.wait("a", 4);
    let versions: Vec<(i64, i64)> = found.iter().map(|(n, _, version)| (*n, *version)).collect();
    assert_eq!(versions, [(1, 1), (2, 1), (3, 2), (4, 2)]);
    for (n, epoch, version) in given.taken("more").into_iter().chain(found) {
        assert_eq!(version == 2, epoch >= swapped, "{n} in epoch {epoch} by {version}, swapped at {swapped}");
    }
    let query = http::get(&address, "/v1/queries/taken").ok();
    assert_eq!(query["plugins"]["give"], done["to"], "{query}");
    given.bench.drain(running, &address);
    let river = given.bench.river.clone().env("GIVE", &second);
    river.catch_up().ok("the new file");
}

#[test]
fn a_sink_is_swapped_between_two_epochs_in_kappa() {
    from_an_epoch_on("kappa");
}

#[test]
fn a_sink_is_swapped_between_two_epochs_in_lambda() {
    from_an_epoch_on("lambda");
}

#[test]
fn what_cannot_take_the_place_of_a_sink_is_refused() {
    let given = Given::new("kappa", &script(1, false, ""));
    let mut running = given.bench.river.up();
    let address = running.address();
    post(&address, &[(1, "a")]);
    let other = script(2, false, "");
    for (name, text, more, reason) in [
        ("syntax.js", "export function (", &[][..], "SyntaxError"),
        ("keep.js", "export const map = (row) => row;", &[], "`give` sends no requests: take its `grants` out"),
        (
            "option.js",
            &script(2, false, "export function describe({options}) { if (!options.key) throw 'needs `key`'; }"),
            &[],
            "needs `key`",
        ),
        ("promise.js", &script(2, false, "// no promise"), &[], "sink `out` delivers exactly once, and the new one"),
        (
            "other.js",
            &other,
            &["--expect", "same"],
            "is not asked twice: whether another does the same cannot be tried",
        ),
    ] {
        let file = given.file(name, text);
        given.bench.refused(&address, "give", &file, more, reason);
    }
    post(&address, &[(2, "a")]);
    let versions: Vec<i64> = given.wait("a", 2).into_iter().map(|(_, _, version)| version).collect();
    assert_eq!(versions, [1, 1]);
    assert_eq!(running.stop().code(), Some(TERMINATED));
}

#[test]
fn a_sink_that_begins_to_fail_is_swapped_back() {
    let given = Given::new("lambda", &script(1, false, ""));
    let picky = given.file("picky.js", &script(2, true, ""));
    let mut running = given.bench.river.up();
    let address = running.address();
    post(&address, &[(1, "good")]);
    given.bench.swapped(&address, "give", &picky, &["--probation-epochs", "100000"]);
    post(&address, &[(2, "good")]);
    given.wait("good", 2);
    http::ingest(&address, "events", b"{\"n\": 3, \"k\": \"bad\"}\n").expect("an answer").ok();
    let back = eventually("it is swapped back", || {
        let swap = http::get(&address, "/v1/queries/taken").ok()["swap"].clone();
        swap["back"].as_str().map(str::to_owned).ok_or_else(|| format!("{swap}\n{}", running.said()))
    });
    assert!(back.starts_with("it failed on ") && back.contains(" epochs, the one before on 0 of "), "{back}");
    let bad = given.wait("bad", 1);
    assert_eq!((bad.len(), bad[0].2), (1, 1), "the old one took it: {bad:?}");
    let versions: Vec<i64> = given.taken("good").into_iter().map(|(_, _, version)| version).collect();
    assert_eq!(versions, [1, 2]);
    assert_eq!(running.stop().code(), Some(TERMINATED));
}

/// What the epoch under way cannot pass is what another is for.
#[test]
fn a_sink_that_fails_is_mended_by_another() {
    let given = Given::new("kappa", &script(1, true, ""));
    let good = given.file("good.js", &script(2, false, ""));
    let mut running = given.bench.river.up();
    let address = running.address();
    http::ingest(&address, "events", b"{\"n\": 1, \"k\": \"bad\"}\n").expect("an answer").ok();
    eventually("it fails", || {
        let said = running.said();
        if said.contains("cannot take it") { Ok(()) } else { Err(said) }
    });
    let done = given.bench.swapped(&address, "give", &good, &[]);
    let bad = given.wait("bad", 1);
    assert_eq!(bad, [(1, done["epoch"].as_u64().expect("an epoch"), 2)]);
    post(&address, &[(2, "good")]);
    assert_eq!(given.wait("good", 1)[0].2, 2);
    assert_eq!(running.stop().code(), Some(TERMINATED));
}
