//! Static tables that change while a deployment runs: rows that were joined stay, and rows from then on meet the new ones,
//! in every layout, after restarts, and when Lambda computes all of it anew.

use crate::braid::{River, TERMINATED, eventually};
use crate::http;

const LAYOUTS: [&str; 2] = ["kappa", "lambda"];

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

/// A shop whose prices change.
struct Shop {
    home: tempfile::TempDir,
    river: River,
    ordered: u64,
    /// What each order has to have cost.
    wanted: Vec<String>,
}

impl Shop {
    fn new(layout: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let deployment = home.path().join("tables.yaml");
        std::fs::write(&deployment, DEPLOYMENT).expect("a fresh file");
        let river = River::new(deployment, home.path()).layout(layout).env("HERE", home.path().display());
        Self { home, river, ordered: 0, wanted: vec![] }
    }

    fn set_price(&self, price: u64) {
        let (next, now) = (self.home.path().join("next.csv"), self.home.path().join("prices.csv"));
        std::fs::write(&next, format!("product,price\ntea,{price}\n")).expect("a fresh file");
        std::fs::rename(next, now).expect("a moved file");
    }

    /// Orders one at a time, until one costs so much.
    fn order_until(&mut self, address: &str, price: u64) {
        eventually("a price", || {
            let row = format!("{{\"id\": {}, \"product\": \"tea\"}}\n", self.ordered);
            let posted = http::ingest(address, "orders", row.as_bytes()).expect("an answer").ok();
            let completion = posted["completion"].as_str().expect("a path").to_owned();
            eventually("visible", || {
                let answer = http::get(address, &completion).ok();
                if answer["visible"] == true { Ok(()) } else { Err(answer.to_string()) }
            });
            let asked = format!("SELECT price FROM priced WHERE id = {}", self.ordered);
            let rows = http::sql(address, &asked).ok()["rows"].clone();
            let cost = rows[0]["price"].as_u64().ok_or_else(|| rows.to_string())?;
            self.wanted.push(format!("{},{cost}", self.ordered));
            self.ordered += 1;
            if cost == price { Ok(()) } else { Err(rows.to_string()) }
        });
    }

    fn check(&self) {
        assert_eq!(self.river.rows("SELECT id, price FROM priced ORDER BY id"), self.wanted);
    }
}

/// Orders at each price, in a process of its own or not, and everything computed anew after each process.
fn prices_change(layout: [&str; 2]) {
    let mut shop = Shop::new(layout[0]);
    shop.set_price(3);
    for (layout, prices) in [(layout[0], [3, 4]), (layout[1], [5, 6]), (layout[0], [7, 7])] {
        shop.river = shop.river.clone().layout(layout);
        shop.set_price(prices[0]);
        let mut running = shop.river.up();
        let address = running.address();
        shop.order_until(&address, prices[0]);
        shop.set_price(prices[1]);
        shop.order_until(&address, prices[1]);
        assert_eq!(running.stop().code(), Some(TERMINATED));
        // Nobody has ordered at this price.
        shop.set_price(99);
        shop.river.catch_up().ok("a base");
        shop.check();
    }
}

#[test]
fn rows_keep_the_prices_of_their_epochs() {
    for layout in LAYOUTS {
        prices_change([layout, layout]);
    }
    prices_change(LAYOUTS);
}
