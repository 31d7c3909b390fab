//! What each customer has spent by now, and a word where it passes a hundred for the first time.

use braid_guest::{Context, Program, Row, Schema, Stateful, Type, ValueState};

const SPENT: ValueState<i64> = ValueState::new("spent");

/// In cents.
const MUCH: i64 = 100_00;

struct Customers;

impl Stateful for Customers {
    /// Asked once, when a deployment is planned: what comes out, and what is kept for each key?
    fn describe(input: &Schema, keys: &[String], _: Option<&Schema>) -> Result<Program, String> {
        let [key] = keys else {
            return Err(format!("a customer is one column, and the key has {}", keys.len()));
        };
        input.require(key, Type::Utf8)?;
        input.require("cents", Type::Int64)?;
        Ok(Program::new([("customer", Type::Utf8), ("spent", Type::Int64), ("note", Type::Utf8)]).keep(&SPENT))
    }

    /// Takes a row of a key. Rows come one by one, in their order, with what is kept for the key.
    fn on_row(row: Row<'_>, context: &mut Context<'_>) -> Result<(), String> {
        let cents = row.int64("cents")?.ok_or("an order without its price")?;
        let before = SPENT.get(context)?.unwrap_or(0);
        let spent = before.checked_add(cents).ok_or("more money than there is")?;
        SPENT.set(context, spent)?;
        let note = (before < MUCH && spent >= MUCH).then_some("has spent a hundred");
        let customer = context.key().only()?;
        context.emit(&[customer, spent.into(), note.into()])
    }
}

braid_guest::stateful!(Customers);
