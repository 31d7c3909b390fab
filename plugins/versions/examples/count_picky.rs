//! See the crate.

braid_versions::count!("count", 3i64, |key| assert!(!key.contains(braid_versions::BAD), "a bad key"));
