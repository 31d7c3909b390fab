//! `braid test`: tests that pass, that fail in every run, and that fail only where records are cut or a process is killed.

use std::path::Path;

use serde_json::Value;

use crate::braid::{Ended, River, root};
use crate::hostile::crimes;
use crate::oracle::files;

/// Runs the tests of a deployment; all of them, or these.
fn tried(deployment: impl AsRef<Path>, more: &[&str]) -> Ended {
    River::new(deployment.as_ref(), Path::new("/nowhere")).finish("test", more)
}

/// Runs tests in a deployment of one view.
fn of(view: &str, more: &str, tests: &str) -> Ended {
    let home = tempfile::tempdir().expect("a temporary directory");
    let text = format!(
        "apiVersion: braid/v1\nname: tried\nlayout: kappa\nsources:\n  rows:\n    files: {{path: /nowhere}}\n    format: json\n    \
         schema: {{k: string, n: long, at: timestamp}}\n    watermark: {{event_time: at, delay: 10s}}\n{more}\
         views:\n  v: {{sql: \"{view}\"}}\ntests:\n{tests}"
    );
    let file = home.path().join("tried.yaml");
    std::fs::write(&file, text).expect("a fresh file");
    let mut ended = tried(&file, &[]);
    let folder = format!("{}/", home.path().display());
    ended.out = without_times(&ended.out.replace(&folder, ""));
    ended.err = ended.err.replace(&folder, "");
    ended
}

/// The stream `s` of rows that pass through an evil plugin.
fn through(crime: &str) -> String {
    let component = crimes().join(format!("{crime}.wasm"));
    format!(
        "plugins: {{p: {{component: {}, limits: {{time: 10s}}}}}}\nstreams: {{s: {{from: rows, apply: [p]}}}}\n",
        component.display()
    )
}

