//! Output modes: which go with which query, and what each writes.

use arrow::array::RecordBatch;

use super::{at, batch_of, block_on, engine, lines, sorted, start};
use crate::{Engine, EngineJob, Output, OutputMode, Seed};

const VIEWS: [(&str, &str); 6] = [
    ("stateless", "SELECT name, n FROM events WHERE n > 1"),
    ("counts", "SELECT name, count(*) AS c FROM events GROUP BY name"),
    ("top", "SELECT name, count(*) AS c FROM events GROUP BY name ORDER BY c DESC, name LIMIT 2"),
    ("windowed", "SELECT window.start AS s, name, sum(n) AS t FROM events GROUP BY window(at, '10 seconds'), name"),
    ("unmarked", "SELECT window(at, '10 seconds') AS w, count(*) AS c FROM other GROUP BY window(at, '10 seconds')"),
    ("sliding", "SELECT window.start AS s, count(*) AS c FROM events GROUP BY window(at, '10 seconds', '5 seconds')"),
];

#[test]
fn which_query_and_mode_go_together() {
    block_on(async {
        let engine = engine(&VIEWS).await;
        let mut table = String::new();
        for (view, _) in VIEWS {
            for mode in [OutputMode::Append, OutputMode::Update, OutputMode::Complete] {
                let verdict = match engine.output(view, mode) {
                    Ok(_) => "ok".to_owned(),
                    Err(reason) => reason,
                };
                table.push_str(&format!("{view} {mode}: {verdict}\n"));
            }
        }
        insta::assert_snapshot!("modes", table);
    });
}

async fn step(
    engine: &Engine,
    job: &mut EngineJob,
    output: &mut Output,
    view: &str,
    rows: RecordBatch,
    watermarks: (Option<i64>, Option<i64>),
) -> Vec<String> {
    assert!(engine.views().contains_key(view));
    job.begin(start(0, watermarks.0));
    job.feed("events", &rows).await.unwrap();
    let delta = job.finish(None).await.unwrap().deltas.remove(view).unwrap_or_default();
    lines(&output.apply(&delta, watermarks.0, watermarks.1).await.unwrap())
}

#[test]
fn append_writes_a_window_once_when_it_is_final() {
    block_on(async {
        let engine = engine(&VIEWS).await;
        let (mut job, mut output) = (engine.job().unwrap(), engine.output("windowed", OutputMode::Append).unwrap());
        let first = batch_of(&[at("a", 1, 1), at("a", 9, 2), at("b", 11, 5)]);
        assert!(step(&engine, &mut job, &mut output, "windowed", first, (None, Some(9_999))).await.is_empty());
        let second = batch_of(&[at("a", 3, 4), at("b", 21, 1)]);
        let rows = step(&engine, &mut job, &mut output, "windowed", second, (Some(9_999), Some(10_000))).await;
        assert_eq!(rows, ["0 | a | 7"]);
        // Too late: the window was written.
        let third = batch_of(&[at("a", 3, 100)]);
        let rows = step(&engine, &mut job, &mut output, "windowed", third, (Some(10_000), Some(30_000))).await;
        assert_eq!(rows, ["10000000 | b | 5", "20000000 | b | 1"]);
        assert_eq!(output.keys(), 0);
    });
}

#[test]
fn update_writes_what_changed_and_complete_everything() {
    block_on(async {
        let engine = engine(&VIEWS).await;
        let (mut job, mut update) = (engine.job().unwrap(), engine.output("counts", OutputMode::Update).unwrap());
        let mut complete = engine.output("top", OutputMode::Complete).unwrap();
        let mut windowed = engine.output("windowed", OutputMode::Update).unwrap();
        job.begin(start(0, None));
        job.feed("events", &batch_of(&[at("a", 1, 1), at("b", 1, 1), at("a", 2, 1), at("c", 2, 1)])).await.unwrap();
        let deltas = job.finish(None).await.unwrap().deltas;
        assert_eq!(sorted(&update.apply(&deltas["counts"], None, None).await.unwrap()), ["a | 2", "b | 1", "c | 1"]);
        assert_eq!(lines(&complete.apply(&deltas["top"], None, None).await.unwrap()), ["a | 2", "b | 1"]);
        windowed.apply(&deltas["windowed"], None, Some(10_000)).await.unwrap();
        assert_eq!(windowed.keys(), 0);

        job.begin(start(0, Some(10_000)));
        job.feed("events", &batch_of(&[at("b", 3, 1), at("b", 6, 1), at("c", 12, 1)])).await.unwrap();
        let epoch = job.finish(None).await.unwrap();
        assert_eq!(sorted(&update.apply(&epoch.deltas["counts"], None, None).await.unwrap()), ["b | 3", "c | 2"]);
        assert_eq!(lines(&complete.apply(&epoch.deltas["top"], None, None).await.unwrap()), ["b | 3", "a | 2"]);
        let rows = windowed.apply(&epoch.deltas["windowed"], Some(10_000), Some(10_000)).await.unwrap();
        assert_eq!(lines(&rows), ["10000000 | c | 1"]);
        // The late rows are kept for the ledger, and the view itself has them.
        assert_eq!(epoch.late_rows["windowed"], 2);
        assert_eq!(epoch.late["windowed"].iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
        assert!(!epoch.late_rows.contains_key("counts"));
        // A row of a sliding window is late only when all its windows are.
        assert_eq!(epoch.late_rows["sliding"], 1);
    });
}

#[test]
fn a_seed_is_worth_the_epochs_before_it() {
    block_on(async {
        let engine = engine(&VIEWS).await;
        let mut job = engine.job().unwrap();
        let mut deltas = Vec::new();
        for (from, to) in [(0, 3), (3, 6)] {
            job.begin(start(0, None));
            let events: Vec<_> = (from..to).map(|second| at("a", second * 4, 1)).collect();
            job.feed("events", &batch_of(&events)).await.unwrap();
            deltas.extend(job.finish(None).await.unwrap().deltas.remove("windowed").unwrap());
        }
        let mut output = engine.output("windowed", OutputMode::Append).unwrap();
        output.seed(Seed::Deltas, &deltas, Some(10_000)).unwrap();
        let rows = output.apply(&[], Some(10_000), Some(20_000)).await.unwrap();
        assert_eq!(lines(&rows), ["10000000 | a | 2"]);
        assert_eq!(output.keys(), 1);
    });
}
