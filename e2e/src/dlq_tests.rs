//! Dead letters through the binary: looked at, mended, and read again once, over kills and in every layout.

use std::path::Path;

use serde_json::{Value, json};

use crate::braid::{River, TERMINATED, eventually};

/// A deployment with two sources, and letters of both.
struct Bench {
    home: tempfile::TempDir,
    river: River,
}

impl Bench {
    fn new(layout: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let bench = Self { river: River::new(home.path().join("deployment.yaml"), home.path()).layout(layout), home };
        bench.write("csv");
        bench.put("people/1.json", "{\"id\":1}\n{\"id\":\"two\"}\nthree\n");
        // The file's columns stand in another order than the schema's.
        bench.put("prices/1.csv", "price,id\n10,1\nNA,2\n30,3\n");
        bench
    }

    fn write(&self, format: &str) {
        let home = self.home.path().display();
        let text = format!(
            "apiVersion: braid/v1\nname: letters\nlayout: kappa\nstore: memory://\nsources:\n\
             \x20 people: {{files: {{path: {home}/people}}, format: json, schema: {{id: long}}}}\n\
             \x20 prices: {{files: {{path: {home}/prices}}, format: {format}, schema: {{id: long, price: long}}}}\n\
             views:\n  ids: {{sql: \"SELECT count(*) AS n, sum(id) AS total FROM people\"}}\n\
             \x20 priced: {{sql: \"SELECT id, price FROM prices\"}}\nserving: {{http: \"127.0.0.1:0\"}}\n"
        );
        std::fs::write(self.home.path().join("deployment.yaml"), text).expect("a fresh file");
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it is in a directory")).expect("a directory");
        std::fs::write(path, text).expect("a fresh file");
    }

    fn dlq(&self, verb: &str, more: &[&str]) -> String {
        let all: Vec<&str> = [&["--store", &self.river.store][..], more].concat();
        self.river.finish(verb, &all).ok(verb)
    }

    fn letters(&self, more: &[&str]) -> Vec<Value> {
        let text = self.dlq("dlq list", &[&["--output", "json"][..], more].concat());
        serde_json::from_str(&text).expect("a JSON array")
    }

    fn run(&self) {
        self.river.catch_up().ok("a run");
    }

    fn ids(&self) -> Vec<String> {
        self.river.rows("SELECT n, total FROM ids")
    }
}

#[test]
fn letters_are_listed_by_source_and_condition() {
    let bench = Bench::new("kappa");
    bench.run();
    let all = bench.letters(&[]);
    assert_eq!(all.len(), 3, "{all:?}");
    let people = bench.letters(&["--source", "people"]);
    let positions: Vec<(&Value, &Value, &Value)> =
        people.iter().map(|letter| (&letter["offset"], &letter["record"], &letter["replayed"])).collect();
    assert_eq!(
        positions,
        [(&json!(1), &json!("{\"id\":\"two\"}"), &json!(false)), (&json!(2), &json!("three"), &json!(false))]
    );
    assert_eq!(bench.letters(&["--limit", "2"]), all[..2]);
    assert_eq!(bench.letters(&["--where", "reason LIKE '%price%' AND `offset` = 2"]).len(), 1);
    let table = bench.dlq("dlq list", &["--source", "prices"]);
    assert!(table.contains("NA,2") && table.contains("prices/1.csv") && !table.contains("three"), "{table}");
    let unknown = bench.river.finish("dlq list", &["--store", &bench.river.store, "--source", "pepole"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(unknown.err.contains("no source `pepole`") && unknown.err.contains("`people`"), "{}", unknown.err);
}

/// The original bytes, through the format as it is now: the text for null was forgotten.
#[test]
fn original_records_are_read_again_through_their_format_once() {
    for layout in ["kappa", "lambda"] {
        let bench = Bench::new(layout);
        bench.run();
        assert_eq!(bench.river.rows("SELECT id, price FROM priced ORDER BY id"), ["1,10", "3,30"]);
        bench.write("{csv: {null_value: NA}}");
        let said = bench.dlq("dlq replay", &["--source", "prices"]);
        assert!(said.contains("prices: 1 records are read again"), "{said}");
        let killed = bench.river.clone().env("FAILPOINTS", "epoch::sinks::written=return").catch_up();
        assert_eq!(killed.status.code(), None, "{}", killed.err);
        let said = bench.dlq("dlq replay", &["--source", "prices"]);
        assert!(said.contains("1 were replayed before"), "{said}");
        bench.run();
        bench.run();
        assert_eq!(bench.river.rows("SELECT id, price FROM priced ORDER BY id"), ["1,10", "2,", "3,30"], "{layout}");
        assert_eq!(bench.letters(&["--source", "prices"])[0]["replayed"], json!(true));
        // Nothing of people was touched.
        assert_eq!(bench.ids(), ["1,1"]);
    }
}

fn mend(path: &Path, letters: Vec<Value>, record: impl Fn(&str) -> Option<String>) {
    let mended = letters.into_iter().filter_map(|mut letter| {
        letter["record"] = record(letter["record"].as_str()?)?.into();
        Some(letter)
    });
    std::fs::write(path, Value::from(mended.collect::<Vec<_>>()).to_string()).expect("a fresh file");
}

#[test]
fn mended_records_are_read_while_it_runs_and_survive_a_swap() {
    let bench = Bench::new("kappa");
    bench.run();
    let file = bench.home.path().join("mended.json");
    let path = file.to_str().expect("plain text");
    mend(&file, bench.letters(&[]), |record| match record {
        "three" => Some("{\"id\":3}".into()),
        "{\"id\":\"two\"}" => Some("{\"id\":\"zwei\"}".into()),
        _ => None,
    });
    let mut running = bench.river.up();
    running.address();
    let said = bench.dlq("dlq replay", &["--mended", path, "--output", "json"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said, json!({"replayed": {"people": 2}, "replayedBefore": 0, "leftOut": [], "maybeMore": false}));
    eventually("the mended record", || match bench.ids() {
        ids if ids == ["2,4"] => Ok(()),
        ids => Err(format!("{ids:?}; {}", running.said())),
    });
    assert_eq!(running.stop().code(), Some(TERMINATED));
    // The one that was mended badly is a letter again, with a position of its own, and can be mended again.
    let again = bench.letters(&["--where", "partition = 'replayed'"]);
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!((&again[0]["record"], &again[0]["replayed"]), (&json!("{\"id\":\"zwei\"}"), &json!(false)));
    mend(&file, again, |_| Some("{\"id\":2}".into()));
    bench.dlq("dlq replay", &["--mended", path]);
    let lambda = bench.river.clone().layout("lambda");
    lambda.catch_up().ok("lambda");
    assert_eq!(bench.ids(), ["3,6"]);
    bench.put("people/2.json", "{\"id\":4}\n");
    lambda.catch_up().ok("lambda computes its base anew");
    assert_eq!(bench.ids(), ["4,10"]);
    assert_eq!(
        bench.letters(&["--source", "people"]).iter().filter(|letter| letter["replayed"] == json!(true)).count(),
        3
    );
}
