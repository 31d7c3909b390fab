//! How far the least and the greatest of numbers are from each other.

use braid_guest::Aggregate;

/// What is kept of a group. Its default is what no rows add up to.
#[derive(Default)]
struct Spread {
    least: Option<i64>,
    greatest: Option<i64>,
}

impl Aggregate for Spread {
    type Arguments<'a> = (i64,);
    type Answer = Option<i64>;

    /// Adds a row. One with a null does not come.
    fn accumulate(&mut self, (value,): (i64,)) -> Result<(), String> {
        self.merge(Self { least: Some(value), greatest: Some(value) })
    }

    /// Adds what other rows added up to: in any order and grouping it must be the same.
    fn merge(&mut self, other: Self) -> Result<(), String> {
        self.least = self.least.into_iter().chain(other.least).min();
        self.greatest = self.greatest.into_iter().chain(other.greatest).max();
        Ok(())
    }

    fn finish(self) -> Option<i64> {
        self.greatest?.checked_sub(self.least?)
    }
}

// The columns of a state.
braid_guest::aggregate!(Spread { least: Option<i64>, greatest: Option<i64> });
