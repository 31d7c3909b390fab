//! Continuous processing through the binary: rows are in sinks before anything is committed, and over kills and swaps of the
//! layout each is there as often as was chosen.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::braid::{River, Running, TERMINATED, binary, count, eventually};
use crate::broker::Broker;
use crate::cases::same;
use crate::http;
use crate::numbered::{send, value};
use crate::parquet::parquet_rows;
use crate::random::Random;

/// Braid lives at most so long before it is killed, in milliseconds: some epochs.
const LIFE_MS: u64 = 1_200;

/// Asks it to stop, and waits until it has ended its epoch.
fn stop(mut running: Running) -> String {
    let asked = Command::new("kill").args(["-TERM", &running.id().to_string()]).status().expect("kill runs");
    assert!(asked.success(), "it had ended:\n{}", running.said());
    assert_eq!(running.wait().code(), Some(TERMINATED), "{}", running.said());
    assert!(!running.said().contains("while stopping"), "{}", running.said());
    running.said()
}

/// Topics, and what reads and writes them.
struct Show<'a> {
    broker: &'a Broker,
    given: String,
    at_least: String,
    once: String,
    river: River,
    sent: u64,
    _home: tempfile::TempDir,
}

impl<'a> Show<'a> {
    fn new(broker: &'a Broker, interval: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let topics = [("given", 2), ("at-least", 2), ("once", 2)];
        let [given, at_least, once] = topics.map(|(stem, partitions)| broker.fresh_topic(stem, partitions));
        let river = River::new("e2e/kill/continuous.yaml", home.path())
            .env("BROKERS", broker.address())
            .env("GIVEN", &given)
            .env("AT_LEAST", &at_least)
            .env("ONCE", &once)
            .env("INTERVAL", interval);
        Self { broker, given, at_least, once, river, sent: 0, _home: home }
    }

    fn send(&mut self) {
        self.sent = send(self.broker, &self.given, 2, self.sent);
    }

    /// The ids that pass.
    fn wanted(&self) -> Vec<String> {
        (0..self.sent).filter(|id| value(*id) >= 0).map(|id| id.to_string()).collect()
    }

    /// How often each row is in a topic, for readers of committed records.
    fn there(&self, topic: &str) -> BTreeMap<u64, u64> {
        let mut there = BTreeMap::new();
        for record in self.broker.records(topic) {
            let row: Value = serde_json::from_str(record.text()).expect("a row is JSON");
            let id = row["id"].as_u64().expect("a row has an id");
            assert_eq!(row["twice"].as_i64(), Some(value(id) * 2), "row {id}");
            *there.entry(id).or_default() += 1;
        }
        there
    }

    /// Waits until every row is in a topic.
    fn all_in(&self, topic: &str, running: &Running) {
        eventually("every row", || match self.there(topic).len() == self.wanted().len() {
            true => Ok(()),
            false => Err(running.said()),
        });
    }

    /// Rows that go all the way, epoch by epoch: a young broker has first to find out who coordinates what.
    fn warm_up(&mut self) {
        let running = self.river.clone().env("INTERVAL", "50ms").up();
        self.send();
        self.all_in(&self.once, &running);
        stop(running);
    }

    /// Once everything is processed: both topics, and the view.
    fn check(&self, what: &str) {
        let ids = |there: &BTreeMap<u64, u64>| there.keys().map(u64::to_string).collect::<Vec<_>>();
        let (at_least, once) = (self.there(&self.at_least), self.there(&self.once));
        same(what, &ids(&at_least), self.wanted());
        same(what, &ids(&once), self.wanted());
        let doubled: Vec<_> = once.iter().filter(|(_, times)| **times != 1).take(10).collect();
        assert!(doubled.is_empty(), "{what}: rows are there more than once: {doubled:?}");
        let total = format!("{},{}", self.sent, self.sent * (self.sent - 1) / 2);
        assert_eq!(self.river.rows("SELECT n, ids FROM totals"), [total], "{what}");
    }

    fn epochs(&self) -> u64 {
        let status = self.river.finish("status", &["--output", "json"]).ok("a status");
        let status: Value = serde_json::from_str(&status).expect("JSON");
        status["epochs"].as_u64().expect("a number")
    }
}

