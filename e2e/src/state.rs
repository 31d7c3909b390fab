//! What operators remember: `braid state` shows what the rows that came left behind, and it may be larger than memory.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::braid::{River, eventually};

const DEPLOYMENT: &str = "apiVersion: braid/v1
name: remembered
layout: kappa
store: memory://
sources:
  orders:
    files: {path: \"${HERE}/orders\", max_files_per_trigger: 1}
    format: json
    schema: {id: long, at: timestamp_millis}
    watermark: {event_time: at, delay: 1s}
  payments:
    files: {path: \"${HERE}/payments\", max_files_per_trigger: 1}
    format: json
    schema: {id: long, at: timestamp_millis}
    watermark: {event_time: at, delay: 1s}
streams:
  once: {from: orders, drop_duplicates: {columns: [id]}}
views:
  paid: {sql: \"SELECT o.id, p.at FROM once o JOIN payments p ON o.id = p.id AND p.at BETWEEN o.at AND o.at + INTERVAL 10 SECONDS\"}
";

fn rows(river: &River, more: &[&str]) -> Vec<Value> {
    let said =
        river.finish(more[0], &[&more[1..], &["--store", &river.store, "--output", "json"]].concat()).ok(more[0]);
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[test]
fn what_operators_remember_is_read_from_the_store() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it is in a directory")).expect("a directory");
        std::fs::write(path, text).expect("a fresh file");
    };
    write("deployment.yaml", DEPLOYMENT);
    write("orders/1.json", "{\"id\":1,\"at\":1000}\n{\"id\":2,\"at\":2000}\n{\"id\":1,\"at\":2500}\n");
    write("payments/1.json", "{\"id\":1,\"at\":3000}\n");
    let river = River::new(home.path().join("deployment.yaml"), home.path()).env("HERE", home.path().display());
    river.catch_up().ok("the first files");

    let states = rows(&river, &["state metadata"]);
    let count = |name: &str| {
        let state =
            states.iter().find(|state| state["state"] == name).unwrap_or_else(|| panic!("no {name}: {states:?}"));
        state["rows_in_base"].as_u64().expect("a number") + state["rows_in_changes"].as_u64().expect("a number")
    };
    assert_eq!((count("once.seen"), count("paid.0-left"), count("paid.0-right")), (2, 2, 1));
    let seen = rows(&river, &["state read", "once.seen"]);
    let ids: Vec<_> = seen.iter().map(|row| row["key0_id"].as_i64().expect("an id")).collect();
    assert_eq!(ids, [1, 2]);
    let waiting = rows(&river, &["state read", "paid.0-left"]);
    // An order waits until the watermark has passed it by the ten seconds.
    assert_eq!(waiting[0]["let_go_at"], "1970-01-01T00:00:11Z", "{waiting:?}");

    write("orders/2.json", "{\"id\":3,\"at\":30000}\n");
    write("payments/2.json", "{\"id\":9,\"at\":30000}\n");
    river.catch_up().ok("time goes on");
    let waiting = rows(&river, &["state read", "paid.0-left"]);
    assert_eq!(waiting.len(), 1, "what can have no partner is let go: {waiting:?}");
    let said = river.finish("state read", &["paid.0-left", "--epoch", "0", "--store", &river.store]);
    assert!(!said.status.success() && said.err.contains("the changes of epoch 0 are not kept"), "{}", said.err);
    let said = river.finish("state read", &["nothing", "--store", &river.store]);
    assert!(said.err.contains("there is no state `nothing`; there are once.seen, paid.0-left"), "{}", said.err);
}

const WIDE: &str = "apiVersion: braid/v1
name: wide
layout: kappa
store: memory://
sources:
  events:
    files: {path: \"${HERE}/input\", max_files_per_trigger: 1}
    format: {csv: {header: false}}
    schema: {key: string, at: timestamp}
    watermark: {event_time: at, delay: 1h}
streams:
  once: {from: events, drop_duplicates: {columns: [key]}}
views:
  firsts: {sql: \"SELECT count(*) AS n FROM once\"}
  groups:
    sql: \"SELECT window(at, '1 hour') AS w, key, count(*) AS n FROM events GROUP BY window(at, '1 hour'), key\"
sinks:
  final: {from: groups, output_mode: append, parquet: {path: \"${HERE}/final\"}}
  out: {from: firsts, output_mode: update, parquet: {path: \"${HERE}/out\"}}
restart: {backoff_min: 10ms}
serving: {http: \"127.0.0.1:0\"}
state: {memory: \"${MEMORY}\", directory: \"${HERE}/${DIRECTORY:-state}\"}
";

/// A deployment in a folder, with so much memory for its states.
fn wide(home: &Path, memory: &str) -> River {
    std::fs::create_dir_all(home.join("input")).expect("a directory");
    std::fs::write(home.join("deployment.yaml"), WIDE).expect("a fresh file");
    River::new(home.join("deployment.yaml"), home).env("HERE", home.display()).env("MEMORY", memory)
}

/// One file of keys of `width` characters, moved into place whole.
fn keys(home: &Path, file: usize, keys: std::ops::Range<usize>, width: usize) {
    let lines: String = keys
        .map(|key| format!("{:0width$},2026-01-01T12:00:00Z\n", key.wrapping_mul(0x9E37_79B9) % (1 << 32)))
        .collect();
    std::fs::write(home.join("next.csv"), lines).expect("a fresh file");
    std::fs::rename(home.join("next.csv"), home.join(format!("input/{file:03}.csv"))).expect("a moved file");
}

/// The most memory that a run took, in MiB.
fn peak(river: &River) -> u64 {
    let mut child = river.command("run", &["--until", "caught-up"]).spawn().expect("it starts");
    let mut most = 0;
    while child.try_wait().expect("a child can be waited for").is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        most = most.max(kib.unwrap_or(0) / 1024);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(child.wait().expect("it has ended").success());
    most
}

/// 18 MB of keys, each in two states: three times that in memory, and hardly any of it within a bound.
#[test]
fn what_does_not_fit_into_memory_is_on_disk() {
    let mut peaks = vec![];
    for memory in ["8MiB", "1GiB"] {
        let home = tempfile::tempdir().expect("a temporary directory");
        let river = wide(home.path(), memory);
        for file in 0..6 {
            keys(home.path(), file, file * 10_000..(file + 1) * 10_000, 300);
        }
        let first = peak(&river);
        // The same keys again, and one more, after a restart from the base.
        keys(home.path(), 6, 0..5_001, 300);
        keys(home.path(), 7, 60_000..60_001, 300);
        peaks.push((first, peak(&river)));
        assert_eq!(river.rows("SELECT n FROM firsts"), ["60001"]);
        assert_eq!(river.rows("SELECT count(*), sum(n), max(n) FROM groups"), ["60001,65002,2"]);
        let left = std::fs::read_dir(home.path().join("state")).expect("a directory").count();
        assert_eq!(left, 0, "nothing on disk outlives a process that ends");
    }
    eprintln!("MiB at most, and after a restart: {:?} with 8 MiB for states, {:?} with 1 GiB", peaks[0], peaks[1]);
    assert!(peaks[0].0 + 20 < peaks[1].0, "{peaks:?}");
}

#[test]
fn a_directory_for_states_that_takes_no_files_is_refused_at_the_start() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let river = wide(home.path(), "8MiB").env("DIRECTORY", "deployment.yaml");
    keys(home.path(), 0, 0..10, 8);
    let said = river.catch_up();
    assert_eq!(said.status.code(), Some(3), "{}", said.err);
    assert!(said.err.contains("state.directory: ") && said.err.contains("does not take files"), "{}", said.err);
}

#[test]
fn a_local_disk_that_is_lost_is_made_anew_from_the_store() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let river = wide(home.path(), "256KiB");
    keys(home.path(), 0, 0..3_000, 8);
    let mut running = river.up();
    let address = running.address();
    let firsts = |wanted: &str| {
        eventually("the keys are counted", || {
            let said = river.finish("query", &["SELECT n FROM firsts", "--output", "csv"]).out;
            if said.lines().nth(1) == Some(wanted) { Ok(()) } else { Err(format!("{said}\n{}", running.said())) }
        });
    };
    firsts("3000");
    let metrics = crate::http::get(&address, "/metrics").body;
    let on_disk = metrics.lines().find_map(|line| line.strip_prefix("braid_state_disk_bytes{deployment=\"wide\"} "));
    assert!(on_disk.is_some_and(|bytes| bytes.parse::<u64>().is_ok_and(|bytes| bytes > 10_000)), "{metrics}");
    std::fs::remove_dir_all(home.path().join("state")).expect("it is there");
    keys(home.path(), 1, 2_000..9_000, 8);
    firsts("9000");
    let said = running.said();
    assert!(said.contains("the query failed and starts again: state does not fit into `state.memory`"), "{said}");
    running.stop();
}
