//! The first row of each key: `dropDuplicates`, `dropDuplicatesWithinWatermark`, and DISTINCT below an aggregate.
//!
//! Where event time is among the keys, a key is forgotten when the watermark has passed it: later rows with it are too
//! late anyway. Within the watermark, a key is forgotten when the watermark has passed its first row by the delay.
//! Otherwise it is kept for ever, as in Spark.

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;

use crate::stage::{Bounds, TimeColumn, instants};
use crate::state::{Kept, State, in_order};

/// Which rows are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueSpec {
    /// The columns that make the key.
    pub keys: Vec<usize>,
    /// When a key is forgotten.
    pub forget: Forget,
}

/// When a key is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forget {
    /// Never.
    Never,
    /// When the watermark has passed the event time in it.
    AtItsTime(TimeColumn),
    /// When the watermark has passed its first row's event time by so many microseconds.
    After(TimeColumn, i64),
}

/// Keys that were seen.
#[derive(Debug)]
pub struct Unique {
    state: State,
}

impl Unique {
    /// Nothing was seen.
    pub fn new(spec: &UniqueSpec, schema: &SchemaRef) -> Result<Self> {
        let keys: Vec<_> = spec.keys.iter().map(|key| schema.fields()[*key].clone()).collect();
        Ok(Self { state: State::new(&keys, &[])? })
    }

    /// What was seen.
    pub fn state(&mut self) -> &mut State {
        &mut self.state
    }

    /// The rows whose key is new.
    pub fn run(&mut self, spec: &UniqueSpec, rows: Vec<RecordBatch>, bounds: Bounds) -> Result<Vec<RecordBatch>> {
        let mut first = Vec::new();
        let lag = match spec.forget {
            Forget::AtItsTime(time) | Forget::After(time, _) => time.lag,
            Forget::Never => 0,
        };
        for batch in rows {
            let columns: Vec<ArrayRef> = spec.keys.iter().map(|key| batch.column(*key).clone()).collect();
            let keys = self.state.keys(&columns, batch.num_rows())?;
            let (times, more) = match spec.forget {
                Forget::Never => (None, 0),
                Forget::AtItsTime(time) => (Some(instants(&batch, time)?), 0),
                Forget::After(time, delay) => (Some(instants(&batch, time)?), delay),
            };
            let mut new: Vec<u32> = Vec::new();
            for row in in_order(&keys) {
                let (row, key) = (row as usize, &keys[row as usize]);
                if self.state.get(key)?.is_none() {
                    let at = times.as_ref().filter(|times| times.is_valid(row)).map(|times| times.value(row));
                    let at = at.map(|at| at.saturating_add(more));
                    self.state.add(key, Kept { value: Box::default(), at, marked: false })?;
                    new.push(row as u32);
                }
            }
            if !new.is_empty() {
                new.sort_unstable();
                first.push(take_record_batch(&batch, &UInt32Array::from(new))?);
            }
        }
        if let Some(ended) = bounds.behind(lag).ended {
            self.state.expire(ended)?;
        }
        Ok(first)
    }
}
