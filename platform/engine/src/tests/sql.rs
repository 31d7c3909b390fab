//! Spark's ways of writing things.

use super::{Event, answer, at, batch_of, block_on, engine, epoch, sorted, start};

async fn ask(sql: &str, events: &[Event]) -> Vec<String> {
    let engine = engine(&[("v", sql)]).await;
    let delta = epoch(&mut engine.job().unwrap(), "v", &[batch_of(events)]).await;
    sorted(&answer(&engine, "v", &delta).await)
}

#[test]
fn windows_in_all_their_spellings() {
    block_on(async {
        let events = [at("a", 1, 1), at("a", 12, 2), at("b", -1, 3), Event::default()];
        let expected = ["-10000000 | 1", "0 | 1", "10000000 | 1"];
        for sql in [
            "SELECT window.start, count(*) AS c FROM events GROUP BY window(at, '10 seconds')",
            "SELECT window(at, '10 seconds').start AS start, count(*) AS c FROM events GROUP BY window(at, '10 seconds')",
            "SELECT WINDOW.START, COUNT(*) AS c FROM Events GROUP BY WINDOW(At, 'interval 10 seconds')",
            "SELECT w.start, c FROM (SELECT window(at, '10 seconds') AS w, count(*) AS c FROM events GROUP BY w)",
            "SELECT w.start, c FROM (SELECT window(at, '10 seconds') AS w, count(*) AS c FROM events GROUP BY window(at, '10 seconds'))",
        ] {
            assert_eq!(ask(sql, &events).await, expected, "{sql}");
        }
        let time = "SELECT window_time(window) AS t, count(*) AS c FROM events GROUP BY window(at, '10 seconds')";
        assert_eq!(ask(time, &events).await, ["-1 | 1", "19999999 | 1", "9999999 | 1"]);
        let having = "SELECT window.end, count(*) AS c FROM events GROUP BY window(at, '10 seconds') \
                      HAVING window.start >= CAST('1970-01-01' AS TIMESTAMP)";
        assert_eq!(ask(having, &events).await, ["10000000 | 1", "20000000 | 1"]);
        let sliding = "SELECT window.start, count(*) AS c FROM events \
                       GROUP BY window(at, '10 seconds', '5 seconds') HAVING window.start > CAST('1970-01-01 00:00:04' AS TIMESTAMP)";
        assert_eq!(ask(sliding, &events).await, ["10000000 | 1", "5000000 | 1"]);
        let stateless = "SELECT window(at, '10 seconds').end AS e, name FROM events";
        assert_eq!(ask(stateless, &events).await, ["0 | b", "10000000 | a", "20000000 | a"]);
    });
}

#[test]
fn the_window_is_called_window() {
    block_on(async {
        let engine = engine(&[
            ("v", "SELECT window, name, count(*) AS c FROM events GROUP BY window(at, '10 seconds'), name"),
            ("u", "SELECT window(at, '10 seconds'), count(*) AS c FROM events GROUP BY window(at, '10 seconds')"),
        ])
        .await;
        assert_eq!(engine.views()["v"].keys, ["window", "name"]);
        assert_eq!(engine.views()["u"].keys, ["window"]);
        assert!(engine.views()["v"].window);
        assert_eq!(engine.views()["v"].event_time, Some(("events".into(), "at".into())));
    });
}

/// The static table is built once and kept, the stream flows past it, and only needed columns are read.
#[test]
fn the_plan_of_a_windowed_join() {
    block_on(async {
        let engine = engine(&[(
            "v",
            "SELECT t.team, window(e.at, '10 seconds') AS w, count(*) AS views, sum(e.x) AS s \
             FROM events e JOIN teams t ON e.name = t.name WHERE e.flag \
             GROUP BY t.team, window(e.at, '10 seconds') HAVING count(*) > 1",
        )])
        .await;
        assert_eq!(engine.views()["v"].inputs["events"], ["name", "x", "at", "flag"]);
        insta::assert_snapshot!("explain", engine.explain("v"));
    });
}

