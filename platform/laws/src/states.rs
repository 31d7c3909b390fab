//! Whether an aggregate can go on with states that another one made: what was kept must have the same answers.

use crate::generate::Generator;
use crate::law::{Settings, Tried, Verdict, holds};
use crate::show::{Shown, table};
use crate::sql::Adding;

/// Has `old` make states of generated rows, and both merge and answer them. The columns of their states are the same.
pub fn continues(old: &Adding, new: &Adding, generator: &Generator, settings: Settings) -> Result<Verdict, String> {
    holds("states that are kept have the same answers", &["a", "b"], generator, settings, |lists| {
        let nothing = Tried { through: 0, sides: None };
        let (Ok(a), Ok(b)) = (old.sum(&lists[0]), old.sum(&lists[1])) else { return Ok(nothing) };
        // A sum that is too large for one of them need not be for the other.
        let (Ok(before), Ok(after)) = (old.merged(&a, &b), new.merged(&a, &b)) else { return Ok(nothing) };
        let (was, is) = (old.outcome(&before, vec![])?, new.outcome(&after, vec![])?);
        let through = lists.iter().map(|rows| rows.num_rows()).sum();
        if was.same(&is) || was.kept.len() + is.kept.len() == 2 {
            return Ok(Tried { through, sides: None });
        }
        let shown =
            |title: &str, state, answer: String| Shown::new(title, format!("{}\nand answers\n{answer}", table(state)));
        let sides = [
            shown("merged and answered by the one before", &before, was.text()),
            shown("merged and answered by the new one", &after, is.text()),
        ];
        Ok(Tried { through, sides: Some(sides) })
    })
}
