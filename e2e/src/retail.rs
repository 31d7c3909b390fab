//! The retail deployment against an oracle: on a small made-up shop always, on the real year where it is given.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::braid::{River, root, shared};
use crate::cases::same;
use crate::oracle::{Retail, decimal};
use crate::random::Random;

/// Twenty days of a shop in the form of the real files, with what makes CSV hard: quotes, separators, empty fields.
fn small_shop(directory: &Path) {
    let mut random = Random::new(7);
    let countries = ["United Kingdom", "EIRE", "España", "Korea, Republic of"];
    for day in 1..=20 {
        let mut csv =
            String::from("InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n");
        for row in 0..150 {
            let invoice = format!("{}{}", if row % 40 == 39 { "C" } else { "" }, 500 + day * 9 + random.below(12));
            let description = match random.below(4) {
                0 => String::new(),
                1 => "\"HEART, \"\"WHITE\"\"\"".to_owned(),
                2 => "CAJÓN DE MADERA".to_owned(),
                _ => format!("LANTERN {}", random.below(30)),
            };
            let country = countries[random.below(4) as usize];
            let country = if country.contains(',') { format!("\"{country}\"") } else { country.to_owned() };
            csv.push_str(&format!(
                "{invoice},S{},{description},{},2011-01-{day:02} {:02}:{:02}:00,{}.{},{},{country}\n",
                random.below(50),
                random.below(60) as i64 - 10,
                8 + random.below(10),
                random.below(60),
                random.below(20),
                ["5", "25", "001", "99", "0"][random.below(5) as usize],
                if random.below(3) == 0 { String::new() } else { format!("{}.0", 12000 + random.below(90)) },
            ));
        }
        std::fs::write(directory.join(format!("2011-01-{day:02}.csv")), csv).expect("a fresh file");
    }
}

/// The real year, unpacked into `home`.
fn real_year(home: &Path) -> Option<PathBuf> {
    let shared = shared("the retail year (541,909 rows)")?;
    let unpacked = Command::new("tar")
        .arg("xJf")
        .arg(shared.join("data/online-retail.tar.xz"))
        .arg("-C")
        .arg(home)
        .status()
        .expect("tar runs");
    assert!(unpacked.success(), "the retail year cannot be unpacked");
    Some(home.join("online-retail"))
}

/// The deployment's answers under a layout are the oracle's.
fn check(data: &Path, oracle: &Retail, layout: &str) -> Vec<String> {
    let home = tempfile::tempdir().expect("a temporary directory");
    let river = River::new("deploy/retail.yaml", home.path())
        .layout(layout)
        .env("RETAIL_DATA", data.display())
        .env("BRAID_HTTP", "127.0.0.1:0");
    river.catch_up().ok(layout);
    let total = oracle.total();
    same(
        &format!("retail totals, {layout}"),
        &river.rows("SELECT rows, quantity, revenue, invoices, countries FROM totals"),
        vec![format!(
            "{},{},{},{},{}",
            total.rows,
            total.quantity,
            decimal(total.revenue_milli),
            oracle.invoices.len(),
            oracle.countries()
        )],
    );
    let prices = river.sorted("SELECT country, mean_price FROM prices").into_iter();
    let mut prices: Vec<String> = prices.map(|row| row.replace('"', "")).collect();
    prices.sort();
    same(&format!("retail prices, {layout}"), &prices, oracle.prices());
    let mut dump: Vec<String> = river
        .sorted("SELECT country, day, rows, quantity, revenue FROM by_country_day")
        .into_iter()
        .map(|row| row.replace('"', ""))
        .collect();
    dump.sort();
    same(&format!("retail by country and day, {layout}"), &dump, oracle.rows());
    dump.extend(prices);
    dump
}

#[test]
fn a_small_shop_is_answered_exactly_under_both_layouts() {
    let data = tempfile::tempdir().expect("a temporary directory");
    small_shop(data.path());
    let oracle = Retail::of(data.path());
    assert_eq!(oracle.total().rows, 3000);
    let answers = check(data.path(), &oracle, "kappa");
    assert_eq!(check(data.path(), &oracle, "lambda"), answers);
    // A layout of the user's own is a file, not code.
    let layouts = tempfile::tempdir().expect("a temporary directory");
    let mine = layouts.path().join("mine.yaml");
    std::fs::copy(root().join("layouts/lambda.yaml"), &mine).expect("a copied layout");
    assert_eq!(check(data.path(), &oracle, &mine.display().to_string()), answers);
}

#[test]
fn the_retail_year_is_answered_exactly_under_both_layouts() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let Some(data) = real_year(home.path()) else {
        return;
    };
    let oracle = Retail::of(&data);
    let total = oracle.total();
    assert_eq!((total.rows, total.quantity), (541_909, 5_176_450));
    assert_eq!(decimal(total.revenue_milli), "9747747.934");
    assert_eq!((oracle.invoices.len(), oracle.countries()), (25_900, 38));
    assert_eq!(oracle.by_country_day.len(), 1_716);
    let british: u64 = oracle
        .by_country_day
        .iter()
        .filter(|((country, _), _)| country == "United Kingdom")
        .map(|(_, sales)| sales.rows)
        .sum();
    assert_eq!(british, 495_478);
    assert_eq!(check(&data, &oracle, "kappa"), check(&data, &oracle, "lambda"));
}
