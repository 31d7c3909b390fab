//! See the crate.

braid_versions::count!("seen", 2i64, |_| ());
