//! Commits no crime: takes rows away, and wants to know when, to whom by lot, and to say so.

use std::time::{Duration, SystemTime};

use braid_guest::{Batch, Epoch, Promise, Setting, Sink, clock, log, random};

/// More than the host gives at once.
const LOT_BYTES: usize = 5_000;

struct Clocked;

impl Sink for Clocked {
    fn describe(_: &Setting) -> Result<Promise, String> {
        Ok(Promise::default())
    }

    fn open(_: &Setting, _: &Epoch) -> Result<Option<Self>, String> {
        Ok(Some(Self))
    }

    fn process(&mut self, _: u64, rows: Batch) -> Result<(), String> {
        let since = clock::now().duration_since(SystemTime::UNIX_EPOCH).map_err(|error| error.to_string())?;
        if since < Duration::from_secs(1_600_000_000) {
            return Err(format!("it cannot be {since:?}"));
        }
        let lots = [random::bytes(LOT_BYTES), random::bytes(LOT_BYTES)];
        if lots[0].len() != LOT_BYTES || lots[0] == lots[1] {
            return Err("that is not random".into());
        }
        log::warn(&format!("{} rows", rows.rows));
        Ok(())
    }

    fn close(self, _: Option<&str>) -> Result<(), String> {
        Ok(())
    }
}

braid_guest::sink!(Clocked);
