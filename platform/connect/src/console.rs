//! The console sink: a table per epoch, as Spark prints it.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::pretty::pretty_format_batches;
use async_trait::async_trait;
use braid_kernel::SinkError;

use crate::{OpenSink, Output};

const RULE: &str = "-------------------------------------------";

struct Console {
    name: String,
    rows_max: usize,
    schema: SchemaRef,
}

pub(crate) fn open(name: &str, rows_max: usize, schema: SchemaRef) -> OpenSink {
    OpenSink { output: Box::new(Console { name: name.to_owned(), rows_max, schema }), memory: None }
}

impl Console {
    fn table(&self, epoch: u64, rows: &[RecordBatch]) -> Result<String, SinkError> {
        let mut left = self.rows_max;
        let mut shown = vec![RecordBatch::new_empty(rows.first().map_or(self.schema.clone(), RecordBatch::schema))];
        for batch in rows {
            let count = left.min(batch.num_rows());
            shown.push(batch.slice(0, count));
            left -= count;
        }
        let table = pretty_format_batches(&shown).map_err(|error| SinkError::Fatal(error.to_string()))?;
        let mut text = format!("{RULE}\nBatch: {epoch} ({})\n{RULE}\n{table}\n", self.name);
        if rows.iter().map(RecordBatch::num_rows).sum::<usize>() > self.rows_max {
            text.push_str(&format!("only showing top {} rows\n", self.rows_max));
        }
        Ok(text)
    }
}

#[async_trait]
impl Output for Console {
    async fn write(&mut self, epoch: u64, rows: &[RecordBatch]) -> Result<(), SinkError> {
        let text = self.table(epoch, rows)?;
        print(&text)
    }
}

/// Prints text at once, so that what several sinks print does not mix.
pub(crate) fn print(text: &str) -> Result<(), SinkError> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        // Whoever read the output has gone; that is no reason to stop a pipeline.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| SinkError::Retry(format!("standard output: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[test]
    fn a_table_says_when_it_does_not_show_all() {
        let column = |values: &[i64]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        let batch = |values: &[i64]| RecordBatch::try_from_iter([("n", column(values))]).unwrap();
        let rows = [batch(&[1, 2]), batch(&[3, 4])];
        let console = |rows_max| Console { name: "out".into(), rows_max, schema: rows[0].schema() };
        let table = console(3).table(7, &rows).unwrap();
        let expected = "+---+\n| n |\n+---+\n| 1 |\n| 2 |\n| 3 |\n+---+\nonly showing top 3 rows\n";
        assert_eq!(table, format!("{RULE}\nBatch: 7 (out)\n{RULE}\n{expected}"));
        assert!(!console(4).table(7, &rows).unwrap().contains("only showing"));
        assert!(console(3).table(8, &[]).unwrap().contains("| n |"));
    }
}
