//! A law that is tried on generated rows, and made small where it does not hold.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use braid_wasm_host::thread_time;

use crate::cell::{Row, batch};
use crate::generate::{Generator, simpler};
use crate::random::Random;
use crate::show::{Shown, table};

/// How often a smaller counter-example is looked for.
const TRIES_MAX: usize = 1_000;

/// How laws are tried.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How many cases of each law.
    pub cases: usize,
    /// What decides the cases.
    pub seed: u64,
    /// The most rows of a list in one case.
    pub rows_max: usize,
    /// No case begins when this thread has used so much processor time: what a busy machine does not decide.
    pub until: Option<Duration>,
}

impl Settings {
    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| thread_time() >= until)
    }
}

/// What one case came to.
pub struct Tried {
    /// How many of its rows did not fail.
    pub through: usize,
    /// The two sides, where they are not the same.
    pub sides: Option<[Shown; 2]>,
}

/// What was found about a law.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// The law.
    pub law: String,
    /// In how many cases it was tried.
    pub cases: usize,
    /// How many rows went through in them.
    pub through: usize,
    /// Where it does not hold.
    pub counter: Option<Counter>,
}

/// A case in which a law does not hold, as small as it could be made.
#[derive(Debug, Clone)]
pub struct Counter {
    /// Its number.
    pub case: usize,
    /// What went in.
    pub inputs: Vec<Shown>,
    /// What came out, in two ways that must give the same.
    pub sides: [Shown; 2],
}

impl Counter {
    /// What went in, and the two things that came out.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for Shown { title, text: shown } in self.inputs.iter().chain(&self.sides) {
            text.push_str(&format!("{title}:\n"));
            shown.lines().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
        text
    }
}

/// Tries a law that is about several lists of rows, each with a title.
pub fn holds(
    law: &str,
    titles: &[&str],
    generator: &Generator,
    settings: Settings,
    mut attempt: impl FnMut(&[RecordBatch]) -> Result<Tried, String>,
) -> Result<Verdict, String> {
    let schema = generator.schema();
    let mut through = 0;
    for case in 0..settings.cases {
        if settings.is_over() {
            return Ok(Verdict { law: law.into(), cases: case, through, counter: None });
        }
        let mut random = Random::of_case(settings.seed, case as u64);
        // Small cases come first: they are quick, and what they find is easy to read.
        let most = 1 + settings.rows_max * (case + 1) / settings.cases;
        let list = |_: &&str| {
            let count = random.below(most + 1);
            generator.rows(&mut random, count)
        };
        let lists: Vec<Vec<Row>> = titles.iter().map(list).collect();
        let tried = attempt(&batches(schema, &lists)?)?;
        through += tried.through;
        if let Some(sides) = tried.sides {
            let (lists, sides) = shrunk(schema, lists, sides, settings, &mut attempt)?;
            let inputs = titles.iter().zip(batches(schema, &lists)?);
            let inputs = inputs.map(|(title, rows)| Shown::new(*title, table(&rows))).collect();
            let counter = Some(Counter { case, inputs, sides });
            return Ok(Verdict { law: law.into(), cases: case + 1, through, counter });
        }
    }
    Ok(Verdict { law: law.into(), cases: settings.cases, through, counter: None })
}

fn batches(schema: &SchemaRef, lists: &[Vec<Row>]) -> Result<Vec<RecordBatch>, String> {
    lists.iter().map(|rows| batch(schema, rows)).collect()
}

/// Fewer rows, then simpler values, as long as the law still does not hold.
fn shrunk(
    schema: &SchemaRef,
    mut lists: Vec<Vec<Row>>,
    mut sides: [Shown; 2],
    settings: Settings,
    attempt: &mut impl FnMut(&[RecordBatch]) -> Result<Tried, String>,
) -> Result<(Vec<Vec<Row>>, [Shown; 2]), String> {
    let mut tries = 0;
    loop {
        let mut found = None;
        for candidate in smaller(&lists) {
            tries += 1;
            if tries > TRIES_MAX || settings.is_over() {
                break;
            }
            if let Some(sides) = attempt(&batches(schema, &candidate)?)?.sides {
                found = Some((candidate, sides));
                break;
            }
        }
        match found {
            Some(smaller) => (lists, sides) = smaller,
            None => return Ok((lists, sides)),
        }
    }
}

/// Everything that is a little smaller, the smallest first.
fn smaller(lists: &[Vec<Row>]) -> impl Iterator<Item = Vec<Vec<Row>>> {
    let with = |list: usize, rows: Vec<Row>| {
        let mut lists = lists.to_vec();
        lists[list] = rows;
        lists
    };
    let fewer = lists.iter().enumerate().flat_map(move |(list, rows)| {
        let halves = std::iter::successors(Some(rows.len()), |size| Some(size / 2)).take_while(|size| *size > 0);
        halves.flat_map(move |size| (0..rows.len()).step_by(size).map(move |start| (start, size))).map(
            move |(start, size)| {
                let end = (start + size).min(rows.len());
                with(list, [&rows[..start], &rows[end..]].concat())
            },
        )
    });
    let plainer = lists.iter().enumerate().flat_map(move |(list, rows)| {
        rows.iter().enumerate().flat_map(move |(number, row)| {
            row.iter().enumerate().flat_map(move |(column, cell)| {
                simpler(cell).into_iter().map(move |cell| {
                    let mut rows = rows.clone();
                    rows[number][column] = cell;
                    with(list, rows)
                })
            })
        })
    });
    fewer.chain(plainer)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    const SETTINGS: Settings = Settings { cases: 200, seed: 7, rows_max: 16, until: None };

    fn generator() -> Generator {
        let fields = [("n", DataType::Int64), ("text", DataType::Utf8)];
        Generator::new(&Arc::new(Schema::new(fields.map(|(name, kind)| Field::new(name, kind, true)).to_vec())))
    }

    /// Breaks where there are two rows whose numbers are above three.
    fn attempt(lists: &[RecordBatch]) -> Result<Tried, String> {
        let numbers = lists[0].column(0).as_primitive::<Int64Type>();
        let large = numbers.iter().flatten().filter(|number| *number > 3).count();
        let sides = (large >= 2).then(|| [Shown::new("left", "1"), Shown::new("right", "2")]);
        Ok(Tried { through: lists[0].num_rows(), sides })
    }

    #[test]
    fn a_counter_example_is_as_small_as_can_be() {
        let verdict = holds("few", &["rows", "more rows"], &generator(), SETTINGS, attempt).expect("it can be tried");
        let inputs = verdict.counter.expect("it breaks").inputs;
        let lines: Vec<&str> = inputs[0].text.lines().collect();
        assert_eq!(lines.len(), 6, "two rows: {lines:#?}");
        assert!(lines[3..5].iter().all(|line| line.starts_with("| 4 ") || line.starts_with("| 5 ")), "{lines:#?}");
        assert_eq!(inputs[1].text, "no rows");
    }

    #[test]
    fn a_seed_decides_the_rows() {
        let rows = |seed: u64| {
            let mut random = Random::of_case(seed, 3);
            generator().rows(&mut random, 12)
        };
        assert_eq!(rows(1), rows(1));
        assert_ne!(rows(1), rows(2));
    }

    #[test]
    fn what_holds_is_tried_in_every_case() {
        let verdict = holds("true", &["rows"], &generator(), SETTINGS, |lists| {
            Ok(Tried { through: lists[0].num_rows(), sides: None })
        });
        let verdict = verdict.expect("it can be tried");
        assert_eq!((verdict.cases, verdict.counter.is_none()), (200, true));
        assert!(verdict.through > 400, "{}", verdict.through);
    }
}
