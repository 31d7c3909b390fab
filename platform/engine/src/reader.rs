//! Answers as of one manifest: final(merge(base, deltas)), by view, by key, or by ad-hoc SQL.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use braid_kernel::Segments;
use braid_kernel::serve::Snapshot;

use crate::catalog::ReadError;
use crate::engine::Engine;

/// Answers questions. Cheap to clone; clones share the caches.
#[derive(Clone)]
pub struct Reader {
    engine: Engine,
    segments: Arc<dyn Segments>,
}

impl Reader {
    /// Reads what is not in memory through `segments`.
    pub fn new(engine: Engine, segments: Arc<dyn Segments>) -> Self {
        Self { engine, segments }
    }

    /// Makes a ledger (`dead_letters`, `late_rows`) readable under its name.
    pub fn with_ledger(self, name: &str, schema: SchemaRef) -> Self {
        let _ = (name, schema);
        self
    }

    /// The whole answer of a view or ledger.
    pub async fn rows(&self, snap: &Snapshot, view: &str) -> Result<Vec<RecordBatch>, ReadError> {
        let _ = (snap, &self.segments, &self.engine);
        Err(ReadError::UnknownView { view: view.to_owned(), hint: None })
    }

    /// The rows with these key values, given as text by column name (`window.start` names a window's start).
    pub async fn lookup(
        &self,
        snap: &Snapshot,
        view: &str,
        key: &[(String, String)],
    ) -> Result<RecordBatch, ReadError> {
        let _ = (snap, key);
        Err(ReadError::UnknownView { view: view.to_owned(), hint: None })
    }

    /// One SELECT over views, ledgers and static tables.
    pub async fn sql(
        &self,
        snap: &Snapshot,
        sql: &str,
    ) -> Result<(SchemaRef, Vec<RecordBatch>), ReadError> {
        let _ = (snap, sql);
        Err(ReadError::UnknownView { view: "query".into(), hint: None })
    }
}
