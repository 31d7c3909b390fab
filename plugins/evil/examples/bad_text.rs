//! Returns text that is not UTF-8.

use braid_guest::{Type, VarBuilder};

braid_evil::crime!(batch => {
    let mut batch = batch;
    for column in &mut batch.columns {
        if column.data_type == Type::Utf8 {
            let mut text = VarBuilder::with_capacity(batch.rows, 0);
            (0..batch.rows).for_each(|_| text.push(Some([0xc3, 0x28])));
            *column = text.finish(&column.name, Type::Utf8);
        }
    }
    Ok(batch)
});
