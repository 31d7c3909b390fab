//! The Kafka source against a real broker: offsets, restarts, transactions, retention, what stands beside a value.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, BinaryArray};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use braid_connect::SourceContext;
use braid_kernel::{Limit, Offsets, Rows, Source, SourceError, SourcePlan, SourceState};
use braid_spec::model::{self, Format, Kafka, Metadata, OnBadRecord, SourceKind, Start, Topics};
use futures::StreamExt;
use rdkafka::producer::Producer;

use crate::braid::PATIENCE;
use crate::broker::{Broker, send};

/// A source under test, and what the kernel would remember of it.
pub struct Reading {
    source: Box<dyn Source>,
    state: SourceState,
}

/// What a test chooses of a source.
#[derive(Clone)]
pub struct Choice {
    pub starting: Start,
    pub most: Option<u64>,
    pub fails: bool,
    pub schema: SchemaRef,
    pub metadata: Vec<(String, Metadata)>,
    pub projection: Option<Vec<String>>,
    pub client: BTreeMap<String, String>,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            starting: Start::Earliest,
            most: None,
            fails: true,
            schema: schema(&[("n", DataType::Int64)]),
            metadata: Vec::new(),
            projection: None,
            client: BTreeMap::new(),
        }
    }
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields = columns.iter().map(|(name, of)| Field::new(*name, of.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

impl Reading {
    pub fn of(broker: &Broker, topic: &str, choice: &Choice) -> Self {
        let kafka = Kafka {
            brokers: broker.address().to_owned(),
            topics: Topics::Subscribe(vec![topic.to_owned()]),
            start: choice.starting.clone(),
            start_at_latest_if_none: false,
            end: None,
            max_offsets_per_trigger: choice.most,
            min_offsets_per_trigger: None,
            max_trigger_delay: Duration::ZERO,
            fail_on_data_loss: choice.fails,
            metadata: choice.metadata.clone(),
            client: choice.client.clone(),
        };
        let spec = model::Source {
            from: SourceKind::Kafka(kafka),
            format: Format::Json,
            schema: choice.schema.clone(),
            watermark: None,
            on_bad_record: OnBadRecord::DeadLetter,
        };
        let context = SourceContext {
            name: "numbers".to_owned(),
            journal: Arc::new(braid_kernel::memory::MemoryStore::default()),
            projection: choice.projection.clone(),
            batch_rows: 100,
            epoch_rows: 1_000_000,
            ends: false,
        };
        let open = braid_connect::source(&spec, context).expect("the source opens");
        Self { source: open.source, state: SourceState::default() }
    }

    /// The same deployment after a restart: what was committed is known, nothing else.
    fn restarted(self, broker: &Broker, topic: &str, choice: &Choice) -> Self {
        Self { state: self.state, ..Self::of(broker, topic, choice) }
    }

    /// Plans, trying again as the kernel does.
    async fn plan(&mut self) -> Result<Option<SourcePlan>, SourceError> {
        let began = Instant::now();
        loop {
            match self.source.plan(&self.state, &Limit::default()).await {
                Err(SourceError::Retry(_)) if began.elapsed() < PATIENCE => {}
                planned => return planned,
            }
        }
    }

    async fn rows(&mut self, plan: &SourcePlan) -> Result<Vec<Rows>, SourceError> {
        let mut stream = self.source.read(plan).await?;
        let mut all = Vec::new();
        while let Some(rows) = stream.next().await {
            all.push(rows?);
        }
        Ok(all)
    }

    /// Reads a plan, trying again as the kernel does.
    async fn read(&mut self, plan: &SourcePlan) -> Result<Vec<Rows>, SourceError> {
        let began = Instant::now();
        loop {
            match self.rows(plan).await {
                Err(SourceError::Retry(_)) if began.elapsed() < PATIENCE => {}
                read => return read,
            }
        }
    }

    /// One epoch, committed; `None` where there is nothing new.
    pub async fn epoch(&mut self) -> Option<(SourcePlan, Vec<Rows>)> {
        let plan = self.plan().await.expect("it can be planned")?;
        let rows = self.read(&plan).await.expect("it can be read");
        self.state.advance(&plan);
        Some((plan, rows))
    }

    /// Everything that is there, epoch by epoch.
    async fn drain(&mut self) -> Vec<i64> {
        let mut all = Vec::new();
        while let Some((_, rows)) = self.epoch().await {
            all.extend(numbers(&rows));
        }
        all
    }
}

/// The first column.
fn numbers(rows: &[Rows]) -> Vec<i64> {
    rows.iter().flat_map(|rows| rows.batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

fn records(range: std::ops::Range<i64>) -> Vec<String> {
    range.map(|n| format!("{{\"n\": {n}}}")).collect()
}

fn offsets(pairs: &[(&str, i32, i64)]) -> Offsets {
    pairs.iter().map(|(topic, partition, offset)| (format!("{topic}-{partition}"), *offset)).collect()
}

/// Leaves an aborted transaction in partition 0, which then ends there.
fn abort(broker: &Broker, topic: &str, values: Vec<String>, end: i64) {
    let producer = broker.transactional(&format!("abort-{topic}"));
    producer.begin_transaction().expect("a transaction begins");
    send(&producer, topic, 0, values);
    producer.flush(PATIENCE).expect("it is delivered");
    producer.abort_transaction(PATIENCE).expect("it is aborted");
    broker.wait_until_decided(topic, 0, end);
}

#[test]
fn the_harness_starts_kills_restarts_and_feeds_a_broker() {
    let mut broker = Broker::start();
    let topic = broker.fresh_topic("harness", 2);
    broker.produce(&topic, 0, ["a", "b"]);
    abort(&broker, &topic, vec!["never seen".to_owned()], 4);
    broker.kill();
    broker.restart();
    broker.produce(&topic, 1, ["c"]);
    broker.stop();
    broker.restart();
    let records = broker.records(&topic);
    let texts: Vec<&str> = records.iter().map(|record| record.text()).collect();
    assert_eq!(texts, ["a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn epochs_follow_each_other_without_a_gap_and_say_where_each_row_was() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("offsets", 2);
    broker.produce(&topic, 0, records(0..250));
    broker.produce(&topic, 1, records(1000..1003));
    let mut reading = Reading::of(broker, &topic, &Choice::default());
    let (plan, rows) = reading.epoch().await.expect("there are records");
    assert_eq!(plan.start, offsets(&[(&topic, 0, 0), (&topic, 1, 0)]));
    assert_eq!(plan.end, offsets(&[(&topic, 0, 250), (&topic, 1, 3)]));
    assert!(!plan.more);
    assert_eq!(numbers(&rows), (0..250).chain(1000..1003).collect::<Vec<_>>());
    for rows in &rows {
        assert!(rows.batch.num_rows() <= 100, "a batch is bounded");
        let base = if *rows.partition == *format!("{topic}-1") { 1000 } else { 0 };
        let found: Vec<i64> = rows.offsets.values().iter().map(|offset| offset + base).collect();
        assert_eq!(found, numbers(std::slice::from_ref(rows)));
    }
    assert!(reading.epoch().await.is_none());
    for round in 1..20 {
        broker.produce(&topic, 0, records(round * 1000..round * 1000 + 7));
        let (plan, rows) = reading.epoch().await.expect("there are new records");
        assert_eq!(plan.end.len(), 1, "the other partition has nothing new");
        assert_eq!(numbers(&rows), (round * 1000..round * 1000 + 7).collect::<Vec<_>>());
    }
}

/// The client has said that the partition ends, and the record that came next is planned before the client has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_comes_behind_the_end_that_was_noticed_is_read() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("behind-the-end", 1);
    broker.produce(&topic, 0, records(0..1));
    let lazy = [("fetch.min.bytes", "1000000"), ("fetch.wait.max.ms", "500")];
    let client = lazy.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let mut reading = Reading::of(broker, &topic, &Choice { client, ..Choice::default() });
    reading.epoch().await.expect("the first record");
    for n in 1..4 {
        // Two empty fetches: not needed to pass, but without them the client would not have noticed the end.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        broker.produce(&topic, 0, records(n..n + 1));
        let (_, rows) = reading.epoch().await.expect("a record");
        assert_eq!(numbers(&rows), [n]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_of_before_a_restart_is_read_again_exactly() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("replay", 1);
    broker.produce(&topic, 0, records(0..1000));
    let choice = Choice { most: Some(300), ..Choice::default() };
    let mut reading = Reading::of(broker, &topic, &choice);
    reading.epoch().await.expect("the first");
    let plan = reading.plan().await.expect("it can be planned").expect("the second");
    assert!(plan.more);
    let mut stream = reading.source.read(&plan).await.expect("it begins");
    let some = stream.next().await.expect("a batch").expect("it is read");
    assert_eq!(numbers(&[some]), (300..400).collect::<Vec<_>>());
    drop(stream);
    // In the same process …
    assert_eq!(numbers(&reading.read(&plan).await.expect("again")), (300..600).collect::<Vec<_>>());
    // … and in the next, while more comes.
    broker.produce(&topic, 0, records(1000..1100));
    let mut reading = reading.restarted(broker, &topic, &choice);
    assert_eq!(numbers(&reading.read(&plan).await.expect("again")), (300..600).collect::<Vec<_>>());
    reading.state.advance(&plan);
    assert_eq!(reading.drain().await, (600..1100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_and_open_transactions_are_invisible_and_nothing_waits_for_them() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("transactions", 1);
    broker.produce(&topic, 0, records(0..3));
    abort(broker, &topic, records(100..150), 54);
    let mut reading = Reading::of(broker, &topic, &Choice::default());
    let (plan, rows) = reading.epoch().await.expect("there are records");
    assert_eq!(plan.end, offsets(&[(&topic, 0, 54)]), "three, fifty aborted, their marker");
    assert_eq!(numbers(&rows), [0, 1, 2]);
    // A range of nothing but an aborted transaction.
    abort(broker, &topic, records(200..210), 65);
    let (_, rows) = reading.epoch().await.expect("offsets have moved");
    assert_eq!(numbers(&rows), [0i64; 0]);

    let producer = broker.transactional(&format!("open-{topic}"));
    producer.begin_transaction().expect("a transaction begins");
    send(&producer, &topic, 0, records(300..310));
    producer.flush(PATIENCE).expect("it is delivered");
    broker.produce(&topic, 0, records(400..402));
    assert!(reading.epoch().await.is_none(), "behind an open transaction nothing is decided");
    producer.commit_transaction(PATIENCE).expect("it is committed");
    broker.wait_until_decided(&topic, 0, 78);
    let (_, rows) = reading.epoch().await.expect("it is decided");
    assert_eq!(numbers(&rows), (300..310).chain(400..402).collect::<Vec<_>>());

    // Ranges that end anywhere in all this.
    let choice = Choice { most: Some(7), ..Choice::default() };
    let all = Reading::of(broker, &topic, &choice).drain().await;
    assert_eq!(all, (0..3).chain(300..310).chain(400..402).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_and_comes_back_costs_nothing() {
    let mut broker = Broker::start();
    let topic = broker.fresh_topic("outage", 3);
    for partition in 0..3 {
        let base = i64::from(partition) * 100_000;
        broker.produce(&topic, partition, records(base..base + 20_000));
    }
    let choice = Choice { most: Some(25_000), ..Choice::default() };
    let mut reading = Reading::of(&broker, &topic, &choice);
    let mut all = numbers(&reading.epoch().await.expect("the first").1);
    // In the middle of a read.
    let plan = reading.plan().await.expect("it can be planned").expect("the second");
    let mut stream = reading.source.read(&plan).await.expect("it begins");
    let mut read = vec![stream.next().await.expect("a batch").expect("it is read")];
    broker.kill();
    broker.restart();
    let mut whole = true;
    while let Some(rows) = stream.next().await {
        match rows {
            Ok(rows) => read.push(rows),
            Err(error) => {
                assert!(matches!(error, SourceError::Retry(_)), "{error}");
                whole = false;
            }
        }
    }
    if !whole {
        read = reading.read(&plan).await.expect("it can be read again");
    }
    all.extend(numbers(&read));
    reading.state.advance(&plan);
    // While it is away.
    broker.kill();
    let away = reading.source.plan(&reading.state, &Limit::default()).await;
    assert!(matches!(away, Err(SourceError::Retry(_))), "{away:?}");
    broker.restart();
    all.extend(reading.drain().await);
    all.sort_unstable();
    let wanted: Vec<i64> = [0, 100_000, 200_000].into_iter().flat_map(|base| base..base + 20_000).collect();
    assert!(all == wanted, "{} rows of {}", all.len(), wanted.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn records_removed_by_retention_are_an_error_or_a_warning() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("retention", 1);
    broker.produce(&topic, 0, records(0..100));
    let strict = Choice { most: Some(10), ..Choice::default() };
    let lenient = Choice { fails: false, ..strict.clone() };
    let mut reading = Reading::of(broker, &topic, &strict);
    reading.epoch().await.expect("the first");
    let planned = reading.plan().await.expect("it can be planned").expect("the second");
    broker.delete_records(&topic, 0, 15);

    let mut reading = reading.restarted(broker, &topic, &strict);
    let error = reading.plan().await.expect_err("five records are gone");
    assert!(matches!(error, SourceError::DataLoss(_)), "{error}");
    for part in [&*topic, "partition 0", "offset 10", "15 to 100"] {
        assert!(error.to_string().contains(part), "{part} is not in: {error}");
    }
    let error = reading.read(&planned).await.expect_err("five records are gone");
    assert!(matches!(error, SourceError::DataLoss(_)), "{error}");

    let mut reading = reading.restarted(broker, &topic, &lenient);
    let rows = reading.read(&planned).await.expect("the rest of the planned range is read");
    assert_eq!(numbers(&rows), (15..20).collect::<Vec<_>>());
    let (plan, rows) = reading.epoch().await.expect("it goes on where something is");
    assert_eq!(plan.start, offsets(&[(&topic, 0, 15)]));
    assert_eq!(numbers(&rows), (15..25).collect::<Vec<_>>());
    // A planned range that is gone as a whole.
    let planned = reading.plan().await.expect("it can be planned").expect("the next");
    broker.delete_records(&topic, 0, 90);
    let mut reading = reading.restarted(broker, &topic, &lenient);
    assert_eq!(numbers(&reading.read(&planned).await.expect("nothing is left of it")), [0i64; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_was_made_again_is_an_error_or_read_anew() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("again", 1);
    broker.produce(&topic, 0, records(0..50));
    let mut reading = Reading::of(broker, &topic, &Choice::default());
    let (planned, _) = reading.epoch().await.expect("the first");
    broker.delete_topic(&topic);
    let error = reading.plan().await.expect_err("the topic is gone");
    assert!(matches!(error, SourceError::DataLoss(_)), "{error}");
    broker.create_topic(&topic, 1);
    broker.produce(&topic, 0, records(500..505));
    let error = reading.plan().await.expect_err("its end is before our start");
    assert!(matches!(error, SourceError::DataLoss(_)), "{error}");
    assert!(error.to_string().contains("made again"), "{error}");
    // An epoch that was planned before, and is read after.
    let mut reading = reading.restarted(broker, &topic, &Choice::default());
    let error = reading.read(&planned).await.expect_err("most of it is not there any more");
    assert!(matches!(error, SourceError::DataLoss(_)), "{error}");
    let lenient = Choice { fails: false, ..Choice::default() };
    let mut reading = reading.restarted(broker, &topic, &lenient);
    assert_eq!(reading.drain().await, (500..505).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_are_read_from_their_beginning() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("growing", 1);
    broker.produce(&topic, 0, records(0..5));
    let latest = Choice { starting: Start::Latest, ..Choice::default() };
    let mut reading = Reading::of(broker, &topic, &latest);
    let (_, rows) = reading.epoch().await.expect("where it begins is kept");
    assert_eq!(numbers(&rows), [0i64; 0]);
    broker.add_partitions(&topic, 3);
    for partition in 0..3 {
        broker.produce(&topic, partition, records(i64::from(partition) * 10 + 100..i64::from(partition) * 10 + 104));
    }
    let wanted: Vec<i64> = [100, 110, 120].into_iter().flat_map(|base| base..base + 4).collect();
    let mut all = Vec::new();
    while all.len() < wanted.len() {
        all.extend(reading.drain().await);
    }
    all.sort_unstable();
    assert_eq!(all, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_begins_where_it_first_looked_also_after_a_restart() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("latest", 2);
    broker.produce(&topic, 0, records(0..5));
    let latest = Choice { starting: Start::Latest, ..Choice::default() };
    let mut reading = Reading::of(broker, &topic, &latest);
    let (plan, _) = reading.epoch().await.expect("where it begins is kept");
    assert_eq!(plan.end, offsets(&[(&topic, 0, 5), (&topic, 1, 0)]));
    broker.produce(&topic, 0, records(5..8));
    broker.produce(&topic, 1, records(50..53));
    let mut reading = reading.restarted(broker, &topic, &latest);
    assert_eq!(reading.drain().await, (5..8).chain(50..53).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn given_offsets_are_where_the_first_start_begins() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("given", 3);
    for partition in 0..3 {
        broker.produce(&topic, partition, records(i64::from(partition) * 100..i64::from(partition) * 100 + 10));
    }
    let given = |pairs: &[(i32, i64)]| Choice {
        starting: Start::Offsets(BTreeMap::from([(topic.clone(), pairs.iter().copied().collect())])),
        ..Choice::default()
    };
    let mut reading = Reading::of(broker, &topic, &given(&[(0, 7), (1, -1), (2, -2)]));
    assert_eq!(reading.drain().await, (7..10).chain(200..210).collect::<Vec<_>>());
    broker.produce(&topic, 1, records(110..112));
    assert_eq!(reading.drain().await, [110, 111]);
    for (wrong, why) in [(given(&[(0, 7), (1, 0)]), "missing"), (given(&[(0, 11), (1, 0), (2, 0)]), "end before 10")] {
        let error = Reading::of(broker, &topic, &wrong).plan().await.expect_err("it cannot begin there");
        assert!(matches!(error, SourceError::Fatal(_)) && error.to_string().contains(why), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_is_bounded_in_proportion_to_what_waits() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("bounded", 3);
    broker.produce(&topic, 0, records(0..600));
    broker.produce(&topic, 1, records(1000..1300));
    broker.produce(&topic, 2, records(2000..2001));
    let choice = Choice { most: Some(90), ..Choice::default() };
    let mut reading = Reading::of(broker, &topic, &choice);
    let (plan, rows) = reading.epoch().await.expect("the first");
    assert_eq!(plan.end, offsets(&[(&topic, 0, 59), (&topic, 1, 29), (&topic, 2, 1)]));
    assert_eq!(numbers(&rows).len(), 89);
    let mut all = numbers(&rows);
    all.extend(reading.drain().await);
    all.sort_unstable();
    assert_eq!(all, (0..600).chain(1000..1300).chain(2000..2001).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_beside_a_value_is_a_column_and_what_is_no_row_is_kept() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("beside", 1);
    let producer: rdkafka::producer::BaseProducer = broker.config().create().expect("a producer");
    let put = |key: Option<&str>, value: Option<&str>, at: i64| {
        let mut record = rdkafka::producer::BaseRecord::<str, str>::to(&topic).partition(0).timestamp(at);
        record.key = key;
        record.payload = value;
        producer.send(record).map_err(|(error, _)| error).expect("it is queued");
    };
    put(Some("a"), Some("{\n  \"n\": 1\n}"), 1000);
    put(Some("b"), None, 2000);
    put(Some("c"), Some("{\"n\": \"x\"}"), 3000);
    put(None, Some("{\"n\": 4, \"more\": [1]}"), 4000);
    put(Some("e"), Some("  "), 5000);
    put(Some("f"), Some("{\"n\": 6}"), 6000);
    producer.flush(PATIENCE).expect("everything is delivered");
    let declared = schema(&[
        ("n", DataType::Int64),
        ("key", DataType::Binary),
        ("topic", DataType::Utf8),
        ("partition", DataType::Int32),
        ("offset", DataType::Int64),
        ("timestamp", DataType::Timestamp(TimeUnit::Microsecond, None)),
    ]);
    let words = ["key", "topic", "partition", "offset", "timestamp"];
    let metadata = words.map(|word| (word.to_owned(), Metadata::of(word).expect("it is one"))).to_vec();
    let choice = Choice { schema: declared.clone(), metadata: metadata.clone(), ..Choice::default() };
    let (_, rows) = Reading::of(broker, &topic, &choice).epoch().await.expect("there are records");
    let [rows] = rows.as_slice() else { panic!("one batch, not {}", rows.len()) };
    assert_eq!(rows.batch.schema(), declared);
    assert_eq!(numbers(std::slice::from_ref(rows)), [1, 4, 6]);
    assert_eq!(*rows.batch.column(1).as_binary::<i32>(), BinaryArray::from(vec![Some(&b"a"[..]), None, Some(b"f")]));
    assert_eq!(rows.batch.column(2).as_string::<i32>().value(2), topic);
    assert_eq!(rows.batch.column(3).as_primitive::<Int32Type>().values(), &[0, 0, 0]);
    assert_eq!(rows.batch.column(4).as_primitive::<Int64Type>().values(), &[0, 3, 5]);
    let timestamps = rows.batch.column(5).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(timestamps.values(), &[1_000_000, 4_000_000, 6_000_000]);
    let bad: Vec<(i64, &[u8])> = rows.bad.iter().map(|bad| (bad.offset, bad.raw.as_slice())).collect();
    assert_eq!(bad, [(1, &b""[..]), (2, b"{\"n\": \"x\"}"), (4, b"  ")]);
    assert!(rows.bad[0].reason.contains("tombstone"), "{}", rows.bad[0].reason);

    let needed = Some(vec!["timestamp".to_owned(), "n".to_owned()]);
    let choice = Choice { schema: declared, metadata, projection: needed, ..Choice::default() };
    let (_, rows) = Reading::of(broker, &topic, &choice).epoch().await.expect("there are records");
    let fields: Vec<String> = rows[0].batch.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(fields, ["n", "timestamp"]);
    assert_eq!((rows[0].batch.num_rows(), rows[0].bad.len()), (3, 3), "badness does not depend on who reads");
}
