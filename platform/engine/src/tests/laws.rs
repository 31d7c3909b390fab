//! A job is batch-boundary independent, and ⊕ is associative on the bits.

use std::sync::{Arc, LazyLock};

use arrow::array::RecordBatch;
use braid_kernel::Merge;
use datafusion::catalog::MemTable;
use datafusion::execution::session_state::SessionState;
use datafusion::prelude::SessionContext;
use proptest::prelude::*;

use super::{Event, answer, batch_of, block_on, engine, epoch, event_schema, group_rows, sorted, start};
use crate::Engine;
use crate::functions::session;

/// Queries that plain DataFusion answers in one go.
const QUERIES: [&str; 15] = [
    "SELECT count(*) AS c FROM events",
    "SELECT name, count(*) AS c, count(n) AS k, sum(n) AS s, avg(n) AS a FROM events GROUP BY name",
    "SELECT name, sum(x) AS s, avg(x) AS a, min(x) AS lo, max(x) AS hi FROM events GROUP BY name",
    "SELECT flag, sum(price) AS s, avg(price) AS a, min(price) AS lo FROM events GROUP BY flag",
    "SELECT x, count(*) AS c FROM events GROUP BY x",
    "SELECT name, count(DISTINCT small) AS d, count(DISTINCT name) AS e, count(DISTINCT x) AS f FROM events GROUP BY name",
    "SELECT count(DISTINCT name) AS d, approx_count_distinct(n) AS e, sum(x) AS s FROM events",
    "SELECT sum(x) AS s, avg(price) AS a, min(x) AS lo, max(x) AS hi FROM events WHERE n > 6",
    "SELECT DISTINCT name, flag FROM events",
    "SELECT name, n * 2 AS twice, upper(name) AS big FROM events WHERE n > 3 AND name IS NOT NULL",
    "SELECT t.team, count(*) AS c, max(e.at) AS last FROM events e JOIN teams t ON e.name = t.name GROUP BY t.team",
    "SELECT e.name, t.team, e.n FROM events e LEFT JOIN teams t ON e.name = t.name WHERE e.n < 5",
    "SELECT name, count(*) FILTER (WHERE n > 2) AS c FROM events GROUP BY name HAVING count(*) > 1",
    "SELECT window(at, '10 seconds', '10 seconds', '3 seconds') AS w, name, count(*) AS c, sum(x) AS s \
     FROM events WHERE at IS NOT NULL GROUP BY window(at, '10 seconds', '10 seconds', '3 seconds'), name",
    "SELECT name, min(day) AS d, max(name) AS m, bool_or(flag) AS f FROM events \
     WHERE name IN (SELECT name FROM teams) GROUP BY name",
];

/// One engine for all cases: planning is the slow part.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let names: Vec<String> = (0..QUERIES.len()).map(|index| format!("q{index:02}")).collect();
    let views: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(QUERIES).collect();
    std::thread::scope(|scope| scope.spawn(|| block_on(engine(&views))).join().unwrap())
});
static SESSION: LazyLock<SessionState> = LazyLock::new(session);

fn any_event() -> impl Strategy<Value = Event> {
    let x = prop_oneof![
        6 => -1e3..1e3f64,
        2 => prop::sample::select(vec![0.1, 0.2, 1e16, -1e16, 1e300, -1e300, 5e-324]),
        1 => prop::sample::select(vec![f64::NAN, -0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY, -f64::NAN]),
    ];
    (
        prop::option::of(prop::sample::select(vec!["a", "b", "c", "d"])),
        prop::option::of(-3..8i64),
        prop::option::of(0..4i32),
        prop::option::of(x),
        prop::option::of(-10_000..10_000i128),
        prop::option::of(-40_000..40_000i64),
        prop::option::of(any::<bool>()),
        prop::option::of(0..5i32),
    )
        .prop_map(|(name, n, small, x, price, at, flag, day)| Event {
            name: name.map(str::to_owned),
            n,
            small,
            x,
            price,
            at,
            flag,
            day,
        })
}

/// Cuts rows into epochs of batches.
fn cut(events: &[Event], cuts: &[(usize, bool)]) -> Vec<Vec<RecordBatch>> {
    let mut ends: Vec<(usize, bool)> = cuts.iter().filter(|(end, _)| *end <= events.len()).copied().collect();
    ends.push((events.len(), true));
    ends.sort_unstable();
    let (mut epochs, mut batches, mut from) = (vec![], vec![], 0);
    for (end, closes) in ends {
        batches.push(batch_of(&events[from..end]));
        from = end;
        if closes {
            epochs.push(std::mem::take(&mut batches));
        }
    }
    epochs
}

