//! The raw log: rows as they came, with their positions, as batches that segments can hold.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use futures::stream::{self, BoxStream, StreamExt};

use crate::error::StoreError;
use crate::ledger::decode;
use crate::manifest::{LogEpoch, LogIndex, Manifest, Segment};
use crate::rows::Rows;
use crate::traits::Store;

const PARTITION: &str = "__partition";
const OFFSET: &str = "__offset";

/// The rows with their positions in two columns more.
pub fn to_log(rows: &Rows) -> Result<RecordBatch, ArrowError> {
    let mut fields = rows.batch.schema().fields().to_vec();
    fields.push(Arc::new(Field::new(PARTITION, DataType::Utf8, false)));
    fields.push(Arc::new(Field::new(OFFSET, DataType::Int64, false)));
    let mut columns = rows.batch.columns().to_vec();
    let partition = std::iter::repeat_n(&*rows.partition, rows.batch.num_rows());
    columns.push(Arc::new(StringArray::from_iter_values(partition)) as ArrayRef);
    columns.push(Arc::new(rows.offsets.clone()));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// The rows back again: one item per run of the same partition.
pub fn from_log(batch: &RecordBatch) -> Result<Vec<Rows>, ArrowError> {
    let width = batch.num_columns().saturating_sub(2);
    let bare = batch.project(&(0..width).collect::<Vec<_>>())?;
    let wrong = || ArrowError::SchemaError("a log segment without positions".into());
    let partitions = batch
        .column_by_name(PARTITION)
        .and_then(|column| column.as_any().downcast_ref::<StringArray>())
        .ok_or_else(wrong)?;
    let offsets = batch
        .column_by_name(OFFSET)
        .and_then(|column| column.as_any().downcast_ref::<Int64Array>())
        .ok_or_else(wrong)?;
    let mut rows = vec![];
    let mut start = 0;
    while start < batch.num_rows() {
        let partition = partitions.value(start);
        let mut end = start + 1;
        while end < batch.num_rows() && partitions.value(end) == partition {
            end += 1;
        }
        rows.push(Rows {
            batch: bare.slice(start, end - start),
            partition: partition.into(),
            offsets: offsets.slice(start, end - start),
            bad: vec![],
        });
        start = end;
    }
    Ok(rows)
}

/// Every epoch of the log below `horizon`, oldest first. One index object is in memory at a time, and their names.
pub async fn epochs(
    store: Arc<dyn Store>,
    manifest: Arc<Manifest>,
    horizon: u64,
) -> Result<BoxStream<'static, Result<LogEpoch, StoreError>>, StoreError> {
    let mut chain: Vec<Segment> = vec![];
    let mut next = manifest.log.index.clone();
    while let Some(segment) = next {
        next = read_index(&*store, &segment).await?.previous;
        chain.push(segment);
    }
    chain.reverse();
    let archived = stream::iter(chain)
        .then(move |segment| {
            let store = store.clone();
            async move { read_index(&*store, &segment).await }
        })
        .flat_map(|index| match index {
            Ok(index) => stream::iter(index.epochs).map(Ok).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        });
    let tail: Vec<_> = manifest.log.tail.iter().filter(|epoch| epoch.epoch < horizon).cloned().map(Ok).collect();
    Ok(archived.chain(stream::iter(tail)).boxed())
}

async fn read_index(store: &dyn Store, segment: &Segment) -> Result<LogIndex, StoreError> {
    decode(&segment.name, &store.get(&segment.name).await?)
}
