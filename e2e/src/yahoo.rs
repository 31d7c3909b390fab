//! The Yahoo benchmark's deployments against their oracle: on a real broker that is killed in the middle, and on files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::braid::{River, Running, TERMINATED, count, eventually};
use crate::broker::Broker;
use crate::cases::same;
use crate::ysb::{Campaigns, World};

const PARTITIONS: i32 = 4;
/// Events that are produced before the next partition gets its share: far less event time than the watermark's delay.
const SHARE: u64 = 10_000;

const VIEW: &str = "SELECT campaign_id, unix_millis(w.start) AS start, views FROM campaign_counts";

/// Makes so many events, produces them over the partitions, and counts them in the oracle.
fn produce(broker: &Broker, topic: &str, world: &mut World, oracle: &mut Campaigns, events: u64) {
    let mut left = events;
    while left > 0 {
        let share = left.min(SHARE);
        left -= share;
        let mut lines: Vec<Vec<String>> = vec![Vec::new(); PARTITIONS as usize];
        for n in 0..share {
            let mut line = String::new();
            world.event(&mut line);
            oracle.add(&line);
            lines[(n % PARTITIONS as u64) as usize].push(line);
        }
        for (partition, lines) in (0..).zip(lines) {
            broker.produce(topic, partition, lines);
        }
    }
}

/// Waits until the view that the running deployment answers is the oracle's.
fn wait_for(river: &River, running: &mut Running, oracle: &Campaigns, when: &str) {
    let wanted: u64 = oracle.views.values().sum();
    eventually(when, || {
        if let Some(status) = running.ended() {
            panic!("{when}: it ended ({status}):\n{}", running.said());
        }
        let asked = river.finish("query", &["SELECT sum(views) AS n FROM campaign_counts", "--output", "csv"]);
        let found: u64 = asked.out.lines().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
        assert!(found <= wanted, "{when}: {found} views, only {wanted} were produced");
        if found == wanted {
            Ok(())
        } else {
            Err(format!("{found} of {wanted} views; {}\n{}", asked.err, running.said()))
        }
    });
    same(when, &river.sorted(VIEW), oracle.rows());
}

/// A deployment in `home` on a broker of its own, with empty topics.
fn on_a_broker(home: &Path) -> (World, Campaigns, Broker, River) {
    let world = World::new(1);
    let oracle = Campaigns::new(&world.ads_csv());
    std::fs::write(home.join("ads.csv"), world.ads_csv()).expect("a fresh file");
    let broker = Broker::start();
    broker.create_topic("ad-events", PARTITIONS);
    broker.create_topic("campaign-counts", 1);
    let river = River::new("deploy/ysb.yaml", home)
        .env("KAFKA_BROKERS", broker.address())
        .env("YSB_ADS", home.join("ads.csv").display())
        .env("BRAID_HTTP", "127.0.0.1:0");
    (world, oracle, broker, river)
}

fn through_kafka(layout: &str) {
    let events = count("BRAID_YSB_EVENTS", 60_000);
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut world, mut oracle, mut broker, river) = on_a_broker(home.path());
    let river = river.layout(layout);

    let mut running = river.up();
    running.address();
    produce(&broker, "ad-events", &mut world, &mut oracle, events / 2);
    wait_for(&river, &mut running, &oracle, "while it runs");
    produce(&broker, "ad-events", &mut world, &mut oracle, events / 4);
    broker.kill();
    broker.restart();
    produce(&broker, "ad-events", &mut world, &mut oracle, events - events / 2 - events / 4);
    wait_for(&river, &mut running, &oracle, "after the broker was killed");
    let ended = running.stop();
    assert_eq!(ended.code(), Some(TERMINATED), "it ended with {ended}");
    same("after it stopped", &river.sorted(VIEW), oracle.rows());
    river.catch_up().ok("once more");
    same("after another start", &river.sorted(VIEW), oracle.rows());

    let mut last = BTreeMap::new();
    for record in broker.records("campaign-counts") {
        let row: Value = serde_json::from_str(record.text()).expect("the sink writes JSON");
        let campaign = row["campaign_id"].as_str().expect("a campaign").to_owned();
        let views = row["views"].as_u64().expect("a count");
        let before = last.insert((campaign, row["w"]["start"].to_string()), views);
        assert!(before.is_none_or(|before| before < views), "a count was written twice or went back: {row}");
    }
    let mut found: Vec<u64> = last.into_values().collect();
    let mut wanted: Vec<u64> = oracle.views.into_values().collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted, "the last counts in the sink's topic");
    eprintln!("{layout}: {events} events through Kafka, the broker killed in the middle, nothing lost or doubled");
}

#[test]
fn through_kafka_under_kappa() {
    through_kafka("kappa");
}

#[test]
fn through_kafka_under_lambda() {
    through_kafka("lambda");
}

/// A broker that is away is not a topic without news.
#[test]
fn caught_up_waits_for_a_broker_that_is_away() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (mut world, mut oracle, mut broker, river) = on_a_broker(home.path());
    produce(&broker, "ad-events", &mut world, &mut oracle, 1_000);
    broker.stop();
    let mut running = river.start_run();
    eventually("it says what it waits for", || {
        let ended = running.ended();
        assert!(ended.is_none(), "it ended ({ended:?}):\n{}", running.said());
        if running.said().contains("`ad_events` waits for Kafka") { Ok(()) } else { Err(running.said()) }
    });
    broker.restart();
    let ended = running.wait();
    assert!(ended.success(), "{ended}:\n{}", running.said());
    assert_eq!(running.said().matches("waits for Kafka").count(), 1, "{}", running.said());
    same("after the broker came", &river.sorted(VIEW), oracle.rows());
}

/// The peers' files where they are (`BRAID_YSB_DATA`), else our own.
fn files(home: &Path) -> PathBuf {
    if let Some(given) = std::env::var_os("BRAID_YSB_DATA") {
        return PathBuf::from(given);
    }
    World::new(1).write(home, 8, 2_500).expect("the events can be written");
    home.to_path_buf()
}

#[test]
fn from_files_under_both_layouts() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let data = files(home.path());
    let oracle = Campaigns::of(&data).expect("the events can be read");
    for layout in ["kappa", "lambda"] {
        let place = home.path().join(layout);
        let river = River::new("deploy/ysb-files.yaml", &place)
            .layout(layout)
            .env("YSB_DATA", data.display())
            .env("BRAID_HTTP", "127.0.0.1:0");
        river.catch_up().ok(layout);
        same(layout, &river.sorted(VIEW), oracle.rows());
    }
}