#[test]
fn rows_are_there_before_anything_is_committed() {
    for (first, second) in [("kappa", "lambda"), ("lambda", "kappa")] {
        let mut show = Show::new(Broker::shared(), "10m");
        show.warm_up();
        let (before, warm) = (show.epochs(), show.sent);
        show.send();
        let mut running = show.river.clone().layout(first).up();
        show.all_in(&show.at_least, &running);
        show.send();
        show.all_in(&show.at_least, &running);
        let address = running.address();
        let new = show.wanted().iter().filter(|id| id.parse::<u64>().is_ok_and(|id| id >= warm)).count();
        // Sinks are given rows in the order of their names: so the transaction has them too.
        eventually("the rows in memory", || {
            let seen = http::sql(&address, "SELECT count(*) AS n FROM seen").ok();
            if seen["rows"][0]["n"] == new as u64 { Ok(()) } else { Err(seen.to_string()) }
        });
        assert_eq!(show.epochs(), before, "nothing was committed");
        let described = http::get(&address, &format!("/v1/queries/{}", show.once)).ok();
        assert_eq!(described["trigger"], "continuous 600s");
        let said = stop(running);
        assert_eq!(show.epochs(), before + 1, "a stop ends the epoch: {said}");
        show.check(first);
        let (there, sent) = (show.there(&show.at_least), show.sent);
        // A clean stop repeats nothing, under another layout or another trigger.
        let running = show.river.clone().layout(second).env("INTERVAL", "50ms").up();
        show.send();
        show.all_in(&show.at_least, &running);
        stop(running);
        show.check(second);
        let mut now = show.there(&show.at_least);
        now.retain(|id, _| *id < sent);
        assert_eq!(now, there, "a row came again: {first}, then {second}");
        show.river.clone().layout(first).catch_up().ok("nothing is left");
        show.check("in the end");
    }
}

#[test]
fn a_partition_that_comes_later_flows_too_and_is_no_new_one_after_a_restart() {
    let mut show = Show::new(Broker::shared(), "100ms");
    let running = show.river.up();
    show.send();
    show.all_in(&show.once, &running);
    show.broker.add_partitions(&show.given, 4);
    show.sent = send(show.broker, &show.given, 4, show.sent);
    show.all_in(&show.once, &running);
    stop(running);
    show.sent = send(show.broker, &show.given, 4, show.sent);
    let running = show.river.up();
    show.all_in(&show.once, &running);
    stop(running);
    show.check("with more partitions");
}

#[test]
fn each_row_as_often_as_was_chosen_over_kills() {
    let kills = count("BRAID_KAFKA_KILLS", 6);
    let mut show = Show::new(Broker::shared(), "150ms");
    let mut random = Random::new(23);
    for turn in 0..kills {
        let layout = if turn % 3 == 2 { "lambda" } else { "kappa" };
        let mut running = show.river.clone().layout(layout).up();
        let life = random.below(LIFE_MS);
        let mut lived = 0;
        while lived < life {
            show.send();
            let pause = random.below(60).min(life - lived).max(1);
            std::thread::sleep(Duration::from_millis(pause));
            lived += pause + 20;
        }
        assert!(running.ended().is_none(), "it ended by itself: {}", running.said());
        running.kill();
    }
    show.send();
    show.river.catch_up().ok("the rest");
    show.check("after all kills");
}

#[test]
fn an_abort_at_every_step_of_an_epoch_whose_rows_flow() {
    let mut show = Show::new(Broker::shared(), "100ms");
    for (point, layout) in [
        ("flow::given", "kappa"),
        ("flow::closing", "kappa"),
        ("epoch::planned", "kappa"),
        ("epoch::log::written", "lambda"),
        ("epoch::deltas::written", "lambda"),
        ("epoch::sinks::before", "kappa"),
        ("epoch::sinks::written", "kappa"),
        ("epoch::committed", "kappa"),
    ] {
        for action in ["return", "1*off->return"] {
            let mut running = show.river.clone().layout(layout).env("FAILPOINTS", format!("{point}={action}")).up();
            let status = eventually(point, || {
                show.send();
                running.ended().ok_or_else(|| running.said())
            });
            assert_eq!(status.code(), None, "{point}: {status} and no abort:\n{}", running.said());
        }
        // What comes next is continuous too: it first runs what was planned.
        let mut running = show.river.clone().layout(layout).up();
        show.send();
        show.all_in(&show.once, &running);
        running.address();
        stop(running);
        show.check(point);
    }
}

#[test]
fn a_broker_that_goes_and_comes_costs_nothing() {
    let mut broker = Broker::start();
    let (sent, given, at_least, once, river, home) = {
        let mut show = Show::new(&broker, "100ms");
        show.warm_up();
        let Show { sent, given, at_least, once, river, _home, .. } = show;
        (sent, given, at_least, once, river, _home)
    };
    let running = river.up();
    broker.kill();
    std::thread::sleep(Duration::from_millis(500));
    broker.restart();
    let mut show = Show { broker: &broker, given, at_least, once, river, sent, _home: home };
    show.send();
    show.all_in(&show.once, &running);
    stop(running);
    show.check("after an outage");
}

