//! Stateful operators: what they give out does not depend on restarts, on epochs that failed and were run again, nor,
//! where nothing is late, on where the epochs are cut.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use braid_kernel::{EpochStart, Merge};
use proptest::prelude::*;

use super::keyed::{BAD, Sessions, Ticks};
use super::{at, batch_of, block_on, catalog, event_schema, sorted, start};
use crate::catalog::{DropDuplicates, EventTime, Gate, Input, TransformWithState};
use crate::keyed::TimeMode;
use crate::{Engine, EngineJob};

const VIEWS: [(&str, &str); 9] = [
    ("kept_sessions", "SELECT name, numbers, most FROM kept"),
    (
        "distinct",
        "SELECT w, count(*) AS names FROM (SELECT DISTINCT window(at, '10 seconds') AS w, name FROM events) GROUP BY w",
    ),
    (
        "inner_join",
        "SELECT e.name AS a, e.at AS t, o.n AS n FROM events e JOIN other o ON e.name = o.name AND o.at BETWEEN e.at AND e.at + INTERVAL 5 SECONDS",
    ),
    (
        "left_join",
        "SELECT e.name AS a, e.at AS t, o.n AS n FROM events e LEFT JOIN other o ON e.name = o.name AND o.at BETWEEN e.at AND e.at + INTERVAL 5 SECONDS",
    ),
    (
        "full_join",
        "SELECT e.name AS a, e.at AS t, o.n AS n FROM events e FULL JOIN other o ON e.name = o.name AND window(e.at, '5 seconds') = window(o.at, '5 seconds')",
    ),
    (
        "semi_join",
        "SELECT e.name AS a, e.at AS t FROM events e LEFT SEMI JOIN other o ON e.name = o.name AND o.at BETWEEN e.at AND e.at + INTERVAL 5 SECONDS",
    ),
    (
        "chain",
        "SELECT window(w, '20 seconds') AS w, count(*) AS c, max(n) AS most FROM (SELECT window(at, '5 seconds') AS w, name, sum(n) AS n FROM events GROUP BY window(at, '5 seconds'), name) GROUP BY window(w, '20 seconds')",
    ),
    (
        "sessions",
        "SELECT name, session_window(at, '3 seconds') AS s, count(*) AS c FROM events GROUP BY name, session_window(at, '3 seconds')",
    ),
    (
        "joined_sessions",
        "SELECT s, count(*) AS c FROM (SELECT name, session_window(at, '3 seconds') AS s FROM events GROUP BY name, session_window(at, '3 seconds')) GROUP BY s",
    ),
];

/// A row of an input: the input, name, second, number.
type Row = (bool, String, i64, i64);

/// Compiled once.
fn stateful() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| block_on(compiled())).clone()
}

