//! Static tables that change while a deployment runs: rows that were joined stay, and rows from then on meet the new ones.

use serde_json::json;

use crate::braid::{River, TERMINATED, eventually};
use crate::http;

const DEPLOYMENT: &str = r#"
apiVersion: braid/v1
name: tables
layout: kappa
store: file://${HERE}/store
sources:
  orders: {http: {}, format: json, schema: {id: long, product: string}}
tables:
  prices: {file: {path: "${HERE}/prices.csv"}, format: csv, schema: {product: string, price: long}, refresh: 50ms}
views:
  priced: {sql: "SELECT o.id, p.price FROM orders o JOIN prices p ON o.product = p.product"}
serving: {http: "127.0.0.1:0"}
"#;

#[test]
fn a_table_is_read_again_while_rows_come() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| home.path().join(name);
    std::fs::write(path("prices.csv"), "product,price\ntea,3\n").expect("a fresh file");
    std::fs::write(path("tables.yaml"), DEPLOYMENT).expect("a fresh file");
    let river = River::new(path("tables.yaml"), home.path()).env("HERE", home.path().display());
    let mut running = river.up();
    let address = running.address();
    let mut ordered = 0;
    let mut order_until = |price: i64| {
        eventually("a price", || {
            let row = format!("{{\"id\": {ordered}, \"product\": \"tea\"}}\n");
            let posted = http::ingest(&address, "orders", row.as_bytes()).expect("an answer").ok();
            let completion = posted["completion"].as_str().expect("a path").to_owned();
            eventually("visible", || {
                let answer = http::get(&address, &completion).ok();
                if answer["visible"] == true { Ok(()) } else { Err(answer.to_string()) }
            });
            let asked = format!("SELECT price FROM priced WHERE id = {ordered}");
            ordered += 1;
            let rows = http::sql(&address, &asked).ok()["rows"].clone();
            if rows == json!([{ "price": price }]) { Ok(()) } else { Err(rows.to_string()) }
        });
    };
    order_until(3);
    std::fs::write(path("next.csv"), "product,price\ntea,4\n").expect("a fresh file");
    std::fs::rename(path("next.csv"), path("prices.csv")).expect("a moved file");
    order_until(4);
    let first = http::sql(&address, "SELECT price FROM priced WHERE id = 0").ok()["rows"].clone();
    assert_eq!(first, json!([{ "price": 3 }]), "what was joined before stays");
    assert_eq!(running.stop().code(), Some(TERMINATED));
    let counted = river.rows("SELECT price, count(*) > 0 AS some FROM priced GROUP BY price ORDER BY price");
    assert_eq!(counted, ["3,true", "4,true"]);
}