/// What is said, but for how long it took.
fn without_times(said: &str) -> String {
    let lines = said.lines().map(|line| match line.rsplit_once(" runs, ") {
        Some((before, after)) if after.ends_with(" ms)") => format!("{before} runs)\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

fn said(ended: &Ended, code: i32, expected: &str) {
    assert_eq!(ended.status.code(), Some(code), "{}\n{}", ended.out, ended.err);
    assert_eq!(ended.out.trim_end(), expected.trim(), "--- stderr\n{}", ended.err);
}

const SUMS: &str = "SELECT k, sum(n) AS total FROM rows GROUP BY k";

#[test]
fn the_tests_of_kept_deployments_pass() {
    let mut tested = 0;
    for path in files(&root().join("deploy"), "yaml") {
        let text = std::fs::read_to_string(&path).expect("a readable file");
        if !text.contains("\ntests:") {
            continue;
        }
        let river = River::new(&path, Path::new("/nowhere")).env("RETAIL_DATA", "/nowhere").env("YSB_ADS", "/nowhere");
        let out = river.finish("test", &[]).ok(&path.display().to_string());
        assert!(out.contains(", 0 failed; ") && out.contains("lambda") && out.contains("kappa"), "{out}");
        tested += 1;
    }
    assert!(tested >= 2, "only {tested} deployments have tests");
}

#[test]
fn plugins_of_every_kind_are_tested_without_a_network() {
    let out = tried("e2e/trials/plugins.yaml", &[]).ok("plugins");
    assert!(out.contains("4 passed, 0 failed"), "{out}");
}

#[test]
fn what_remembers_rows_is_tested() {
    let out = tried("e2e/trials/streams.yaml", &[]).ok("streams");
    assert!(out.contains("3 passed, 0 failed"), "{out}");
}

#[test]
fn a_wrong_expectation_says_what_there_is() {
    let tests = "  - name: sums\n    given: {rows: [{k: a, n: 1}, {k: a, n: 2}, {k: b, n: 5}]}\n    expect:\n      v: [{k: a, total: 4}, \
                 {k: b, total: 5}]\n  - name: counts\n    given: {rows: ['{']}\n    expect: {v: 0, dead_letters: 2}\n";
    said(
        &of(SUMS, "", tests),
        1,
        "\
FAILED  sums (tried.yaml:13, 14 runs)
        `v` (line 16) is not as expected, in each of 14 runs
        (- expected, + found)
          k  total
        + a  3
        - a  4
          b  5
        the first is: layout kappa, one epoch
FAILED  counts (tried.yaml:17, 2 runs)
        `dead_letters` (line 19) is not as expected, in each of 2 runs
        2 rows are expected, and there are 1:
          epoch  source  partition  offset  reason                                   record  bytes
        + 0      rows    0          0       expected a key at byte 1, found the end  {       null
        the first is: layout kappa, one epoch
0 passed, 2 failed; 16 runs in kappa and lambda",
    );
}

#[test]
fn json_says_the_same() {
    let out = tried(
        "e2e/trials/streams.yaml",
        &["what is late is counted in its window, and not given out", "--output", "json"],
    );
    let all: Value = serde_json::from_str(&out.ok("streams")).expect("JSON");
    assert_eq!(all["passed"], 1);
    assert_eq!(all["layouts"], serde_json::json!(["lambda", "kappa"]));
    assert_eq!(all["tests"][0]["ok"], true);
    assert!(all["tests"][0]["runs"].as_u64() > Some(100), "{all}");
    let out = tried("e2e/trials/streams.yaml", &["--layout", "kappa", "--output", "json"]).ok("streams");
    assert_eq!(serde_json::from_str::<Value>(&out).expect("JSON")["layouts"], serde_json::json!(["kappa"]));
    let missed = tried("e2e/trials/streams.yaml", &["sesions"]);
    assert_eq!(missed.status.code(), Some(2), "{}", missed.err);
    assert!(missed.err.contains("there is no test `sesions`"), "{}", missed.err);
}

/// What is late depends on where epochs end.
#[test]
fn a_cut_that_matters_is_found() {
    let view = "SELECT window(at, '1 minute') AS w, count(*) AS n FROM rows GROUP BY window(at, '1 minute')";
    let rows = "{at: 2026-01-01 00:00:01}, {at: 2026-01-01 00:05:00}, {at: 2026-01-01 00:00:02}";
    let tests =
        format!("  - name: late\n    given:\n      rows: [{rows}]\n    expect:\n      v: 2\n      late_rows: 0\n");
    let sinks = "sinks:\n  final: {from: v, output_mode: append, console: {}}\n";
    said(
        &of(view, sinks, &tests),
        1,
        "\
FAILED  late (tried.yaml:15, 14 runs)
        `late_rows` (line 20) is not as expected, in 8 of 14 runs
        0 rows are expected, and there are 1:
          epoch  view  watermark_ms   row
        + 1      v     1767225890000  \"{\\\"at\\\":\\\"2026-01-01T00:00:02\\\"}\"
        the first is: layout kappa, cut after the record of `rows` in line 17
        answers must not depend on where epochs end: a plugin may see how rows come together; where it is
        right that they do (what is late, timers), write the records as steps, a list under `given`
0 passed, 1 failed; 14 runs in kappa and lambda",
    );
}

/// A plugin that sees how rows come together is what a law forbids, and what a cut shows.
#[test]
fn a_plugin_that_sees_batches_is_found_by_a_cut() {
    let plugin = through("sees_batches");
    let tests = "  - name: together\n    given: {rows: [{n: 1}, {n: 2}]}\n    expect: {v: [{n: 1, together: 2}, {n: 2, together: 2}]}\n";
    said(
        &of("SELECT n, together FROM s", &plugin, tests),
        1,
        "\
FAILED  together (tried.yaml:15, 6 runs)
        `v` (line 17) is not as expected, in 4 of 6 runs
        (- expected, + found)
          n  together
        + 1  1
        - 1  2
        + 2  1
        - 2  2
        the first is: layout kappa, cut after the record of `rows` in line 16
        answers must not depend on where epochs end: a plugin may see how rows come together; where it is
        right that they do (what is late, timers), write the records as steps, a list under `given`
0 passed, 1 failed; 6 runs in kappa and lambda",
    );
}

/// A plugin that remembers what it should not is the same until it is started anew.
#[test]
fn a_plugin_that_remembers_calls_is_found_by_a_crash() {
    let plugin = through("counts_calls");
    let tests = "  - name: calls\n    given: [{rows: [{n: 1}]}, {rows: [{n: 2}]}]\n    expect: {v: [{n: 1, call: 0}, {n: 2, call: 1}]}\n";
    said(&of("SELECT n, call FROM s", &plugin, tests), 1,
        "\
FAILED  calls (tried.yaml:15, 12 runs)
        `v` (line 17) is not as expected, after a crash, and is without one
        (- expected, + found)
          n  call
          1  0
        + 2  0
        - 2  1
        the first is: layout kappa, an epoch for each step, killed after write 4 (manifest/edit/00000000000000000003.json)
0 passed, 1 failed; 12 runs in kappa and lambda",
    );
}

#[test]
fn mistakes_in_tests_have_a_line_and_a_suggestion() {
    let names = "  - name: a\n    given:\n      rwos: []\n    expect:\n      w: 1\n  - name: b\n    given: {}\n";
    refused(
        &of(SUMS, "", names),
        &[
            "there is no source or table `rwos`",
            "did you mean `rows`?",
            "no view or sink `w`",
            "needs the key `expect`",
        ],
    );
    let types = "  - name: a\n    given:\n      rows: [{k: 1, n: one, at: soon, kk: a}, {n: \"1\"}]\n    expect:\n      \
                 v: [{k: a, totl: 1}, {total: 1.5}]\n      dead_letters: [{epoch: 0}]\n";
    refused(
        &of(SUMS, "", types),
        &[
            "tried.yaml:15:18",
            "here stands the number `1`, and the column is string",
            "write \"1\" if it is meant as text",
            "here stands the text `one`, and the column is long",
            "write an instant such as `2026-01-01 00:00:10`",
            "there is no column `kk`; there are `k`, `n`, `at`",
            "write it without quotes: 1",
            "there is no column `totl`; there are `k`, `total`",
            "did you mean `total`?",
            "here stands the number `1.5`",
            "`epoch` depends on how records are cut into epochs",
        ],
    );
}

/// Refused, with all of this said.
fn refused(ended: &Ended, parts: &[&str]) {
    assert_eq!(ended.status.code(), Some(2), "{}", ended.out);
    for part in parts {
        assert!(ended.err.contains(part), "{part:?} is not said:\n{}", ended.err);
    }
}
