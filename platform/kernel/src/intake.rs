//! What is read in an epoch, besides the rows that are fed to the job: counts, bad records, the raw log and static tables; and the
//! segments of what came of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;

use crate::error::StoreError;
use crate::failed::SpeedError;
use crate::failpoint;
use crate::ledger::retry;
use crate::log::to_log;
use crate::manifest::{Manifest, Segment};
use crate::rows::{BadRecord, Rows};
use crate::traits::{Clock, Segments, Tables};

/// So many rows of the raw log are held before they are written as a segment.
pub const LOG_ROWS_PER_SEGMENT: usize = 262_144;
/// So many bad records of one source are kept in one epoch; more are counted.
pub const BAD_RECORDS_KEPT_MAX: usize = 10_000;

/// What was read in an epoch, besides rows fed to the job.
#[derive(Default)]
pub(crate) struct Intake {
    pub(crate) rows: BTreeMap<String, u64>,
    pub(crate) bad: BTreeMap<String, Vec<BadRecord>>,
    pub(crate) bad_counts: BTreeMap<String, u64>,
    pub(crate) log: Option<BTreeMap<String, Vec<Segment>>>,
    /// The logs that are being written, per source.
    writers: BTreeMap<String, LogWriter>,
}

impl Intake {
    pub(crate) fn new(manifest: &Manifest) -> Self {
        Self { log: manifest.keeps_log().then(BTreeMap::new), ..Self::default() }
    }

    /// A source is about to be read.
    pub(crate) fn begin(&mut self, name: &str, manifest: &Manifest) {
        if self.log.is_some() && !self.writers.contains_key(name) {
            self.writers.insert(name.into(), LogWriter::new(manifest.next, name, &short(&manifest.writer)));
        }
    }

    /// Notes rows of a source, which has begun. Says whether there are any for the job.
    pub(crate) async fn take(
        &mut self,
        name: &str,
        rows: &mut Rows,
        to: &dyn Segments,
        clock: &dyn Clock,
    ) -> Result<bool, SpeedError> {
        *self.rows.entry(name.into()).or_default() += rows.batch.num_rows() as u64;
        *self.bad_counts.entry(name.into()).or_default() += rows.bad.len() as u64;
        let kept = self.bad.entry(name.into()).or_default();
        kept.extend(rows.bad.drain(..).take(BAD_RECORDS_KEPT_MAX.saturating_sub(kept.len())));
        if rows.batch.num_rows() == 0 {
            return Ok(false);
        }
        if let Some(log) = self.writers.get_mut(name) {
            log.push(to_log(rows)?, to, clock).await?;
        }
        Ok(true)
    }

    /// A source was read.
    pub(crate) async fn end(&mut self, name: &str, to: &dyn Segments, clock: &dyn Clock) -> Result<(), StoreError> {
        if let (Some(logs), Some(log)) = (&mut self.log, self.writers.remove(name)) {
            logs.insert(name.into(), log.finish(to, clock).await?);
            failpoint!("epoch::log::written");
        }
        Ok(())
    }

    /// Logs static tables that are others than the log last has, so that a recompute sees what the epoch saw.
    pub(crate) async fn tables(
        &mut self,
        tables: &Tables,
        logged: &Tables,
        manifest: &Manifest,
        to: &dyn Segments,
        clock: &dyn Clock,
    ) -> Result<(), StoreError> {
        let Some(log) = &mut self.log else {
            return Ok(());
        };
        for (name, rows) in tables {
            if logged.get(name).is_some_and(|logged| Arc::ptr_eq(logged, rows)) {
                continue;
            }
            let mut writer = LogWriter::new(manifest.next, name, &short(&manifest.writer));
            for batch in rows.iter() {
                writer.push(batch.clone(), to, clock).await?;
            }
            log.insert(name.clone(), writer.finish(to, clock).await?);
        }
        Ok(())
    }
}

/// Writes an epoch's deltas. Nothing names them yet.
pub(crate) async fn put_deltas(
    segments: &dyn Segments,
    clock: &dyn Clock,
    epoch: u64,
    writer: &str,
    deltas: &BTreeMap<String, Vec<RecordBatch>>,
) -> Result<BTreeMap<String, Vec<Segment>>, SpeedError> {
    let mut written = BTreeMap::new();
    for (table, batches) in deltas {
        if batches.iter().all(|batch| batch.num_rows() == 0) {
            continue;
        }
        let name = format!("tables/{table}/delta/{epoch:020}-{writer}.parquet");
        let segment = retry(clock, || segments.write(&name, batches)).await?;
        written.insert(table.clone(), vec![segment]);
    }
    Ok(written)
}

/// Enough of a writer's name to keep its files apart from another's.
pub(crate) fn short(writer: &str) -> String {
    let tail = writer.len().saturating_sub(8);
    writer.get(tail..).unwrap_or(writer).to_string()
}

/// Gathers one source's raw rows of one epoch into segments.
struct LogWriter {
    prefix: String,
    pending: Vec<RecordBatch>,
    rows: usize,
    written: Vec<Segment>,
}

impl LogWriter {
    fn new(epoch: u64, source: &str, writer: &str) -> Self {
        Self { prefix: format!("log/{source}/{epoch:020}-{writer}"), pending: vec![], rows: 0, written: vec![] }
    }

    async fn push(&mut self, batch: RecordBatch, to: &dyn Segments, clock: &dyn Clock) -> Result<(), StoreError> {
        self.rows += batch.num_rows();
        self.pending.push(batch);
        if self.rows >= LOG_ROWS_PER_SEGMENT { self.flush(to, clock).await } else { Ok(()) }
    }

    async fn flush(&mut self, to: &dyn Segments, clock: &dyn Clock) -> Result<(), StoreError> {
        let name = format!("{}-{}.parquet", self.prefix, self.written.len());
        self.written.push(retry(clock, || to.write(&name, &self.pending)).await?);
        self.pending.clear();
        self.rows = 0;
        Ok(())
    }

    async fn finish(mut self, to: &dyn Segments, clock: &dyn Clock) -> Result<Vec<Segment>, StoreError> {
        if !self.pending.is_empty() {
            self.flush(to, clock).await?;
        }
        Ok(self.written)
    }
}
