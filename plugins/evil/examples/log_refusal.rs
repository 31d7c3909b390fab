//! Commits no crime: says no, and says so to the log, each time it is asked.

use braid_guest::log;

braid_evil::crime!(batch => {
    log::error("not these");
    Err(format!("refused {} rows", batch.rows))
});
