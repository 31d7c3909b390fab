//! `braid state`: what operators remember is what the rows that came left behind.

use serde_json::Value;

use crate::braid::River;

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
