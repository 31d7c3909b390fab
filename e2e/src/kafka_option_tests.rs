//! The Kafka source's options through the binary: which partitions, from where to where, which columns.

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::braid::{PATIENCE, River, TERMINATED, eventually};
use crate::broker::Broker;

/// A deployment of one Kafka source in a directory of its own, whose numbers are seen in a view.
struct Bench {
    home: tempfile::TempDir,
    river: River,
}

impl Bench {
    /// The options are those beside `brokers`.
    fn new(options: &str) -> Self {
        Self::of(options, "json, schema: {n: long}", "SELECT n FROM events")
    }

    fn of(options: &str, format: &str, sql: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let file = home.path().join("deployment.yaml");
        let river = River::new(&file, home.path());
        let bench = Self { home, river };
        bench.write(options, format, sql);
        bench
    }

    /// Writes the deployment file anew, for the same store.
    fn write(&self, options: &str, format: &str, sql: &str) {
        let brokers = Broker::shared().address();
        let text = format!(
            "apiVersion: braid/v1\nname: options\nlayout: kappa\nstore: memory://\nsources:\n  events: {{kafka: \
             {{brokers: \"{brokers}\", {options}}}, format: {format}}}\nviews:\n  seen: {{sql: \"{sql}\"}}\n\
             serving: {{http: \"127.0.0.1:0\"}}\n"
        );
        std::fs::write(self.home.path().join("deployment.yaml"), text).expect("a fresh file");
    }

    fn runs(&self) -> Vec<i64> {
        self.river.catch_up().ok("a run");
        self.seen()
    }

    fn seen(&self) -> Vec<i64> {
        let rows = self.river.rows("SELECT n FROM seen ORDER BY n");
        rows.iter().map(|row| row.parse().expect("a number")).collect()
    }

    fn fails(&self, why: &str) {
        let ended = self.river.catch_up();
        assert_eq!(ended.status.code(), Some(1), "{}{}", ended.out, ended.err);
        assert!(ended.err.contains(why), "{why} is not in: {}", ended.err);
    }
}

fn numbers(range: std::ops::Range<i64>) -> Vec<String> {
    range.map(|n| format!("{{\"n\":{n}}}")).collect()
}

/// Sends one number at a time that it says itself, in milliseconds since 1970.
fn put_at(topic: &str, partition: i32, numbers_at: &[(i64, i64)]) {
    let producer: BaseProducer = Broker::shared().config().create().expect("a producer");
    for (n, at) in numbers_at {
        let value = format!("{{\"n\":{n}}}");
        let record = BaseRecord::<str, str>::to(topic).partition(partition).timestamp(*at).payload(&value);
        producer.send(record).map_err(|(error, _)| error).expect("it is queued");
    }
    producer.flush(PATIENCE).expect("everything is delivered");
}

#[test]
fn only_assigned_partitions_are_read() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("assigned", 3);
    for partition in 0..3 {
        let base = i64::from(partition) * 10;
        broker.produce(&topic, partition, numbers(base..base + 2));
    }
    let bench = Bench::new(&format!("assign: {{{topic}: [0, 2]}}, starting_offsets: {{{topic}: {{0: -2, 2: 1}}}}"));
    assert_eq!(bench.runs(), [0, 1, 21]);
    broker.produce(&topic, 1, numbers(12..13));
    broker.produce(&topic, 2, numbers(22..23));
    assert_eq!(bench.runs(), [0, 1, 21, 22]);
}

#[test]
fn topics_that_match_are_read_and_those_that_come_later_from_their_beginning() {
    let broker = Broker::shared();
    let first = broker.fresh_topic("like", 1);
    let stem = first.rsplit_once('-').expect("a fresh name has dashes").0;
    broker.produce(&first, 0, numbers(0..2));
    let bench = Bench::new(&format!("subscribe_pattern: \"{stem}-.*\", starting_offsets: earliest"));
    assert_eq!(bench.runs(), [0, 1]);
    let (second, other) = (format!("{stem}-later"), format!("x{stem}-other"));
    for (topic, base) in [(&second, 10), (&other, 20)] {
        broker.create_topic(topic, 1);
        broker.produce(topic, 0, numbers(base..base + 1));
    }
    assert_eq!(bench.runs(), [0, 1, 10]);
}

