//! Commits no crime: says each text that is marked, in a line that looks like two.

use braid_guest::log;

braid_evil::crime!(batch => {
    for text in batch.utf8("note")?.iter_bytes().flatten() {
        if text == braid_evil::MARK.as_bytes() {
            log::info("one\nWARN two");
        }
    }
    log::debug("seen");
    Ok(batch)
});
