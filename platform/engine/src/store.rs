//! Merged states by key, kept in memory: changed by deltas, evicted by window.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;

use crate::groups::Aggregation;

/// States by key, both as comparable bytes. A window's start leads the key, so that what is final lies together.
pub struct Store {
    keys: RowConverter,
    states: RowConverter,
    window: Option<RowConverter>,
    /// Column numbers of the keys, in the order in which they are encoded.
    order: Vec<usize>,
    rows: BTreeMap<Box<[u8]>, Box<[u8]>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Store").field("keys", &self.rows.len()).finish()
    }
}

impl Store {
    /// An empty store.
    pub fn new(aggregation: &Aggregation) -> Result<Self> {
        let count = aggregation.keys();
        let mut order: Vec<usize> = (0..count).collect();
        if let Some(window) = aggregation.window {
            order.remove(window.index);
            order.insert(0, window.index);
        }
        let field = |index: usize| SortField::new(aggregation.delta_schema.field(index).data_type().clone());
        let states = (count..aggregation.delta_schema.fields().len()).map(field).collect();
        Ok(Self {
            keys: RowConverter::new(order.iter().map(|index| field(*index)).collect())?,
            states: RowConverter::new(states)?,
            window: match aggregation.window {
                Some(window) => Some(RowConverter::new(vec![field(window.index)])?),
                None => None,
            },
            order,
            rows: BTreeMap::new(),
        })
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Merges deltas in; gives the keys that they changed, with their states as they are now.
    pub fn merge(&mut self, aggregation: &Aggregation, deltas: &[RecordBatch]) -> Result<RecordBatch> {
        let delta = aggregation.merge(deltas)?;
        let keys = self.encode_keys(&delta)?;
        let known: Vec<(&[u8], &[u8])> = keys
            .iter()
            .filter_map(|key| self.rows.get_key_value(key.as_ref()))
            .map(|(key, state)| (key.as_ref(), state.as_ref()))
            .collect();
        let (changed, keys) = if known.is_empty() {
            (delta, keys)
        } else {
            let before = self.decode(aggregation, &known)?;
            let changed = aggregation.merge([&before, &delta])?;
            let keys = self.encode_keys(&changed)?;
            (changed, keys)
        };
        let states = match &changed.columns()[self.order.len()..] {
            [] => None,
            columns => Some(self.states.convert_columns(columns)?),
        };
        for (row, key) in keys.into_iter().enumerate() {
            let state = states.as_ref().map_or(&[][..], |states| states.row(row).data());
            self.rows.insert(key, state.into());
        }
        Ok(changed)
    }

    /// Takes out the windows that ended at or before an instant, in milliseconds; gives their states.
    pub fn evict(&mut self, aggregation: &Aggregation, ended_ms: i64) -> Result<RecordBatch> {
        let none = RecordBatch::new_empty(aggregation.delta_schema.clone());
        let (Some(window), Some(converter)) = (aggregation.window, &self.window) else {
            return Ok(none);
        };
        let last_start = ended_ms.saturating_mul(1_000).saturating_sub(window.spans.duration);
        let first_kept: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![last_start.saturating_add(1)]));
        let bound = converter.convert_columns(&[first_kept])?;
        let kept = self.rows.split_off(bound.row(0).data());
        let ended = std::mem::replace(&mut self.rows, kept);
        let ended: Vec<(&[u8], &[u8])> = ended.iter().map(|(key, state)| (key.as_ref(), state.as_ref())).collect();
        if ended.is_empty() { Ok(none) } else { self.decode(aggregation, &ended) }
    }

    /// All states, in the order of their keys.
    pub fn all(&self, aggregation: &Aggregation) -> Result<RecordBatch> {
        let all: Vec<(&[u8], &[u8])> = self.rows.iter().map(|(key, state)| (key.as_ref(), state.as_ref())).collect();
        self.decode(aggregation, &all)
    }

    /// The state of one key, whose values are given in the order of the GROUP BY; no row if there is none.
    pub fn get(&self, aggregation: &Aggregation, key: &[ArrayRef]) -> Result<RecordBatch> {
        let columns: Vec<ArrayRef> = self.order.iter().map(|index| key[*index].clone()).collect();
        let found = match columns.is_empty() {
            true => self.rows.first_key_value(),
            false => self.rows.get_key_value(self.keys.convert_columns(&columns)?.row(0).data()),
        };
        let found: Vec<(&[u8], &[u8])> = found.into_iter().map(|(key, state)| (key.as_ref(), state.as_ref())).collect();
        self.decode(aggregation, &found)
    }

    fn encode_keys(&self, states: &RecordBatch) -> Result<Vec<Box<[u8]>>> {
        if self.order.is_empty() {
            return Ok(vec![Box::default(); states.num_rows()]);
        }
        let columns: Vec<ArrayRef> = self.order.iter().map(|index| states.column(*index).clone()).collect();
        let rows = self.keys.convert_columns(&columns)?;
        Ok(rows.iter().map(|row| row.data().into()).collect())
    }

    fn decode(&self, aggregation: &Aggregation, rows: &[(&[u8], &[u8])]) -> Result<RecordBatch> {
        let count = self.order.len();
        let mut columns: Vec<Option<ArrayRef>> = vec![None; count];
        if count > 0 {
            let parser = self.keys.parser();
            let decoded = self.keys.convert_rows(rows.iter().map(|(key, _)| parser.parse(key)))?;
            for (index, column) in self.order.iter().zip(decoded) {
                columns[*index] = Some(column);
            }
        }
        let mut columns: Vec<ArrayRef> = columns.into_iter().flatten().collect();
        if aggregation.delta_schema.fields().len() > count {
            let parser = self.states.parser();
            columns.extend(self.states.convert_rows(rows.iter().map(|(_, state)| parser.parse(state)))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Ok(RecordBatch::try_new_with_options(aggregation.delta_schema.clone(), columns, &options)?)
    }
}

/// Leaves out the rows of windows that ended at or before an instant, in milliseconds.
pub fn without_ended(aggregation: &Aggregation, states: &RecordBatch, ended_ms: i64) -> Result<RecordBatch> {
    let Some(window) = aggregation.window else {
        return Ok(states.clone());
    };
    let bound = ended_ms.saturating_mul(1_000);
    let Some(starts) = states.column(window.index).as_primitive_opt::<TimestampMicrosecondType>() else {
        return datafusion::common::exec_err!("a window's state has no start");
    };
    let open =
        starts.iter().map(|start| start.map(|start| start.saturating_add(window.spans.duration) > bound)).collect();
    Ok(filter_record_batch(states, &open)?)
}
