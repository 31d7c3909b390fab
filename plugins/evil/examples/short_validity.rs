//! Returns marks for fewer rows than there are.

braid_evil::crime!(batch => {
    let mut batch = batch;
    for column in &mut batch.columns {
        column.validity = Some(Vec::new());
    }
    Ok(batch)
});