#[test]
fn names_have_no_case_and_answers_keep_their_spelling() {
    block_on(async {
        let mut catalog = super::catalog(&[
            ("Mine", "SELECT NAME, `n` AS Amount, small FROM mixed"),
            ("Sums", "SELECT Name, sum(amount) AS Total FROM MINE m WHERE M.AMOUNT > 1 GROUP BY name"),
            ("everything", "SELECT * FROM Mixed"),
        ]);
        catalog.inputs.insert("Mixed".into(), catalog.inputs["events"].clone());
        let engine = crate::Engine::compile(catalog).await.unwrap();
        let names = |view: &str| {
            let schema = engine.views()[view].schema.clone();
            schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()
        };
        assert_eq!(names("Mine"), ["NAME", "Amount", "small"]);
        assert_eq!(names("Sums"), ["Name", "Total"]);
        assert_eq!(names("everything")[..2], ["name", "N"]);
        assert_eq!(engine.views()["Sums"].keys, ["Name"]);
        assert_eq!(engine.views()["Sums"].inputs["Mixed"], ["name", "N"]);
        let mut job = engine.job().unwrap();
        job.begin(start(0, None));
        job.feed("Mixed", &batch_of(&[at("a", 0, 2), at("a", 0, 3), at("b", 0, 1)])).await.unwrap();
        let deltas = job.finish(None).await.unwrap().deltas;
        assert_eq!(sorted(&answer(&engine, "Sums", &deltas["Sums"]).await), ["a | 5"]);
        let twice = super::catalog(&[("EVENTS", "SELECT name FROM other")]);
        assert!(crate::Engine::compile(twice).await.is_err());
    });
}

#[test]
fn fractions_and_literals() {
    block_on(async {
        let events = [at("a", 0, 7), at("a", 0, 2)];
        assert_eq!(ask("SELECT n / 2 AS h FROM events", &events).await, ["1.0", "3.5"]);
        assert_eq!(ask("SELECT n DIV 2 AS h FROM events", &events).await, ["1", "3"]);
        assert_eq!(ask("SELECT sum(n) / count(*) AS m FROM events", &events).await, ["4.5"]);
        assert_eq!(
            ask(
                "SELECT small + 1 AS h, n - 10 AS m FROM events WHERE n > 2",
                &[Event { small: Some(1), ..at("a", 0, 7) }]
            )
            .await,
            ["2 | -3"]
        );
        assert_eq!(ask("SELECT at + INTERVAL '1 second' AS t FROM events WHERE n > 2", &events).await, ["1000"]);
        assert_eq!(ask("SELECT n * 1.5 AS h FROM events", &events).await, ["10.5", "3.0"]);
        assert_eq!(ask("SELECT \"text\" AS t FROM events WHERE `N` > 2", &events).await, ["text"]);
        assert_eq!(ask("SELECT if(n > 2, 'big', 'small') AS t FROM events", &events).await, ["big", "small"]);
        assert_eq!(ask("SELECT date_trunc('MINUTE', at) AS t FROM events WHERE n = 7", &events).await, ["0"]);
    });
}

#[test]
fn spark_splits_and_explodes() {
    block_on(async {
        let events = [Event { name: Some("the  cat the".into()), ..Event::default() }, Event::default()];
        let sql =
            r"SELECT word, count(*) AS n FROM (SELECT explode(split(name, '\\s+')) AS word FROM events) GROUP BY word";
        assert_eq!(ask(sql, &events).await, ["cat | 1", "the | 2"]);
    });
}

#[test]
fn statements_that_are_too_big_are_refused() {
    block_on(async {
        let engine = engine(&[("v", "SELECT name FROM events")]).await;
        let reader = crate::Reader::new(engine, std::sync::Arc::new(super::reading::Shelf::default()));
        let snap = braid_kernel::serve::Snapshot::default();
        for (unit, start) in [
            (" + 1", "SELECT 1"),
            (" UNION ALL SELECT 1", "SELECT 1"),
            (" OR name = 'a'", "SELECT name FROM v WHERE true"),
        ] {
            let fits = format!("{start}{}", unit.repeat(crate::sql::SQL_OPERATORS_MAX / 2));
            assert!(reader.sql(&snap, &fits).await.is_ok(), "{unit}");
            let beyond = format!("{start}{}", unit.repeat(100_000));
            assert!(matches!(reader.sql(&snap, &beyond).await, Err(crate::ReadError::Sql(_))), "{unit}");
        }
        for deep in ["(", "- ", "NOT ", "f(", "[", "CASE WHEN "] {
            let sql = format!("SELECT {}1", deep.repeat(5_000));
            assert!(matches!(reader.sql(&snap, &sql).await, Err(crate::ReadError::Sql(_))), "{deep}");
        }
    });
}

