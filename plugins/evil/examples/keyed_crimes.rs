//! Counts the rows of a key, and commits on a row the crime that the row names.

use std::hint::black_box;

use braid_guest::{Context, Program, Row, Schema, Stateful, Type, ValueState};

const COUNT: ValueState<i64> = ValueState::new("count");
const BITE_BYTES: usize = 1 << 20;

struct Crimes;

impl Stateful for Crimes {
    fn describe(_: &Schema, _: &[String], _: Option<&Schema>) -> Result<Program, String> {
        Ok(Program::new([("count", Type::Int64)]).keep(&COUNT))
    }

    fn on_row(row: Row<'_>, context: &mut Context<'_>) -> Result<(), String> {
        match row.text("crime")? {
            Some("panic") => panic!("no row of this kind"),
            Some("loop") => while black_box(true) {},
            Some("recursion") => return Err(descend(1).to_string()),
            Some("memory") => {
                let mut bites: Vec<Vec<u8>> = Vec::new();
                while black_box(true) {
                    bites.push(black_box(vec![1; BITE_BYTES]));
                }
            }
            Some("error") => return Err("not this row".into()),
            _ => {}
        }
        let count = COUNT.get(context)?.unwrap_or(0) + 1;
        COUNT.set(context, count)?;
        context.emit(&[count.into()])
    }
}

fn descend(depth: u64) -> u64 {
    if depth == black_box(u64::MAX) {
        return depth;
    }
    descend(depth + 1).wrapping_mul(31) ^ depth
}

braid_guest::stateful!(Crimes);
