//! Returns text whose offsets point outside of it.

braid_evil::crime!(batch => {
    let mut batch = batch;
    for column in &mut batch.columns {
        if let Some(offsets) = &mut column.offsets {
            let end = offsets.len() - 4;
            offsets[end..].copy_from_slice(&i32::MAX.to_le_bytes());
        }
    }
    Ok(batch)
});
