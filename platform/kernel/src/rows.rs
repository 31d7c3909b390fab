//! Rows on their way from a source: a columnar batch, and where each row came from.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};

/// A batch of one source's rows, all from one partition, in the order of that partition.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The rows, in the source's declared schema.
    pub batch: RecordBatch,
    /// The partition's name: `events-3` (topic and number), a file's path, or `0`.
    pub partition: Arc<str>,
    /// Where each row stands in its partition: as many as the batch has rows, ascending.
    /// A Kafka offset, a file's line number from 0, or a journal's record number.
    pub offsets: Int64Array,
    /// Records between these rows that could not be read as rows.
    pub bad: Vec<BadRecord>,
}

/// A record that could not become a row, kept with its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRecord {
    /// Its partition, as in [`Rows::partition`].
    pub partition: Arc<str>,
    /// Its offset, as in [`Rows::offsets`].
    pub offset: i64,
    /// What was expected and what was found instead.
    pub reason: String,
    /// The record's bytes, at most [`BadRecord::RAW_BYTES_MAX`] of them.
    pub raw: Vec<u8>,
}

impl BadRecord {
    /// How much of a bad record is kept: enough to find and mend it, not enough to fill a disk.
    pub const RAW_BYTES_MAX: usize = 64 * 1024;

    /// Keeps the position, the reason and at most [`Self::RAW_BYTES_MAX`] of the bytes.
    pub fn new(partition: Arc<str>, offset: i64, reason: impl Into<String>, raw: &[u8]) -> Self {
        let raw = raw[..raw.len().min(Self::RAW_BYTES_MAX)].to_vec();
        Self { partition, offset, reason: reason.into(), raw }
    }
}
