//! Scripts in JavaScript and Python: their interpreters, built once, and sinks that post.

use std::process::Command;
use std::sync::OnceLock;

use crate::braid::{River, root};
use crate::cases::same;
use crate::hook::Hook;

/// Nothing but scripts: whoever checks it has the interpreters' code compiled and kept.
const WARM: &str = r#"
apiVersion: braid/v1
name: warm
layout: kappa
store: memory://
sources:
  events: {files: {path: "/nowhere"}, format: json, schema: {id: long}}
plugins:
  js: {script: keep.js}
  python: {script: keep.py}
streams:
  a: {from: events, apply: [js, python]}
views:
  n: {sql: "SELECT count(*) AS n FROM a"}
"#;

/// Has the interpreters built and compiled, once for all tests.
pub fn interpreters() {
    static READY: OnceLock<()> = OnceLock::new();
    READY.get_or_init(|| {
        for language in ["js", "python"] {
            let built = Command::new(root().join("plugins/build")).args(["--interpreter", language]).output();
            let built = built.expect("plugins/build runs");
            let said = String::from_utf8_lossy(&built.stderr);
            assert!(built.status.success(), "the interpreter of {language} cannot be built: {said}");
        }
        let home = tempfile::tempdir().expect("a temporary directory");
        let file = |name: &str, text: &str| std::fs::write(home.path().join(name), text).expect("a fresh file");
        file("deployment.yaml", WARM);
        file("keep.js", "export const map = (row) => row;");
        file("keep.py", "def map(row):\n    return row\n");
        River::new(home.path().join("deployment.yaml"), home.path()).finish("validate", &[]).ok("scripts");
    });
}

const SINKS: &str = r#"
apiVersion: braid/v1
name: posted
layout: kappa
store: memory://
sources:
  events:
    files: {path: "${INPUT}", max_files_per_trigger: 1}
    format: json
    schema: {id: long, k: string}
plugins:
  js: {script: "${PLUGINS}/guest-js/examples/post.js", limits: {time: 10s}, grants: {http: ["${HOOK}"]}}
  python: {script: "${PLUGINS}/guest-python/examples/post.py", limits: {time: 10s}, grants: {http: ["${HOOK}"]}}
views:
  counts: {sql: "SELECT k, count(*) AS n FROM events GROUP BY k"}
sinks:
  from_js:
    from: counts
    output_mode: update
    delivery: exactly_once
    plugin: js
    options: {url: "${HOOK}/js"}
  from_python:
    from: counts
    output_mode: update
    delivery: exactly_once
    plugin: python
    options: {url: "${HOOK}/python"}
"#;

#[test]
fn scripts_post_what_a_view_changed() {
    interpreters();
    let home = tempfile::tempdir().expect("a temporary directory");
    let input = home.path().join("input");
    std::fs::create_dir(&input).expect("a fresh directory");
    let deployment = home.path().join("deployment.yaml");
    std::fs::write(&deployment, SINKS).expect("a fresh file");
    let hook = Hook::start();
    let river = River::new(deployment, home.path())
        .env("INPUT", input.display())
        .env("PLUGINS", root().join("plugins").display())
        .env("HOOK", hook.origin());
    for (file, layout) in [(0, "kappa"), (1, "lambda")] {
        let rows: String = (0..10).map(|id| format!("{{\"id\":{id},\"k\":\"k{}\"}}\n", id % 2)).collect();
        std::fs::write(input.join(format!("{file}.json")), rows).expect("a fresh file");
        river.clone().layout(layout).catch_up().ok("two files");
    }
    for sink in ["from_js", "from_python"] {
        let mut posted: Vec<_> = hook.posted().into_iter().filter(|posted| posted.sink == sink).collect();
        posted.dedup_by(|again, first| again.key == first.key);
        let rows: Vec<Vec<String>> = posted.into_iter().map(|posted| posted.rows).collect();
        let row = |key: &str, n: u64| format!("{{\"k\":\"{key}\",\"n\":{n}}}");
        assert_eq!(rows.len(), 2, "{sink}: an epoch a file: {rows:?}");
        for (rows, n) in rows.iter().zip([5, 10]) {
            same(sink, rows, vec![row("k0", n), row("k1", n)]);
        }
    }
}
