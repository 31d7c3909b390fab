//! The fold of tables whose size is not that of memory. What operators remember is in the order of its keys: a merge of
//! runs, of which a little is read at a time. The base is such a run; changes since are sorted into some, as large as
//! memory allows. Views are in no order: they are put into parts by key, and one part is merged after the other.

use std::collections::VecDeque;
use std::slice::from_ref;

use arrow_array::RecordBatch;

use crate::base::{BaseError, BaseWriter};
use crate::intake::short;
use crate::manifest::{Manifest, Segment};
use crate::traits::{Front, Job};

/// How much of a fold is in memory.
#[derive(Debug, Clone, Copy)]
pub struct FoldLimits {
    /// Changes are sorted in memory up to so many bytes; more become a run of their own.
    pub run_bytes: usize,
    /// A segment of a run has about so many bytes: of each run one is in memory.
    pub run_segment_bytes: usize,
    /// A segment of a base has about so many bytes before it is encoded.
    pub segment_bytes: usize,
    /// Rows of a run that are merged at once.
    pub rows: usize,
    /// Rows of a keyed table that are merged at once; more are put into parts first.
    pub keyed_rows: u64,
}

/// Not less of a part is gathered before it is written.
const PART_BYTES_MIN: usize = 64 << 10;

impl Default for FoldLimits {
    fn default() -> Self {
        Self {
            run_bytes: 32 << 20,
            run_segment_bytes: 2 << 20,
            segment_bytes: 32 << 20,
            rows: 8 * 1024,
            keyed_rows: 1 << 20,
        }
    }
}

/// Rows in the order of their keys: those that were read, and where the others are.
#[derive(Default)]
struct Run {
    rows: VecDeque<RecordBatch>,
    segments: VecDeque<Segment>,
}

impl Run {
    fn of(segments: Vec<Segment>) -> Self {
        Self { rows: VecDeque::new(), segments: segments.into() }
    }

    fn goes_on(&self) -> bool {
        self.rows.len() > 1 || !self.segments.is_empty()
    }
}

/// Segments of one table, written as rows come.
pub(crate) struct Output<'a> {
    writer: &'a BaseWriter,
    table: &'a str,
    /// What their names begin with, after the table's folder.
    name: String,
    bytes_max: usize,
    rows: Vec<RecordBatch>,
    bytes: usize,
    written: Vec<Segment>,
}

impl<'a> Output<'a> {
    fn new(writer: &'a BaseWriter, table: &'a str, name: String, bytes_max: usize) -> Self {
        Self { writer, table, name, bytes_max, rows: vec![], bytes: 0, written: vec![] }
    }

    async fn push(&mut self, rows: RecordBatch, bytes: usize) -> Result<(), BaseError> {
        self.bytes += bytes;
        self.rows.push(rows);
        match self.bytes >= self.bytes_max {
            true => self.write().await,
            false => Ok(()),
        }
    }

    async fn write(&mut self) -> Result<(), BaseError> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let name = format!("{}-{}", self.name, self.written.len());
        self.written.extend(self.writer.put(self.table, &name, &rows).await?);
        Ok(())
    }

    async fn end(mut self) -> Result<Vec<Segment>, BaseError> {
        self.write().await?;
        Ok(self.written)
    }
}

