//! Commits no crime: says no, with a reason. The honest way to fail.

braid_evil::crime!(batch => Err(format!("refused {} rows", batch.rows)));
