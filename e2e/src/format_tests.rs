//! Avro and Protobuf from Kafka through the binary: data that other programs wrote, with and without a schema registry.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::braid::{River, eventually, root};
use crate::broker::Broker;
use crate::registry::{Registry, framed};

/// What `e2e/formats/make.py` made.
fn made(name: &str) -> PathBuf {
    root().join("e2e/formats").join(name)
}

fn values(name: &str) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(made(name)).expect("a readable file");
    text.lines().map(|line| BASE64.decode(line).expect("base64")).collect()
}

/// A deployment that reads one topic, and its home.
struct Bench {
    home: tempfile::TempDir,
    topic: String,
}

impl Bench {
    fn new(stem: &str, records: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let topic = Broker::shared().fresh_topic(stem, 1);
        Broker::shared().produce(&topic, 0, records);
        Self { home: tempfile::tempdir().expect("a temporary directory"), topic }
    }

    /// Of a source's keys beside `kafka`, and the view `seen`.
    fn river(&self, source: &str, view: &str) -> River {
        let file = self.home.path().join("deployment.yaml");
        let (broker, topic) = (Broker::shared().address(), &self.topic);
        let text = format!(
            "apiVersion: braid/v1\nname: formats\nlayout: kappa\nsources:\n  records:\n    \
             kafka: {{brokers: \"{broker}\", subscribe: {topic}, starting_offsets: earliest}}\n    {}\n\
             views:\n  seen: {{sql: \"{view}\"}}\n",
            source.trim().replace('\n', "\n    ")
        );
        std::fs::write(&file, text).expect("a written deployment");
        River::new(file, self.home.path())
    }

    /// The same under each layout, caught up, each with a store of its own.
    fn rivers(&self, source: &str, view: &str) -> Vec<River> {
        let both = ["kappa", "lambda"].map(|layout| {
            let mut river = self.river(source, view).layout(layout).env("REGISTRY_PASSWORD", SECRET);
            river.store = format!("{}-{layout}", river.store);
            river.catch_up().ok(layout);
            river
        });
        both.into()
    }
}

const SECRET: &str = "a word that nobody sees";

fn lines(path: PathBuf) -> Vec<String> {
    std::fs::read_to_string(path).expect("a readable file").lines().map(str::to_owned).collect()
}

fn csv(river: &River, sql: &str) -> Vec<String> {
    river.csv(sql).lines().map(str::to_owned).collect()
}

#[test]
fn avro_values_are_what_another_program_wrote() {
    let bench = Bench::new("avro", values("things.avro.b64"));
    let source = format!("format: {{avro: {{schema_file: {}}}}}", made("things.avsc").display());
    for river in bench.rivers(&source, "SELECT * FROM records") {
        let sql = std::fs::read_to_string(root().join("e2e/cases/S8-avro/expected/things.sql")).expect("a question");
        let sql = sql
            .replace("label", "title AS label")
            .replace(" color,", " if(color = 'PINK', 'RED', color) AS color,")
            .replace("number, extra", "number, 42 AS extra")
            .replace("things_seen", "seen");
        let wanted = lines(root().join("e2e/cases/S8-avro/expected/things.csv"));
        crate::cases::same("things", &csv(&river, &sql), wanted);
    }
}

const PROTOBUF_SQL: &str = "SELECT id, name, price, sold, color, main.name AS main, main.count AS count, \
    to_json(parts) AS parts, \
    array_join(transform(sizes, x -> string(x)), ';') AS sizes, stock['k1'] AS k1, at, rating, grams, pounds, shelf, code, \
    serial, lower(hex(picture)) AS picture, array_join(colors, ';') AS colors FROM seen ORDER BY id";

#[test]
fn protobuf_messages_are_what_another_program_wrote() {
    let bench = Bench::new("protobuf", values("things.pb.b64"));
    let source = format!(
        "format: {{protobuf: {{descriptor_file: {}, message: shop.Thing, unwrap_primitive_wrapper_types: true}}}}",
        made("things.desc").display()
    );
    for river in bench.rivers(&source, "SELECT * FROM records") {
        crate::cases::same("things", &csv(&river, PROTOBUF_SQL), lines(made("things.pb.csv")));
    }
}

