//! What a topic gives or takes that cannot pass: said with its place, and nothing behind it is lost.

use crate::braid::{Ended, River};
use crate::broker::Broker;
use crate::random::Random;

/// A deployment from one topic to another, in a directory of its own.
fn between(given: &str, mapped: &str, source: &str, delivery: &str) -> (tempfile::TempDir, River) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let file = home.path().join("deployment.yaml");
    let brokers = Broker::shared().address();
    let text = format!(
        "apiVersion: braid/v1\nname: {given}\nlayout: kappa\nstore: memory://\nrestart: {{max_attempts: 0}}\n\
         sources:\n  given:\n    kafka: {{brokers: \"{brokers}\", subscribe: {given}, starting_offsets: earliest, \
         max_offsets_per_trigger: 2}}\n    format: json\n    schema: {{n: long, text: string}}\n{source}\
         views:\n  seen: {{sql: \"SELECT n, text FROM given\"}}\n  total: {{sql: \"SELECT sum(n) AS n FROM given\"}}\n\
         sinks: {{out: {{from: seen, delivery: {delivery}, kafka: {{brokers: \"{brokers}\", topic: {mapped}}}}}}}\n"
    );
    std::fs::write(&file, text).expect("a fresh file");
    let river = River::new(file, home.path());
    (home, river)
}

fn failed(ended: &Ended, said: &[&str]) {
    assert!(!ended.status.success(), "it went on:\n{}", ended.err);
    for part in said {
        assert!(ended.err.contains(part), "{part:?} is not said:\n{}", ended.err);
    }
}

#[test]
fn a_bad_record_ends_a_query_that_fails_on_one_and_is_still_there() {
    let broker = Broker::shared();
    let (given, mapped) = (broker.fresh_topic("bad", 1), broker.fresh_topic("mapped", 1));
    broker.produce(&given, 0, ["{\"n\":1}", "{\"n\":2}", "{\"n\":4}", "{\"n\":", "{\"n\":8}"]);
    let (_home, river) = between(&given, &mapped, "    on_bad_record: fail\n", "at_least_once");
    for _ in 0..2 {
        failed(&river.catch_up(), &[&format!("{given}-0:3")]);
        // The epoch before it is committed, and its own never.
        assert_eq!(river.rows("SELECT n FROM total"), ["3"]);
    }
}

#[test]
fn a_row_that_the_broker_refuses_is_an_error_and_not_lost() {
    let broker = Broker::shared();
    // Too large however it is compressed.
    let mut random = Random::new(5);
    let text: String = (0..400).map(|_| format!("{:016x}", random.bits())).collect();
    let large = format!("{{\"n\":2,\"text\":\"{text}\"}}");
    for delivery in ["exactly_once", "at_least_once"] {
        let (given, mapped) = (broker.fresh_topic("large", 1), broker.fresh_topic("mapped", 1));
        broker.set_topic(&mapped, "max.message.bytes", "2000");
        broker.produce(&given, 0, ["{\"n\":1,\"text\":\"short\"}", &large, "{\"n\":3,\"text\":\"short\"}"]);
        let (_home, river) = between(&given, &mapped, "", delivery);
        failed(&river.catch_up(), &[&mapped, "Message size too large"]);
        broker.set_topic(&mapped, "max.message.bytes", "100000");
        river.catch_up().ok("the rows");
        let mut there: Vec<String> = broker.records(&mapped).iter().map(|record| record.text().to_owned()).collect();
        there.sort();
        if delivery == "at_least_once" {
            there.dedup();
        }
        assert_eq!(there.len(), 3, "{delivery}: {there:?}");
        assert_eq!(river.rows("SELECT n FROM total"), ["6"], "{delivery}");
    }
}
