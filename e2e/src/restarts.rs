//! What may change between restarts: every row of `docs/restarts.md`, planned and started through the binary.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::braid::{River, TERMINATED, eventually, root};

/// Every kind of part. The brokers and the socket's server are away, which holds nobody up.
const BEFORE: &str = r#"
apiVersion: braid/v1
name: changing
layout: ${HERE}/mine.yaml
store: memory://
sources:
  hits:
    files: {path: "${HERE}/hits"}
    format: json
    schema: {at: timestamp, seen: timestamp, ip: string, path: string}
    watermark: {event_time: at, delay: 10s, idle_timeout: 1m}
  topic:
    kafka: {brokers: "127.0.0.1:1", subscribe: one, starting_offsets: latest, client: {retries: 5}}
    format: json
    schema: {n: long}
  lines: {socket: {host: 127.0.0.1, port: 1}}
  ticks: {rate: {rows_per_second: 1, rows_max: 1}}
  spare: {http: {}, format: json, schema: {n: long}}
tables:
  names: {file: {path: "${HERE}/names.csv"}, format: csv, schema: {ip: string, name: string}, refresh: 1h}
  more: {file: {path: "${HERE}/names.csv"}, format: csv, schema: {ip: string, name: string}}
plugins:
  anonymise: {component: plugins/anonymise/anonymise.wasm, limits: {time: 10s}}
  counter: {component: plugins/running_count/running_count.wasm, limits: {time: 12s}}
  notify: {component: plugins/notify/notify.wasm, grants: {http: ["http://127.0.0.1:1"]}}
streams:
  clean: {from: hits, apply: [anonymise]}
  counted: {from: hits, transform_with_state: {plugin: counter, key: path}}
views:
  counts: {sql: "SELECT key, max(count) AS n FROM counted GROUP BY key"}
  networks: {sql: "SELECT ip AS network, count(*) AS n FROM clean GROUP BY ip"}
  named: {sql: "SELECT h.path, t.name FROM hits h JOIN names t ON h.ip = t.ip"}
sinks:
  out: {from: networks, output_mode: update, console: {}}
serving: {http: "127.0.0.1:0"}
"#;

