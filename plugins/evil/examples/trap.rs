//! Panics in the middle of a batch.

braid_evil::crime!(batch => explode(batch.rows));

#[inline(never)]
fn explode(rows: usize) -> Result<braid_guest::Batch, String> {
    panic!("{rows} rows are too many")
}