#[test]
fn reading_begins_at_a_time() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("times", 2);
    put_at(&topic, 0, &[(0, 1000), (1, 2000), (2, 3000)]);
    put_at(&topic, 1, &[(10, 1500), (11, 2500)]);
    let earlier = "starting_offsets: earliest";
    let by = format!("starting_offsets_by_timestamp: {{{topic}: {{0: 3000, 1: 1000}}}}");
    let of = |options: &str| Bench::new(&format!("subscribe: {topic}, {options}"));
    assert_eq!(
        of(&format!("starting_timestamp: 2000, {by}, {earlier}")).runs(),
        [1, 2, 11],
        "it goes before the others"
    );
    assert_eq!(of(&format!("{by}, {earlier}")).runs(), [2, 10, 11], "it goes before offsets");
    of("starting_timestamp: 2600").fails(&format!("{topic}-1 has no record from starting_timestamp 2600 on"));
    let latest = of("starting_timestamp: 2600, starting_offsets_by_timestamp_strategy: latest");
    assert_eq!(latest.runs(), [2]);
    put_at(&topic, 1, &[(12, 100)]);
    assert_eq!(latest.runs(), [2, 12], "a restart goes on where it was, whatever the time");
    of(&format!("starting_offsets_by_timestamp: {{{topic}: {{0: 1}}}}")).fails("missing: ");
}

#[test]
fn a_run_ends_where_it_is_told() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("ends", 2);
    put_at(&topic, 0, &[(0, 1000), (1, 2000), (2, 3000)]);
    put_at(&topic, 1, &[(10, 1500), (11, 2500)]);
    let of = |options: &str| Bench::new(&format!("subscribe: {topic}, {options}"));
    let offsets = of(&format!("ending_offsets: {{{topic}: {{0: 2, 1: -1}}}}"));
    assert_eq!(offsets.runs(), [0, 1, 10, 11], "from the earliest, as Spark's batches");
    let by = format!("ending_offsets_by_timestamp: {{{topic}: {{0: 1001, 1: 9000}}}}");
    assert_eq!(of(&format!("{by}, ending_offsets: latest")).runs(), [0, 10, 11], "it goes before offsets");
    assert_eq!(of(&format!("ending_timestamp: 2000, {by}")).runs(), [0, 10], "it goes before the others");
    let latest = of("ending_offsets: latest, max_offsets_per_trigger: 2");
    assert_eq!(latest.runs(), [0, 1, 2, 10, 11]);
    of(&format!("ending_offsets: {{{topic}: {{0: 4, 1: -1}}}}")).fails("whose records end before 3");

    put_at(&topic, 1, &[(12, 100)]);
    assert_eq!(offsets.runs(), [0, 1, 10, 11, 12], "the latest is that of this run");
    let refused = offsets.river.finish("up", &[]);
    assert_eq!(refused.status.code(), Some(2), "{}{}", refused.out, refused.err);
    assert!(refused.err.contains("source `events` has an end") && refused.err.contains("braid run"), "{}", refused.err);
    offsets.write(&format!("subscribe: {topic}"), "json, schema: {n: long}", "SELECT n FROM events");
    assert_eq!(offsets.runs(), [0, 1, 2, 10, 11, 12], "without an end it goes on");
}

#[test]
fn an_epoch_waits_for_enough_records_but_not_for_ever() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("enough", 1);
    broker.produce(&topic, 0, numbers(0..1));
    let options = "starting_offsets: earliest, min_offsets_per_trigger: 5, max_trigger_delay";
    let bench = Bench::new(&format!("subscribe: {topic}, {options}: 1h"));
    let mut running = bench.river.up();
    running.address();
    let wait = |least: usize| {
        eventually("rows", || {
            let asked = bench.river.finish("query", &["SELECT count(*) FROM seen", "--output", "csv"]);
            match asked.out.lines().nth(1).and_then(|count| count.parse::<usize>().ok()) {
                Some(count) if count >= least => Ok(count),
                count => Err(format!("{count:?} of {least}; {}", asked.err)),
            }
        })
    };
    wait(1);
    // Sent apart, and read together: the first four wait for the fifth.
    for n in 1..6 {
        broker.produce(&topic, 0, numbers(n..n + 1));
    }
    wait(6);
    let epochs = bench.river.finish("status", &["--output", "json"]).ok("status");
    assert!(epochs.contains("\"epochs\": 2"), "{epochs}");
    assert_eq!(running.stop().code(), Some(TERMINATED));
    bench.write(&format!("subscribe: {topic}, {options}: 1ms"), "json, schema: {n: long}", "SELECT n FROM events");
    let mut running = bench.river.up();
    running.address();
    for n in 6..9 {
        broker.produce(&topic, 0, numbers(n..n + 1));
        wait(n as usize + 1);
    }
    assert_eq!(running.stop().code(), Some(TERMINATED));
    bench.write(&format!("subscribe: {topic}, {options}: 1h"), "json, schema: {n: long}", "SELECT n FROM events");
    broker.produce(&topic, 0, numbers(9..10));
    assert_eq!(bench.runs(), (0..10).collect::<Vec<_>>(), "a run does not wait");
}

