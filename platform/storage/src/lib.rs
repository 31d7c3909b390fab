//! Where Braid keeps what must last: objects under names, segments of rows, and the removal of what nobody names.

mod cloud;
mod collect;
mod local;
mod open;
mod segments;

#[cfg(test)]
mod s3_tests;

pub use collect::{GcReport, LOG_INDEXES_MAX, REMOVALS_AT_ONCE, collect};
pub use open::{OpenError, open};
pub use segments::{DATA_PAGE_BYTES_MAX, ParquetSegments, READ_BATCH_ROWS, ROWS_PER_GROUP};
