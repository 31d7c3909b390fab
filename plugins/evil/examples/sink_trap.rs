//! Takes rows away, and panics on a marked one.

use braid_guest::{Epoch, Foreach, Promise, Row, Setting};

struct Trap;

impl Foreach for Trap {
    fn describe(_: &Setting) -> Result<Promise, String> {
        Ok(Promise::default())
    }

    fn open(_: &Setting, _: &Epoch) -> Result<Option<Self>, String> {
        Ok(Some(Self))
    }

    fn process(&mut self, row: Row<'_>) -> Result<(), String> {
        assert_ne!(row.text("note")?, Some(braid_evil::MARK), "such a row is not taken");
        Ok(())
    }
}

braid_guest::foreach!(Trap);
