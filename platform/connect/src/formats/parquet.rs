//! Parquet files to rows: columns by name, types widened where nothing is lost, damage contained.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, SchemaRef};
use braid_kernel::{BadRecord, Rows, SourceError};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::ChunkReader;

use super::records::Stop;
use crate::place::Content;
use crate::pump::{Emit, panic_text};

/// The largest file that is read from an object store, where it is held whole.
const REMOTE_FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// What is read of each file.
pub(crate) struct Wanted<'a> {
    /// Columns that each file must have.
    pub(crate) declared: &'a SchemaRef,
    /// Those of them that are needed, in the declared order.
    pub(crate) projected: &'a SchemaRef,
    /// The most rows in a batch.
    pub(crate) batch_rows: usize,
}

/// Reads one file. One that is damaged, or has other columns, is one bad record at the row where that showed.
pub(crate) fn read_file(
    content: Content,
    size: u64,
    wanted: &Wanted<'_>,
    partition: &Arc<str>,
    emit: Emit<'_>,
) -> Result<(), Stop> {
    match content {
        Content::Local(file) => read::<File>(file, wanted, partition, emit),
        Content::Remote { .. } if size > REMOTE_FILE_BYTES_MAX => Err(Stop::Error(SourceError::Fatal(format!(
            "{partition}: {size} bytes are more than the {REMOTE_FILE_BYTES_MAX} that can be read from an object store at once"
        )))),
        remote @ Content::Remote { .. } => read::<Bytes>(remote.whole()?, wanted, partition, emit),
    }
}

fn read<R: ChunkReader + 'static>(
    file: R,
    wanted: &Wanted<'_>,
    partition: &Arc<str>,
    emit: Emit<'_>,
) -> Result<(), Stop> {
    let mut row = 0;
    let mut reader = match contain(|| open(file, wanted)) {
        Ok(reader) => reader,
        Err(reason) => return emit(damaged(wanted, partition, row, reason)),
    };
    loop {
        let batch = contain(|| match reader.next() {
            Some(batch) => convert(&batch.map_err(|error| error.to_string())?, wanted.projected).map(Some),
            None => Ok(None),
        });
        match batch {
            Ok(Some(batch)) => {
                let end = row + batch.num_rows() as i64;
                let offsets = Int64Array::from_iter_values(row..end);
                row = end;
                emit(Rows { batch, partition: partition.clone(), offsets, bad: Vec::new() })?;
            }
            Ok(None) => return Ok(()),
            Err(reason) => return emit(damaged(wanted, partition, row, reason)),
        }
    }
}

/// Runs a decoder that may panic on bytes that nobody vouches for.
fn contain<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|panic| Err(format!("the decoder gave up: {}", panic_text(&*panic))))
}

fn damaged(wanted: &Wanted<'_>, partition: &Arc<str>, row: i64, reason: String) -> Rows {
    Rows {
        batch: RecordBatch::new_empty(wanted.projected.clone()),
        partition: partition.clone(),
        offsets: Int64Array::from(Vec::<i64>::new()),
        bad: vec![BadRecord::new(
            partition.clone(),
            row,
            format!("from here on the file is unreadable: {reason}"),
            &[],
        )],
    }
}

fn open<R: ChunkReader + 'static>(file: R, wanted: &Wanted<'_>) -> Result<ParquetRecordBatchReader, String> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string())?;
    let theirs = builder.schema().clone();
    for field in wanted.declared.fields() {
        let (_, column) = theirs.column_with_name(field.name()).ok_or_else(|| {
            let names: Vec<&str> = theirs.fields().iter().map(|f| f.name().as_str()).collect();
            format!("there is no column `{}`, but {}", field.name(), names.join(", "))
        })?;
        if !castable(column.data_type(), field.data_type()) {
            return Err(format!("column `{}` is {}, not {}", field.name(), column.data_type(), field.data_type()));
        }
    }
    let roots = wanted.projected.fields().iter().filter_map(|field| theirs.index_of(field.name()).ok());
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let reader = builder.with_projection(mask).with_batch_size(wanted.batch_rows.max(1)).build();
    reader.map_err(|error| error.to_string())
}

/// Whether values of one type may be values of the other. Each value is then proved to survive.
fn castable(from: &DataType, to: &DataType) -> bool {
    use DataType::*;
    let text = |t: &DataType| matches!(t, Utf8 | LargeUtf8 | Utf8View);
    let binary = |t: &DataType| matches!(t, Binary | LargeBinary | BinaryView | FixedSizeBinary(_));
    let number = |t: &DataType| t.is_integer() || matches!(t, Float32 | Float64 | Decimal128(..) | Decimal256(..));
    let time = |t: &DataType| matches!(t, Timestamp(..) | Date32 | Date64);
    match (from, to) {
        (Dictionary(_, values), to) => castable(values, to),
        _ => {
            from == to
                || [text as fn(&DataType) -> bool, binary, number, time].iter().any(|class| class(from) && class(to))
        }
    }
}

/// The columns that are needed, in their declared types.
fn convert(batch: &RecordBatch, projected: &SchemaRef) -> Result<RecordBatch, String> {
    let columns = projected.fields().iter().map(|field| {
        let column =
            batch.column_by_name(field.name()).ok_or_else(|| format!("column `{}` is missing", field.name()))?;
        cast_exactly(column, field.data_type()).map_err(|reason| format!("column `{}`: {reason}", field.name()))
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>, String>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(projected.clone(), columns, &options).map_err(|error| error.to_string())
}

/// Casts, and proves that nothing was lost by casting back.
fn cast_exactly(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, String> {
    if column.data_type() == to {
        return Ok(column.clone());
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let cast = cast_with_options(column, to, &strict).map_err(|error| error.to_string())?;
    let back = cast_with_options(&cast, column.data_type(), &strict).map_err(|error| error.to_string())?;
    if back.to_data() != column.to_data() {
        return Err(format!("some values of {} are not values of {to}", column.data_type()));
    }
    Ok(cast)
}
