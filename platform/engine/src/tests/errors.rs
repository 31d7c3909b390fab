//! What people read when their SQL is wrong: place, reason and hint, of all views at once.

use super::{at, batch_of, block_on, catalog, engine, start};
use crate::Engine;

async fn messages(views: &[(&str, &str)]) -> String {
    match Engine::compile(catalog(views)).await {
        Ok(_) => "no error".into(),
        Err(errors) => errors.iter().map(|error| format!("{error}\n")).collect(),
    }
}

#[test]
fn compile_errors() {
    block_on(async {
        let text = messages(&[
            ("a01_syntax", "SELECT name,\n  FROM events GROUP name"),
            ("a02_column", "SELECT name,\n  cuont\nFROM events"),
            ("a03_column", "SELECT e.nam FROM events e"),
            ("a04_table", "SELECT * FROM evnts"),
            ("a05_function", "SELECT uper(name) AS u FROM events"),
            ("a06_over", "SELECT name, row_number() OVER (ORDER BY n) AS r FROM events"),
            ("a07_now", "SELECT name, now() AS t FROM events"),
            ("a08_stream_join", "SELECT e.name FROM events e JOIN other o ON e.name = o.name"),
            ("a09_static", "SELECT team, count(*) AS c FROM teams GROUP BY team"),
            ("a10_two_aggregates", "SELECT max(c) AS m FROM (SELECT name, count(*) AS c FROM events GROUP BY name)"),
            ("a11_order_dependent", "SELECT first_value(name) AS f FROM events"),
            ("a12_inexact", "SELECT approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY x) AS f FROM events"),
            ("a13_order", "SELECT name FROM events ORDER BY name"),
            ("a14_limit", "SELECT name FROM events LIMIT 3"),
            ("a15_duplicate", "SELECT name, name FROM events"),
            ("a16_subquery", "SELECT name FROM events WHERE n > (SELECT max(n) FROM other)"),
            ("a17_outer", "SELECT t.team FROM events e RIGHT JOIN teams t ON e.name = t.name"),
            ("a18_window", "SELECT count(*) AS c FROM events GROUP BY window(at, '10 parsecs')"),
            ("a19_window", "SELECT count(*) AS c FROM events GROUP BY window(at, '10 seconds', '20 seconds')"),
            ("a20_window", "SELECT window(at, '10 seconds', '5 seconds') AS w FROM events"),
            ("a21_group", "SELECT name, n, count(*) AS c FROM events GROUP BY name"),
            ("a22_ddl", "DROP TABLE events"),
            ("a23_rollup", "SELECT name, count(*) AS c FROM events GROUP BY ROLLUP (name)"),
            ("a24_never", "SELECT name FROM events WHERE 1 = 2"),
            ("a25_ambiguous", "SELECT name FROM events JOIN teams ON events.name = teams.name"),
            ("a26_cycle", "SELECT name FROM a27_cycle"),
            ("a27_cycle", "SELECT name FROM a26_cycle"),
            ("a28_type", "SELECT sum(flag) AS s FROM events"),
            ("a29_two", "SELECT 1"),
            ("a30_union", "SELECT name FROM events UNION ALL SELECT name FROM teams"),
            ("a31_distinct", "SELECT bool_and(DISTINCT flag) AS s FROM events"),
            ("a32_not_in", "SELECT name FROM events WHERE name NOT IN (SELECT name FROM teams)"),
        ])
        .await;
        insta::assert_snapshot!("compile_errors", text);
    });
}

#[test]
fn a_view_of_an_aggregate_is_refused() {
    block_on(async {
        let text = messages(&[
            ("counts", "SELECT name, count(*) AS c FROM events GROUP BY name"),
            ("high", "SELECT name FROM counts WHERE c > 3"),
        ])
        .await;
        insta::assert_snapshot!("view_of_an_aggregate", text);
    });
}

#[test]
fn a_row_that_fails_names_its_view() {
    block_on(async {
        for (sql, reason) in [
            ("SELECT 10 / n AS q FROM events", "division by zero"),
            ("SELECT 10 DIV n AS q FROM events", "Divide by zero"),
            ("SELECT sum(n) AS s FROM events", "overflow"),
            ("SELECT n + 1 AS s FROM events", "verflow"),
            ("SELECT 3 * n AS s FROM events", "verflow"),
            ("SELECT CAST(name AS INT) AS i FROM events", "cannot be cast to INT"),
        ] {
            let engine = engine(&[("v", sql)]).await;
            let mut job = engine.job().unwrap();
            job.begin(start(0, None));
            let rows = batch_of(&[at("seven", 0, i64::MAX), at("7", 0, i64::MAX), at("7", 0, 0)]);
            let failed = match job.feed("events", &rows).await {
                Err(error) => Some(error),
                Ok(()) => match job.finish(None).await {
                    Err(error) => Some(error),
                    Ok(epoch) => {
                        let mut output = engine.output("v", crate::OutputMode::Update).unwrap();
                        output.apply(&epoch.deltas["v"], None, None).await.err()
                    }
                },
            };
            let text = failed.expect("an error").to_string();
            assert!(text.starts_with("view `v`: ") && text.contains(reason), "{sql}: {text}");
            // The next epoch starts clean.
            job.begin(start(0, None));
            assert!(job.finish(None).await.unwrap().deltas.is_empty());
        }
    });
}
