//! Commits no crime: computes what is not a number, of whose bits WebAssembly leaves some to the machine.

use std::hint::black_box;

use braid_guest::{Column, Type};

/// One with bits of its own.
const PAYLOAD: u64 = 0xfff8_dead_beef_0001;

braid_evil::crime!(batch => {
    let mut batch = batch;
    let odd = f64::from_bits(black_box(PAYLOAD));
    let results = [odd + 1.0, black_box(0.0) / black_box(0.0), black_box(f64::INFINITY) - black_box(f64::INFINITY)];
    let bits = results.map(|result| result.to_bits() as i64);
    batch.set(Column::fixed("id", Type::Int64, (0..batch.rows).map(|row| Some(bits[row % bits.len()]))));
    Ok(batch)
});
