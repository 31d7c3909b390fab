//! See the crate.

braid_versions::tag!("version", 2, |_| ());
