//! See the crate.

braid_versions::sum!(2, i64);
