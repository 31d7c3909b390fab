//! The memory sink: rows kept in the process, for queries and tests.

use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use braid_kernel::SinkError;
use braid_spec::model::OutputMode;

use crate::{OpenSink, Output};

/// The most rows a memory sink keeps. More is an error, not a silent loss.
const ROWS_MAX: usize = 10_000_000;

/// The rows of a memory sink. In complete mode those of the newest epoch; in append and update mode all that were
/// written since the process started, in order.
#[derive(Debug)]
pub struct MemoryTable {
    schema: SchemaRef,
    epochs: RwLock<Vec<(u64, Vec<RecordBatch>)>>,
}

impl MemoryTable {
    /// The rows' schema.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows as of now.
    pub fn rows(&self) -> Vec<RecordBatch> {
        let epochs = self.epochs.read().unwrap_or_else(PoisonError::into_inner);
        epochs.iter().flat_map(|(_, rows)| rows.iter().cloned()).collect()
    }

    fn epoch(&self, wanted: u64) -> Vec<RecordBatch> {
        let epochs = self.epochs.read().unwrap_or_else(PoisonError::into_inner);
        epochs.iter().filter(|(epoch, _)| *epoch == wanted).flat_map(|(_, rows)| rows.iter().cloned()).collect()
    }
}

pub(crate) fn open(mode: OutputMode, schema: SchemaRef) -> OpenSink {
    let table = Arc::new(MemoryTable { schema, epochs: RwLock::default() });
    let output = Box::new(Memory { table: table.clone(), replace: mode == OutputMode::Complete });
    OpenSink { output, memory: Some(table) }
}

struct Memory {
    table: Arc<MemoryTable>,
    replace: bool,
}

#[async_trait]
impl Output for Memory {
    async fn write(&mut self, epoch: u64, rows: &[RecordBatch]) -> Result<(), SinkError> {
        let mut epochs = self.table.epochs.write().unwrap_or_else(PoisonError::into_inner);
        let replace = self.replace;
        if replace && rows.is_empty() {
            return Ok(());
        }
        let kept = epochs.iter().filter(|(other, _)| !replace && *other != epoch);
        let count: usize = kept.flat_map(|(_, rows)| rows).chain(rows).map(RecordBatch::num_rows).sum();
        if count > ROWS_MAX {
            return Err(SinkError::Fatal(format!("a memory sink holds at most {ROWS_MAX} rows")));
        }
        epochs.retain(|(other, _)| !replace && *other != epoch);
        if !rows.is_empty() {
            epochs.push((epoch, rows.to_vec()));
            epochs.sort_by_key(|(epoch, _)| *epoch);
        }
        Ok(())
    }

    async fn flow(&mut self, epoch: u64, part: u64, rows: &[RecordBatch]) -> Result<(), SinkError> {
        let before = match part {
            0 => vec![],
            _ => self.table.epoch(epoch),
        };
        self.write(epoch, &[before, rows.to_vec()].concat()).await
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    fn values(table: &MemoryTable) -> Vec<i64> {
        table.rows().iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[tokio::test]
    async fn an_epoch_written_twice_is_there_once() {
        let schema: SchemaRef = Schema::new(vec![Field::new("n", DataType::Int64, true)]).into();
        let batch = |values: &[i64]| {
            let column = Arc::new(Int64Array::from(values.to_vec()));
            vec![RecordBatch::try_new(schema.clone(), vec![column]).unwrap()]
        };
        for (mode, expected) in
            [(OutputMode::Append, vec![1, 2, 3]), (OutputMode::Update, vec![1, 2, 3]), (OutputMode::Complete, vec![3])]
        {
            let OpenSink { mut output, memory } = open(mode, schema.clone());
            output.write(1, &batch(&[1, 2])).await.unwrap();
            output.write(2, &batch(&[3])).await.unwrap();
            output.write(2, &batch(&[3])).await.unwrap();
            assert_eq!(values(memory.as_ref().unwrap()), expected, "{mode:?}");
            // An epoch that changed nothing has no batch; one that left nothing has an empty one.
            output.write(3, &[]).await.unwrap();
            assert_eq!(values(memory.as_ref().unwrap()), expected, "{mode:?}");
            if mode == OutputMode::Complete {
                output.write(3, &batch(&[])).await.unwrap();
                assert_eq!(values(memory.as_ref().unwrap()), [0; 0]);
            }
            // What flows is there at once, and what flowed in vain is not.
            for (part, new) in [(0, 7), (1, 8), (0, 4), (1, 5)] {
                output.flow(3, part, &batch(&[new])).await.unwrap();
            }
            output.close(3, &batch(&[4, 5])).await.unwrap();
            assert!(values(&memory.unwrap()).ends_with(&[4, 5]), "{mode:?}");
        }
    }
}
