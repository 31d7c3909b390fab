//! The Parquet sink: one file per epoch, exactly once.
//!
//! A file's name is a pure function of its epoch and appears when it is complete, so a replay writes the same file over
//! itself. Nothing else that ends in `.parquet` is ever in the folder: Spark, DuckDB and pandas read it as it is.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use braid_kernel::SinkError;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::folder::Folder;
use crate::{OpenSink, Output};

struct ParquetFolder {
    folder: Folder,
    schema: SchemaRef,
}

pub(crate) fn open(path: &str, schema: SchemaRef) -> Result<OpenSink, SinkError> {
    let output = ParquetFolder { folder: Folder::open(path)?, schema };
    Ok(OpenSink { output: Box::new(output), memory: None })
}

/// The name of an epoch's file.
fn file_name(epoch: u64) -> String {
    format!("part-{epoch:020}.parquet")
}

#[async_trait]
impl Output for ParquetFolder {
    async fn write(&mut self, epoch: u64, rows: &[RecordBatch]) -> Result<(), SinkError> {
        let rows: Vec<RecordBatch> = rows.iter().filter(|batch| batch.num_rows() > 0).cloned().collect();
        if rows.is_empty() {
            return Ok(());
        }
        let schema = self.schema.clone();
        self.folder.write(file_name(epoch), move || encode(&schema, &rows)).await
    }
}

fn encode(schema: &SchemaRef, rows: &[RecordBatch]) -> Result<Vec<u8>, SinkError> {
    let fatal = |error: parquet::errors::ParquetError| SinkError::Fatal(error.to_string());
    // The rows know best what they are; the declared schema names them where there are none.
    let schema = rows.first().map_or_else(|| schema.clone(), RecordBatch::schema);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(fatal)?;
    for batch in rows {
        writer.write(batch).map_err(fatal)?;
    }
    writer.into_inner().map_err(fatal)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use object_store::ObjectStoreExt;
    use object_store::path::Path as ObjectPath;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    fn batch(values: &[i64]) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(values.to_vec())) as ArrayRef)]).unwrap()
    }

    fn read(bytes: bytes::Bytes) -> Vec<i64> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        reader.flat_map(|b| b.unwrap().column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[tokio::test]
    async fn a_replay_leaves_the_same_files_and_nothing_unfinished() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("out");
        let text = folder.display().to_string();
        let mut output = open(&text, batch(&[]).schema()).unwrap().output;
        output.write(1, &[batch(&[1, 2]), batch(&[3])]).await.unwrap();
        output.write(2, &[]).await.unwrap();
        output.write(3, &[batch(&[])]).await.unwrap();
        let first = std::fs::read(folder.join(file_name(1))).unwrap();
        std::fs::write(folder.join(".part-00000000000000000004.parquet.tmp"), "torn").unwrap();
        std::fs::write(folder.join(".keep"), "theirs").unwrap();

        let mut restarted = open(&format!("file://{text}"), batch(&[]).schema()).unwrap().output;
        restarted.write(1, &[batch(&[1, 2]), batch(&[3])]).await.unwrap();
        restarted.write(4, &[batch(&[4])]).await.unwrap();
        assert_eq!(std::fs::read(folder.join(file_name(1))).unwrap(), first);
        let mut names: Vec<_> =
            folder.read_dir().unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, [".keep", "part-00000000000000000001.parquet", "part-00000000000000000004.parquet"]);
        assert_eq!(read(first.into()), [1, 2, 3]);
    }

    #[tokio::test]
    async fn an_object_store_takes_files_too() {
        let store = Arc::new(object_store::memory::InMemory::new());
        let folder = Folder::remote(store.clone(), "a/b".into());
        let mut output = ParquetFolder { folder, schema: batch(&[]).schema() };
        output.write(9, &[batch(&[5])]).await.unwrap();
        let key = ObjectPath::from(format!("a/b/{}", file_name(9)));
        assert_eq!(read(store.get(&key).await.unwrap().bytes().await.unwrap()), [5]);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let path = file.join("out").display().to_string();
        let mut output = open(&path, batch(&[]).schema()).unwrap().output;
        let error = output.write(1, &[batch(&[1])]).await.unwrap_err();
        assert!(matches!(&error, SinkError::Fatal(text) if text.contains(&path)), "{error}");
    }
}
