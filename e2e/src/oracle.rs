//! The retail year and Don Quijote, computed in a few lines without Braid, and without any of its libraries.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Sales of one country on one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sales {
    /// Rows.
    pub rows: u64,
    /// The sum of Quantity.
    pub quantity: i64,
    /// The sum of Quantity × UnitPrice, in thousandths.
    pub revenue_milli: i128,
}

/// The retail year.
#[derive(Debug, Clone, Default)]
pub struct Retail {
    /// By country and day (`2010-12-01`).
    pub by_country_day: BTreeMap<(String, String), Sales>,
    /// The distinct invoices.
    pub invoices: BTreeSet<String>,
}

impl Retail {
    /// Adds a file of the retail year: a header, then
    /// `InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country`.
    pub fn add(&mut self, csv: &str) {
        for fields in csv_records(csv).into_iter().skip(1) {
            assert_eq!(fields.len(), 8, "{fields:?}");
            let quantity: i64 = fields[3].parse().expect("a quantity");
            let day = fields[4][..10].to_owned();
            let sales = self.by_country_day.entry((fields[7].clone(), day)).or_default();
            sales.rows += 1;
            sales.quantity += quantity;
            sales.revenue_milli += i128::from(quantity) * milli(&fields[5]);
            self.invoices.insert(fields[0].clone());
        }
    }

    /// Adds every CSV file of a directory.
    pub fn of(directory: &Path) -> Self {
        let mut retail = Self::default();
        for path in files(directory, "csv") {
            retail.add(&std::fs::read_to_string(&path).expect("a readable file"));
        }
        retail
    }

    /// The whole of it.
    pub fn total(&self) -> Sales {
        let mut total = Sales::default();
        for sales in self.by_country_day.values() {
            total.rows += sales.rows;
            total.quantity += sales.quantity;
            total.revenue_milli += sales.revenue_milli;
        }
        total
    }

    /// The number of countries.
    pub fn countries(&self) -> usize {
        let names: BTreeSet<&String> = self.by_country_day.keys().map(|(name, _)| name).collect();
        names.len()
    }

    /// Per country the price of the mean item: revenue by quantity; nothing where as many came back.
    pub fn prices(&self) -> Vec<String> {
        let mut sums: BTreeMap<&str, (i128, i64)> = BTreeMap::new();
        for ((country, _), sales) in &self.by_country_day {
            let sum = sums.entry(country).or_default();
            sum.0 += sales.revenue_milli;
            sum.1 += sales.quantity;
        }
        let price = |(milli, quantity): (i128, i64)| match quantity {
            0 => String::new(),
            // As the plugin does: a millionth is its unit.
            quantity => format!("{:?}", (milli * 1000) as f64 / quantity as f64 / 1e6),
        };
        sums.into_iter().map(|(country, sum)| format!("{country},{}", price(sum))).collect()
    }

    /// The rows `country,day,rows,quantity,revenue`, sorted.
    pub fn rows(&self) -> Vec<String> {
        let mut rows: Vec<String> = self
            .by_country_day
            .iter()
            .map(|((country, day), sales)| {
                let revenue = decimal(sales.revenue_milli);
                format!("{country},{day},{},{},{revenue}", sales.rows, sales.quantity)
            })
            .collect();
        rows.sort();
        rows
    }
}

/// The words of a text, split on white space, with how often each stands there.
pub fn words(text: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for word in text.split_whitespace() {
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    counts
}

/// Thousandths as a decimal with three places.
pub fn decimal(milli: i128) -> String {
    let sign = if milli < 0 { "-" } else { "" };
    let (whole, rest) = (milli.unsigned_abs() / 1000, milli.unsigned_abs() % 1000);
    format!("{sign}{whole}.{rest:03}")
}

/// The files of a directory with this extension, by name.
pub fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .map(|entry| entry.expect("a readable directory").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    paths.sort();
    paths
}

/// A decimal number with at most three places, in thousandths.
fn milli(text: &str) -> i128 {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, places) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(places.len() <= 3, "{text}");
    let all = format!("{whole}{places:0<3}");
    let value: i128 = all.parse().expect("a number");
    if negative { -value } else { value }
}

/// The records of a CSV text; quoted fields may hold commas, line ends and doubled quotes.
fn csv_records(text: &str) -> Vec<Vec<String>> {
    let (mut records, mut fields, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                fields.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut fields));
            }
            '\r' if !quoted => {}
            other => field.push(other),
        }
    }
    if !field.is_empty() || !fields.is_empty() {
        fields.push(field);
        records.push(fields);
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_field_holds_commas_and_quotes() {
        let records = csv_records("a,b\n\"x, \"\"y\"\"\",-1.5\n");
        assert_eq!(records, [["a", "b"], ["x, \"y\"", "-1.5"]]);
        assert_eq!((milli("-1.5"), milli("0.001"), milli("7")), (-1500, 1, 7000));
        assert_eq!((decimal(-1500), decimal(9_747_747_934)), ("-1.500".into(), "9747747.934".into()));
    }
}
