//! Calls itself until the stack is gone.

use std::hint::black_box;

braid_evil::crime!(batch => {
    let depth = descend(batch.rows as u64);
    Err(format!("came back with {depth}"))
});

fn descend(depth: u64) -> u64 {
    if depth == black_box(u64::MAX) {
        return depth;
    }
    descend(depth + 1).wrapping_mul(31) ^ depth
}
