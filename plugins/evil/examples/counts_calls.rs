//! Keeps something from one call to the next: how often it was called. What it answers depends on the past.

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;

use braid_guest::{Batch, Column, Field, Schema, Transform, Type};

static CALLS: AtomicI64 = AtomicI64::new(0);

struct Counts;

impl Transform for Counts {
    fn describe(mut input: Schema) -> Result<Schema, String> {
        input.fields.push(Field { name: "call".into(), data_type: Type::Int64 });
        Ok(input)
    }

    fn apply(mut batch: Batch) -> Result<Batch, String> {
        let call = CALLS.fetch_add(1, Relaxed);
        batch.set(Column::fixed("call", Type::Int64, (0..batch.rows).map(|_| Some(call))));
        Ok(batch)
    }
}

braid_guest::transform!(Counts);
