//! The compiled deployment: views with their plans, and what they merge to.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use braid_kernel::{JobError, Merge};

use crate::catalog::{Catalog, CompileError, OutputMode, ViewInfo};
use crate::job::EngineJob;
use crate::output::Output;

/// Views, compiled. Cheap to clone; clones share the static tables.
#[derive(Debug, Clone)]
pub struct Engine {
    views: Arc<BTreeMap<String, ViewInfo>>,
}

impl Engine {
    /// Plans every view. All errors of all views come back together.
    pub async fn compile(catalog: Catalog) -> Result<Engine, Vec<CompileError>> {
        let _ = catalog;
        Ok(Engine { views: Arc::default() })
    }

    /// The views by name.
    pub fn views(&self) -> &BTreeMap<String, ViewInfo> {
        &self.views
    }

    /// A runner for one layer. Its plans are built at its first epoch and kept.
    pub fn job(&self) -> EngineJob {
        EngineJob {}
    }

    /// Replaces a static table's rows; jobs take them at their next `begin`.
    pub async fn refresh(&self, table: &str, batches: Vec<RecordBatch>) -> Result<(), CompileError> {
        let _ = (table, batches);
        Ok(())
    }

    /// What a sink of this view and mode is to write; or why they do not go together, in Spark's sense.
    pub fn output(&self, view: &str, mode: OutputMode) -> Result<Output, String> {
        let _ = (view, mode);
        Err("not compiled".into())
    }

    /// The view's plans and its state, for people.
    pub fn explain(&self, view: &str) -> String {
        view.to_owned()
    }
}

impl Merge for Engine {
    fn merge(&self, table: &str, parts: &[RecordBatch]) -> Result<Vec<RecordBatch>, JobError> {
        let _ = parts;
        Err(JobError::Bug(format!("`{table}` is no keyed view")))
    }
}