/// A deployment of generated rows in a directory of its own.
fn generated(more: &str) -> (tempfile::TempDir, River) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let file = home.path().join("deployment.yaml");
    let text = format!(
        "apiVersion: braid/v1\nname: ticking\nlayout: kappa\nstore: memory://\n\
         sources: {{ticks: {{rate: {{rows_per_second: 1000, rows_max: 500}}}}}}\n\
         views:\n  even: {{sql: \"SELECT value FROM ticks WHERE value % 2 = 0\"}}\n  \
         digits: {{sql: \"SELECT value % 10 AS digit, count(*) AS n FROM ticks GROUP BY value % 10\"}}\n\
         serving: {{http: \"127.0.0.1:0\"}}\n{more}\n"
    );
    std::fs::write(&file, text).expect("a fresh file");
    let river = River::new(file, home.path());
    (home, river)
}

#[test]
fn generated_rows_flow_into_memory_and_are_printed_with_their_epoch() {
    for layout in ["kappa", "lambda"] {
        let (home, river) = generated(
            "trigger: {continuous: 10m}\n\
             sinks:\n  here: {from: even, memory: {}}\n  printed: {from: even, console: {num_rows: 3}}\n  \
             files: {from: even, parquet: {path: \"${OUT}\"}}",
        );
        let out = home.path().join("out");
        let river = river.layout(layout).env("OUT", out.display());
        let mut running = river.up();
        let address = running.address();
        eventually("the rows", || {
            let here = http::sql(&address, "SELECT count(*) AS n FROM here").ok();
            if here["rows"][0]["n"] == 250 { Ok(()) } else { Err(running.said()) }
        });
        let served = http::sql(&address, "SELECT count(*) AS n FROM digits").ok();
        assert_eq!(served["rows"][0]["n"], 0, "a view that is served changes with the epoch");
        assert!(!running.said().contains("Batch:"), "{}", running.said());
        // A drain ends the epoch, and writes a base.
        let stopped = Command::new(binary())
            .args(["queries", "stop", "--address", &address])
            .arg(&river.deployment)
            .env("OUT", out.display().to_string())
            .output();
        assert!(stopped.expect("it starts").status.success(), "{}", running.said());
        assert_eq!(running.wait().code(), Some(0), "{}", running.said());
        assert_eq!(running.said().matches("Batch: 0").count(), 1, "{}", running.said());
        assert!(running.said().contains("only showing top 3 rows"), "{}", running.said());
        assert_eq!(river.rows("SELECT digit, n FROM digits WHERE digit = 3"), ["3,50"]);
        assert_eq!(parquet_rows(&out).len(), 250);
        river.catch_up().ok("nothing is left");
        assert_eq!(river.rows("SELECT sum(n) AS n FROM digits"), ["500"]);
    }
}

#[test]
fn an_epoch_ends_early_when_it_has_its_rows_and_each_has_one_report() {
    let (home, river) = generated("trigger: {continuous: 10m}\nsinks: {here: {from: even, memory: {}}}");
    let layout = home.path().join("short.yaml");
    let short = "speed: {epoch: {every: 1s, rows: 100}}\nlog: {keep: forever}\nbase: {by: recompute}\n";
    std::fs::write(&layout, short).expect("a fresh file");
    let river = river.layout(&layout.display().to_string());
    let mut running = river.up();
    let address = running.address();
    let reports = eventually("the epochs", || {
        let recent = http::get(&address, "/v1/queries/ticking/progress").ok()["recentProgress"].clone();
        let reports = recent.as_array().cloned().unwrap_or_default();
        let rows: u64 = reports.iter().filter_map(|report| report["numInputRows"].as_u64()).sum();
        if rows > 400 { Ok(reports) } else { Err(running.said()) }
    });
    let batches: Vec<u64> = reports.iter().filter_map(|report| report["batchId"].as_u64()).collect();
    assert_eq!(batches, (0..batches.len() as u64).collect::<Vec<_>>(), "one report an epoch");
    assert!(reports.iter().all(|report| report["numInputRows"].as_u64() >= Some(100)), "{reports:?}");
    stop(running);
    river.catch_up().ok("the rest");
    assert_eq!(river.rows("SELECT sum(n) AS n FROM digits"), ["500"]);
}
