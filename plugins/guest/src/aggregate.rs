//! Aggregates in SQL.

use crate::values::{Answer, Arguments, wanted};
use crate::{Batch, Column, Field, Schema, Type};

/// What a group of rows adds up to. [`Default`] is the state of no rows.
///
/// States merge in any order and grouping: `merge` is associative and commutative, the default changes nothing, and a state
/// that rows were added to is one merged with what they add up to by themselves. `braid plugin check` looks for states
/// where it is not so. A sum of floats is not: keep integers, or what is exact.
pub trait Aggregate: Default + States {
    /// The arguments' types, as a tuple.
    type Arguments<'a>: Arguments<'a>;
    /// The answer's type.
    type Answer: Answer;
    /// Adds a row, or says why it cannot be added.
    fn accumulate(&mut self, arguments: Self::Arguments<'_>) -> Result<(), String>;
    /// Adds what other rows added up to.
    fn merge(&mut self, other: Self) -> Result<(), String>;
    /// What it answers.
    fn finish(self) -> Self::Answer;
}

/// States as columns. [`aggregate!`](crate::aggregate) writes it.
pub trait States: Sized {
    /// The columns.
    fn columns() -> Vec<Field>;
    /// The rows of a batch.
    fn read(batch: &Batch) -> Result<Vec<Self>, String>;
    /// As a batch.
    fn write(states: Vec<Self>) -> Result<Batch, String>;
}

/// What an aggregate answers and keeps.
pub struct Summary {
    /// The type of the answer.
    pub answer: Type,
    /// The columns of a state.
    pub state: Schema,
}

/// What an aggregate answers and keeps where arguments are of these types.
pub fn described<T: Aggregate>(given: &[Type]) -> Result<Summary, String> {
    if !<T::Arguments<'_> as Arguments>::take(given) {
        return Err(wanted(<T::Arguments<'_> as Arguments>::TYPES, given));
    }
    Ok(Summary { answer: T::Answer::TYPE, state: Schema { fields: T::columns() } })
}

/// The state of no rows.
pub fn zero<T: Aggregate>() -> Result<Batch, String> {
    T::write(vec![T::default()])
}

/// States after rows were added.
pub fn accumulated<T: Aggregate>(states: &Batch, groups: &[u32], rows: &Batch) -> Result<Batch, String> {
    let mut states = T::read(states)?;
    let views = <T::Arguments<'_> as Arguments>::views(rows)?;
    for (row, group) in groups.iter().enumerate() {
        if let Some(arguments) = <T::Arguments<'_> as Arguments>::get(&views, row) {
            states[*group as usize].accumulate(arguments)?;
        }
    }
    T::write(states)
}

/// States after others were merged into them.
pub fn merged<T: Aggregate>(states: &Batch, groups: &[u32], others: &Batch) -> Result<Batch, String> {
    let mut states = T::read(states)?;
    for (other, group) in T::read(others)?.into_iter().zip(groups) {
        states[*group as usize].merge(other)?;
    }
    T::write(states)
}

/// What states answer.
pub fn finished<T: Aggregate>(states: &Batch) -> Result<Column, String> {
    let mut answers = T::Answer::builder(states.rows);
    for state in T::read(states)? {
        state.finish().put(&mut answers)?;
    }
    Ok(T::Answer::finish(answers, "answer"))
}
