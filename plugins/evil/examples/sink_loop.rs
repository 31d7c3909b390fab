//! Takes rows away, and never comes back from a marked one.

use std::hint::black_box;

use braid_guest::{Epoch, Foreach, Promise, Row, Setting};

struct Loop;

impl Foreach for Loop {
    fn describe(_: &Setting) -> Result<Promise, String> {
        Ok(Promise::default())
    }

    fn open(_: &Setting, _: &Epoch) -> Result<Option<Self>, String> {
        Ok(Some(Self))
    }

    fn process(&mut self, row: Row<'_>) -> Result<(), String> {
        let mut rows = 1u32;
        while row.text("note")? == Some(braid_evil::MARK) && black_box(true) {
            rows = black_box(rows.wrapping_add(1));
        }
        Ok(())
    }
}

braid_guest::foreach!(Loop);
