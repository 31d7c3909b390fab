//! See the crate.

braid_versions::sum!(1, f64);