#[test]
fn protobuf_options_are_sparks() {
    // A thing of nothing, one with the last bits of what has no sign, and one with an unpacked list, a field that is none and
    // a message in two pieces.
    let records = [
        vec![],
        [&[0x78][..], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0x80, 0x01], &[0xff; 9], &[1]].concat(),
        [&[0x40, 3, 0x40, 4][..], &[0x32, 3, 0x0a, 1, b'x'], &[0x32, 2, 0x10, 5], &[0xf8, 0x07, 1]].concat(),
    ];
    let bench = Bench::new("options", records);
    let source = |more: &str| {
        let file = made("things.desc");
        format!("format: {{protobuf: {{descriptor_file: {}, message: Thing{more}}}}}", file.display())
    };
    let view =
        "SELECT id, name, color, rating, shelf, code, serial, sizes, main.name AS part, main.count AS n FROM records";
    let shown = "SELECT id, name, color, shelf, code, serial, array_join(transform(sizes, x -> string(x)), ';') AS sizes, \
                 part, n FROM seen ORDER BY code, n";
    let plain = &bench.rivers(&source(""), view)[0];
    assert_eq!(
        plain.rows(shown),
        [",,,,,,\"\",,", ",,,,,,-2;2,x,5", ",,,,-1,-1,\"\",,"].map(|row| row.replace("\"\"", ""))
    );
    let other = Bench { home: tempfile::tempdir().expect("a temporary directory"), topic: bench.topic.clone() };
    let options = ", emit_default_values: true, enums_as_ints: true, upcast_unsigned_ints: true";
    let with = &other.rivers(&source(options), view)[1];
    assert_eq!(with.rows(shown), ["0,,0,,0,0,,,", "0,,0,,0,0,-2;2,x,5", "0,,0,,4294967295,18446744073709551615,,,"]);
}

#[test]
fn bad_values_are_dead_letters_or_rows_of_nulls() {
    let good = values("things.pb.b64");
    let records = [
        good[1].clone(),
        good[1][..good[1].len() - 1].to_vec(),
        vec![0x0b; 200],
        vec![0x12, 2, 0xff, 0xfe],
        [vec![0x0a], vec![0xff; 9], vec![1]].concat(),
        good[2].clone(),
    ];
    let bench = Bench::new("bad", records);
    let source = |mode: &str| {
        let file = made("things.desc");
        format!("format: {{protobuf: {{descriptor_file: {}, message: shop.Thing{mode}}}}}", file.display())
    };
    let strict = &bench.rivers(&source(""), "SELECT id, name FROM records")[0];
    assert_eq!(strict.rows("SELECT count(*) FROM seen"), ["2"]);
    assert_eq!(
        strict.rows("SELECT `offset`, reason FROM dead_letters ORDER BY `offset`"),
        [
            "1,the message ends too early",
            "2,groups that nest too deeply",
            "3,`name`: invalid UTF-8",
            "4,the message ends too early",
        ]
    );
    let other = Bench { home: tempfile::tempdir().expect("a temporary directory"), topic: bench.topic.clone() };
    let permissive = &other.rivers(&source(", mode: permissive"), "SELECT id, name FROM records")[1];
    assert_eq!(permissive.rows("SELECT count(*), count(id) FROM seen"), ["6,2"]);
    assert_eq!(permissive.rows("SELECT count(*) FROM dead_letters"), ["0"]);
}

const MONEY: &str = r#"{"type":"record","name":"Money","namespace":"shop","fields":[{"name":"cents","type":"int"}]}"#;
const V1: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
    {"name":"id","type":"int"},{"name":"who","type":"string"},{"name":"price","type":"shop.Money"}]}"#;
const V2: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
    {"name":"price","type":"shop.Money"},{"name":"customer","type":"string","aliases":["who"]},
    {"name":"id","type":"long"},{"name":"note","type":["null","string"],"default":null},
    {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["A","B"]},"default":"B"}]}"#;

