//! Rows of two inputs, with nulls, duplicates and rows out of order, and where they are cut into epochs.

use std::collections::BTreeMap;

use super::Random;

/// Midnight of a day, in milliseconds.
pub const START_MS: i64 = 1_767_225_600_000;
/// How late rows of `events` and of `other` may be, in milliseconds.
pub const DELAYS_MS: [i64; 2] = [10_000, 7_000];
/// What the last row of each input has as its instant: everything before is final by then.
pub const END_MS: i64 = START_MS + 10_000_000;

/// One row, in the order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// 0 for `events`, 1 for `other`.
    pub input: usize,
    pub id: i64,
    pub name: Option<&'static str>,
    pub n: Option<i64>,
    /// Event time in milliseconds.
    pub at: Option<i64>,
}

/// The rows and their epochs.
#[derive(Debug, Clone)]
pub struct Data {
    pub rows: Vec<Row>,
    /// Where each epoch ends, exclusive; the last is the number of rows.
    pub ends: Vec<usize>,
    /// Per epoch what goes wrong: 1 it comes after a restart, 2 it fails once first, 4 the restart is from a base.
    pub troubles: Vec<u8>,
}

impl Data {
    /// Some rows in some epochs, then one row of each input that ends everything.
    pub fn any(random: &mut Random) -> Self {
        let count = random.below(40) as usize;
        let mut rows: Vec<Row> = Vec::new();
        for _ in 0..count {
            let next = any_row(random, &rows);
            rows.push(next);
        }
        let mut ends: Vec<usize> = (0..random.below(6)).map(|_| random.below(count as u64 + 1) as usize).collect();
        ends.push(count);
        ends.sort_unstable();
        for input in 0..2 {
            rows.push(Row { input, id: 1_000_000, name: Some("end"), n: Some(0), at: Some(END_MS) });
        }
        ends.push(rows.len());
        let troubles = ends.iter().map(|_| if random.percent(60) { 0 } else { random.below(8) as u8 }).collect();
        Self { rows, ends, troubles }
    }

    /// The rows of an epoch.
    pub fn epoch(&self, number: usize) -> &[Row] {
        let from = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.rows[from..self.ends[number]]
    }

    /// The watermark after an epoch: the least of both inputs' greatest instants less their delays.
    pub fn watermark(&self, number: usize) -> Option<i64> {
        let latest = |input: usize| {
            let mine = self.rows[..self.ends[number]].iter().filter(|row| row.input == input);
            mine.filter_map(|row| row.at).max().map(|at| at - DELAYS_MS[input])
        };
        Some(latest(0)?.min(latest(1)?))
    }

    /// Whether no row is too late, and rows of one id are within the delay of the first.
    pub fn valid(&self) -> bool {
        let (mut latest, mut first) = ([i64::MIN; 2], BTreeMap::new());
        self.rows.iter().all(|row| {
            let known: Option<i64> = *first.entry((row.input, row.id)).or_insert(row.at);
            let Some(at) = row.at else { return known.is_none() };
            let in_time = latest[row.input] == i64::MIN || at > latest[row.input] - DELAYS_MS[row.input];
            latest[row.input] = latest[row.input].max(at);
            in_time && known.is_some_and(|known| (known - at).abs() <= DELAYS_MS[row.input])
        })
    }
}

fn any_row(random: &mut Random, before: &[Row]) -> Row {
    let input = random.below(2) as usize;
    let delay = DELAYS_MS[input];
    let latest = before.iter().filter(|row| row.input == input).filter_map(|row| row.at).max();
    let in_time = |at: i64| latest.is_none_or(|latest| at > latest - delay);
    let mine: Vec<&Row> = before.iter().filter(|row| row.input == input).collect();
    if !mine.is_empty() && random.percent(30) {
        let again = random.pick(&mine).clone();
        let first = mine.iter().find(|row| row.id == again.id).and_then(|row| row.at);
        let moved = again.at.map(|at| at + if random.percent(50) { 0 } else { random.between(-4, 4) * 1_000 });
        if moved.is_none_or(|at| in_time(at) && first.is_some_and(|first| (first - at).abs() <= delay)) {
            return Row { at: moved, ..again };
        }
    }
    let base = latest.unwrap_or(START_MS);
    let step = match random.below(4) {
        0 => random.between(1 - delay / 500, 0),
        1 => 0,
        _ => random.between(1, 10),
    };
    Row {
        input,
        id: before.len() as i64,
        name: random.pick(&[None, Some("a"), Some("a"), Some("b"), Some("c"), Some("d")]),
        n: random.pick(&[None, Some(-2), Some(0), Some(1), Some(2), Some(3), Some(5), Some(7)]),
        at: if random.percent(7) { None } else { Some(base + step * 500) },
    }
}
