//! See the crate.

braid_versions::tag!("version", 1, |_| ());
