//! Takes memory until there is none.

use std::hint::black_box;

const BITE_BYTES: usize = 1 << 20;

braid_evil::crime!(batch => {
    let mut taken = vec![batch];
    let mut bites: Vec<Vec<u8>> = Vec::new();
    while black_box(true) {
        bites.push(black_box(vec![1; BITE_BYTES]));
    }
    taken.pop().ok_or_else(|| format!("took {} bites", bites.len()))
});
