//! Where a row came from, as columns beside its own: for rows that are met again after others were between them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use braid_kernel::{JobError, Rows};

/// A row that an earlier plugin made of nothing has this offset.
const NO_OFFSET: i64 = -1;

/// Where a row came from.
#[derive(Debug, Clone, Default)]
pub struct Position {
    pub source: String,
    pub partition: Arc<str>,
    pub offset: i64,
}

impl Position {
    /// That of a row. One that a plugin made has the position of none; its batch's first stands for it.
    pub fn of(source: &str, rows: &Rows, row: usize) -> Self {
        Self { source: source.to_owned(), partition: rows.partition.clone(), offset: offset(rows, row) }
    }
}

fn offset(rows: &Rows, row: usize) -> i64 {
    match rows.offsets.len() {
        0 => NO_OFFSET,
        count if count == rows.batch.num_rows() => rows.offsets.value(row),
        _ => rows.offsets.value(0),
    }
}

/// A schema with the columns of positions behind its own.
pub fn with_columns(schema: &SchemaRef) -> SchemaRef {
    let mut fields = schema.fields().to_vec();
    fields.push(Arc::new(Field::new("__source", DataType::Utf8, true)));
    fields.push(Arc::new(Field::new("__partition", DataType::Utf8, true)));
    fields.push(Arc::new(Field::new("__offset", DataType::Int64, true)));
    Arc::new(Schema::new(fields))
}

/// Rows with their positions.
pub fn given(source: &str, rows: &Rows) -> Result<RecordBatch, JobError> {
    let count = rows.batch.num_rows();
    let mut columns = rows.batch.columns().to_vec();
    let all = |text: &str| Arc::new(StringArray::new_repeated(text, count)) as ArrayRef;
    columns.extend([all(source), all(&rows.partition)]);
    columns.push(match rows.offsets.len() == count {
        true => Arc::new(rows.offsets.clone()),
        false => Arc::new(Int64Array::from_value(offset(rows, 0), count)),
    });
    RecordBatch::try_new(with_columns(&rows.batch.schema()), columns).map_err(|error| JobError::Bug(error.to_string()))
}

/// A row without its position, and that.
pub fn taken(row: &RecordBatch) -> (RecordBatch, Position) {
    let mut row = row.clone();
    let mut position = Position { source: String::new(), partition: "".into(), offset: NO_OFFSET };
    // A timer's has none.
    if let Some(offset) = row.schema().index_of("__offset").ok() {
        position.offset = row.column(offset).as_primitive::<Int64Type>().value(0);
        position.partition = row.column(offset - 1).as_string::<i32>().value(0).into();
        position.source = row.column(offset - 2).as_string::<i32>().value(0).to_owned();
        (0..3).for_each(|_| drop(row.remove_column(offset - 2)));
    }
    (row, position)
}