/// A row of the table, an example's path, and what is replaced by what.
type Example = (&'static str, &'static str, &'static str, &'static str, &'static str);

const EXAMPLES: &[Example] = &[
    ("name", "changed", "name", "name: changing", "name: changed"),
    ("layout", "changed", "layout", "layout: ${HERE}/mine.yaml", "layout: lambda"),
    ("layout.*", "any", "layout.epoch", "/mine.yaml", "/slower/mine.yaml"),
    ("trigger", "changed", "trigger", "serving:", "trigger: {processing_time: 1s}\nserving:"),
    ("watermark_policy", "changed", "watermark_policy", "serving:", "watermark_policy: max\nserving:"),
    ("backpressure", "changed", "backpressure", "serving:", "backpressure: {enabled: true}\nserving:"),
    ("restart", "changed", "restart", "serving:", "restart: {max_attempts: 7}\nserving:"),
    ("serving", "changed", "serving", "127.0.0.1:0", "localhost:0"),
    ("state", "changed", "state", "serving:", "state: {memory: 7MiB}\nserving:"),
    ("sources.*", "added", "sources.fresh", "  spare:", "  fresh: {http: {}, format: text}\n  spare:"),
    ("sources.*", "removed", "sources.spare", "  spare: {http: {}, format: json, schema: {n: long}}\n", ""),
    (
        "sources.*.kind",
        "changed",
        "sources.spare.kind",
        "spare: {http: {}, format: json, schema: {n: long}}",
        "spare: {rate: {}}",
    ),
    (
        "sources.*.schema",
        "changed",
        "sources.spare.schema",
        "format: json, schema: {n: long}}\ntables",
        "format: json, schema: {n: int}}\ntables",
    ),
    ("sources.*.event_time", "any", "sources.hits.event_time", "event_time: at", "event_time: seen"),
    ("sources.*.delay", "changed", "sources.hits.delay", "delay: 10s", "delay: 20s"),
    ("sources.*.idle_timeout", "any", "sources.hits.idle_timeout", ", idle_timeout: 1m", ""),
    ("sources.*.format", "changed", "sources.spare.format", "{http: {}, format: json", "{http: {}, format: csv"),
    (
        "sources.*.on_bad_record",
        "changed",
        "sources.spare.on_bad_record",
        "spare: {http: {}",
        "spare: {on_bad_record: drop, http: {}",
    ),
    ("sources.*.limits", "changed", "sources.hits.limits", "/hits\"}", "/hits\", max_files_per_trigger: 2}"),
    (
        "sources.*.starting_offsets",
        "changed",
        "sources.topic.starting_offsets",
        "starting_offsets: latest",
        "starting_offsets: earliest",
    ),
    ("sources.*.topics", "changed", "sources.topic.topics", "subscribe: one", "subscribe: [one, two]"),
    ("sources.*.brokers", "changed", "sources.topic.brokers", "brokers: \"127.0.0.1:1\"", "brokers: \"127.0.0.1:2\""),
    ("sources.*.client", "changed", "sources.topic.client", "{retries: 5}", "{fetch.max.bytes: 1048576}"),
    (
        "sources.*.fail_on_data_loss",
        "changed",
        "sources.topic.fail_on_data_loss",
        "client: {retries: 5}",
        "client: {retries: 5}, fail_on_data_loss: false",
    ),
    ("sources.*.path", "changed", "sources.hits.path", "${HERE}/hits\"", "${HERE}/others\""),
    ("sources.*.clean_source", "changed", "sources.hits.clean_source", "/hits\"}", "/hits\", clean_source: delete}"),
    ("sources.*.address", "changed", "sources.lines.address", "port: 1}", "port: 2}"),
    ("sources.*.generator", "changed", "sources.ticks.generator", "rows_per_second: 1,", "rows_per_second: 2,"),
    (
        "tables.*",
        "added",
        "tables.fresh",
        "  more:",
        "  fresh: {file: {path: \"${HERE}/names.csv\"}, format: text}\n  more:",
    ),
    (
        "tables.*",
        "removed",
        "tables.more",
        "  more: {file: {path: \"${HERE}/names.csv\"}, format: csv, schema: {ip: string, name: string}}\n",
        "",
    ),
    (
        "tables.*.schema",
        "changed",
        "tables.more.schema",
        "schema: {ip: string, name: string}}\nstreams",
        "schema: {ip: string}}\nstreams",
    ),
    (
        "tables.*.from",
        "changed",
        "tables.names.from",
        "names: {file: {path: \"${HERE}/names.csv\"}",
        "names: {file: {path: \"${HERE}/names.cs?\"}",
    ),
    ("tables.*.refresh", "any", "tables.names.refresh", ", refresh: 1h", ""),
    ("plugins.*.limits", "changed", "plugins.anonymise.limits", "time: 10s", "time: 20s"),
    ("plugins.*.grants", "any", "plugins.notify.grants", "http://127.0.0.1:1", "http://127.0.0.1:2"),
    (
        "plugins.*.on_error",
        "changed",
        "plugins.anonymise.on_error",
        "limits: {time: 10s}",
        "limits: {time: 10s}, on_error: skip",
    ),
    ("streams.*.from", "any", "streams.clean.from", "clean: {from: hits", "twin: {from: hits}\n  clean: {from: twin"),
    ("streams.*.apply", "any", "streams.clean.apply", "apply: [anonymise]", "apply: []"),
    (
        "streams.*.drop_duplicates",
        "any",
        "streams.clean.drop_duplicates",
        "apply: [anonymise]}",
        "apply: [anonymise], drop_duplicates: {columns: [path]}}",
    ),
    (
        "streams.*.transform_with_state",
        "any",
        "streams.counted.transform_with_state",
        "key: path}}",
        "key: [path], time_mode: processing_time}}",
    ),
    ("views.*", "added", "views.fresh", "views:", "views:\n  fresh: {sql: SELECT path FROM hits}"),
    (
        "views.*",
        "removed",
        "views.named",
        "  named: {sql: \"SELECT h.path, t.name FROM hits h JOIN names t ON h.ip = t.ip\"}\n",
        "",
    ),
    ("views.*", "changed", "views.networks", "count(*) AS n", "count(*) AS many"),
    ("sinks.*", "added", "sinks.fresh", "sinks:", "sinks:\n  fresh: {from: named, console: {}}"),
    ("sinks.*", "removed", "sinks.out", "sinks:\n  out: {from: networks, output_mode: update, console: {}}\n", ""),
    ("sinks.*.from", "changed", "sinks.out.from", "out: {from: networks", "out: {from: named"),
    ("sinks.*.output_mode", "changed", "sinks.out.output_mode", "output_mode: update", "output_mode: complete"),
    (
        "sinks.*.delivery",
        "changed",
        "sinks.out.delivery",
        "output_mode: update",
        "output_mode: update, delivery: at_most_once",
    ),
    ("sinks.*.to", "changed", "sinks.out.to", "console: {}", "memory: {}"),
];

/// The deployment without its plugins, which cost a second at each start.
fn plain() -> String {
    let of_plugins = ["plugins:", "  anonymise:", "  counter:", "  notify:", "  counted:", "  counts:"];
    let lines = BEFORE.lines().filter(|line| !of_plugins.iter().any(|start| line.starts_with(start)));
    let text: String = lines.map(|line| line.replace(", apply: [anonymise]", "") + "\n").collect();
    assert!(!text.contains("anonymise") && !text.contains("counter"), "{text}");
    text
}

/// Whether a row is about plugins.
fn of_plugins(row: &str) -> bool {
    row.starts_with("plugins.") || row.starts_with("streams.") && row != "streams.*.from"
}

/// The row that needs a crash to be seen.
const PLANNED: &str = "sources.*.planned";

/// The table's rows: path, how, what happens.
fn rows() -> Vec<(String, String, String)> {
    let docs = std::fs::read_to_string(root().join("docs/restarts.md")).expect("a readable file");
    let rows = docs.lines().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let cells: Vec<&str> = line.split(" | ").collect();
        (cells[0].trim_matches(['|', ' ', '`']).to_owned(), cells[1].to_owned(), cells[2].to_owned())
    })
    .collect()
}

