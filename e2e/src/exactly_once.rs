//! From Kafka to Kafka, each row once, whatever is killed: Braid at random moments, and the broker.
//!
//! `BRAID_KAFKA_KILLS` (6) says how often Braid is killed, `BRAID_BROKER_RESTARTS` (2) how often the broker is, half of
//! the time with `kill -9`; both run when that happens. `e2e/kill/run` makes the long show.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::braid::{River, count};
use crate::broker::Broker;
use crate::cases::same;
use crate::numbered::{send, value};
use crate::random::Random;

/// Braid lives at most so long before it is killed, in milliseconds: some tens of epochs.
const LIFE_MS: u64 = 1_500;

struct Show {
    broker: Broker,
    given: String,
    rows: String,
    changes: String,
    sent: u64,
}

impl Show {
    fn send(&mut self) {
        self.sent = send(&self.broker, &self.given, 3, self.sent);
    }

    /// What a reader of committed records sees: no row twice, and (`all`) each once.
    fn check(&self, all: bool) -> usize {
        let mut seen = BTreeMap::<u64, u64>::new();
        for record in self.broker.records(&self.rows) {
            let row: serde_json::Value = serde_json::from_str(record.text()).expect("a row is JSON");
            let id = row["id"].as_u64().expect("a row has an id");
            assert_eq!(row["twice"].as_i64(), Some(value(id) * 2), "row {id}");
            *seen.entry(id).or_default() += 1;
        }
        let doubled: Vec<_> = seen.iter().filter(|(_, times)| **times != 1).take(10).collect();
        assert!(doubled.is_empty(), "rows are there more than once: {doubled:?}");
        if all {
            let wanted: Vec<String> = (0..self.sent).filter(|id| value(*id) >= 0).map(|id| id.to_string()).collect();
            same("rows", &seen.keys().map(u64::to_string).collect::<Vec<_>>(), wanted);
            // Of each digit the counts grow, and the last is of all rows.
            let mut last = BTreeMap::<u64, u64>::new();
            for record in self.broker.records(&self.changes) {
                let row: serde_json::Value = serde_json::from_str(record.text()).expect("a row is JSON");
                let (digit, n) = (row["digit"].as_u64().expect("a digit"), row["n"].as_u64().expect("a count"));
                assert!(last.insert(digit, n).is_none_or(|before| before < n), "digit {digit} was told twice as {n}");
            }
            let wanted: BTreeMap<u64, u64> = (0..10).map(|digit| (digit, self.sent / 10)).collect();
            assert_eq!(last, wanted);
        }
        seen.len()
    }
}

#[test]
fn kafka_to_kafka_over_kills_and_broker_restarts() {
    let (kills, restarts) = (count("BRAID_KAFKA_KILLS", 6), count("BRAID_BROKER_RESTARTS", 2));
    let broker = Broker::start();
    let (given, rows, changes) =
        (broker.fresh_topic("given", 3), broker.fresh_topic("rows", 2), broker.fresh_topic("changes", 1));
    let home = tempfile::tempdir().expect("a temporary directory");
    let river = River::new("e2e/kill/kafka.yaml", home.path())
        .env("BROKERS", broker.address())
        .env("GIVEN", &given)
        .env("ROWS", &rows)
        .env("CHANGES", &changes);
    let mut show = Show { broker, given, rows, changes, sent: 0 };
    let mut random = Random::new(11);
    let (mut killed, mut restarted, mut turns, mut ended) = (0, 0, 0, vec![]);
    while killed < kills || restarted < restarts {
        turns += 1;
        assert!(turns < 3 * (kills + restarts) + 10, "it ends before it is killed: {ended:?}");
        let mut running = river.up();
        let life = random.below(LIFE_MS);
        let mut lived = 0;
        while lived < life {
            show.send();
            let pause = random.below(60).min(life - lived).max(1);
            std::thread::sleep(Duration::from_millis(pause));
            lived += pause + 20;
        }
        // Every so many kills the broker goes first, while rows are under way.
        if restarted * kills <= killed * restarts && restarted < restarts {
            if random.below(2) == 0 {
                show.broker.kill();
            } else {
                show.broker.stop();
            }
            std::thread::sleep(Duration::from_millis(random.below(400)));
            show.broker.restart();
            restarted += 1;
            show.send();
            std::thread::sleep(Duration::from_millis(random.below(LIFE_MS)));
        }
        match running.ended() {
            None => killed += u64::from(running.kill()),
            Some(status) => ended.push(format!("{status}: {}", running.said())),
        }
        if turns % 20 == 0 {
            river.catch_up().ok("a turn");
            eprintln!(
                "{killed} kills, {restarted} broker restarts, {} rows, {} in the sink",
                show.sent,
                show.check(false)
            );
        }
    }
    assert!(ended.is_empty(), "it ended by itself: {ended:?}");
    show.send();
    river.catch_up().ok("the last turn");
    let found = show.check(true);
    eprintln!("{killed} kills, {restarted} broker restarts, {} rows: {found} in the sink, each once", show.sent);
}
