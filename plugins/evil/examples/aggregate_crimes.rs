//! An aggregate that commits the crime that a row names, and counts the others.

use braid_guest::Aggregate;

#[derive(Default)]
struct Commits {
    count: i64,
}

impl Aggregate for Commits {
    type Arguments<'a> = (&'a str,);
    type Answer = i64;

    fn accumulate(&mut self, (crime,): (&str,)) -> Result<(), String> {
        braid_evil::commit(crime)?;
        self.merge(Self { count: 1 })
    }

    fn merge(&mut self, other: Self) -> Result<(), String> {
        self.count += other.count;
        Ok(())
    }

    fn finish(self) -> i64 {
        self.count
    }
}

braid_guest::aggregate!(Commits { count: i64 });