fn layout(every: &str) -> String {
    format!("speed: {{epoch: {{every: {every}}}}}\nlog: {{keep: until_folded}}\nbase: {{by: fold}}\n")
}

/// A directory with the inputs, and the deployment as it was.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it is in a directory")).expect("a directory");
        std::fs::write(path, text).expect("a fresh file");
    };
    write("mine.yaml", &layout("100ms"));
    write("slower/mine.yaml", &layout("200ms"));
    write("names.csv", "ip,name\n203.0.113.9,nine\n");
    let hit =
        "{\"at\":\"2026-01-01T00:00:00Z\",\"seen\":\"2026-01-01T00:00:00Z\",\"ip\":\"203.0.113.9\",\"path\":\"/\"}\n";
    write("hits/0.json", hit);
    std::fs::create_dir(home.path().join("others")).expect("a directory");
    write("deployment.yaml", BEFORE);
    write("plain.yaml", &plain());
    home
}

fn river(home: &Path, file: &str, store: &str) -> River {
    let mut river = River::new(home.join(file), home).env("HERE", home.display());
    river.store = format!("file://{}", home.join(store).display());
    river
}

/// Runs the deployment until it has committed something, and stops it.
fn written(river: &River) {
    let mut running = river.up();
    running.address();
    eventually("the file and the tick", || {
        let status = river.finish("status", &["--output", "json"]);
        let status: Value = serde_json::from_str(&status.out).unwrap_or_default();
        let read = |source: &str| status["sources"][source]["rows"] == 1;
        if read("hits") && read("ticks") && status["planned"] == false { Ok(()) } else { Err(running.said()) }
    });
    assert_eq!(running.stop().code(), Some(TERMINATED));
}

/// `braid plan` on the store: whether it would start, and what it said.
fn planned(river: &River) -> (bool, String) {
    let ended = river.finish("plan", &["--store", &river.store]);
    match ended.status.code() {
        Some(0) => (true, ended.out),
        Some(2) if !ended.out.is_empty() => (false, ended.out),
        code => panic!("plan ends with {code:?}:\n{}", ended.err),
    }
}

