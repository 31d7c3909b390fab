//! The Kafka sink against a real broker: each epoch once, whoever crashes, is fenced or goes away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use braid_connect::Output;
use braid_kernel::SinkError;
use braid_spec::model::{Delivery, OutputMode, SinkFormat, SinkKind};
use rdkafka::producer::Producer;

use crate::braid::PATIENCE;
use crate::broker::{Broker, send};
use crate::kafka_tests::{Choice, Reading};

fn sink(broker: &Broker, topic: &str, history: &str, schema: SchemaRef) -> Box<dyn Output> {
    let to = SinkKind::Kafka {
        brokers: broker.address().to_owned(),
        topic: topic.to_owned(),
        client: BTreeMap::new(),
        format: SinkFormat::Json,
    };
    let open = braid_connect::sink(
        &format!("test-{topic}"),
        history,
        &to,
        OutputMode::Update,
        Delivery::ExactlyOnce,
        schema,
        None,
    );
    open.expect("the sink opens").output
}

/// Writes an epoch, trying again as the kernel does: a young broker may not yet coordinate any group, for one.
async fn write_rows(to: &mut Box<dyn Output>, epoch: u64, rows: RecordBatch) -> Result<(), SinkError> {
    let began = Instant::now();
    let rows = [rows];
    loop {
        match to.write(epoch, &rows).await {
            Err(SinkError::Retry(_)) if began.elapsed() < PATIENCE => {}
            written => return written,
        }
    }
}

async fn write(to: &mut Box<dyn Output>, epoch: u64, rows: std::ops::Range<i64>) -> Result<(), SinkError> {
    write_rows(to, epoch, counts(rows)).await
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).expect("the columns fit")
}

fn counts(range: std::ops::Range<i64>) -> RecordBatch {
    batch(vec![("n", Arc::new(Int64Array::from_iter_values(range)))])
}

