//! What a test's runs come to, and how it is said.

use std::time::Duration;

use serde_json::{Value, json};

use super::case::{Case, Wanted};
use super::plan;
use super::run::{How, Outcome, Stage, Wrong};

/// So many rows that are as expected are shown beside those that are not …
const RIGHT_SHOWN_MAX: usize = 3;
/// … and so many of each kind of those.
const WRONG_SHOWN_MAX: usize = 20;

/// A test that was run.
pub struct Verdict {
    pub case: Case,
    pub runs: usize,
    /// What was left out, where a test is so large that not every run was made.
    pub left_out: Vec<String>,
    pub time: Duration,
    pub failure: Option<Failed>,
}

/// Why a test failed.
pub struct Failed {
    /// The run that shows it.
    pub run: String,
    /// In how many of how many runs, where all were made: the first with a crash is enough.
    pub runs: Option<(usize, usize)>,
    pub wrong: Wrong,
}

impl Failed {
    /// The first of some runs that is wrong.
    pub fn among(done: &[(How, Outcome)], case: &Case, stages: &[Stage]) -> Option<Self> {
        let (how, outcome) = done.iter().find(|(_, outcome)| outcome.wrong.is_some())?;
        let count = done.iter().filter(|(_, outcome)| outcome.wrong.is_some()).count();
        let run = plan::words(how, case, stages, outcome.died_at.as_deref());
        let runs = how.crash.is_none().then_some((count, done.len()));
        Some(Self { run, runs, wrong: outcome.wrong.clone()? })
    }
}

impl Verdict {
    /// One line, and more where it failed.
    pub fn text(&self) -> String {
        let Self { case, runs, time, .. } = self;
        let millis = time.as_millis();
        let mut text = match self.failure {
            None => format!("ok      {} ({runs} runs, {millis} ms)\n", case.name),
            Some(_) => format!("FAILED  {} ({}:{}, {runs} runs, {millis} ms)\n", case.name, case.file, case.line),
        };
        for left_out in &self.left_out {
            text += &format!("        {left_out}; `--all` makes every run\n");
        }
        for line in self.failure.iter().flat_map(|failed| failed.lines(case)) {
            text += format!("        {line}").trim_end();
            text.push('\n');
        }
        text
    }

    pub fn json(&self) -> Value {
        let Self { case, runs, left_out, time, failure } = self;
        let mut all = json!({
            "name": case.name, "file": case.file, "line": case.line, "ok": failure.is_none(), "runs": runs,
            "left_out": left_out, "ms": time.as_millis() as u64,
        });
        if let Some(failed) = failure {
            let mut why = json!({
                "text": failed.lines(case).join("\n"), "run": failed.run, "runs": failed.runs.map(|(wrong, all)| [wrong, all]),
            });
            if let Wrong::Rows { expect, found, of_base } = &failed.wrong {
                let one = &case.expect[*expect];
                why["of"] = json!(one.of);
                why["line"] = json!(one.line);
                why["columns"] = json!(one.columns);
                why["found"] = json!(found);
                why["of_base"] = json!(of_base);
                why["expected"] = match &one.rows {
                    Wanted::Count(count) => json!(count),
                    Wanted::Rows(rows) => json!(rows),
                };
            }
            all["why"] = why;
        }
        all
    }
}

