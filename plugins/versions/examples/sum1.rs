//! See the crate.

braid_versions::sum!(1, i64);