fn values(broker: &Broker, topic: &str) -> Vec<String> {
    let mut values: Vec<String> = broker.records(topic).iter().map(|record| record.text().to_owned()).collect();
    values.sort_unstable();
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_that_is_written_again_is_in_the_topic_once() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("once", 2);
    let rows = counts(0..10);
    let mut first = sink(broker, &topic, "one", rows.schema());
    write(&mut first, 0, 0..10).await.expect("epoch 0");
    write(&mut first, 0, 0..10).await.expect("epoch 0 again");
    first.write(1, &[]).await.expect("nothing to write");
    write(&mut first, 2, 10..20).await.expect("epoch 2");
    drop(first);
    // After a crash between the write and the manifest's commit.
    let mut second = sink(broker, &topic, "one", rows.schema());
    write(&mut second, 2, 10..20).await.expect("epoch 2 again");
    write(&mut second, 3, 20..25).await.expect("epoch 3");
    let mut wanted: Vec<String> = (0..25).map(|n| format!("{{\"n\":{n}}}")).collect();
    wanted.sort_unstable();
    assert_eq!(values(broker, &topic), wanted);
    // Another store counts its own epochs.
    let mut other = sink(broker, &topic, "two", rows.schema());
    write(&mut other, 3, 90..91).await.expect("epoch 3 of another history");
    wanted.push("{\"n\":90}".to_owned());
    wanted.sort_unstable();
    assert_eq!(values(broker, &topic), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_was_taken_over_is_fenced() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("fence", 1);
    let rows = counts(0..1);
    let mut old = sink(broker, &topic, "one", rows.schema());
    write(&mut old, 0, 0..1).await.expect("epoch 0");
    let mut new = sink(broker, &topic, "one", rows.schema());
    write(&mut new, 1, 1..2).await.expect("epoch 1");
    let error = write(&mut old, 1, 1..2).await.expect_err("it is fenced");
    assert!(matches!(error, SinkError::Fatal(_)) && error.to_string().contains("taken over"), "{error}");
    write(&mut new, 2, 2..3).await.expect("epoch 2");
    // One that comes back later still finds that others have gone on.
    let error = write(&mut old, 1, 1..2).await.expect_err("it is behind");
    assert!(matches!(error, SinkError::Fatal(_)) && error.to_string().contains("taken over"), "{error}");
    assert_eq!(values(broker, &topic), ["{\"n\":0}", "{\"n\":1}", "{\"n\":2}"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_a_crash_left_open_is_ended_by_the_next_sink() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("crash", 1);
    let id = format!("braid-test-{topic}");
    let crashed = broker.transactional(&id);
    crashed.begin_transaction().expect("a transaction begins");
    send(&crashed, &topic, 0, ["half of epoch 0"]);
    crashed.flush(PATIENCE).expect("it is delivered");
    let mut next = sink(broker, &topic, "one", counts(0..1).schema());
    write(&mut next, 0, 0..2).await.expect("epoch 0");
    assert_eq!(values(broker, &topic), ["{\"n\":0}", "{\"n\":1}"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_outlives_its_broker_and_still_writes_once() {
    let mut broker = Broker::start();
    let topic = broker.fresh_topic("outage", 1);
    let rows = counts(0..1);
    let mut to = sink(&broker, &topic, "one", rows.schema());
    write(&mut to, 0, 0..100).await.expect("epoch 0");
    broker.kill();
    let away = to.write(1, &[counts(100..200)]).await;
    assert!(matches!(away, Err(SinkError::Retry(_))), "{away:?}");
    broker.restart();
    for epoch in 1..3 {
        let base = i64::try_from(epoch).expect("small") * 100;
        write(&mut to, epoch, base..base + 100).await.expect("the broker is back");
    }
    let mut wanted: Vec<String> = (0..300).map(|n| format!("{{\"n\":{n}}}")).collect();
    wanted.sort_unstable();
    assert_eq!(values(&broker, &topic), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_named_key_and_value_are_the_record() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("pairs", 1);
    let rows = batch(vec![
        ("key", Arc::new(StringArray::from(vec![Some("k"), None, Some("gone")]))),
        ("value", Arc::new(StringArray::from(vec![Some("line\nbreak"), Some("v"), None]))),
    ]);
    let mut to = sink(broker, &topic, "one", rows.schema());
    write_rows(&mut to, 0, rows).await.expect("it is written");
    let records = broker.records(&topic);
    let found: Vec<(Option<&[u8]>, Option<&[u8]>)> =
        records.iter().map(|record| (record.key.as_deref(), record.value.as_deref())).collect();
    assert_eq!(found, [(Some(&b"k"[..]), Some(&b"line\nbreak"[..])), (None, Some(b"v")), (Some(b"gone"), None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_becomes_a_json_object_that_the_source_reads_back() {
    let broker = Broker::shared();
    let topic = broker.fresh_topic("json", 1);
    let rows = batch(vec![
        ("n", Arc::new(Int64Array::from(vec![Some(1), None]))),
        ("text", Arc::new(StringArray::from(vec!["a\n\"b\"", "ü"]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(vec![1_500_000, 0]))),
    ]);
    let mut to = sink(broker, &topic, "one", rows.schema());
    write_rows(&mut to, 0, rows.clone()).await.expect("it is written");
    assert_eq!(
        broker.records(&topic).iter().map(|record| record.text().to_owned()).collect::<Vec<_>>(),
        [
            "{\"n\":1,\"text\":\"a\\n\\\"b\\\"\",\"at\":\"1970-01-01T00:00:01.500Z\"}",
            "{\"text\":\"ü\",\"at\":\"1970-01-01T00:00:00Z\"}"
        ]
    );
    let choice = Choice { schema: rows.schema(), ..Choice::default() };
    let (_, read) = Reading::of(broker, &topic, &choice).epoch().await.expect("there are records");
    assert_eq!(read[0].batch.columns(), rows.columns());
}
