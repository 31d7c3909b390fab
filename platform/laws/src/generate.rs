//! Rows that a seed decides: the values at which programs fail, many that come twice, and the author's own examples.

use arrow::datatypes::{DataType, SchemaRef, TimeUnit};

use crate::cell::{Cell, Row};
use crate::random::Random;

/// Instants near which most of the generated ones are: 2026-01-01T00:00:00Z, in seconds.
const NEAR_SECONDS: i128 = 1_767_225_600;
/// Instants and days stay between the years 1 and 9999, which every format can write.
const FIRST_SECONDS: i128 = -62_135_596_800;
const LAST_SECONDS: i128 = 253_402_300_799;
const DAY_SECONDS: i128 = 86_400;

/// Texts at which programs fail.
const TEXTS: [&str; 14] =
    ["", " ", "a", "b", "A", "0", "-1", "1.5", "NaN", "é", "e\u{301}", "🙂", "a,b\n\"c\"", "null"];

/// How rows are made.
#[derive(Debug, Clone)]
pub struct Generator {
    schema: SchemaRef,
    /// Columns whose values mostly come again.
    keys: Vec<usize>,
    /// Per column values of which some are taken.
    examples: Vec<Vec<Cell>>,
}

impl Generator {
    /// Makes rows of these columns.
    pub fn new(schema: &SchemaRef) -> Self {
        Self { schema: schema.clone(), keys: Vec::new(), examples: vec![Vec::new(); schema.fields().len()] }
    }

    /// The columns that make a key.
    pub fn keys(mut self, keys: Vec<usize>) -> Self {
        self.keys = keys;
        self
    }

    /// Rows whose values are taken too.
    pub fn examples(mut self, rows: &[Row]) -> Self {
        for row in rows {
            for (known, cell) in self.examples.iter_mut().zip(row) {
                if !known.contains(cell) {
                    known.push(cell.clone());
                }
            }
        }
        self
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// So many rows.
    pub fn rows(&self, random: &mut Random, count: usize) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::with_capacity(count);
        for _ in 0..count {
            let fields = self.schema.fields().iter().enumerate();
            let row = fields.map(|(column, field)| {
                let again = if self.keys.contains(&column) { 3 } else { 1 };
                match rows.is_empty() {
                    false if random.chance(again, 4) => rows[random.below(rows.len())][column].clone(),
                    _ => self.value(random, column, field.data_type()),
                }
            });
            let row = row.collect();
            rows.push(row);
        }
        rows
    }

    fn value(&self, random: &mut Random, column: usize, data_type: &DataType) -> Cell {
        let examples = &self.examples[column];
        if !examples.is_empty() && random.chance(2, 3) {
            return random.pick(examples).cloned().unwrap_or(Cell::Null);
        }
        match random.chance(1, 8) {
            true => Cell::Null,
            false => value(random, data_type),
        }
    }
}

fn value(random: &mut Random, data_type: &DataType) -> Cell {
    match data_type {
        DataType::Boolean => Cell::Boolean(random.chance(1, 2)),
        DataType::Int32 => Cell::Whole(whole(random, i32::MIN.into(), i32::MAX.into())),
        DataType::Int64 => Cell::Whole(whole(random, i64::MIN.into(), i64::MAX.into())),
        DataType::Float32 => {
            let edges = [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 0.1];
            match random.chance(1, 4) {
                true => Cell::Number(edges[random.below(edges.len())].into()),
                false => Cell::Number(f64::from(plain(random) as f32)),
            }
        }
        DataType::Float64 => {
            let edges = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 0.1, 1e16];
            match random.chance(1, 4) {
                true => Cell::Number(edges[random.below(edges.len())]),
                false => Cell::Number(plain(random)),
            }
        }
        DataType::Utf8 => Cell::Text(text(random)),
        DataType::Binary => match random.chance(1, 2) {
            true => Cell::Bytes(text(random).into_bytes()),
            false => Cell::Bytes((0..random.below(6)).map(|_| random.bits() as u8).collect()),
        },
        DataType::Date32 => Cell::Whole(instant(random, 1).div_euclid(DAY_SECONDS)),
        DataType::Timestamp(TimeUnit::Millisecond, None) => Cell::Whole(instant(random, 1_000)),
        DataType::Timestamp(_, None) => Cell::Whole(instant(random, 1_000_000)),
        DataType::Decimal128(precision, _) => {
            let end = 10_i128.checked_pow(u32::from(*precision)).unwrap_or(i128::MAX);
            Cell::Whole(whole(random, 1 - end, end - 1))
        }
        _ => Cell::Null,
    }
}

