//! Orders with their total, without those of no pieces.

use braid_guest::{Batch, Field, FixedBuilder, Schema, Transform, Type};

struct Orders;

impl Transform for Orders {
    /// Asked once, when a deployment is planned: which columns come out where these go in?
    fn describe(mut input: Schema) -> Result<Schema, String> {
        input.require("price", Type::Float64)?;
        input.require("pieces", Type::Int64)?;
        input.fields.push(Field { name: "total".into(), data_type: Type::Float64 });
        Ok(input)
    }

    /// Takes rows, gives rows. An error is the reason why they fail; the host finds out which of them is at fault.
    fn apply(mut batch: Batch) -> Result<Batch, String> {
        let (prices, counts) = (batch.float64("price")?, batch.int64("pieces")?);
        let mut totals = FixedBuilder::with_capacity(batch.rows);
        let mut keep = Vec::with_capacity(batch.rows);
        for row in 0..batch.rows {
            let pieces = counts.get(row).ok_or("an order that does not say how many pieces")?;
            totals.push(prices.get(row).map(|price| price * pieces as f64));
            keep.push(pieces > 0);
        }
        batch.set(totals.finish("total", Type::Float64));
        Ok(batch.filter(&keep))
    }
}

braid_guest::transform!(Orders);
