//! A query's way out: the view's deltas, by output mode, into a sink or a plugin.

use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use braid_engine::Output;
use braid_kernel::{EpochOutput, Sink, SinkError, SinkReport};
use braid_wasm_host::SinkPlugin;

/// One entry under `sinks:`.
pub struct Outlet {
    view: String,
    output: Output,
    to: Box<dyn braid_connect::Output>,
    /// What the last epoch came to: an epoch that is tried again must not be merged twice.
    last: Option<(u64, Vec<RecordBatch>)>,
}

impl Outlet {
    /// A view's output, whose state was seeded, into a sink.
    pub fn new(view: String, output: Output, to: Box<dyn braid_connect::Output>) -> Self {
        Self { view, output, to, last: None }
    }
}

#[async_trait]
impl Sink for Outlet {
    async fn write(&mut self, epoch: u64, epoch_rows: &EpochOutput<'_>) -> Result<SinkReport, SinkError> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != epoch) {
            let none = vec![];
            let delta = epoch_rows.deltas.get(&self.view).unwrap_or(&none);
            let rows = self
                .output
                .apply(delta, epoch_rows.late_before, epoch_rows.final_before)
                .await
                .map_err(|error| SinkError::Fatal(error.to_string()))?;
            self.last = Some((epoch, rows));
        }
        let rows = self.last.as_ref().map_or(&[][..], |(_, rows)| rows);
        match epoch_rows.flowed {
            true => self.to.close(epoch, rows).await?,
            false => self.to.write(epoch, rows).await?,
        }
        Ok(SinkReport { rows: rows.iter().map(|batch| batch.num_rows() as u64).sum() })
    }

    /// Rows that flow are a view's own: nothing is merged, and every mode writes them as they are.
    async fn flow(
        &mut self,
        epoch: u64,
        part: u64,
        rows: &BTreeMap<String, Vec<RecordBatch>>,
    ) -> Result<(), SinkError> {
        if part == 0 {
            self.last = None;
        }
        match rows.get(&self.view) {
            None if part > 0 => Ok(()),
            rows => self.to.flow(epoch, part, rows.map_or(&[], Vec::as_slice)).await,
        }
    }
}

/// A plugin that takes rows away.
pub struct Taker {
    plugin: SinkPlugin,
    history: String,
}

impl Taker {
    /// Its epochs are those of `history` ([`braid_kernel::Manifest::history`]).
    pub fn new(plugin: SinkPlugin, history: String) -> Self {
        Self { plugin, history }
    }
}

#[async_trait]
impl braid_connect::Output for Taker {
    async fn write(&mut self, epoch: u64, rows: &[RecordBatch]) -> Result<(), SinkError> {
        let (plugin, history, rows) = (self.plugin.clone(), self.history.clone(), rows.to_vec());
        let written = tokio::task::spawn_blocking(move || plugin.write(&history, epoch, &rows)).await;
        written.unwrap_or_else(|error| Err(SinkError::Fatal(format!("bug: a sink's thread ended: {error}"))))
    }
}
