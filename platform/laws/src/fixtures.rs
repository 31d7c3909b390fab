//! An author's fixtures: rows that go in, and what must come out, however they are cut.

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef, TimeUnit, TimestampMicrosecondType};
use braid_kernel::keyed::FailedRow;
use braid_spec::fixtures::{Fixture, Fixtures, Told};
use braid_spec::model::TimeMode;

use crate::keyed::{Remembered, Remembering, Times};
use crate::rows::from_json;
use crate::show::{difference, lines};
use crate::subject::{Cut, Outcome, Subject};

/// How a fixture ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// All is as expected, in so many ways to cut its rows.
    Passed { cuts: usize },
    /// Something is not: what, and for people how.
    Failed { why: String },
}

/// A fixture that was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// Its name.
    pub name: String,
    /// Its end.
    pub ended: Ended,
}

/// Runs fixtures: rows at once, cut before each row, and row by row.
pub fn test(subject: &mut Subject, fixtures: &Fixtures) -> Vec<Tested> {
    let tested = fixtures.fixtures.iter().map(|fixture| {
        let ended = match run(subject, fixture, fixtures.time_mode) {
            Ok(cuts) => Ended::Passed { cuts },
            Err(why) => Ended::Failed { why },
        };
        Tested { name: fixture.name.clone(), ended }
    });
    tested.collect()
}

/// What one epoch is, as columns.
struct Expected {
    input: RecordBatch,
    rows: Vec<String>,
    failed: Vec<(usize, String)>,
    times: Times,
}

/// How many ways there were to cut its rows; or what is wrong.
fn run(subject: &mut Subject, fixture: &Fixture, mode: TimeMode) -> Result<usize, String> {
    let (input, output) = (subject.input().clone(), subject.output().clone());
    let several = fixture.epochs.len() > 1;
    if several && !matches!(subject, Subject::Keyed(_)) {
        return Err("only a plugin with state, or a sink, sees epochs: write `rows` and `expect`".to_owned());
    }
    let mut expected = Vec::new();
    for (number, told) in fixture.epochs.iter().enumerate() {
        let mut told = read(told, &input, &output).map_err(|reason| in_epoch(several, number, &reason))?;
        told.times.before = match mode {
            TimeMode::None => None,
            TimeMode::EventTime => expected.last().and_then(|last: &Expected| last.times.then),
            TimeMode::ProcessingTime => told.times.then,
        };
        expected.push(told);
    }
    let most = expected.iter().map(|expected| expected.input.num_rows()).max().unwrap_or_default();
    let cuts: Vec<Cut> = std::iter::once(Cut::Whole).chain(Cut::all(most)).collect();
    for cut in &cuts {
        subject.renew();
        let mut remembered = Remembered::default();
        for (number, told) in expected.iter().enumerate() {
            let came = match &mut *subject {
                Subject::Keyed(keyed) => epoch(keyed, &mut remembered, told, *cut)?,
                subject => subject.run(&told.input, *cut, false)?,
            };
            if let Some(wrong) = compared(told, &came) {
                return Err(in_epoch(several, number, &format!("{}:\n{wrong}", cut.title())));
            }
            if let Subject::Aggregate(adding) = &*subject {
                let merged = adding.run_merged(&told.input, *cut)?;
                if let Some(wrong) = compared(told, &merged) {
                    return Err(format!("{}, each part by itself and merged:\n{wrong}", cut.title()));
                }
            }
        }
    }
    Ok(cuts.len())
}

fn epoch(keyed: &mut Remembering, remembered: &mut Remembered, told: &Expected, cut: Cut) -> Result<Outcome, String> {
    keyed.epoch(remembered, &told.input, cut, false, told.times)
}

fn in_epoch(several: bool, number: usize, reason: &str) -> String {
    match several {
        true => format!("epoch {}, {reason}", number + 1),
        false => reason.to_owned(),
    }
}

fn read(told: &Told, input: &SchemaRef, output: &SchemaRef) -> Result<Expected, String> {
    let rows = from_json(input, &told.rows)?;
    let expect = from_json(output, &told.expect).map_err(|reason| format!("what is expected: {reason}"))?;
    for failed in &told.failed {
        if !(1..=told.rows.len()).contains(&failed.row) {
            return Err(format!(
                "`failed` names row {}, and there are {}: they count from 1",
                failed.row,
                told.rows.len()
            ));
        }
    }
    let failed = told.failed.iter().map(|failed| (failed.row - 1, failed.reason.clone()));
    let then = told.time.as_deref().map(instant).transpose()?;
    Ok(Expected { input: rows, rows: lines(&expect), failed: failed.collect(), times: Times { before: None, then } })
}

/// An instant in microseconds.
fn instant(text: &str) -> Result<i64, String> {
    let microseconds = DataType::Timestamp(TimeUnit::Microsecond, None);
    let read = cast(&StringArray::from(vec![text]), &microseconds).map_err(|error| error.to_string())?;
    match read.is_valid(0) {
        true => Ok(read.as_primitive::<TimestampMicrosecondType>().value(0)),
        false => Err(format!("`time` is `{text}`, and must be an instant, such as 2026-01-01T00:00:00Z")),
    }
}

fn compared(told: &Expected, came: &Outcome) -> Option<String> {
    let rows = lines(&came.rows);
    let as_told = |(row, part): &(usize, String)| {
        came.failed.iter().any(|failed| failed.row == *row && failed.reason.contains(part.as_str()))
    };
    let failed_as_told = told.failed.len() == came.failed.len() && told.failed.iter().all(as_told);
    if rows == told.rows && failed_as_told {
        return None;
    }
    let mut text = "(- expected, + came out)".to_owned();
    let mut add = |more: String| {
        if !more.is_empty() {
            text.push('\n');
            text.push_str(&more);
        }
    };
    add(difference(&told.rows, &rows));
    if !failed_as_told {
        let expected: Vec<String> =
            told.failed.iter().map(|(row, reason)| format!("row {} fails: …{reason}…", row + 1)).collect();
        let failed = came.failed.iter().map(|FailedRow { row, reason }| {
            match told.failed.iter().find(|told| as_told(told) && told.0 == *row) {
                Some((_, part)) => format!("row {} fails: …{part}…", row + 1),
                None => format!("row {} fails: {reason}", row + 1),
            }
        });
        add(difference(&expected, &failed.collect::<Vec<_>>()));
    }
    Some(text)
}
