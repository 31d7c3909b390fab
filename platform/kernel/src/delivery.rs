//! What an epoch changed, on its way to the sinks: before the commit, so that no row is left out, or behind it, so that no row
//! is written twice.

use std::collections::{BTreeMap, BTreeSet};

use crate::failed::SpeedError;
use crate::progress::SinkProgress;
use crate::traits::{EpochOutput, Sink};

/// Writes to all sinks but those in `at_most_once`. A crash before the commit has it all written again.
pub async fn before_commit(
    sinks: &mut BTreeMap<String, Box<dyn Sink>>,
    at_most_once: &BTreeSet<String>,
    epoch: u64,
    output: &EpochOutput<'_>,
) -> Result<Vec<SinkProgress>, SpeedError> {
    let mut reports = vec![];
    for (name, sink) in sinks.iter_mut().filter(|(name, _)| !at_most_once.contains(*name)) {
        let report = sink.write(epoch, output).await;
        let report = report.map_err(|error| SpeedError::Sink { sink: name.clone(), error })?;
        reports.push(SinkProgress { description: name.clone(), num_output_rows: report.rows });
    }
    Ok(reports)
}

/// Writes to the sinks in `at_most_once`. What fails here is lost, and said.
pub async fn behind_commit(
    sinks: &mut BTreeMap<String, Box<dyn Sink>>,
    at_most_once: &BTreeSet<String>,
    epoch: u64,
    output: &EpochOutput<'_>,
) -> Vec<SinkProgress> {
    let mut reports = vec![];
    for (name, sink) in sinks.iter_mut().filter(|(name, _)| at_most_once.contains(*name)) {
        let rows = match sink.write(epoch, output).await {
            Ok(report) => report.rows,
            Err(error) => {
                tracing::error!(sink = name, epoch, %error, "rows are lost: delivery is at_most_once");
                0
            }
        };
        reports.push(SinkProgress { description: name.clone(), num_output_rows: rows });
    }
    reports
}