#[test]
fn a_registry_says_what_wrote_a_record_and_what_it_is_read_as() {
    let registry = Registry::start();
    registry.login("ann", SECRET);
    registry.register("money", "AVRO", MONEY, &[]);
    let reference = [("shop.Money", "money", 1)];
    let first = registry.register("elsewhere", "AVRO", V1, &reference);
    let second = registry.register("placeholder", "AVRO", V2, &reference);
    let foreign = registry.register("foreign", "AVRO", r#""string""#, &[]);
    // {id: 1, who: "ab", price: {cents: -1}}, then {price: {cents: 2}, customer: "c", id: 1 << 33, note: "n", kind: A}.
    let old = framed(first, &[2, 4, b'a', b'b', 1]);
    let new = framed(second, &[4, 2, b'c', 0x80, 0x80, 0x80, 0x80, 0x40, 2, 2, b'n', 0]);
    let records = [
        old.clone(),
        new.clone(),
        framed(99, &[1, 2, 3]),
        vec![7, 0, 0, 0, 1, 2],
        vec![0, 0, 0],
        framed(second, &[4, 2]),
        [&old[..], &[0]].concat(),
        framed(foreign, &[2, b'x']),
        old,
        new,
    ];
    let bench = Bench::new("orders", records);
    registry.register(&format!("{}-value", bench.topic), "AVRO", V1, &reference);
    registry.register(&format!("{}-value", bench.topic), "AVRO", V2, &reference);
    let source = format!(
        "format: {{avro: {{registry: {{url: \"{}/\", username: ann, password: \"${{REGISTRY_PASSWORD}}\"}}}}}}",
        registry.url()
    );
    let view = "SELECT id, customer, price.cents AS cents, note, kind, count(*) AS n FROM records GROUP BY id, customer, \
                price.cents, note, kind";
    for river in bench.rivers(&source, view) {
        assert_eq!(
            river.rows("SELECT id, customer, cents, note, kind, n FROM seen ORDER BY id"),
            ["1,ab,-1,,B,2", "8589934592,c,2,n,A,2"]
        );
        assert_eq!(
            river.rows("SELECT `offset`, reason FROM dead_letters ORDER BY `offset`"),
            [
                "2,the schema registry does not know the schema 99",
                "3,\"it begins with 7, and not with the 0 of the registry's framing\"",
                "4,it is too short for a schema's id",
                "5,`customer`: the data ends too early",
                "6,1 bytes follow the Avro data: another schema wrote them",
                "7,\"the writer has no such field, and the reader's schema no default\"",
            ]
        );
    }
    let times = registry.asked().iter().filter(|path| **path == format!("/schemas/ids/{first}")).count();
    assert_eq!(times, 2, "once for each run: {:?}", registry.asked());
    // A wrong password is told at once, and not shown.
    let river = bench.river(&source, "SELECT id FROM records").env("REGISTRY_PASSWORD", "a wrong word");
    let refused = river.finish("validate", &[]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(refused.err.contains("refuses the login (401"), "{}", refused.err);
    assert!(!refused.err.contains("a wrong word") && !refused.out.contains("a wrong word"), "{refused:?}");
}

#[test]
fn a_registry_that_is_away_is_waited_for() {
    let registry = Registry::start();
    let id = registry.register(
        "orders",
        "AVRO",
        r#"{"type":"record","name":"R","fields":[{"name":"n","type":"int"}]}"#,
        &[],
    );
    registry.away(true);
    let bench = Bench::new("away", (0..10).map(|n| framed(id, &[2 * n])));
    let source = format!("format: {{avro: {{registry: {{url: \"{}\"}}}}}}\nschema: {{n: long}}", registry.url());
    let river = bench.river(&source, "SELECT sum(n) AS total, count(*) AS n FROM records");
    let mut running = river.start_run();
    eventually("the registry is asked", || {
        let asked = registry.asked().len();
        if asked > 4 { Ok(()) } else { Err(format!("{asked} times")) }
    });
    assert!(running.ended().is_none(), "{}", running.said());
    registry.away(false);
    assert!(running.wait().success(), "{}", running.said());
    assert_eq!(river.rows("SELECT total, n FROM seen"), ["45,10"]);
    assert_eq!(river.rows("SELECT count(*) FROM dead_letters"), ["0"]);
    // What is no registry knows no schema either, and no record is bad for that.
    let source = format!("format: {{avro: {{registry: {{url: \"{}/wrong\"}}}}}}\nschema: {{n: long}}", registry.url());
    let mut wrong = bench.river(&source, "SELECT n FROM records");
    wrong.store = format!("{}-wrong", wrong.store);
    let ended = wrong.catch_up();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(ended.err.contains("check `url`"), "{}", ended.err);
    // Without columns, the registry is needed to begin with.
    registry.away(true);
    let source = format!("format: {{avro: {{registry: {{url: \"{}\", subject: orders}}}}}}", registry.url());
    let refused = bench.river(&source, "SELECT n FROM records").finish("validate", &[]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(refused.err.contains("answers 503"), "{}", refused.err);
}

#[test]
fn a_registry_says_which_message_a_record_is() {
    let registry = Registry::start();
    let file = std::fs::read_to_string(made("things.file.b64")).expect("a readable file");
    let id = registry.register("things", "PROTOBUF", file.trim(), &[]);
    let things = values("things.pb.b64");
    let mut records: Vec<Vec<u8>> = things.iter().map(|thing| framed(id, &[&[0][..], thing].concat())).collect();
    // The same by its whole path; then the second message of the file, one inside of the first, one that is not, and no end.
    records[7] = framed(id, &[&[2, 0][..], &things[7]].concat());
    let others: [&[u8]; 4] = [&[2, 2, 0x0a, 1, b'x'], &[4, 0, 0], &[2, 40], &[0x80]];
    records.extend(others.map(|data| framed(id, data)));
    let bench = Bench::new("messages", records);
    let source = format!(
        "format: {{protobuf: {{registry: {{url: \"{}\", subject: things}}, unwrap_primitive_wrapper_types: true}}}}",
        registry.url()
    );
    for river in bench.rivers(&source, "SELECT * FROM records") {
        crate::cases::same("things", &csv(&river, PROTOBUF_SQL), lines(made("things.pb.csv")));
        assert_eq!(
            river.rows("SELECT reason FROM dead_letters ORDER BY `offset`"),
            [
                "\"it is a `shop.Other`, and not a `shop.Thing`\"",
                "\"it is a `shop.Thing.Part`, and not a `shop.Thing`\"",
                "schema 1 has no message [20]",
                "the message ends too early",
            ]
        );
    }
}
