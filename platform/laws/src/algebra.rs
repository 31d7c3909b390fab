//! What an aggregate promises: states merge in any order and grouping, and rows may be added here or there.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use crate::generate::Generator;
use crate::law::{Settings, Tried, Verdict, holds};
use crate::show::{Shown, table};
use crate::sql::{Adding, written};

/// Two ways to one state, each with what it is called; or why the plugin refuses. The outer error is that the rows
/// cannot be added, and there is nothing to compare.
type Ways = Result<[(&'static str, Result<RecordBatch, String>); 2], String>;

/// A law of states.
struct Law {
    says: &'static str,
    /// The lists of rows it is about.
    lists: &'static [&'static str],
    /// Whether the plugin must refuse both ways or none: a sum that becomes too large may do so in one order only.
    total: bool,
    ways: fn(&Adding, &[RecordBatch]) -> Ways,
}

const fn law(
    says: &'static str,
    lists: &'static [&'static str],
    total: bool,
    ways: fn(&Adding, &[RecordBatch]) -> Ways,
) -> Law {
    Law { says, lists, total, ways }
}

const LAWS: [Law; 7] = [
    law("merging the state of no rows changes nothing", &["a"], true, identity),
    law("merging into the state of no rows changes nothing", &["a"], true, identity_left),
    law("merge is commutative", &["a", "b"], true, commutative),
    law("merge is associative", &["a", "b", "c"], false, associative),
    law("rows added to a state are rows added to none, and merged", &["a", "b"], false, homomorphic),
    law("groups do not see each other", &["a", "b"], true, apart),
    law("a state that was written and read is the same state", &["a", "b"], true, durable),
];

/// Tries the laws of an aggregate's states.
pub fn check(adding: &Adding, generator: &Generator, settings: Settings) -> Result<Vec<Verdict>, String> {
    let verdicts = LAWS.iter().map(|law| {
        holds(law.says, law.lists, generator, settings, |lists| {
            let nothing = Tried { through: 0, sides: None };
            let Ok([left, right]) = (law.ways)(adding, lists) else { return Ok(nothing) };
            let same = match (&left.1, &right.1) {
                (Ok(left), Ok(right)) => left == right,
                (Err(_), Err(_)) => return Ok(nothing),
                _ if law.total => false,
                _ => return Ok(nothing),
            };
            let through = lists.iter().map(RecordBatch::num_rows).sum();
            let sides = if same { None } else { Some([shown(adding, left), shown(adding, right)]) };
            Ok(Tried { through, sides })
        })
    });
    verdicts.collect()
}

fn shown(adding: &Adding, (title, states): (&str, Result<RecordBatch, String>)) -> Shown {
    let text = states.and_then(|states| {
        let (answers, _) = adding.finished(&states)?;
        Ok(format!("{}\nand answers\n{}", table(&states), table(&answers)))
    });
    Shown::new(title, text.unwrap_or_else(|reason| format!("refused: {reason}")))
}

fn identity(adding: &Adding, lists: &[RecordBatch]) -> Ways {
    let a = adding.sum(&lists[0])?;
    Ok([("merge(a, zero)", adding.merged(&a, &adding.zero())), ("a", Ok(a))])
}

fn identity_left(adding: &Adding, lists: &[RecordBatch]) -> Ways {
    let a = adding.sum(&lists[0])?;
    Ok([("merge(zero, a)", adding.merged(&adding.zero(), &a)), ("a", Ok(a))])
}

fn commutative(adding: &Adding, lists: &[RecordBatch]) -> Ways {
    let (a, b) = (adding.sum(&lists[0])?, adding.sum(&lists[1])?);
    Ok([("merge(a, b)", adding.merged(&a, &b)), ("merge(b, a)", adding.merged(&b, &a))])
}

fn associative(adding: &Adding, lists: &[RecordBatch]) -> Ways {
    let (a, b, c) = (adding.sum(&lists[0])?, adding.sum(&lists[1])?, adding.sum(&lists[2])?);
    let left = adding.merged(&a, &b).and_then(|ab| adding.merged(&ab, &c));
    let right = adding.merged(&b, &c).and_then(|bc| adding.merged(&a, &bc));
    Ok([("merge(merge(a, b), c)", left), ("merge(a, merge(b, c))", right)])
}

fn homomorphic(adding: &Adding, lists: &[RecordBatch]) -> Ways {
    let (a, b) = (adding.sum(&lists[0])?, adding.sum(&lists[1])?);
    let added = adding.sum_onto(&a, &lists[1]);
    Ok([("rows b added to a", added), ("merge(a, b)", adding.merged(&a, &b))])
}

/// The rows of both groups, in turn.
fn apart(adding: &Adding, lists: &[RecordBatch]) -> Ways {
    let bug = |error: arrow::error::ArrowError| error.to_string();
    let (zero, state) = (adding.zero(), adding.state());
    let (a, b) = (&lists[0], &lists[1]);
    let mut parts = Vec::new();
    let mut groups = Vec::new();
    for row in 0..a.num_rows().max(b.num_rows()) {
        for (group, rows) in [(0, a), (1, b)].into_iter().filter(|(_, rows)| row < rows.num_rows()) {
            parts.push(rows.slice(row, 1));
            groups.push(group);
        }
    }
    let rows = concat_batches(adding.input(), &parts).map_err(bug)?;
    let each = concat_batches(state, [&adding.sum(a)?, &adding.sum(b)?]).map_err(bug)?;
    let zeros = concat_batches(state, [&zero, &zero]).map_err(bug)?;
    let together = adding.added(&zeros, &groups, &rows).and_then(|(states, failed)| match failed.into_iter().next() {
        None => Ok(states),
        Some(failed) => Err(failed.reason),
    });
    Ok([("both groups at once", together), ("each group by itself", Ok(each))])
}

fn durable(adding: &Adding, lists: &[RecordBatch]) -> Ways {
    let (a, b) = (adding.sum(&lists[0])?, adding.sum(&lists[1])?);
    let read = adding.merged(&written(&a)?, &written(&b)?);
    Ok([("merge of a and b, written and read", read), ("merge(a, b)", adding.merged(&a, &b))])
}
