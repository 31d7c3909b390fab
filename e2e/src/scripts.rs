//! Scripts in JavaScript, TypeScript and Python: their interpreters, built once; sinks that post, and what they are granted;
//! and components that are made of them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::braid::{River, binary, eventually, root};
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
            interpreter(language);
        }
        let home = tempfile::tempdir().expect("a temporary directory");
        let file = |name: &str, text: &str| std::fs::write(home.path().join(name), text).expect("a fresh file");
        file("deployment.yaml", WARM);
        file("keep.js", "export const map = (row) => row;");
        file("keep.py", "def map(row):\n    return row\n");
        River::new(home.path().join("deployment.yaml"), home.path()).finish("validate", &[]).ok("scripts");
    });
}

/// Where the interpreter of a language is.
pub fn interpreter(language: &str) -> PathBuf {
    let built = Command::new(root().join("plugins/build")).args(["--interpreter", language]).output();
    let built = built.expect("plugins/build runs");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "the interpreter of {language} cannot be built: {said}");
    PathBuf::from(String::from_utf8_lossy(&built.stdout).trim())
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
  ts: {script: "${PLUGINS}/guest-js/examples/post.ts", limits: {time: 10s}, grants: {http: ["${HOOK}"]}}
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
  from_ts:
    from: counts
    output_mode: update
    delivery: exactly_once
    plugin: ts
    options: {url: "${HOOK}/ts"}
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
    for sink in ["from_js", "from_ts", "from_python"] {
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

/// What only a sink may have: the time, dice, and requests; and what all may, values and the log.
const GRANTED: &str = r#"
apiVersion: braid/v1
name: granted
layout: kappa
store: memory://
sources:
  events: {files: {path: "${INPUT}"}, format: json, schema: {id: long}}
plugins:
  js: {script: all.js, grants: {http: ["${HOOK}"], log: true, env: {PLACE: here}, clock: true, random: true}}
  ts: {script: all.ts, grants: {http: ["${HOOK}"], log: true, env: {PLACE: here}, clock: true, random: true}}
  python: {script: all.py, grants: {http: ["${HOOK}"], log: true, env: {PLACE: here}, clock: true, random: true}}
views:
  ids: {sql: "SELECT id FROM events"}
sinks:
  from_js: {from: ids, plugin: js, options: {url: "${HOOK}/js"}}
  from_ts: {from: ids, plugin: ts, options: {url: "${HOOK}/ts"}}
  from_python: {from: ids, plugin: python, options: {url: "${HOOK}/python"}}
"#;

const ALL_JS: &str = r#"
const STARTED = Date.now();

export function process(row, sent) {
  console.info("posts", row);
  const place = env("PLACE");
  const bytes = crypto.getRandomValues(new Uint8Array(5000));
  const body = {
    place, other: env("OTHER"), at: Date.now(), later: new Date().getTime() - STARTED >= 0,
    dice: Math.random(), uuid: crypto.randomUUID(), zeros: bytes.filter((byte) => byte === 0).length,
  };
  http.post(sent, JSON.stringify(body), {"braid-sink": "js", "braid-epoch": "0"});
}

export const open = ({options}) => options.url;
"#;

const ALL_PY: &str = r#"
import json
import logging
import random
import secrets
import time
import uuid
from datetime import date, datetime, timezone

from braid_guest import env, http

STARTED = time.time()


def open(setting, epoch):
    return setting.options["url"]


def process(row, sent):
    logging.info("posts %s", json.dumps(row))
    now = datetime.now(timezone.utc)
    assert isinstance(now, datetime) and isinstance(datetime(2026, 1, 1), datetime) and isinstance(date.today(), date)
    assert abs((datetime.now() - datetime.fromtimestamp(time.time())).total_seconds()) < 60 and time.gmtime().tm_year > 2000
    body = {
        "place": env("PLACE"),
        "other": env("OTHER"),
        "at": int(now.timestamp() * 1000),
        "later": time.time() >= STARTED,
        "dice": random.random(),
        "uuid": str(uuid.uuid4()),
        "zeros": secrets.token_bytes(5000).count(0),
    }
    http.post(sent, json.dumps(body), {"braid-sink": "python", "braid-epoch": "0"})
"#;

/// A script in each language, and in TypeScript as it is in JavaScript.
fn in_each_language(folder: &Path, javascript: &str, python: &str) {
    for (name, text) in [("all.js", javascript), ("all.ts", &typed(javascript)), ("all.py", python)] {
        std::fs::write(folder.join(name), text).expect("a fresh file");
    }
}

fn typed(javascript: &str) -> String {
    javascript.replace("(row, sent)", "(row: object, sent: string): void").replace("\"js\"", "\"ts\"")
}

#[test]
fn sinks_have_the_time_and_dice_where_they_are_granted() {
    interpreters();
    let home = tempfile::tempdir().expect("a temporary directory");
    let input = home.path().join("input");
    std::fs::create_dir(&input).expect("a fresh directory");
    std::fs::write(input.join("0.json"), "{\"id\":1}\n{\"id\":2}\n").expect("a fresh file");
    let deployment = home.path().join("deployment.yaml");
    let hook = Hook::start();
    let river = |text: &str| {
        std::fs::write(&deployment, text).expect("a file");
        River::new(&deployment, home.path()).env("INPUT", input.display()).env("HOOK", hook.origin())
    };
    in_each_language(home.path(), ALL_JS, ALL_PY);
    let began = SystemTime::now();
    let ended = river(GRANTED).catch_up();
    for plugin in ["js", "ts", "python"] {
        let lines = ended.err.lines().filter(|line| line.contains(&format!("plugin=\"{plugin}\"")));
        assert_eq!(lines.filter(|line| line.contains("posts {\"id\":")).count(), 2, "{}", ended.err);
        let posted = hook.posted().into_iter().filter(|posted| posted.sink == plugin);
        let bodies: Vec<Value> = posted.map(|posted| serde_json::from_str(&posted.rows[0]).expect("JSON")).collect();
        assert_eq!(bodies.len(), 2, "{plugin}: {}", ended.err);
        for body in &bodies {
            assert_eq!((&body["place"], &body["other"], &body["later"]), (&"here".into(), &Value::Null, &true.into()));
            let at = SystemTime::UNIX_EPOCH + Duration::from_millis(body["at"].as_u64().expect("milliseconds"));
            assert!(at + Duration::from_secs(1) > began && at < SystemTime::now() + Duration::from_secs(1), "{body}");
            let dice = body["dice"].as_f64().expect("a number");
            assert!((0.0..1.0).contains(&dice), "{body}");
            let uuid = body["uuid"].as_str().expect("a text");
            assert!(uuid.len() == 36 && uuid.as_bytes()[14] == b'4', "{body}");
            assert!(body["zeros"].as_u64().is_some_and(|zeros| zeros < 200), "5000 bytes are random: {body}");
        }
        assert!(bodies[0]["dice"] != bodies[1]["dice"] && bodies[0]["uuid"] != bodies[1]["uuid"], "{bodies:?}");
    }
    ended.ok("all is granted");
    let with = |grants: &str| GRANTED.replace(", log: true, env: {PLACE: here}, clock: true, random: true", grants);
    for (grants, wanted) in [
        ("", "there is no clock in a plugin"),
        (", clock: true", "needs `grants: {log: true}` of the plugin"),
        (", clock: true, log: true", "needs `grants: {env: {NAME: value}}` of the plugin"),
        (", clock: true, log: true, env: {A: b}", "there is no randomness in a plugin"),
    ] {
        let store = home.path().join("store");
        if store.exists() {
            std::fs::remove_dir_all(&store).expect("the store of before");
        }
        // At the top level it is a mistake of the deployment; later the epoch is tried again.
        let running = river(&with(grants)).start_run();
        eventually(wanted, || {
            let said = running.said();
            if said.contains(wanted) { Ok(()) } else { Err(said) }
        });
    }
}

/// Braid's own commands about plugins, in a directory.
fn braid_plugin(here: &Path, arguments: &[&str]) -> String {
    let done = Command::new(binary()).arg("plugin").args(arguments).current_dir(here).output().expect("it runs");
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{arguments:?}: {out}{err}");
    out.into_owned()
}

/// The examples, as scripts or as components made of them: the answers must be the same.
const EXAMPLES: &str = r#"
apiVersion: braid/v1
name: examples
layout: kappa
store: memory://
sources:
  hits: {files: {path: "${INPUT}", max_files_per_trigger: 1}, format: json, schema: {id: long, url: string, tags: string, ms: double, word: string}}
plugins:
  clean: {CLEAN}
  host_of: {HOST_OF}
  mean_of: {MEAN}
  count: {COUNT}
streams:
  cleaned: {from: hits, apply: [clean]}
  counted: {from: hits, transform_with_state: {plugin: count, key: word, time_mode: none}}
views:
  tags: {sql: "SELECT host, tag, count(*) AS n FROM cleaned GROUP BY host, tag"}
  means: {sql: "SELECT host_of(url) AS host, mean_of(ms) AS mean FROM hits WHERE url <> 'broken' GROUP BY host_of(url)"}
  words: {sql: "SELECT word, max(count) AS n FROM counted GROUP BY word"}
"#;

fn component_of_a_script_answers_the_same(extension: &str, folder: &str) {
    interpreters();
    let home = tempfile::tempdir().expect("a temporary directory");
    let here = home.path();
    let input = here.join("input");
    std::fs::create_dir(&input).expect("a fresh directory");
    let examples = root().join("plugins").join(folder).join("examples");
    let (mut as_scripts, mut as_components) = (EXAMPLES.to_owned(), EXAMPLES.to_owned());
    for name in ["clean", "host_of", "mean", "count"] {
        let script = examples.join(format!("{name}.{extension}")).display().to_string();
        let component = here.join(format!("{name}.wasm")).display().to_string();
        let built = braid_plugin(here, &["build", &script, "-o", &component]);
        let said = format!("script    {name}.{extension}, in ");
        assert!(built.contains(&said) && built.contains("imports   what it is granted"), "{built}");
        let key = format!("{{{}}}", name.to_uppercase());
        as_scripts = as_scripts.replace(&key, &format!("{{script: \"{script}\", limits: {{time: 10s}}}}"));
        as_components = as_components.replace(&key, &format!("{{component: \"{component}\", limits: {{time: 10s}}}}"));
    }
    let questions = [
        "SELECT host, tag, n FROM tags",
        "SELECT host, mean FROM means",
        "SELECT word, n FROM words",
        "SELECT reason, record FROM dead_letters",
    ];
    let mut answers = vec![];
    for (text, layout) in [(&as_scripts, "kappa"), (&as_components, "kappa"), (&as_components, "lambda")] {
        let at = here.join(format!("{layout}-{}", answers.len()));
        std::fs::create_dir(&at).expect("a fresh directory");
        std::fs::write(at.join("deployment.yaml"), text).expect("a fresh file");
        let river = River::new(at.join("deployment.yaml"), &at).env("INPUT", input.display()).layout(layout);
        // What is carried away needs no interpreter. (That of Python is compiled once for all tests: it is large.)
        let alone = text == &as_components && extension != "py";
        let river = if alone { river.env("BRAID_CACHE", here.join("cache").display()) } else { river };
        for file in 0..2 {
            let rows: String = (0..6).map(|id| hit(6 * file + id)).collect();
            std::fs::write(input.join(format!("{file}.json")), rows).expect("a file");
            river.catch_up().ok(layout);
        }
        answers.push(questions.map(|question| river.sorted(question)));
    }
    assert!(answers[0].iter().all(|answer| !answer.is_empty()), "{:?}", answers[0]);
    assert_eq!(answers[0], answers[1], "as scripts, and as components");
    assert_eq!(answers[1], answers[2], "in both layouts");
}

fn hit(id: usize) -> String {
    let url = ["http://A.example/", "https://b.example:1/x", "broken"][id % 3];
    let word = ["epoch", "delta"][id % 2];
    format!("{{\"id\":{id},\"url\":\"{url}\",\"tags\":\"red,t{}\",\"ms\":{id},\"word\":\"{word}\"}}\n", id % 4)
}

#[test]
fn components_of_scripts_in_javascript_answer_as_the_scripts_do() {
    component_of_a_script_answers_the_same("js", "guest-js");
}

#[test]
fn components_of_scripts_in_typescript_answer_as_the_scripts_do() {
    component_of_a_script_answers_the_same("ts", "guest-js");
}

#[test]
fn components_of_scripts_in_python_answer_as_the_scripts_do() {
    component_of_a_script_answers_the_same("py", "guest-python");
}

/// Types of the examples, of what `braid plugin new` writes, and of the tests' own, by TypeScript's own compiler.
#[test]
fn what_is_written_in_typescript_has_its_types() {
    let sources = root().join("e2e/typescript");
    let home = tempfile::tempdir().expect("a temporary directory");
    let here = home.path();
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(sources.join(name), here.join(name)).expect("a fresh file");
    }
    let npm = Command::new("npm")
        .args(["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(here)
        .output();
    let npm = npm.expect("npm is there, as it is for the interpreter");
    assert!(npm.status.success(), "{}", String::from_utf8_lossy(&npm.stderr));
    braid_plugin(here, &["new", "all", "--lang", "ts"]);
    let to = here.join("all");
    for world in ["scalar", "aggregate", "stateful", "sink"] {
        braid_plugin(here, &["new", world, "--lang", "ts", "--world", world]);
        std::fs::rename(here.join(format!("{world}/{world}.ts")), to.join(format!("new_{world}.ts")))
            .expect("a template");
    }
    let cases = root().join("e2e/cases");
    let own = [cases.join("P1-typescript/typed.ts"), cases.join("P1-scripts-grants/region.ts")];
    let examples = std::fs::read_dir(root().join("plugins/guest-js/examples")).expect("examples");
    let examples = examples.map(|file| file.expect("a file").path());
    for file in examples.filter(|file| file.extension().is_some_and(|end| end == "ts")).chain(own) {
        std::fs::copy(&file, to.join(file.file_name().expect("a name"))).expect("a fresh file");
    }
    let tsc = |here: &Path| {
        let tsc = home.path().join("node_modules/.bin/tsc");
        let done = Command::new(tsc).args(["--pretty", "false"]).current_dir(here).output().expect("tsc runs");
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    assert_eq!(tsc(&to), "");
    // And types that are wrong are found.
    std::fs::write(
        to.join("wrong.ts"),
        "import type { Columns, Made } from \"braid\";\n\
         export const output = { id: \"long\" } as const satisfies Columns;\n\
         export const map = (): Made<typeof output> => ({ id: \"a\" });\n\
         export const other = { id: \"bigint\" } as const satisfies Columns;\n",
    )
    .expect("a fresh file");
    let said = tsc(&to);
    assert!(said.contains("wrong.ts(3,50)") && said.contains("wrong.ts(4,24)") && said.lines().count() < 8, "{said}");
}
