//! Tables about the processing: what was not answered, and why. They can be queried like any view.

use std::sync::Arc;

use arrow_array::{BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};

use crate::rows::BadRecord;

/// Records that could not be read, or on which a plugin failed.
pub const DEAD_LETTERS: &str = "dead_letters";
/// Rows that came too late for a sink that waits for windows to end.
pub const LATE_ROWS: &str = "late_rows";

/// `dead_letters`: the epoch, the source, the position, why, and the record (as text, and its bytes where it is none).
pub fn dead_letters_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("epoch", DataType::Int64, false),
        Field::new("source", DataType::Utf8, false),
        Field::new("partition", DataType::Utf8, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("record", DataType::Utf8, false),
        Field::new("bytes", DataType::Binary, true),
    ]))
}

/// `late_rows`: the epoch, the view, the watermark in milliseconds, and the row as JSON.
pub fn late_rows_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("epoch", DataType::Int64, false),
        Field::new("view", DataType::Utf8, false),
        Field::new("watermark_ms", DataType::Int64, false),
        Field::new("row", DataType::Utf8, false),
    ]))
}

/// Bad records of one source as rows of `dead_letters`.
pub fn dead_letters(epoch: u64, source: &str, bad: &[BadRecord]) -> Result<RecordBatch, ArrowError> {
    let text: Vec<_> = bad.iter().map(|record| std::str::from_utf8(&record.raw)).collect();
    RecordBatch::try_new(
        dead_letters_schema(),
        vec![
            Arc::new(Int64Array::from_value(epoch as i64, bad.len())),
            Arc::new(StringArray::from_iter_values(bad.iter().map(|_| source))),
            Arc::new(StringArray::from_iter_values(bad.iter().map(|record| &*record.partition))),
            Arc::new(Int64Array::from_iter_values(bad.iter().map(|record| record.offset))),
            Arc::new(StringArray::from_iter_values(bad.iter().map(|record| &record.reason))),
            Arc::new(StringArray::from_iter_values(bad.iter().map(|record| String::from_utf8_lossy(&record.raw)))),
            Arc::new(BinaryArray::from_iter(
                bad.iter().zip(text).map(|(record, text)| text.is_err().then_some(&record.raw)),
            )),
        ],
    )
}

/// Late rows of one view as rows of `late_rows`.
pub fn late_rows(epoch: u64, view: &str, watermark_ms: i64, rows: &[String]) -> Result<RecordBatch, ArrowError> {
    RecordBatch::try_new(
        late_rows_schema(),
        vec![
            Arc::new(Int64Array::from_value(epoch as i64, rows.len())),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|_| view))),
            Arc::new(Int64Array::from_value(watermark_ms, rows.len())),
            Arc::new(StringArray::from_iter_values(rows)),
        ],
    )
}