async fn oracle(query: &str, events: &[Event]) -> Vec<String> {
    let context = SessionContext::new_with_state(SESSION.clone());
    let _ = context.deregister_table("events");
    let _ = context.deregister_table("teams");
    let table = |batch: RecordBatch| Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap());
    // Plain DataFusion tells 0.0 from -0.0, and one NaN from another; Spark does not.
    let normal = |x: f64| if x.is_nan() { f64::NAN } else { x + 0.0 };
    let events: Vec<Event> = events.iter().map(|e| Event { x: e.x.map(normal), ..e.clone() }).collect();
    let batch = batch_of(&events);
    let schema = crate::leaf::lowered(&batch.schema());
    let batch = crate::leaf::conform(batch, &schema).unwrap();
    context.register_table("events", table(batch)).unwrap();
    context.register_table("teams", table(group_rows())).unwrap();
    sorted(&context.sql(query).await.unwrap().collect().await.unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_split_into_batches_and_epochs_answers_as_one(
        events in prop::collection::vec(any_event(), 0..60),
        cuts in prop::collection::vec((0..60usize, any::<bool>()), 0..8),
        grouping in prop::collection::vec(1..4usize, 0..6),
    ) {
        block_on(async {
            let engine = &*ENGINE;
            let names: Vec<&str> = engine.views().keys().map(String::as_str).collect();
            let views: Vec<(&str, &str)> = names.iter().copied().zip(QUERIES).collect();
            let mut job = engine.job().unwrap();
            let mut deltas = vec![Vec::new(); QUERIES.len()];
            for batches in cut(&events, &cuts) {
                job.begin(start(0, None));
                for batch in &batches {
                    job.feed("events", batch).await.unwrap();
                }
                let mut result = job.finish(None).await.unwrap();
                for (index, name) in names.iter().enumerate() {
                    deltas[index].extend(result.deltas.remove(*name).unwrap_or_default());
                }
            }
            for ((name, query), deltas) in views.iter().zip(&deltas) {
                let keyed = engine.compiled()[*name].keyed.is_some();
                let mut parts = deltas.clone();
                // A base folded in steps of random size is worth the same.
                for step in &grouping {
                    if keyed && parts.len() > *step {
                        let rest = parts.split_off(*step);
                        parts = engine.merge(name, &parts).unwrap();
                        parts.extend(rest);
                    }
                }
                let whole = oracle(query, &events).await;
                assert_eq!(sorted(&answer(engine, name, deltas).await), whole, "{query}");
                assert_eq!(sorted(&answer(engine, name, &parts).await), whole, "folded: {query}");
                if keyed && deltas.len() >= 3 {
                    let (head, tail) = deltas.split_at(deltas.len() / 2);
                    let left = [engine.merge(name, head).unwrap(), tail.to_vec()].concat();
                    let right = [head.to_vec(), engine.merge(name, tail).unwrap()].concat();
                    assert_eq!(engine.merge(name, &left).unwrap(), engine.merge(name, &right).unwrap(), "bits: {query}");
                }
            }
        });
    }

    /// Spark's sliding windows, by brute force.
    #[test]
    fn sliding_windows_count_each_row_in_each_window(
        events in prop::collection::vec(any_event(), 0..50),
        cuts in prop::collection::vec((0..50usize, any::<bool>()), 0..5),
    ) {
        let query = "SELECT window.start AS s, window.end AS e, count(*) AS c, sum(n) AS t FROM events \
                     GROUP BY window(at, '10 seconds', '4 seconds', '1 second')";
        block_on(async {
            let engine = engine(&[("v", query)]).await;
            let mut job = engine.job().unwrap();
            let mut deltas = Vec::new();
            for batches in cut(&events, &cuts) {
                deltas.extend(epoch(&mut job, "v", &batches).await);
            }
            let mut expected = std::collections::BTreeMap::<i64, (i64, Option<i64>)>::new();
            for event in &events {
                let Some(at) = event.at else { continue };
                for start in (-100_000..100_000i64).filter(|s| (s - 1000).rem_euclid(4000) == 0) {
                    if start <= at && at < start + 10_000 {
                        let entry = expected.entry(start).or_default();
                        entry.0 += 1;
                        entry.1 = match (entry.1, event.n) {
                            (Some(a), Some(b)) => Some(a + b),
                            (a, b) => a.or(b),
                        };
                    }
                }
            }
            let mut expected: Vec<String> = expected
                .into_iter()
                .map(|(start, (count, sum))| {
                    let sum = sum.map_or("NULL".to_owned(), |sum| sum.to_string());
                    format!("{} | {} | {count} | {sum}", start * 1000, (start + 10_000) * 1000)
                })
                .collect();
            expected.sort();
            assert_eq!(sorted(&answer(&engine, "v", &deltas).await), expected);
        });
    }
}

#[test]
fn a_batch_with_only_the_needed_columns_is_enough() {
    block_on(async {
        let engine = engine(&[("v", "SELECT name, sum(n) AS s FROM events GROUP BY name")]).await;
        let info = &engine.views()["v"];
        assert_eq!(info.inputs["events"], ["name", "N"]);
        let whole = batch_of(&[super::at("a", 1, 2), super::at("a", 1, 3)]);
        let needed = whole.project(&[event_schema().index_of("N").unwrap(), 0]).unwrap();
        let delta = epoch(&mut engine.job().unwrap(), "v", &[needed]).await;
        assert_eq!(sorted(&answer(&engine, "v", &delta).await), ["a | 5"]);
    });
}
