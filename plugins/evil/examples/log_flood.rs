//! Writes ten gigabytes of lines to the log.

use braid_guest::log;

const LINE_BYTES: usize = 1 << 20;
const LINES: usize = 10 << 10;

braid_evil::crime!(batch => {
    let line = "x".repeat(LINE_BYTES);
    (0..LINES).for_each(|_| log::info(&line));
    Ok(batch)
});
