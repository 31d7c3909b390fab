//! Kafka sinks that write Avro, through the binary: with and without a schema registry, read again by another deployment.

use crate::braid::{River, eventually};
use crate::broker::Broker;
use crate::registry::Registry;

const SECRET: &str = "a word that nobody sees";

/// A deployment that writes two files of rows to a topic, and one that reads it.
struct Bench {
    home: tempfile::TempDir,
    topic: String,
}

impl Bench {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(home.path().join("input")).expect("a fresh directory");
        let bench = Self { home, topic: Broker::shared().fresh_topic("avro-sink", 2) };
        bench.drop_file(0);
        bench
    }

    fn drop_file(&self, number: i64) {
        let rows: String = (number * 10..number * 10 + 10)
            .map(|id| {
                let word = if id % 3 == 0 { "null".to_owned() } else { format!("\"wörd {id}\"") };
                format!(
                    "{{\"id\":{id},\"at\":\"2026-01-01T00:00:{:02}.5Z\",\"word\":{word},\"price\":{}.25,\"tags\":[\"a\",null]}}\n",
                    id % 60,
                    id - 5
                )
            })
            .collect();
        std::fs::write(self.home.path().join(format!("input/{number}.json")), rows).expect("a fresh file");
    }

    /// What is written from the start, whatever the columns are called and the format says. Deployments of one name would
    /// take the topic's transactions over from one another, so the topic is in it.
    fn writer(&self, name: &str, columns: &str, format: &str) -> River {
        let text = format!(
            "apiVersion: braid/v1\nname: {name}-{}\nlayout: kappa\nstore: memory://\nsources:\n  rows:\n    \
             files: {{path: \"${{INPUT}}\", max_files_per_trigger: 1}}\n    format: json\n    \
             schema: {{id: long, at: timestamp, word: string, price: \"decimal(10,2)\", tags: array<string>}}\n\
             views:\n  all: {{sql: \"SELECT {columns} FROM rows\"}}\n\
             sinks:\n  out: {{from: all, kafka: {{brokers: \"{}\", topic: {}, format: {{avro: {format}}}}}}}\n\
             restart: {{max_attempts: 0}}\n",
            self.topic,
            Broker::shared().address(),
            self.topic
        );
        let text = text.replace("  all:", "  everything:").replace("from: all", "from: everything");
        let file = self.home.path().join(format!("{name}.yaml"));
        std::fs::write(&file, text).expect("a written deployment");
        let mut river = River::new(file, self.home.path())
            .env("INPUT", self.home.path().join("input").display())
            .env("PASSWORD", SECRET);
        river.store = format!("file://{}", self.home.path().join(name).display());
        river
    }

    /// The rows that another deployment reads.
    fn read(&self, name: &str, format: &str, more: &str) -> Vec<String> {
        let text = format!(
            "apiVersion: braid/v1\nname: {name}\nlayout: lambda\nstore: memory://\nsources:\n  records:\n    \
             kafka: {{brokers: \"{}\", subscribe: {}, starting_offsets: earliest, isolation.level: read_committed{more}}}\n    \
             format: {{avro: {format}}}\nviews:\n  seen: {{sql: \"SELECT * FROM records\"}}\n",
            Broker::shared().address(),
            self.topic
        );
        let file = self.home.path().join(format!("{name}.yaml"));
        std::fs::write(&file, text.replace(", isolation.level: read_committed", "")).expect("a written deployment");
        let mut river = River::new(file, self.home.path()).env("PASSWORD", SECRET);
        river.store = format!("file://{}", self.home.path().join(name).display());
        river.catch_up().ok(name);
        assert_eq!(river.rows("SELECT count(*) FROM dead_letters"), ["0"]);
        river.rows("SELECT id, at, word, price, to_json(tags) AS tags FROM seen ORDER BY id")
    }
}

/// What the files say.
fn oracle(files: i64) -> Vec<String> {
    let row = |id: i64| {
        let word = if id % 3 == 0 { String::new() } else { format!("wörd {id}") };
        let cents = (id - 5) * 100 + if id < 5 { -25 } else { 25 };
        let sign = if cents < 0 { "-" } else { "" };
        let price = format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100);
        format!("{id},2026-01-01T00:00:{:02}.500Z,{word},{price},\"[\"\"a\"\",null]\"", id % 60)
    };
    (0..files * 10).map(row).collect()
}

fn times(rows: Vec<String>) -> Vec<String> {
    rows.into_iter()
        .map(|row| row.replace(".500000Z", ".500Z").replace(".5Z", ".500Z").replace(".500,", ".500Z,"))
        .collect()
}

const COLUMNS: &str = "id, at, word, price, tags";

