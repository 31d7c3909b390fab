//! Returns far more than it was given.

use braid_guest::Column;

const TEXT_BYTES: usize = 24 << 20;

braid_evil::crime!(batch => {
    let mut batch = batch;
    let text = "x".repeat(TEXT_BYTES);
    let rows = batch.rows;
    for column in &mut batch.columns {
        if column.data_type == braid_guest::Type::Utf8 {
            *column = Column::utf8(&column.name, (0..rows).map(|row| Some(if row == 0 { text.as_str() } else { "" })));
        }
    }
    Ok(batch)
});