#[test]
fn a_raw_record_is_sparks_row_and_a_value_keeps_its_own_columns() {
    let topic = Broker::shared().fresh_topic("raw", 1);
    let producer: BaseProducer = Broker::shared().config().create().expect("a producer");
    let value = "{\"n\":1,\"timestamp\":77,\"offset\":\"mine\"}";
    let headers = OwnedHeaders::new()
        .insert(Header { key: "a", value: Some("x") })
        .insert(Header { key: "b", value: None::<&str> });
    let record = BaseRecord::to(&topic).partition(0).timestamp(1000).key("k").payload(value).headers(headers);
    producer.send(record).map_err(|(error, _)| error).expect("it is queued");
    let record = BaseRecord::<str, [u8]>::to(&topic).partition(0).timestamp(2000).payload(&[0xff]);
    producer.send(record).map_err(|(error, _)| error).expect("it is queued");
    let record = BaseRecord::<str, str>::to(&topic).partition(0).timestamp(3000).key("gone");
    producer.send(record).map_err(|(error, _)| error).expect("it is queued");
    producer.flush(PATIENCE).expect("everything is delivered");

    let start = format!("subscribe: {topic}, starting_offsets: earliest");
    for layout in ["kappa", "lambda"] {
        let raw = Bench::of(&format!("{start}, include_headers: true"), "raw", "SELECT * FROM events");
        let raw = Bench { river: raw.river.clone().layout(layout), ..raw };
        raw.river.catch_up().ok(layout);
        let sql = "SELECT CAST(key AS string), try_cast(value AS string) LIKE '%mine%', topic, partition, `offset`, \
                   unix_millis(timestamp), timestamp_type, headers IS NULL FROM seen ORDER BY `offset` LIMIT 1";
        assert_eq!(raw.river.rows(sql), [format!("k,true,{topic},0,0,1000,0,false")], "{layout}");
        let sql = "SELECT key IS NULL, value IS NULL, hex(value), headers IS NULL FROM seen WHERE `offset` > 0 \
                   ORDER BY `offset`";
        assert_eq!(raw.river.rows(sql), ["true,false,FF,true", "false,true,,true"], "{layout}");
        let sql = "SELECT h.key, CAST(h.value AS string) FROM (SELECT explode(headers) AS h FROM seen) ORDER BY 1";
        assert_eq!(raw.river.rows(sql), ["a,x", "b,"], "{layout}");
    }
    let options = format!("{start}, metadata: {{written_at: timestamp, at_offset: offset, key: key}}");
    let value = "json, schema: {n: long, timestamp: long, offset: string}";
    let sql =
        "SELECT n, timestamp, `offset`, unix_millis(written_at) AS w, at_offset, CAST(key AS string) AS k FROM events";
    let beside = Bench::of(&options, value, sql);
    beside.river.catch_up().ok("columns beside the value");
    assert_eq!(beside.river.rows("SELECT n, timestamp, `offset`, w, at_offset, k FROM seen"), ["1,77,mine,1000,0,k"]);
    assert_eq!(beside.river.rows("SELECT `offset` FROM dead_letters ORDER BY 1"), ["1", "2"]);
    beside.write(&format!("{start}, metadata: [timestamp]"), value, sql);
    let refused = beside.river.finish("validate", &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(refused.err.contains("`timestamp` is a column already"), "{}", refused.err);
}

#[test]
fn a_dead_letter_of_a_topic_is_mended_and_read_once_beside_new_records() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("letters", 2);
    broker.produce(&topic, 0, ["{\"n\":0}", "{\"n\":\n\"one\"}", "2"]);
    let bench = Bench::new(&format!("subscribe: {topic}, starting_offsets: earliest"));
    assert_eq!(bench.runs(), [0]);
    let dlq = |verb: &str, more: &[&str]| {
        let all: Vec<&str> = [&["--store", &bench.river.store, "--output", "json"][..], more].concat();
        bench.river.finish(verb, &all).ok(verb)
    };
    let file = bench.home.path().join("mended.json");
    let mended = dlq("dlq list", &[]).replace("\\\"one\\\"", "1");
    assert!(mended.contains("{\\\"n\\\":\\n1}"), "{mended}");
    std::fs::write(&file, mended).expect("a fresh file");
    let said = dlq("dlq replay", &["--mended", file.to_str().expect("plain text")]);
    assert!(said.contains("{\"events\":2}"), "{said}");
    let killed = bench.river.clone().env("FAILPOINTS", "epoch::committed=return").catch_up();
    assert_eq!(killed.status.code(), None, "{}", killed.err);
    broker.produce(&topic, 1, numbers(5..6));
    assert_eq!(bench.runs(), [0, 1, 5]);
    let letters = bench.river.rows("SELECT partition, record FROM dead_letters WHERE record = '2' ORDER BY epoch");
    assert_eq!(letters, [format!("{topic}-0,2"), "replayed,2".to_owned()]);
    let keyed = format!("subscribe: {topic}, metadata: [key]");
    bench.write(&keyed, "json, schema: {n: long}", "SELECT n FROM events");
    let said = dlq("dlq replay", &["--where", "partition = 'replayed'"]);
    assert!(said.contains("a dead letter keeps the value only"), "{said}");
}