#[test]
fn a_registry_has_the_schema_and_readers_the_rows_in_any_layout() {
    let registry = Registry::start();
    registry.login("ann", SECRET);
    for layouts in [["kappa", "kappa"], ["lambda", "lambda"], ["kappa", "lambda"]] {
        let bench = Bench::new();
        let format =
            format!("{{registry: {{url: \"{}\", username: ann, password: \"${{PASSWORD}}\"}}}}", registry.url());
        let writer = bench.writer("writes", COLUMNS, &format);
        for (number, layout) in (1..).zip(layouts) {
            let said = writer.clone().layout(layout).catch_up();
            assert!(!said.err.contains(SECRET), "{}", said.err);
            said.ok(layout);
            assert_eq!(times(bench.read(&format!("reads{number}"), &format, "")), oracle(number), "{layouts:?}");
            bench.drop_file(number);
        }
        assert_eq!(registry.versions(&format!("{}-value", bench.topic)).len(), 1, "the columns are the same");
    }
}

#[test]
fn without_a_registry_a_record_is_a_datum_of_the_schema_that_is_given() {
    let bench = Bench::new();
    let schema = r#"{"type":"record","name":"Row","namespace":"shop","fields":[
        {"name":"id","type":"long"},
        {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"word","type":["string","null"]},
        {"name":"price","type":{"type":"fixed","name":"Price","size":5,"logicalType":"decimal","precision":10,"scale":2}},
        {"name":"tags","type":{"type":"array","items":["null","string"]}}]}"#;
    let file = bench.home.path().join("row.avsc");
    std::fs::write(&file, schema).expect("a fresh file");
    let format = format!("{{schema_file: \"{}\"}}", file.display());
    // The column `key` is the record's key, and not a part of the datum.
    bench.writer("writes", "concat('k', id) AS key, id, at, word, price, tags", &format).catch_up().ok("written");
    assert_eq!(times(bench.read("reads", &format, ", metadata: [key]")), oracle(1));
    let keys: Vec<Option<Vec<u8>>> =
        Broker::shared().records(&bench.topic).into_iter().map(|record| record.key).collect();
    assert!(keys.contains(&Some(b"k7".to_vec())), "{keys:?}");
    // What a row has that the schema does not allow ends the query, with the reason.
    let strict = schema.replace(r#"["string","null"]"#, r#""string""#);
    std::fs::write(&file, strict).expect("a fresh file");
    let ended = bench.writer("strict", COLUMNS, &format).catch_up();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.err);
    assert!(ended.err.contains("`word` is null, and its schema allows none"), "{}", ended.err);
}

#[test]
fn a_registry_that_does_not_take_the_schema_is_said_before_a_row_is_written() {
    let registry = Registry::start();
    let bench = Bench::new();
    let subject = format!("{}-shop.Row", bench.topic);
    let schema = r#"{"type":"record","name":"Row","namespace":"shop","fields":[{"name":"id","type":"long"}]}"#;
    let file = bench.home.path().join("row.avsc");
    std::fs::write(&file, schema).expect("a fresh file");
    let format = |more: &str| {
        format!(
            "{{schema_file: \"{}\", registry: {{url: \"{}\", subject_name_strategy: topic_record_name{more}}}}}",
            file.display(),
            registry.url()
        )
    };
    let refused = |name: &str, columns: &str, more: &str, says: &str| {
        let ended = bench.writer(name, columns, &format(more)).catch_up();
        assert_eq!(ended.status.code(), Some(3), "{name}: {}", ended.err);
        assert!(ended.err.contains(says), "{name} does not say {says:?}:\n{}", ended.err);
    };
    let only = ", auto_register_schemas: false";
    refused(
        "unknown",
        "id",
        only,
        &format!("Subject '{subject}' not found.; register it, or write `auto_register_schemas: true`"),
    );
    registry.register(&subject, "AVRO", schema, &[]);
    bench.writer("known", "id", &format(only)).catch_up().ok("it is registered");
    assert_eq!(Broker::shared().records(&bench.topic).len(), 10);
    registry.freeze(&subject);
    std::fs::write(&file, schema.replace("long", "double")).expect("a fresh file");
    refused(
        "other",
        "double(id) AS id",
        "",
        "does not take the schema (409 Conflict): Schema being registered is incompatible with an earlier schema",
    );
    refused("columns", "id", "", "`id` in the Avro schema is a double, and the column is Int64");
    registry.login("ann", SECRET);
    refused("login", "double(id) AS id", ", username: ann, password: wrong", "refuses the login");
    assert_eq!(Broker::shared().records(&bench.topic).len(), 10, "no row more");
}

#[test]
fn a_registry_that_is_away_when_rows_are_written_is_waited_for() {
    let registry = Registry::start();
    registry.away(true);
    let bench = Bench::new();
    let format = format!("{{registry: {{url: \"{}\"}}}}", registry.url());
    let mut running = bench.writer("writes", COLUMNS, &format).start_run();
    eventually("an epoch that waits", || {
        let said = running.said();
        if said.contains("the registry is away") && registry.asked().len() > 8 { Ok(()) } else { Err(said) }
    });
    registry.away(false);
    assert!(running.wait().success(), "{}", running.said());
    assert_eq!(times(bench.read("reads", &format, "")), oracle(1));
}
