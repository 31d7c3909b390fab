//! Counts the rows of a key, and commits on a row the crime that the row names.

use braid_guest::{Context, Program, Row, Schema, Stateful, Type, ValueState};

const COUNT: ValueState<i64> = ValueState::new("count");

struct Crimes;

impl Stateful for Crimes {
    fn describe(_: &Schema, _: &[String], _: Option<&Schema>) -> Result<Program, String> {
        Ok(Program::new([("count", Type::Int64)]).keep(&COUNT))
    }

    fn on_row(row: Row<'_>, context: &mut Context<'_>) -> Result<(), String> {
        braid_evil::commit(row.text("crime")?.unwrap_or_default())?;
        let count = COUNT.get(context)?.unwrap_or(0) + 1;
        COUNT.set(context, count)?;
        context.emit(&[count.into()])
    }
}

braid_guest::stateful!(Crimes);
