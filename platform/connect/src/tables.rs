//! Static tables: files that are read whole, for the static side of a join.

use arrow::array::RecordBatch;
use braid_kernel::SourceError;
use braid_spec::model::{OnBadRecord, StaticTable};
use futures::TryStreamExt;
use tokio::runtime::Handle;

use crate::SourceContext;
use crate::files::FileReader;
use crate::place::Place;
use crate::pump::pump;

/// The most bytes of files that a static table may have: it is held in memory.
const TABLE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Reads a static table whole: a file, or all files of a folder or glob in the order of their names.
/// A record that is no row is an error: a join with half a table gives wrong answers.
pub async fn read_table(spec: &StaticTable) -> Result<Vec<RecordBatch>, SourceError> {
    let place = Place::parse(&spec.path)?;
    let mut files = place.list().await?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let bytes: u64 = files.iter().map(|file| file.size).sum();
    if files.is_empty() {
        return Err(SourceError::Fatal(format!("no file at {}", spec.path)));
    }
    if bytes > TABLE_BYTES_MAX {
        return Err(SourceError::Fatal(format!(
            "{}: {bytes} bytes are more than the {TABLE_BYTES_MAX} that a static table may have",
            spec.path
        )));
    }
    let reader = FileReader {
        place,
        format: spec.format.clone(),
        schema: spec.schema.clone(),
        projection: None,
        batch_rows: SourceContext::BATCH_ROWS,
    };
    let runtime = Handle::current();
    let files: Vec<(String, u64)> = files.into_iter().map(|file| (file.path, file.size)).collect();
    let rows = pump(OnBadRecord::Fail, move |emit| reader.read(&files, &runtime, emit));
    rows.map_ok(|rows| rows.batch).try_collect().await
}
