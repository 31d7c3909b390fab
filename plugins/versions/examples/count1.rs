//! See the crate.

braid_versions::count!("count", 1i64, |_| ());
