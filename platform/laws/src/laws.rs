//! What a plugin promises by being one: it computes the same from the same rows, and nothing else is seen of how it is called.

use arrow::array::RecordBatch;

use crate::algebra;
use crate::generate::Generator;
use crate::law::{Settings, Tried, Verdict, holds};
use crate::show::Shown;
use crate::subject::{Cut, Outcome, Subject};

/// Tries every law of a plugin.
pub fn check(subject: &mut Subject, generator: &Generator, settings: Settings) -> Result<Vec<Verdict>, String> {
    let mut verdicts = vec![
        holds("the same bytes again, from a fresh instance", &["rows"], generator, settings, |lists| {
            again(subject, &lists[0])
        })?,
        holds("the same bytes again, from a used instance", &["rows before", "rows"], generator, settings, |lists| {
            used(subject, &lists[0], &lists[1])
        })?,
    ];
    verdicts.extend(promised(subject, generator, settings, true)?);
    Ok(verdicts)
}

/// Tries the laws that are about rows and states alone. Without `fresh` one instance does for all cases: that is quick,
/// also where it takes long to make one.
pub fn promised(
    subject: &mut Subject,
    generator: &Generator,
    settings: Settings,
    fresh: bool,
) -> Result<Vec<Verdict>, String> {
    let cut = format!("the same rows, however they are cut into {}", subject.part());
    let mut verdicts = vec![holds(&cut, &["rows"], generator, settings, |lists| cuts(subject, &lists[0], fresh))?];
    if let Subject::Aggregate(adding) = subject {
        verdicts.extend(algebra::check(adding, generator, settings)?);
    }
    Ok(verdicts)
}

fn again(subject: &mut Subject, rows: &RecordBatch) -> Result<Tried, String> {
    subject.renew();
    let first = subject.run(rows, Cut::Whole, false)?;
    subject.renew();
    let second = subject.run(rows, Cut::Whole, false)?;
    Ok(compared(rows, [("one instance", first), ("another instance", second)]))
}

fn used(subject: &mut Subject, before: &RecordBatch, rows: &RecordBatch) -> Result<Tried, String> {
    subject.renew();
    let first = subject.run(rows, Cut::Whole, false)?;
    subject.renew();
    subject.run(before, Cut::Whole, false)?;
    let second = subject.run(rows, Cut::Whole, false)?;
    Ok(compared(rows, [("from a fresh instance", first), ("from one that had the rows before", second)]))
}

fn cuts(subject: &mut Subject, rows: &RecordBatch, fresh: bool) -> Result<Tried, String> {
    let whole = subject.run(rows, Cut::Whole, fresh)?;
    let through = rows.num_rows() - whole.failed.len();
    for cut in Cut::all(rows.num_rows()) {
        let parts = subject.run(rows, cut, fresh)?;
        if !whole.same(&parts) {
            let sides = [Shown::new(Cut::Whole.title(), whole.text()), Shown::new(cut.title(), parts.text())];
            return Ok(Tried { through, sides: Some(sides) });
        }
    }
    Ok(Tried { through, sides: None })
}

fn compared(rows: &RecordBatch, [(left, first), (right, second)]: [(&str, Outcome); 2]) -> Tried {
    let through = rows.num_rows() - first.failed.len();
    let same = first.same(&second);
    let sides = (!same).then(|| [Shown::new(left, first.text()), Shown::new(right, second.text())]);
    Tried { through, sides }
}
