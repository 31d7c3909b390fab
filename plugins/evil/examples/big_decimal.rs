//! Describes decimals of five digits, and returns one of ten.

use braid_guest::{Batch, Column, Field, Schema, Transform, Type};

const PRICE: Type = Type::Decimal128 { precision: 5, scale: 2 };

struct Prices;

impl Transform for Prices {
    fn describe(mut input: Schema) -> Result<Schema, String> {
        input.fields.push(Field { name: "price".into(), data_type: PRICE });
        Ok(input)
    }

    fn apply(mut batch: Batch) -> Result<Batch, String> {
        let price: i128 = if braid_evil::marked(&batch) { 1_234_567_890 } else { 12_345 };
        batch.set(Column::fixed("price", PRICE, (0..batch.rows).map(|_| Some(price))));
        Ok(batch)
    }
}

braid_guest::transform!(Prices);
