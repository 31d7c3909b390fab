//! How often a row gets to a sink, by the name that was chosen, over a crash on either side of the commit.

use std::collections::BTreeMap;

use crate::braid::River;
use crate::broker::Broker;

#[test]
fn a_row_arrives_as_often_as_was_chosen() {
    let broker = Broker::shared();
    let deliveries = ["exactly_once", "at_least_once", "at_most_once"];
    let topics: Vec<String> = deliveries.iter().map(|delivery| broker.fresh_topic(delivery, 1)).collect();
    let home = tempfile::tempdir().expect("a temporary directory");
    let (input, file) = (home.path().join("input"), home.path().join("deployment.yaml"));
    std::fs::create_dir(&input).expect("a fresh directory");
    let sinks: Vec<String> = (deliveries.iter().zip(&topics))
        .map(|(delivery, topic)| {
            let kafka = format!("kafka: {{brokers: \"{}\", topic: {topic}}}", broker.address());
            format!("  {delivery}: {{from: lines_seen, delivery: {delivery}, {kafka}}}\n")
        })
        .collect();
    let text = format!(
        "apiVersion: braid/v1\nname: delivered\nlayout: kappa\nstore: memory://\n\
         sources: {{lines: {{files: {{path: \"${{INPUT}}\", max_files_per_trigger: 1}}, format: text}}}}\n\
         views: {{lines_seen: {{sql: SELECT value FROM lines}}}}\nsinks:\n{}",
        sinks.concat()
    );
    std::fs::write(&file, text).expect("a fresh file");
    for number in 0..4 {
        std::fs::write(input.join(format!("{number}.txt")), format!("line {number}\n")).expect("a fresh file");
    }
    let river = River::new(file, home.path()).env("INPUT", input.display());
    // Epoch 1 is written and not committed; epoch 2 is committed, and not written behind it.
    for crash in ["epoch::sinks::written=1*off->return", "epoch::committed=1*off->return"] {
        let ended = river.clone().env("FAILPOINTS", crash).catch_up();
        assert!(!ended.status.success(), "{crash} is not there:\n{}", ended.err);
    }
    river.catch_up().ok("the rest");
    let arrived: BTreeMap<&str, Vec<String>> = (deliveries.into_iter().zip(&topics))
        .map(|(delivery, topic)| {
            let records = broker.records(topic);
            (delivery, records.iter().map(|record| record.text().replace("line ", "")).collect())
        })
        .collect();
    assert_eq!(arrived["exactly_once"], ["0", "1", "2", "3"]);
    assert_eq!(arrived["at_least_once"], ["0", "1", "1", "2", "3"]);
    assert_eq!(arrived["at_most_once"], ["0", "1", "3"]);
}
