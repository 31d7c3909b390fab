//! Visits to a site: a visitor's clicks, until there was none for half an hour. Then a row says how long the visit was,
//! which pages were seen, and which most often.
//!
//! The columns: `at` (a timestamp), `page` (text), and the key, of text.

use braid_guest::{Context, ListState, MapState, Program, Row, Schema, Stateful, Type, ValueState};

/// A visit is over when there was no click for so long, in microseconds.
const SILENCE: i64 = 30 * 60 * 1_000_000;

const FIRST: ValueState<i64> = ValueState::new("first");
const LAST: ValueState<i64> = ValueState::new("last");
const PATH: ListState<String> = ListState::new("path");
const SEEN: MapState<String, i64> = MapState::new("seen");

struct Visits;

impl Stateful for Visits {
    fn describe(input: &Schema, keys: &[String], _: Option<&Schema>) -> Result<Program, String> {
        input.require("at", Type::TimestampMicros)?;
        input.require("page", Type::Utf8)?;
        let [key] = keys else {
            return Err(format!("follows one key, and there are {}", keys.len()));
        };
        input.require(key, Type::Utf8)?;
        let output = [
            ("visitor", Type::Utf8),
            ("first", Type::TimestampMicros),
            ("last", Type::TimestampMicros),
            ("clicks", Type::Int64),
            ("path", Type::Utf8),
            ("favourite", Type::Utf8),
        ];
        Ok(Program::new(output).keep(&FIRST).keep(&LAST).keep(&PATH).keep(&SEEN))
    }

    fn on_row(row: Row<'_>, context: &mut Context<'_>) -> Result<(), String> {
        let at = row.int64("at")?.ok_or("a click without a time")?;
        let page = row.text("page")?.ok_or("a click without a page")?.to_owned();
        if let Some(last) = LAST.get(context)? {
            // Clicks come in any order within the watermark's delay: one may begin the visit after its others came.
            if at > last.saturating_add(SILENCE) {
                close(context)?;
            } else {
                context.delete_timer(last.saturating_add(SILENCE))?;
            }
        }
        let first = FIRST.get(context)?.unwrap_or(at).min(at);
        let last = LAST.get(context)?.unwrap_or(at).max(at);
        FIRST.set(context, first)?;
        LAST.set(context, last)?;
        let seen = SEEN.get(context, page.clone())?.unwrap_or(0);
        SEEN.put(context, page.clone(), seen + 1)?;
        PATH.push(context, page)?;
        context.set_timer(last.saturating_add(SILENCE))
    }

    fn on_timer(_: i64, context: &mut Context<'_>) -> Result<(), String> {
        close(context)
    }
}

/// Gives the visit out, and forgets it.
fn close(context: &mut Context<'_>) -> Result<(), String> {
    let (Some(first), Some(last)) = (FIRST.get(context)?, LAST.get(context)?) else {
        return Ok(());
    };
    let path = PATH.get(context)?;
    let seen = SEEN.entries(context)?;
    // Of pages seen equally often the first in the alphabet.
    let favourite = seen.iter().rev().max_by_key(|(_, count)| *count).map(|(page, _)| page.as_str());
    let visitor = context.key().only()?;
    let clicks = path.len() as i64;
    context.emit(&[visitor, first.into(), last.into(), clicks.into(), path.join(" ").as_str().into(), favourite.into()])?;
    context.delete_timer(last.saturating_add(SILENCE))?;
    FIRST.clear(context)?;
    LAST.clear(context)?;
    PATH.clear(context)?;
    SEEN.clear(context)
}

braid_guest::stateful!(Visits);
