//! Merged states by key, kept in memory: changed by deltas, evicted by window.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use datafusion::common::Result;

use crate::groups::{Aggregation, Shape};
use crate::state::{Kept, Key, State, batch, in_order};

/// States by key.
#[derive(Debug)]
pub struct Store {
    state: State,
    /// Whether windows are evicted when they have ended.
    closes: bool,
    /// Key columns, a session's start last: so that the sessions of one key lie together.
    order: Vec<usize>,
}

impl Store {
    /// An empty store.
    pub fn new(aggregation: &Aggregation, closes: bool) -> Result<Self> {
        let fields = aggregation.delta_schema.fields();
        let (keys, values) = fields.split_at(aggregation.keys());
        let mut order: Vec<usize> = (0..keys.len()).collect();
        if let Some(window) = aggregation.window
            && window.shape == Shape::Session
        {
            order.remove(window.index);
            order.push(window.index);
        }
        let keys: Vec<_> = order.iter().map(|key| keys[*key].clone()).collect();
        Ok(Self { state: State::new(&keys, values)?, closes, order })
    }

    /// What is kept, for those that keep it over restarts.
    pub fn state(&mut self) -> &mut State {
        &mut self.state
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.state.len()
    }

    /// Merges deltas in; gives the keys that they changed, with their states as they are now.
    pub fn merge(&mut self, aggregation: &Aggregation, deltas: &[RecordBatch]) -> Result<RecordBatch> {
        let delta = aggregation.merge(deltas)?;
        let known = self.touched(aggregation, &delta)?;
        let known: Vec<(Key, Kept)> = known.into_iter().collect();
        let changed = match known.is_empty() {
            true => delta,
            false => aggregation.merge([&self.decode(aggregation, &known)?, &delta])?,
        };
        if aggregation.window.is_some_and(|window| window.shape == Shape::Session) {
            for (key, _) in &known {
                self.state.remove(key);
            }
        }
        let keys = self.keys(&changed)?;
        let mut values = self.state.values(&changed.columns()[aggregation.keys()..], changed.num_rows())?;
        let ends = if self.closes { aggregation.ends(&changed)? } else { None };
        for row in in_order(&keys) {
            let row = row as usize;
            let at = ends.as_ref().filter(|ends| ends.is_valid(row)).map(|ends| ends.value(row));
            self.state.put(&keys[row], Kept { value: std::mem::take(&mut values[row]), at, marked: false });
        }
        Ok(changed)
    }

    /// What the keys of a delta would be merged with.
    fn touched(&self, aggregation: &Aggregation, delta: &RecordBatch) -> Result<BTreeMap<Key, Kept>> {
        let mut found = BTreeMap::new();
        if self.state.len() == 0 {
            return Ok(found);
        }
        let session = aggregation.window.filter(|window| window.shape == Shape::Session);
        let Some(window) = session else {
            let mut keys = self.keys(delta)?;
            keys.sort_unstable();
            for key in keys {
                if let Some(kept) = self.state.get(&key) {
                    found.insert(key, kept.clone());
                }
            }
            return Ok(found);
        };
        // A delta's sessions may touch what is kept of their key: that there is little of it is what a session is.
        let others: Vec<ArrayRef> =
            self.order.iter().filter(|key| **key != window.index).map(|key| delta.column(*key).clone()).collect();
        let prefixes = self.state.keys(&others, delta.num_rows())?;
        let mut known: Vec<(usize, Key, Kept)> = Vec::new();
        for (row, prefix) in prefixes.iter().enumerate() {
            known.extend(self.state.prefix(prefix).map(|(key, kept)| (row, key.clone(), kept.clone())));
        }
        if known.is_empty() {
            return Ok(found);
        }
        let entries: Vec<(Key, Kept)> = known.iter().map(|(_, key, kept)| (key.clone(), kept.clone())).collect();
        let there = self.decode(aggregation, &entries)?;
        let starts = |batch: &RecordBatch| aggregation.starts(batch);
        let (starts_there, starts_new) = (starts(&there)?, starts(delta)?);
        let (Some(ends_there), Some(ends_new)) = (aggregation.ends(&there)?, aggregation.ends(delta)?) else {
            return Ok(found);
        };
        for (index, (row, key, kept)) in known.into_iter().enumerate() {
            if starts_there.value(index) <= ends_new.value(row) && starts_new.value(row) <= ends_there.value(index) {
                found.insert(key, kept);
            }
        }
        Ok(found)
    }

    /// Takes out the windows that ended at or before an instant, in microseconds; gives their states.
    pub fn evict(&mut self, aggregation: &Aggregation, ended: i64) -> Result<RecordBatch> {
        let ended = self.state.expire(ended);
        self.decode(aggregation, &ended)
    }

    /// All states, in the order of their keys.
    pub fn all(&self, aggregation: &Aggregation) -> Result<RecordBatch> {
        let all: Vec<(&Key, &Kept)> = self.state.iter().collect();
        self.decode_all(aggregation, &all)
    }

    /// The state of one key, whose values are given in the order of the GROUP BY; no row if there is none.
    pub fn get(&self, aggregation: &Aggregation, key: &[ArrayRef]) -> Result<RecordBatch> {
        let columns: Vec<ArrayRef> = self.order.iter().map(|index| key[*index].clone()).collect();
        let key = self.state.keys(&columns, 1)?.remove(0);
        let found: Vec<(&Key, &Kept)> = self.state.get(&key).map(|kept| (&key, kept)).into_iter().collect();
        self.decode_all(aggregation, &found)
    }

    fn keys(&self, states: &RecordBatch) -> Result<Vec<Key>> {
        let columns: Vec<ArrayRef> = self.order.iter().map(|index| states.column(*index).clone()).collect();
        self.state.keys(&columns, states.num_rows())
    }

    fn decode(&self, aggregation: &Aggregation, rows: &[(Key, Kept)]) -> Result<RecordBatch> {
        let rows: Vec<(&Key, &Kept)> = rows.iter().map(|(key, kept)| (key, kept)).collect();
        self.decode_all(aggregation, &rows)
    }

    fn decode_all(&self, aggregation: &Aggregation, rows: &[(&Key, &Kept)]) -> Result<RecordBatch> {
        if rows.is_empty() {
            return Ok(RecordBatch::new_empty(aggregation.delta_schema.clone()));
        }
        let decoded = self.state.decode_keys(rows.iter().map(|(key, _)| key.as_ref()), rows.len())?;
        let mut columns: Vec<Option<ArrayRef>> = vec![None; self.order.len()];
        for (index, column) in self.order.iter().zip(decoded) {
            columns[*index] = Some(column);
        }
        let mut columns: Vec<ArrayRef> = columns.into_iter().flatten().collect();
        columns.extend(self.state.decode_values(rows.iter().map(|(_, kept)| kept.value.as_ref()))?);
        batch(&aggregation.delta_schema, columns, rows.len())
    }
}

/// Leaves out the rows of windows that ended at or before an instant, in microseconds.
pub fn without_ended(aggregation: &Aggregation, states: &RecordBatch, ended: i64) -> Result<RecordBatch> {
    let Some(ends) = aggregation.ends(states)? else {
        return Ok(states.clone());
    };
    let open: BooleanArray = ends.iter().map(|end| end.map(|end| end > ended)).collect();
    Ok(filter_record_batch(states, &open)?)
}
