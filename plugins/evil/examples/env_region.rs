//! Commits no crime: a marked batch has its region for every note.

use braid_guest::{Column, env};

braid_evil::crime!(batch => {
    let mut batch = batch;
    let region = env("REGION").unwrap_or_default();
    assert_eq!(env("HOME"), None, "what is not written is not there");
    batch.set(Column::utf8("note", (0..batch.rows).map(|_| Some(region.as_str()))));
    Ok(batch)
});