async fn compiled() -> Engine {
    let mut catalog = catalog(&VIEWS);
    for input in catalog.inputs.values_mut() {
        input.watermark = Some(EventTime { column: "at".into(), delay_ms: 0 });
    }
    if let Some(other) = catalog.inputs.get_mut("other") {
        let unique = DropDuplicates { columns: vec!["name".into(), "at".into()], within_watermark: false };
        other.gate = Some(Gate::Unique(unique));
    }
    let kept = TransformWithState {
        code: Arc::new(Sessions::new()),
        schema: event_schema(),
        watermark: catalog.inputs["events"].watermark.clone(),
        keys: vec!["name".into()],
        time_mode: TimeMode::EventTime,
        initial: None,
    };
    let (schema, gate) = (kept.code.program().output.clone(), Some(Gate::Keyed(Box::new(kept))));
    catalog.inputs.insert("kept".into(), Input { schema, watermark: None, gate });
    match Engine::compile(catalog).await {
        Ok(engine) => engine,
        Err(errors) => panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

/// What a deployment keeps: the deltas of each table.
#[derive(Default)]
struct World {
    tables: BTreeMap<String, Vec<RecordBatch>>,
}

impl World {
    fn restart(&self, engine: &Engine, fold: bool) -> EngineJob {
        let mut job = engine.job().unwrap();
        for table in engine.states().into_keys() {
            if let Some(deltas) = self.tables.get(&table) {
                let rows = if fold { engine.merge(&table, deltas).unwrap() } else { deltas.clone() };
                job.restore(&table, &rows).unwrap();
            }
        }
        job
    }

    fn answers(&self, engine: &Engine) -> BTreeMap<String, Vec<String>> {
        let none = vec![];
        let rows = |view: &str| self.tables.get(view).unwrap_or(&none);
        let compiled = engine.compiled();
        let answer = |view: &str| match &compiled[view].keyed {
            Some(keyed) => vec![keyed.aggregation.merge(rows(view)).unwrap()],
            None => rows(view).clone(),
        };
        engine.views().keys().map(|view| (view.clone(), sorted(&answer(view)))).collect()
    }
}

/// Runs epochs whose last watermark is the greatest second; some fail first, and some come after a restart.
async fn run(engine: &Engine, epochs: &[(Vec<Row>, u8)]) -> BTreeMap<String, Vec<String>> {
    let mut world = World::default();
    let mut job = engine.job().unwrap();
    let mut watermark: Option<i64> = None;
    let (mut left, mut right): (Option<i64>, Option<i64>) = (None, None);
    for (number, (rows, trouble)) in epochs.iter().enumerate() {
        if trouble & 1 == 1 {
            job = world.restart(engine, trouble & 4 == 4);
        }
        for row in rows {
            let latest = if row.0 { &mut left } else { &mut right };
            *latest = (*latest).max(Some(row.2 * 1_000));
        }
        let ended = watermark.max(left.and_then(|left| right.map(|right| left.min(right))));
        for attempt in 0..=u8::from(trouble & 2 == 2) {
            job.begin(start(number as u64, watermark));
            for (input, mine) in [("events", true), ("kept", true), ("other", false)] {
                let events: Vec<_> =
                    rows.iter().filter(|row| row.0 == mine).map(|row| at(&row.1, row.2, row.3)).collect();
                job.feed(input, &batch_of(&events)).await.unwrap();
            }
            let result = job.finish(ended).await.unwrap();
            if attempt == u8::from(trouble & 2 == 2) {
                for (table, delta) in result.deltas {
                    world.tables.entry(table).or_default().extend(delta);
                }
            }
        }
        watermark = ended;
    }
    world.answers(engine)
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (any::<bool>(), "[a-c]", 0i64..60, 0i64..5);
    prop::collection::vec(row, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn restarts_and_failed_epochs_do_not_show(epochs in prop::collection::vec((rows(), 0u8..8), 1..6)) {
        let engine = stateful();
        block_on(async {
            let calm: Vec<_> = epochs.iter().map(|(rows, _)| (rows.clone(), 0)).collect();
            let (troubled, calm) = (run(&engine, &epochs).await, run(&engine, &calm).await);
            prop_assert_eq!(troubled, calm);
            Ok(())
        })?;
    }

    #[test]
    fn rows_on_disk_do_not_show(epochs in prop::collection::vec((rows(), 0u8..8), 1..4)) {
        let (memory, _folder) = super::disk::nowhere();
        let engine = stateful();
        block_on(async {
            let (disk, memory) = (run(&engine.within(memory), &epochs).await, run(&engine, &epochs).await);
            prop_assert_eq!(disk, memory);
            Ok(())
        })?;
    }

    /// With rows in the order of time nothing is late, and one epoch says what many do.
    #[test]
    fn cuts_do_not_show_where_nothing_is_late(mut rows in rows(), sizes in prop::collection::vec(1usize..9, 40)) {
        let engine = stateful();
        block_on(async {
            rows.sort_by_key(|row| row.2);
            // An instant that two epochs share would be late in the second.
            let mut seconds = 0;
            for (index, row) in rows.iter_mut().enumerate() {
                seconds = row.2.max(seconds + i64::from(index > 0));
                row.2 = seconds;
            }
            let mut epochs = vec![];
            let mut rest = &rows[..];
            for size in sizes {
                let (epoch, more) = rest.split_at(size.min(rest.len()));
                epochs.push((epoch.to_vec(), 0));
                rest = more;
            }
            let end = (vec![(true, "end".into(), 1_000, 0), (false, "end".into(), 1_000, 0)], 0);
            epochs.push(end.clone());
            let cut = run(&engine, &epochs).await;
            let whole = run(&engine, &[(rows.clone(), 0), end]).await;
            prop_assert_eq!(cut, whole);
            Ok(())
        })?;
    }
}

#[test]
fn an_inner_join_is_every_pair() {
    let engine = stateful();
    block_on(async {
        let epochs = [
            (vec![(true, "a".to_owned(), 1, 0), (false, "a".to_owned(), 9, 5)], 0),
            (vec![(true, "a".to_owned(), 9, 0), (false, "a".to_owned(), 12, 7), (false, "b".to_owned(), 12, 8)], 0),
        ];
        let answers = run(&engine, &epochs).await;
        assert_eq!(answers["inner_join"], ["a | 9000 | 5", "a | 9000 | 7"]);
    });
}

#[test]
fn sessions_end_by_timers_or_by_the_next_row_and_bad_rows_change_nothing() {
    let engine = stateful();
    block_on(async {
        let row = |name: &str, second, n| (true, name.to_owned(), second, n);
        let other = |second| (false, "o".to_owned(), second, 0);
        let epochs = [
            (vec![row("a", 1, 1), row("b", 2, 2), row("a", 3, BAD), row("a", 4, 1), other(4)], 0),
            (vec![row("a", 9, 3), row("b", 8, 0), other(9)], 1),
            (vec![row("c", 20, 0), other(20)], 2),
        ];
        let answers = run(&engine, &epochs).await;
        assert_eq!(answers["kept_sessions"], ["a | 1 1 3 | 2", "b | 0 | 1", "b | 2 | 1"]);
    });
}

/// Two aggregates that the optimizer finds to be one, and a join below DISTINCT that needs one side's columns only.
#[test]
fn shortcuts_of_the_optimizer_change_nothing() {
    const VIEWS: [(&str, &str); 2] = [
        (
            "averages",
            "SELECT avg(coalesce(c, 3)) AS a, avg(c) AS b FROM (SELECT window(at, '5 seconds') AS w, count(*) AS c \
             FROM events GROUP BY window(at, '5 seconds')) GROUP BY window(w, '20 seconds')",
        ),
        (
            "partners",
            "SELECT count(*) AS c FROM (SELECT DISTINCT o.name, o.n FROM events e JOIN other o ON e.name = o.name)",
        ),
    ];
    block_on(async {
        let engine = super::engine(&VIEWS).await;
        let mut job = engine.job().unwrap();
        job.begin(super::start(0, None));
        job.feed("events", &batch_of(&[at("a", 1, 1), at("a", 2, 1), at("b", 7, 1)])).await.unwrap();
        job.feed("other", &batch_of(&[at("a", 1, 7), at("a", 2, 7), at("c", 3, 7)])).await.unwrap();
        let deltas = job.finish(Some(100_000)).await.unwrap().deltas;
        let answers = async |view: &str| sorted(&super::answer(&engine, view, &deltas[view]).await);
        assert_eq!(answers("averages").await, ["1.5 | 1.5"]);
        assert_eq!(answers("partners").await, ["1"]);
    });
}

#[test]
fn timers_and_times_to_live_go_by_the_clock_of_plans() {
    block_on(async {
        let mut catalog = catalog(&[("ticked", "SELECT name, n FROM ticks")]);
        let ticks = TransformWithState {
            code: Arc::new(Ticks::new()),
            schema: event_schema(),
            watermark: None,
            keys: vec!["name".into()],
            time_mode: TimeMode::ProcessingTime,
            initial: None,
        };
        let (schema, gate) = (ticks.code.program().output.clone(), Some(Gate::Keyed(Box::new(ticks))));
        catalog.inputs.insert("ticks".into(), Input { schema, watermark: None, gate });
        let engine = Engine::compile(catalog).await.unwrap();
        let mut job = engine.job().unwrap();
        let mut answers = vec![];
        for (epoch, (planned_at, rows)) in [(0, 1), (5_000, 0), (9_000, 1), (19_000, 1)].into_iter().enumerate() {
            // Each is tried twice, the first time in vain.
            for attempt in 0..2 {
                job.begin(EpochStart { epoch: epoch as u64, late_before: None, planned_at });
                let events = vec![at("a", 1, 1); rows];
                job.feed("ticks", &batch_of(&events)).await.unwrap();
                let mut result = job.finish(None).await.unwrap();
                if attempt == 1 {
                    answers.push((sorted(&result.deltas.remove("ticked").unwrap_or_default()), job.wakes_at()));
                }
            }
        }
        let expected = [
            (vec!["a | 1"], Some(5_000)),
            (vec!["a | -5"], None),
            (vec!["a | 2"], Some(14_000)),
            (vec!["a | -19", "a | 1"], Some(24_000)),
        ];
        let expected = expected.map(|(rows, at)| (rows.into_iter().map(str::to_owned).collect::<Vec<_>>(), at));
        assert_eq!(answers, expected);
    });
}