impl BaseWriter {
    /// A state table's base ⊕ its changes, oldest first.
    pub(crate) async fn fold_state(
        &self,
        table: &str,
        manifest: &Manifest,
        generation: u64,
        base: Vec<Segment>,
        changes: Vec<Segment>,
    ) -> Result<Vec<Segment>, BaseError> {
        let name = format!("{generation:010}-{}", short(&manifest.writer));
        let mut runs = vec![Run::of(base)];
        let (mut rows, mut bytes): (Vec<RecordBatch>, usize) = (vec![], 0);
        for segment in &changes {
            let more = self.read(from_ref(segment)).await?;
            bytes += size(&more);
            rows.extend(more);
            if bytes < self.limits.run_bytes {
                continue;
            }
            // Keys that changed often leave little.
            rows = self.sorted(table, &rows)?;
            bytes = size(&rows);
            if bytes >= self.limits.run_bytes / 2 {
                let row_bytes = bytes / rows.iter().map(RecordBatch::num_rows).sum::<usize>().max(1);
                let name = format!("{name}-run{}", runs.len());
                let mut run = Output::new(self, table, name, self.limits.run_segment_bytes);
                for rows in self.pieces(&std::mem::take(&mut rows)) {
                    let bytes = rows.num_rows() * row_bytes;
                    run.push(rows, bytes).await?;
                }
                runs.push(Run::of(run.end().await?));
                bytes = 0;
            }
        }
        let rows = self.sorted(table, &rows)?;
        runs.push(Run { rows: self.pieces(&rows).into(), segments: VecDeque::new() });
        let mut output = Output::new(self, table, name, self.limits.segment_bytes);
        loop {
            for run in &mut runs {
                while run.rows.is_empty()
                    && let Some(segment) = run.segments.pop_front()
                {
                    run.rows = self.pieces(&self.read(&[segment]).await?).into();
                }
            }
            runs.retain(|run| !run.rows.is_empty());
            if runs.is_empty() {
                return output.end().await;
            }
            let parts: Vec<RecordBatch> = runs.iter().map(|run| run.rows[0].clone()).collect();
            let goes_on: Vec<bool> = runs.iter().map(Run::goes_on).collect();
            let Front { merged, rest } = self.merge.front(table, &parts, &goes_on, true)?;
            for (run, rest) in runs.iter_mut().zip(rest) {
                match rest.num_rows() {
                    0 => drop(run.rows.pop_front()),
                    _ => run.rows[0] = rest,
                }
            }
            for rows in merged {
                let bytes = size(from_ref(&rows));
                output.push(rows, bytes).await?;
            }
        }
    }

    /// A keyed table's base and changes, merged: all at once, or a part of the keys after the other.
    pub(crate) async fn fold_keyed(
        &self,
        table: &str,
        manifest: &Manifest,
        generation: u64,
        segments: &[Segment],
    ) -> Result<Vec<Segment>, BaseError> {
        let name = format!("{generation:010}-{}", short(&manifest.writer));
        let rows: u64 = segments.iter().map(|segment| segment.rows).sum();
        let count = usize::try_from(rows.div_ceil(self.limits.keyed_rows)).unwrap_or(usize::MAX).max(1);
        if count == 1 {
            let merged = self.merge.merge(table, &self.read(segments).await?)?;
            return Ok(self.put(table, &format!("{name}-0"), &merged).await?.into_iter().collect());
        }
        let bytes_max = (self.limits.run_bytes / count).max(PART_BYTES_MIN);
        let part = |number| Output::new(self, table, format!("{name}-part{number}"), bytes_max);
        let mut parts: Vec<Output<'_>> = (0..count).map(part).collect();
        for segment in segments {
            for rows in self.read(from_ref(segment)).await? {
                for (part, rows) in parts.iter_mut().zip(self.merge.split(table, &rows, count)?) {
                    if rows.num_rows() > 0 {
                        let bytes = size(from_ref(&rows));
                        part.push(rows, bytes).await?;
                    }
                }
            }
        }
        let mut written = vec![];
        for (number, part) in parts.into_iter().enumerate() {
            let merged = self.merge.merge(table, &self.read(&part.end().await?).await?)?;
            written.extend(self.put(table, &format!("{name}-{number}"), &merged).await?);
        }
        Ok(written)
    }

    /// What a job remembers now, as a base.
    pub(crate) async fn remembered(
        &self,
        job: &mut dyn Job,
        table: &str,
        manifest: &Manifest,
        generation: u64,
    ) -> Result<Vec<Segment>, BaseError> {
        let name = format!("{generation:010}-{}", short(&manifest.writer));
        let mut output = Output::new(self, table, name, self.limits.segment_bytes);
        let mut after: Option<Vec<u8>> = None;
        while let Some((rows, last)) = job.remembered(table, after.as_deref(), self.limits.rows)? {
            let bytes = size(from_ref(&rows));
            output.push(rows, bytes).await?;
            after = Some(last);
        }
        output.end().await
    }

    fn sorted(&self, table: &str, changes: &[RecordBatch]) -> Result<Vec<RecordBatch>, BaseError> {
        Ok(self.merge.front(table, changes, &vec![false; changes.len()], false)?.merged)
    }

    /// Rows in pieces that are merged at once.
    fn pieces(&self, rows: &[RecordBatch]) -> Vec<RecordBatch> {
        let most = self.limits.rows;
        let of_one = |batch: &RecordBatch| {
            let (batch, count) = (batch.clone(), batch.num_rows());
            (0..count).step_by(most).map(move |from| batch.slice(from, most.min(count - from)))
        };
        rows.iter().flat_map(of_one).collect()
    }
}

fn size(rows: &[RecordBatch]) -> usize {
    rows.iter().map(RecordBatch::get_array_memory_size).sum()
}
