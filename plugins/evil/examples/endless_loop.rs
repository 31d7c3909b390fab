//! Never comes back.

use std::hint::black_box;

braid_evil::crime!(batch => {
    let mut rows = batch.rows;
    while black_box(true) {
        rows = black_box(rows.wrapping_add(1));
    }
    Err(format!("came back after {rows} rows"))
});
