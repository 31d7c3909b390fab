//! Returns text without saying where each begins.

braid_evil::crime!(batch => {
    let mut batch = batch;
    for column in &mut batch.columns {
        column.offsets = None;
    }
    Ok(batch)
});