impl Failed {
    fn lines(&self, case: &Case) -> Vec<String> {
        let often = match self.runs {
            Some((wrong, all)) if wrong == all => format!("in each of {all} runs"),
            Some((wrong, all)) => format!("in {wrong} of {all} runs"),
            None => "after a crash, and is without one".to_owned(),
        };
        let mut lines = match &self.wrong {
            Wrong::Failed(reason) if self.runs.is_none() => vec![format!("it fails after a crash: {reason}")],
            Wrong::Failed(reason) => vec![format!("it fails {often}: {reason}")],
            Wrong::Differs { sink, epoch } => {
                vec![format!("`{sink}` is given other rows of epoch {epoch} when that comes again after a crash")]
            }
            Wrong::Rows { expect, found, of_base } => {
                let one = &case.expect[*expect];
                let base = if *of_base { ", once a base is written" } else { "" };
                let what = format!("`{}` (line {}) is not as expected, {often}{base}", one.of, one.line);
                let mut lines = vec![what];
                match &one.rows {
                    Wanted::Count(count) => {
                        lines.push(format!("{count} rows are expected, and there are {}:", found.len()));
                        lines.extend(table(&one.columns, &[], found));
                    }
                    Wanted::Rows(rows) => {
                        lines.push("(- expected, + found)".to_owned());
                        lines.extend(table(&one.columns, rows, found));
                    }
                }
                lines
            }
        };
        lines.push(format!("the first is: {}", self.run));
        if self.runs.is_some_and(|(wrong, all)| wrong < all) && matches!(self.wrong, Wrong::Rows { .. }) {
            lines.push(
                "answers must not depend on where epochs end: a plugin may see how rows come together; where it is"
                    .into(),
            );
            lines.push(
                "right that they do (what is late, timers), write the records as steps, a list under `given`".into(),
            );
        }
        lines
    }
}

/// Two sorted lists of rows, as one with marks.
fn table(columns: &[String], wanted: &[Vec<String>], found: &[Vec<String>]) -> Vec<String> {
    let (mut w, mut f, mut marked) = (0, 0, vec![]);
    while w < wanted.len() || f < found.len() {
        match (wanted.get(w), found.get(f)) {
            (Some(left), Some(right)) if left == right => {
                marked.push((' ', left));
                (w, f) = (w + 1, f + 1);
            }
            (Some(left), right) if right.is_none_or(|right| left < right) => {
                marked.push(('-', left));
                w += 1;
            }
            (_, Some(right)) => {
                marked.push(('+', right));
                f += 1;
            }
            (_, None) => break,
        }
    }
    let mut left_out = [0_usize; 3];
    let mut kept = [0_usize; 3];
    marked.retain(|(mark, _)| {
        let (kind, most) = match mark {
            ' ' => (0, RIGHT_SHOWN_MAX),
            '-' => (1, WRONG_SHOWN_MAX),
            _ => (2, WRONG_SHOWN_MAX),
        };
        let keep = kept[kind] < most;
        *if keep { &mut kept[kind] } else { &mut left_out[kind] } += 1;
        keep
    });
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| {
            let cells = marked.iter().map(|(_, row)| row[column].chars().count());
            cells.chain([columns[column].chars().count()]).max().unwrap_or_default()
        })
        .collect();
    let line = |mark: char, row: &[String]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{mark} {}", cells.collect::<Vec<_>>().join("  ")).trim_end().to_owned()
    };
    let mut lines = vec![line(' ', columns)];
    lines.extend(marked.iter().map(|(mark, row)| line(*mark, row)));
    for (count, what) in left_out.iter().zip(["that are right", "expected", "found"]) {
        if *count > 0 {
            lines.push(format!("  … and {count} more {what}"));
        }
    }
    if marked.is_empty() {
        lines.push("  no rows".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::table;

    fn rows(text: &str) -> Vec<Vec<String>> {
        text.split(';').filter(|row| !row.is_empty()).map(|row| row.split(',').map(str::to_owned).collect()).collect()
    }

    #[test]
    fn rows_that_differ_are_marked() {
        let columns = ["name".to_owned(), "n".to_owned()];
        let lines = table(&columns, &rows("a,1;b,2;b,2"), &rows("a,1;b,2;c,10"));
        assert_eq!(lines, ["  name  n", "  a     1", "  b     2", "- b     2", "+ c     10"]);
        assert_eq!(table(&columns, &[], &[]), ["  name  n", "  no rows"]);
        let many = rows(&"x,1;".repeat(25));
        assert_eq!(table(&columns, &many, &[]).last().map(String::as_str), Some("  … and 5 more expected"));
    }
}
