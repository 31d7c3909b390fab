//! Parquet files as another program would read them, for comparing what a sink wrote.

use std::path::Path;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::oracle::files;

/// The rows of every `*.parquet` file in a directory: a line of comma-separated values each, sorted.
/// A directory that is not there holds none.
pub fn parquet_rows(directory: &Path) -> Vec<String> {
    if !directory.exists() {
        return Vec::new();
    }
    let mut rows = Vec::new();
    for path in files(directory, "parquet") {
        let file = std::fs::File::open(&path).expect("a readable file");
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .and_then(|builder| builder.build())
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for batch in reader {
            let batch = batch.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let options = FormatOptions::default();
            let columns: Vec<_> = batch
                .columns()
                .iter()
                .map(|column| ArrayFormatter::try_new(column, &options).expect("a printable column"))
                .collect();
            for row in 0..batch.num_rows() {
                let values: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
                rows.push(values.join(","));
            }
        }
    }
    rows.sort();
    rows
}
