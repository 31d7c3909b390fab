//! Says of each row how many came with it. What it answers depends on how rows were cut into batches.

use braid_guest::{Batch, Column, Field, Schema, Transform, Type};

struct Sees;

impl Transform for Sees {
    fn describe(mut input: Schema) -> Result<Schema, String> {
        input.fields.push(Field { name: "together".into(), data_type: Type::Int64 });
        Ok(input)
    }

    fn apply(mut batch: Batch) -> Result<Batch, String> {
        let together = batch.rows as i64;
        batch.set(Column::fixed("together", Type::Int64, (0..batch.rows).map(|_| Some(together))));
        Ok(batch)
    }
}

braid_guest::transform!(Sees);
