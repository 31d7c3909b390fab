//! See the crate.

braid_versions::tag!("edition", 4, |_| ());
