//! A merge that loses rows.

braid_versions::sum!(1, i64, |_, other| other, |total| total);