#[test]
fn words_are_counted() {
    block_on(async {
        let line = |text: &str| Event { name: Some(text.into()), ..Event::default() };
        let events = [line("the  cat the"), line(" dog"), line("")];
        let engine = engine(&[
            ("words", "SELECT word FROM (SELECT unnest(string_to_array(regexp_replace(name, '[[:space:]]+', ' '), ' ')) AS word FROM events) WHERE word <> ''"),
            ("counts", "SELECT word, count(*) AS n FROM words GROUP BY word"),
        ])
        .await;
        let delta = epoch(&mut engine.job().unwrap(), "counts", &[batch_of(&events)]).await;
        assert_eq!(sorted(&answer(&engine, "counts", &delta).await), ["cat | 1", "dog | 1", "the | 2"]);
    });
}

#[test]
fn unions_and_views_over_views() {
    block_on(async {
        let engine = engine(&[
            ("both", "SELECT name, n FROM events UNION ALL SELECT name, n * 10 AS n FROM events WHERE n > 1"),
            ("mixed", "SELECT name, n FROM events UNION ALL SELECT name, n FROM other"),
            ("sums", "SELECT name, sum(n) AS s FROM both GROUP BY name"),
            ("all", "SELECT count(*) AS c FROM mixed"),
        ])
        .await;
        let mut job = engine.job().unwrap();
        job.begin(start(0, None));
        job.feed("events", &batch_of(&[at("a", 0, 1), at("a", 0, 2)])).await.unwrap();
        job.feed("other", &batch_of(&[at("b", 0, 1)])).await.unwrap();
        job.feed("events", &batch_of(&[at("b", 0, 5)])).await.unwrap();
        let deltas = job.finish(None).await.unwrap().deltas;
        assert_eq!(sorted(&deltas["both"]), ["a | 1", "a | 2", "a | 20", "b | 5", "b | 50"]);
        assert_eq!(sorted(&answer(&engine, "sums", &deltas["sums"]).await), ["a | 23", "b | 55"]);
        assert_eq!(sorted(&answer(&engine, "all", &deltas["all"]).await), ["4"]);
    });
}

#[test]
fn a_refreshed_table_counts_from_the_next_epoch() {
    block_on(async {
        let engine = engine(&[(
            "v",
            "SELECT t.team, count(*) AS c FROM events e JOIN teams t ON e.name = t.name GROUP BY t.team",
        )])
        .await;
        let mut job = engine.job().unwrap();
        job.begin(start(0, None));
        engine.refresh("teams", vec![]).await.unwrap();
        job.feed("events", &batch_of(&[at("a", 0, 1)])).await.unwrap();
        assert_eq!(job.finish(None).await.unwrap().deltas["v"][0].num_rows(), 1);
        assert!(epoch(&mut job, "v", &[batch_of(&[at("a", 0, 1)])]).await.is_empty());
        assert!(engine.refresh("teems", vec![]).await.is_err());
    });
}

#[test]
fn many_epochs_run_on_one_plan() {
    block_on(async {
        let engine = engine(&[(
            "v",
            "SELECT t.team, count(*) AS c FROM events e JOIN teams t ON e.name = t.name GROUP BY t.team",
        )])
        .await;
        let mut job = engine.job().unwrap();
        for _ in 0..2100 {
            assert_eq!(epoch(&mut job, "v", &[batch_of(&[at("a", 0, 1), at("c", 0, 1)])]).await[0].num_rows(), 2);
        }
    });
}