fn whole(random: &mut Random, least: i128, most: i128) -> i128 {
    let value = match random.below(8) {
        0 => [least, least + 1, most, most - 1][random.below(4)],
        1 => i128::from(random.bits() as i64),
        _ => random.below(21) as i128 - 10,
    };
    value.clamp(least, most)
}

/// Numbers with few digits, of which some are fractions that have no end in binary.
fn plain(random: &mut Random) -> f64 {
    let whole = random.below(2_001) as f64 - 1_000.0;
    whole / [1.0, 2.0, 10.0, 3.0][random.below(4)]
}

fn text(random: &mut Random) -> String {
    match random.below(4) {
        0 => TEXTS[random.below(TEXTS.len())].to_owned(),
        1 => random.below(100).to_string(),
        _ => (0..1 + random.below(4)).map(|_| char::from(b'a' + random.below(4) as u8)).collect(),
    }
}

/// An instant in so many parts of a second.
fn instant(random: &mut Random, parts: i128) -> i128 {
    let seconds = match random.below(16) {
        0 => [0, -1, FIRST_SECONDS, LAST_SECONDS][random.below(4)],
        1 => NEAR_SECONDS + random.below(400 * 86_400) as i128,
        _ => NEAR_SECONDS + random.below(7_200) as i128,
    };
    let rest = if random.chance(1, 4) { random.below(parts as usize) as i128 } else { 0 };
    seconds * parts + rest
}

/// Simpler values in the place of this one, the simplest first.
pub fn simpler(cell: &Cell) -> Vec<Cell> {
    let mut simpler = match cell {
        Cell::Null => return Vec::new(),
        Cell::Boolean(value) => match value {
            true => vec![Cell::Boolean(false)],
            false => Vec::new(),
        },
        Cell::Whole(value) => {
            let value = *value;
            let closer = [0, 1, value.saturating_abs().min(2), value / 1_000_000, value / 10, value - value.signum()];
            closer.into_iter().filter(|other| is_simpler(*other, value)).map(Cell::Whole).collect()
        }
        Cell::Number(value) => {
            let value = *value;
            let closer = [0.0, 1.0, 2.0, value.trunc(), (value / 2.0).trunc(), (value * 10.0).trunc() / 10.0];
            let fewer = |other: &f64| other.to_bits() != value.to_bits() && weight(*other) < weight(value);
            closer.into_iter().filter(|other| !other.is_nan()).filter(fewer).map(Cell::Number).collect()
        }
        Cell::Text(text) => {
            let mut shorter = vec![String::new(), "a".to_owned()];
            let half = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
            shorter.extend([text[..half].to_owned(), text[half..].to_owned()]);
            shorter.extend(text.char_indices().map(|(at, c)| [&text[..at], &text[at + c.len_utf8()..]].concat()));
            let shorter = shorter.into_iter().filter(|other| other.len() < text.len());
            shorter.map(Cell::Text).collect()
        }
        Cell::Bytes(bytes) => {
            let halves = [&bytes[..0], &bytes[..bytes.len() / 2], &bytes[bytes.len() / 2..]];
            let shorter = halves.into_iter().filter(|half| half.len() < bytes.len());
            shorter.map(|half| Cell::Bytes(half.to_vec())).collect::<Vec<_>>()
        }
    };
    simpler.dedup();
    simpler
}

fn is_simpler(other: i128, than: i128) -> bool {
    other.unsigned_abs() < than.unsigned_abs() || (other == than.saturating_abs() && than < 0)
}

/// How much a number is to look at.
fn weight(value: f64) -> (usize, bool) {
    (if value.is_finite() { value.to_string().len() } else { usize::MAX }, value.is_sign_negative())
}