#[test]
fn every_row_of_the_table_is_what_happens() {
    let home = home();
    for (file, store) in [("deployment.yaml", "plugins"), ("plain.yaml", "plain")] {
        let before = river(home.path(), file, store);
        let (starts, said) = planned(&before);
        assert!(starts && said.contains("this is a first start"), "{said}");
        assert!(!home.path().join(store).exists(), "a plan makes nothing");
        written(&before);
        let (starts, said) = planned(&before);
        assert!(starts && said.contains("nothing has changed"), "{said}");
    }

    let mut rows = rows();
    rows.retain(|(path, _, _)| path != PLANNED);
    let examples: Vec<(&str, &str)> = EXAMPLES.iter().map(|(row, how, ..)| (*row, *how)).collect();
    let documented: Vec<(&str, &str)> = rows.iter().map(|(row, how, _)| (&**row, &**how)).collect();
    assert_eq!(examples, documented, "each row has an example");
    for ((row, _, verdict), (_, _, path, from, to)) in rows.iter().zip(EXAMPLES) {
        let (before, store) = if of_plugins(row) { (BEFORE.to_owned(), "plugins") } else { (plain(), "plain") };
        assert_eq!(before.matches(from).count(), 1, "{row}: {from:?} is not once in the deployment");
        std::fs::write(home.path().join("after.yaml"), before.replace(from, to)).expect("a file");
        let _ = std::fs::remove_dir_all(home.path().join("copy"));
        let copied = Command::new("cp").arg("-r").arg(home.path().join(store)).arg(home.path().join("copy")).status();
        assert!(copied.expect("cp runs").success());
        let after = river(home.path(), "after.yaml", "copy");
        let (starts, said) = planned(&after);
        let line = said.lines().find(|line| line.starts_with(&format!("  {verdict:<8} {path} ")));
        assert!(line.is_some(), "{row}: no {verdict} of {path} in\n{said}");
        assert_eq!(starts, verdict != "refused", "{row}:\n{said}");
        let mut running = after.up();
        if starts {
            running.address();
            assert!(running.kill(), "{row}: {}", running.said());
        } else {
            assert_eq!(running.wait().code(), Some(3), "{row}: {}", running.said());
            assert!(running.said().contains(&format!("refused  {path} ")), "{row}: {}", running.said());
        }
        if verdict == "ignored" {
            eventually("said at the start", || {
                let said = running.said();
                if said.contains(&format!("ignored  {path} ")) { Ok(()) } else { Err(said) }
            });
        }
    }
}

#[test]
fn a_source_that_an_epoch_was_planned_to_read_cannot_go() {
    assert!(rows().iter().any(|(row, how, verdict)| row == PLANNED && how == "removed" && verdict == "refused"));
    let home = home();
    let before = river(home.path(), "plain.yaml", "store");
    let mut crashed = before.clone().env("FAILPOINTS", "epoch::read=return").up();
    crashed.wait();
    // It has to go whole, and its views with it.
    let start = BEFORE.find("  hits:").expect("a source");
    let end = BEFORE.find("  topic:").expect("the next");
    let mut text = BEFORE.to_owned();
    text.replace_range(start..end, "");
    let cut = |text: &str, from: &str, to: &str| {
        let (start, end) = (text.find(from).expect("there"), text.find(to).expect("there"));
        format!("{}{}", &text[..start], &text[end..])
    };
    let text = cut(&text, "streams:", "serving:");
    let text = text.replace("serving:", "views: {rest: {sql: SELECT n FROM topic}}\nserving:");
    std::fs::write(home.path().join("after.yaml"), text).expect("a file");
    let after = river(home.path(), "after.yaml", "store");
    let (starts, said) = planned(&after);
    assert!(!starts && said.contains("  refused  sources.hits.planned removed"), "{said}");
    written(&before);
    let (_, said) = planned(&after);
    assert!(!said.contains("planned removed") && said.contains("  taken    sources.hits removed"), "{said}");
}
