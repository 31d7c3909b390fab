//! See the crate.

braid_versions::tag!("version", 3, |batch| assert!(!braid_versions::is_bad(batch), "a bad record"));
