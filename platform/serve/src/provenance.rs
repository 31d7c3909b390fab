//! Where an answer comes from: said with every answer.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use braid_engine::ViewInfo;
use braid_kernel::Offsets;
use braid_kernel::manifest::{Base, Manifest};
use braid_kernel::time::rfc3339;
use serde::Serialize;

use crate::{QueryState, ServeState};

/// How much an answer can be relied upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finality {
    /// Every row belongs to a window that the watermark has passed. Rows later than the declared delay can still
    /// merge into a served window; no other can.
    Final,
    /// Rows that are still to come may change it.
    Provisional,
    /// A limit left rows out, or the query that feeds it has failed or stopped short.
    Partial,
}

/// Where an answer comes from.
#[derive(Debug, Clone, Serialize)]
pub struct Provenance {
    /// The deployment's name.
    pub deployment: String,
    /// Which layers made it.
    pub layout: String,
    /// Digest of each definition it rests on, by view.
    pub versions: BTreeMap<String, String>,
    /// Digest of each plugin.
    pub plugins: BTreeMap<String, String>,
    /// The manifest's sequence number: two answers of one number are of one moment.
    pub manifest: u64,
    /// The base, where there is one.
    pub base: Option<Base>,
    /// It covers exactly the epochs below this one.
    pub epochs: u64,
    /// Exclusive ends of what was read, per source and partition.
    pub offsets: BTreeMap<String, Offsets>,
    /// Per source, RFC 3339.
    pub watermarks: BTreeMap<String, Option<String>>,
    /// The deployment's, RFC 3339: windows that ended at or before it are closed.
    pub watermark: Option<String>,
    /// How much it can be relied upon.
    pub status: Finality,
    /// What the query is doing.
    pub query: &'static str,
}

impl Provenance {
    /// The provenance of an answer as of `manifest`; `views` are those it rests on.
    pub fn new(
        state: &ServeState,
        manifest: &Manifest,
        views: impl IntoIterator<Item = String>,
        status: Finality,
    ) -> Self {
        let query = state.status.get();
        let status = match (status, &query) {
            (Finality::Provisional, QueryState::Failed(_)) => Finality::Partial,
            (status, _) => status,
        };
        Self {
            deployment: state.deployment.clone(),
            layout: state.layout.clone(),
            versions: views
                .into_iter()
                .filter_map(|view| Some((view.clone(), manifest.definitions.get(&view)?.clone())))
                .collect(),
            plugins: state.plugins.clone(),
            manifest: manifest.sequence,
            base: manifest.base.clone(),
            epochs: manifest.next,
            offsets: manifest.sources.iter().map(|(name, source)| (name.clone(), source.offsets.clone())).collect(),
            watermarks: manifest
                .sources
                .iter()
                .map(|(name, source)| (name.clone(), source.watermark.map(rfc3339)))
                .collect(),
            watermark: manifest.watermark.map(rfc3339),
            status,
            query: query.name(),
        }
    }
}

/// Whether every row of a view's answer belongs to a window that the watermark has passed. No row proves nothing.
pub fn finality(info: Option<&ViewInfo>, rows: &RecordBatch, manifest: &Manifest) -> Finality {
    let closed = || {
        let info = info.filter(|info| info.window && info.event_time.is_some())?;
        let watermark_us = manifest.watermark?.checked_mul(1000)?;
        let ends = info.keys.iter().find_map(|key| window_ends(rows, key))?;
        let ends = ends.as_primitive::<Int64Type>();
        let all = rows.num_rows() > 0 && ends.iter().all(|end| end.is_some_and(|e| e <= watermark_us));
        all.then_some(())
    };
    match closed() {
        Some(()) => Finality::Final,
        None => Finality::Provisional,
    }
}

/// The ends of the windows in a column, in microseconds, if it is a column of windows.
fn window_ends(rows: &RecordBatch, column: &str) -> Option<ArrayRef> {
    let windows = rows.column_by_name(column)?.as_struct_opt()?;
    let ends = windows.column_by_name("end")?;
    if windows.null_count() > 0 || !matches!(ends.data_type(), DataType::Timestamp(_, _)) {
        return None;
    }
    let ends = cast(ends, &DataType::Timestamp(TimeUnit::Microsecond, None)).ok()?;
    cast(&ends, &DataType::Int64).ok()
}
