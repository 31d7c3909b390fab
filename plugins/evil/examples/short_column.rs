//! Claims more rows than its columns have.

braid_evil::crime!(batch => {
    let mut batch = batch;
    batch.rows = u32::MAX as usize;
    Ok(batch)
});
