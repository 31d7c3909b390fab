//! Rows as text: printed as a pipeline's `pprint` does, and in files as `saveAsTextFiles` and Spark's text sink write them.

use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use braid_kernel::SinkError;
use braid_kernel::time::rfc3339;
use braid_spec::model::TextFiles;

use crate::console::print;
use crate::folder::Folder;
use crate::{OpenSink, Output};

const RULE: &str = "-------------------------------------------";
/// The name of the one file in an epoch's directory, as of Spark's first partition.
const PART: &str = "part-00000";

struct Pprint {
    rows_max: usize,
}

/// Prints at most `rows_max` rows of an epoch.
pub(crate) fn pprint(rows_max: usize) -> OpenSink {
    OpenSink { output: Box::new(Pprint { rows_max }), memory: None }
}

#[async_trait]
impl Output for Pprint {
    async fn write(&mut self, _epoch: u64, rows: &[RecordBatch]) -> Result<(), SinkError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        print(&printed(now.as_millis() as i64, rows, self.rows_max)?)
    }
}

/// An epoch under its header.
fn printed(now_ms: i64, rows: &[RecordBatch], rows_max: usize) -> Result<String, SinkError> {
    let time = rfc3339(now_ms).replace('T', " ");
    let mut text = format!("{RULE}\nTime: {}\n{RULE}\n", time.get(..19).unwrap_or(&time));
    let all: usize = rows.iter().map(RecordBatch::num_rows).sum();
    lines(rows, rows_max, Nulls::Named, &mut text)?;
    text.push_str(if all > rows_max { "...\n\n" } else { "\n" });
    Ok(text)
}

/// How a null is written.
#[derive(Clone, Copy)]
enum Nulls {
    Named,
    Empty,
}

/// Rows as lines: a row's only value, or `(a,1)`.
fn lines(rows: &[RecordBatch], rows_max: usize, nulls: Nulls, text: &mut String) -> Result<(), SinkError> {
    let fatal = |error: arrow::error::ArrowError| SinkError::Fatal(error.to_string());
    let options = FormatOptions::default().with_null(match nulls {
        Nulls::Named => "null",
        Nulls::Empty => "",
    });
    let mut left = rows_max;
    for batch in rows {
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(fatal)?;
        let count = left.min(batch.num_rows());
        left -= count;
        for row in 0..count {
            let values = columns.iter().map(|column| column.value(row).try_to_string());
            let values = values.collect::<Result<Vec<_>, _>>().map_err(fatal)?;
            match values.as_slice() {
                [one] => text.push_str(one),
                many => text.push_str(&format!("({})", many.join(","))),
            }
            text.push('\n');
        }
    }
    Ok(())
}

struct Text {
    folder: Folder,
    files: TextFiles,
}

/// Writes text files.
pub(crate) fn files(files: &TextFiles) -> Result<OpenSink, SinkError> {
    let folder = match files {
        TextFiles::Folder { path } => path.as_str(),
        TextFiles::PerEpoch { prefix, .. } => split(prefix).0,
    };
    let output = Text { folder: Folder::open(folder)?, files: files.clone() };
    Ok(OpenSink { output: Box::new(output), memory: None })
}

/// The folder of a prefix, and what is left of it.
fn split(prefix: &str) -> (&str, &str) {
    match prefix.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some((folder, name)) => (folder, name),
        None => (".", prefix),
    }
}

#[async_trait]
impl Output for Text {
    async fn write(&mut self, epoch: u64, rows: &[RecordBatch]) -> Result<(), SinkError> {
        if rows.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(());
        }
        let (name, nulls) = match &self.files {
            TextFiles::Folder { .. } => (format!("part-{epoch:020}.txt"), Nulls::Empty),
            TextFiles::PerEpoch { prefix, suffix } => {
                let suffix = suffix.as_ref().map_or(String::new(), |suffix| format!(".{suffix}"));
                (format!("{}-{epoch}{suffix}/{PART}", split(prefix).1), Nulls::Named)
            }
        };
        let rows = rows.to_vec();
        let encode = move || {
            let mut text = String::new();
            lines(&rows, usize::MAX, nulls, &mut text)?;
            Ok(text.into_bytes())
        };
        self.folder.write(name, encode).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn batch(rows: &[(Option<&str>, i64)]) -> RecordBatch {
        let words = StringArray::from_iter(rows.iter().map(|(word, _)| *word));
        let numbers = Int64Array::from_iter_values(rows.iter().map(|(_, n)| *n));
        RecordBatch::try_from_iter([("word", Arc::new(words) as ArrayRef), ("n", Arc::new(numbers))]).unwrap()
    }

    #[test]
    fn an_epoch_is_printed_as_spark_does() {
        let rows = [batch(&[(Some("a"), 1), (None, 2)]), batch(&[(Some("c"), 3)])];
        let header = format!("{RULE}\nTime: 2010-12-01 08:26:00\n{RULE}\n");
        let now = 1_291_191_960_000;
        assert_eq!(printed(now, &rows, 2).unwrap(), format!("{header}(a,1)\n(null,2)\n...\n\n"));
        assert_eq!(printed(now, &rows, 3).unwrap(), format!("{header}(a,1)\n(null,2)\n(c,3)\n\n"));
        assert_eq!(printed(now, &[], 3).unwrap(), format!("{header}\n"));
    }

    #[tokio::test]
    async fn an_epoch_is_a_directory_and_a_replay_leaves_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let prefix = dir.path().join("out/words").display().to_string();
        let files = TextFiles::PerEpoch { prefix, suffix: Some("txt".into()) };
        for _ in 0..2 {
            let mut output = super::files(&files).unwrap().output;
            output.write(7, &[batch(&[(Some("a"), 1)]), batch(&[(Some("b"), 2)])]).await.unwrap();
            output.write(8, &[batch(&[])]).await.unwrap();
        }
        let out = dir.path().join("out");
        assert_eq!(std::fs::read_to_string(out.join("words-7.txt/part-00000")).unwrap(), "(a,1)\n(b,2)\n");
        assert_eq!(out.read_dir().unwrap().count(), 1);
        assert_eq!(out.join("words-7.txt").read_dir().unwrap().count(), 1);
    }
}
