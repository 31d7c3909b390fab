//! Rows with numbers, for those who count whether each arrives once.

use crate::broker::Broker;
use crate::random::Random;

/// Rows that are sent at a time.
const ROWS_AT_A_TIME: u64 = 40;

/// Row `id`'s value; negative ones do not pass.
pub fn value(id: u64) -> i64 {
    Random::new(id).below(1000) as i64 - 200
}

/// Sends the next rows, in turn to so many partitions; says how many were sent by now.
pub fn send(broker: &Broker, topic: &str, partitions: u64, sent: u64) -> u64 {
    for partition in 0..partitions {
        let ids = (sent..sent + ROWS_AT_A_TIME).filter(|id| id % partitions == partition);
        let lines = ids.map(|id| format!("{{\"id\":{id},\"v\":{}}}", value(id)));
        broker.produce(topic, partition as i32, lines);
    }
    sent + ROWS_AT_A_TIME
}
