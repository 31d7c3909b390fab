//! See the crate.

braid_versions::count!("count", 2i64, |_| ());
