//! The quickstart as a newcomer meets it: it starts, its answers change, and at every moment they are right.

use serde_json::Value;

use crate::braid::{River, TERMINATED, eventually};
use crate::http;

/// Prices in cents, as in `deploy/data/quickstart/products.csv`.
fn prices() -> Vec<i64> {
    let csv = include_str!("../../deploy/data/quickstart/products.csv");
    csv.lines()
        .skip(1)
        .map(|line| line.rsplit(',').next().expect("a price").replace('.', ""))
        .map(|cents| cents.parse().expect("a number"))
        .collect()
}

/// Orders, pieces and revenue after `orders` ticks.
fn oracle(orders: i64) -> (i64, i64, String) {
    let (prices, mut pieces, mut cents) = (prices(), 0, 0);
    for tick in 0..orders {
        pieces += 1 + tick % 3;
        cents += (1 + tick % 3) * prices[(tick * 7 % 12) as usize];
    }
    (orders, pieces, format!("{}.{:02}", cents / 100, cents % 100))
}

fn number(value: &Value) -> i64 {
    match value {
        Value::String(text) => text.parse().expect("a number"),
        other => other.as_i64().unwrap_or_else(|| panic!("{other} is no number")),
    }
}

/// Asks for one row.
fn row(address: &str, sql: &str) -> Value {
    let answer = http::sql(address, sql).ok();
    answer["rows"][0].clone()
}

fn live_and_right(layout: &str) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let river = River::new("deploy/quickstart.yaml", home.path()).layout(layout).env("BRAID_HTTP", "127.0.0.1:0");
    let mut running = river.up();
    let address = running.address();
    let mut before = 0;
    for _ in 0..5 {
        let totals = eventually("more orders", || {
            let totals = row(&address, "SELECT orders, pieces, revenue, last_order FROM totals");
            if totals.is_null() || number(&totals["orders"]) <= before {
                return Err(format!("{totals} after {before}; {}", running.said()));
            }
            Ok(totals)
        });
        let orders = number(&totals["orders"]);
        let found = (orders, number(&totals["pieces"]), totals["revenue"].as_str().unwrap_or_default().to_owned());
        assert_eq!(found, oracle(orders), "{layout}: {totals}");
        assert_eq!(number(&totals["last_order"]), orders - 1);
        before = orders;
    }
    // Every view of one commit agrees with the others.
    let sums = row(
        &address,
        "SELECT (SELECT sum(orders) FROM revenue_by_product) AS a, (SELECT sum(orders) FROM revenue_by_window) AS b, (SELECT orders FROM totals) AS c",
    );
    assert_eq!((number(&sums["a"]), number(&sums["b"])), (number(&sums["c"]), number(&sums["c"])), "{sums}");
    // The plugin stands between the visits and everything else.
    let asked = "SELECT count(*) AS n, sum(visits) AS visits, sum(CASE WHEN network LIKE '%.0' THEN 1 ELSE 0 END) AS masked FROM visits_by_network";
    let visits = eventually("the carried visits", || {
        let visits = row(&address, asked);
        match visits["visits"].is_null() || number(&visits["visits"]) < 360 {
            true => Err(visits.to_string()),
            false => Ok(visits),
        }
    });
    assert_eq!((number(&visits["n"]), number(&visits["masked"])), (5, 5), "{visits}");
    // What is posted is in the next answers.
    let posted = http::ingest(&address, "visits_live", br#"{"at": 1767225600000, "ip": "8.8.8.8", "path": "/tea"}"#)
        .expect("it listens");
    assert!((200..300).contains(&posted.status), "{}", posted.body);
    eventually("the posted visit", || {
        let found = row(&address, "SELECT visits FROM visits_by_network WHERE network = '8.8.8.0'");
        match found.is_null() {
            true => Err(format!("none; {}", running.said())),
            false => {
                assert_eq!(number(&found["visits"]), 1);
                Ok(())
            }
        }
    });
    // A program looks up a key, learns what the answer stands on, and watches the query.
    let tea = http::get(&address, "/v1/views/revenue_by_product/keys/black%20tea").ok();
    assert_eq!(tea["row"]["product"], "black tea", "{tea}");
    let stands_on = &tea["provenance"];
    assert_eq!((&stands_on["deployment"], &stands_on["layout"]), (&"quickstart".into(), &layout.into()), "{tea}");
    assert!(number(&stands_on["manifest"]) > 0 && number(&stands_on["offsets"]["ticks"]["0"]) >= before, "{tea}");
    let metrics = http::get(&address, "/metrics").body;
    assert!(metrics.contains(r#"braid_query_state_info{deployment="quickstart",state="running"} 1"#), "{metrics}");
    let page = http::get(&address, "/");
    assert!(page.status == 200 && page.body.contains("<html"), "{}", page.body);
    assert_eq!(running.stop().code(), Some(TERMINATED));
    // Not running, the store answers the same questions.
    let stopped = river.rows("SELECT orders, pieces, revenue FROM totals");
    let orders: i64 = stopped[0].split(',').next().and_then(|n| n.parse().ok()).expect("a count");
    let (_, pieces, revenue) = oracle(orders);
    assert!(orders >= before);
    assert_eq!(stopped, [format!("{orders},{pieces},{revenue}")]);
}

#[test]
fn live_and_right_under_lambda() {
    live_and_right("lambda");
}

#[test]
fn live_and_right_under_kappa() {
    live_and_right("kappa");
}
