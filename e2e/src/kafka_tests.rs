//! The Kafka source and sink against a real broker.

use crate::braid::PATIENCE;
use crate::broker::{Broker, send};
use rdkafka::producer::Producer;

#[test]
fn the_harness_starts_kills_restarts_and_feeds_a_broker() {
    let began = std::time::Instant::now();
    let mut broker = Broker::start();
    eprintln!("started in {:?}", began.elapsed());
    let topic = broker.fresh_topic("harness", 2);
    broker.produce(&topic, 0, ["a", "b"]);
    let producer = broker.transactional("harness");
    producer.begin_transaction().expect("a transaction begins");
    send(&producer, &topic, 1, ["never seen"]);
    producer.flush(PATIENCE).expect("delivered");
    producer.abort_transaction(PATIENCE).expect("aborted");
    broker.kill();
    let began = std::time::Instant::now();
    broker.restart();
    eprintln!("restarted in {:?}", began.elapsed());
    let began = std::time::Instant::now();
    broker.stop();
    eprintln!("stopped in {:?}", began.elapsed());
    let began = std::time::Instant::now();
    broker.restart();
    eprintln!("restarted in {:?}", began.elapsed());
    broker.produce(&topic, 1, ["c"]);
    let records = broker.records(&topic);
    let texts: Vec<&str> = records.iter().map(|record| record.text()).collect();
    assert_eq!(texts, ["a", "b", "c"]);
    assert_eq!(broker.watermarks(&topic, 1), (0, 3), "one aborted, its marker, one record");
}
