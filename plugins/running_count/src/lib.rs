//! A running count for each key, as `updateStateByKey` and `mapWithState` are shown in every course: a row comes, the
//! key's count rises, and what it has risen to comes out.

use braid_guest::{Context, Program, Row, Schema, Stateful, Type, ValueState};

/// How many rows the key had.
const COUNT: ValueState<i64> = ValueState::new("count");

struct RunningCount;

impl Stateful for RunningCount {
    /// One key, of text. The table of initial states, if there is one, has a `count` for it.
    fn describe(input: &Schema, keys: &[String], initial: Option<&Schema>) -> Result<Program, String> {
        let [key] = keys else {
            return Err(format!("counts by one key, and there are {}", keys.len()));
        };
        input.require(key, Type::Utf8)?;
        if let Some(initial) = initial {
            initial.require("count", Type::Int64)?;
        }
        Ok(Program::new([("key", Type::Utf8), ("count", Type::Int64)]).keep(&COUNT))
    }

    fn on_row(_: Row<'_>, context: &mut Context<'_>) -> Result<(), String> {
        let count = COUNT.get(context)?.unwrap_or(0) + 1;
        COUNT.set(context, count)?;
        let key = context.key().only()?;
        context.emit(&[key, count.into()])
    }

    fn on_initial_state(row: Row<'_>, context: &mut Context<'_>) -> Result<(), String> {
        match row.int64("count")? {
            Some(count) => COUNT.set(context, count),
            None => Ok(()),
        }
    }
}

braid_guest::stateful!(RunningCount);
