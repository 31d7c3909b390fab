//! Returns other columns than it described.

use braid_guest::{Column, Type};

braid_evil::crime!(batch => {
    let mut batch = batch;
    let rows = batch.rows as i64;
    batch.set(Column::fixed("loot", Type::Int64, (0..rows).map(Some)));
    Ok(batch)
});
