//! Merged states by key: changed by deltas, evicted by window.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::Result;

use crate::functions::BATCH_ROWS;
use crate::groups::{Aggregation, Shape};
use crate::sliding::{Panes, Sliding, windows};
use crate::state::{Kept, Key, State, batch, in_order};
use crate::window::Spans;

/// About so many states are sorted at once when a base is taken.
const LOAD_ROWS: usize = 256 * 1024;

/// States by key.
#[derive(Debug)]
pub struct Store {
    state: State,
    /// Whether windows are evicted when they have ended.
    closes: bool,
    /// Key columns, a session's start or a pane last: so that those of one key lie together.
    order: Vec<usize>,
    /// The windows that end, where windows slide.
    sliding: Sliding,
}

impl Store {
    /// An empty store.
    pub fn new(aggregation: &Aggregation, closes: bool) -> Result<Self> {
        let fields = aggregation.delta_schema.fields();
        let (keys, values) = fields.split_at(aggregation.keys());
        let mut order: Vec<usize> = (0..keys.len()).collect();
        if let Some(window) = aggregation.window
            && (window.shape == Shape::Session || aggregation.sliding().is_some())
        {
            order.remove(window.index);
            order.push(window.index);
        }
        let keys: Vec<_> = order.iter().map(|key| keys[*key].clone()).collect();
        Ok(Self { state: State::new(&keys, values)?, closes, order, sliding: Sliding::default() })
    }

    /// What is kept, for those that keep it over restarts.
    pub fn state(&mut self) -> &mut State {
        &mut self.state
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.state.len()
    }

    /// Merges deltas in; gives the keys that they changed, with their states as they are now: of panes, where windows slide.
    pub fn merge(&mut self, aggregation: &Aggregation, deltas: &[RecordBatch]) -> Result<RecordBatch> {
        let delta = aggregation.merge(deltas)?;
        let known = self.touched(aggregation, &delta)?;
        let known: Vec<(Key, Kept)> = known.into_iter().collect();
        let changed = match known.is_empty() {
            true => delta,
            false => aggregation.merge([&self.decode(aggregation, &known)?, &delta])?,
        };
        if aggregation.window.is_some_and(|window| window.shape == Shape::Session) {
            known.iter().try_for_each(|(key, _)| self.state.remove(key))?;
        }
        self.take(aggregation, &changed, |state, rows| {
            rows.into_iter().try_for_each(|(key, kept)| state.put(&key, kept))
        })?;
        Ok(changed)
    }

    /// Takes states of keys that are not there yet, each once.
    pub fn load(&mut self, aggregation: &Aggregation, states: &[RecordBatch]) -> Result<()> {
        let mut from = 0;
        while from < states.len() {
            let (mut to, mut rows) = (from, 0);
            while to < states.len() && rows < LOAD_ROWS {
                rows += states[to].num_rows();
                to += 1;
            }
            self.take(aggregation, &concat_batches(&aggregation.delta_schema, &states[from..to])?, State::load)?;
            from = to;
        }
        Ok(())
    }

    /// Keeps states, in the order of their keys.
    fn take(
        &mut self,
        aggregation: &Aggregation,
        states: &RecordBatch,
        keep: impl FnOnce(&mut State, Vec<(Key, Kept)>) -> Result<()>,
    ) -> Result<()> {
        let keys = self.keys(states)?;
        let mut values = self.state.values(&states.columns()[aggregation.keys()..], states.num_rows())?;
        let ends = if self.closes { aggregation.ends(states)? } else { None };
        if self.closes && aggregation.sliding().is_some() {
            aggregation.starts(states)?.values().iter().for_each(|pane| self.sliding.touch(*pane));
        }
        let rows = in_order(&keys).into_iter().map(|row| {
            let row = row as usize;
            let at = ends.as_ref().filter(|ends| ends.is_valid(row)).map(|ends| ends.value(row));
            (keys[row].clone(), Kept { value: std::mem::take(&mut values[row]), at, marked: false })
        });
        keep(&mut self.state, rows.collect())
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
                if let Some(kept) = self.state.get(&key)? {
                    let kept = kept.into_owned();
                    found.insert(key, kept);
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
            for kept in self.state.prefix(prefix) {
                let (key, kept) = kept?;
                known.push((row, key, kept));
            }
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

    /// Takes out the windows that ended after `from`, if it is given, and at or before `ended`, in microseconds; gives
    /// their states. What ended before was taken out before.
    pub fn evict(&mut self, aggregation: &Aggregation, from: Option<i64>, ended: i64) -> Result<RecordBatch> {
        let Some((key, spans)) = aggregation.sliding() else {
            let ended = self.state.expire(ended)?;
            return self.decode(aggregation, &ended);
        };
        let mut sliding = std::mem::take(&mut self.sliding);
        let windows =
            sliding.ended(aggregation, (key, spans), &ByTime { store: self, aggregation, key, spans }, from, ended)?;
        self.sliding = sliding;
        self.state.expire(ended)?;
        Ok(concat_batches(&aggregation.delta_schema, &windows)?)
    }

    /// Lets the windows go that ended at or before an instant, in microseconds.
    pub fn forget(&mut self, ended: i64) -> Result<()> {
        self.state.expire(ended).map(drop)
    }

    /// The windows in which there are panes that were changed, as they are now.
    pub fn windows_of(&self, aggregation: &Aggregation, changed: RecordBatch) -> Result<RecordBatch> {
        let Some((index, spans)) = aggregation.sliding() else {
            return Ok(changed);
        };
        let reach = spans.duration - spans.pane();
        let panes = aggregation.starts(&changed)?;
        let (mut rows, mut starts) = (Vec::new(), Vec::new());
        for (row, pane) in panes.values().iter().enumerate() {
            for start in spans.windows_of(*pane) {
                rows.push(row as u32);
                starts.push(start);
            }
        }
        let rows = UInt32Array::from(rows);
        let keys = &changed.columns()[..aggregation.keys()];
        let mut wanted = keys.iter().map(|key| Ok(take(key, &rows, None)?)).collect::<Result<Vec<_>>>()?;
        wanted[index] = Arc::new(TimestampMicrosecondArray::from(starts));
        let wanted: BTreeSet<Key> = self.keys_of(&wanted, rows.len())?.into_iter().collect();
        let from: Vec<i64> = panes.values().iter().map(|pane| pane.saturating_sub(reach)).collect();
        let to: Vec<i64> = panes.values().iter().map(|pane| pane.saturating_add(reach)).collect();
        let around = self.between(aggregation, keys, &from, &to)?;
        let windows = windows(aggregation, &around, index, spans)?;
        let is_wanted = self.keys(&windows)?.iter().map(|key| Some(wanted.contains(key))).collect();
        Ok(filter_record_batch(&windows, &is_wanted)?)
    }

    /// The panes of keys that start between two instants, both inclusive; each once.
    fn between(&self, aggregation: &Aggregation, keys: &[ArrayRef], from: &[i64], to: &[i64]) -> Result<RecordBatch> {
        let Some((index, _)) = aggregation.sliding() else {
            return Ok(RecordBatch::new_empty(aggregation.delta_schema.clone()));
        };
        let bound = |instants: &[i64]| {
            let mut columns = keys.to_vec();
            columns[index] = Arc::new(TimestampMicrosecondArray::from(instants.to_vec()));
            self.keys_of(&columns, instants.len())
        };
        let mut found: BTreeMap<Key, Kept> = BTreeMap::new();
        let (from, to) = (bound(from)?, bound(to)?);
        for (from, to) in from.iter().zip(&to) {
            for row in self.state.range(from, to) {
                let (key, kept) = row?;
                found.insert(key, kept);
            }
        }
        self.decode(aggregation, &found.into_iter().collect::<Vec<_>>())
    }

    /// All states, in the order of their keys: of windows.
    pub fn all(&self, aggregation: &Aggregation) -> Result<RecordBatch> {
        let states = self.panes(aggregation)?;
        match aggregation.sliding() {
            Some((key, spans)) => windows(aggregation, &states, key, spans),
            None => Ok(states),
        }
    }

    fn panes(&self, aggregation: &Aggregation) -> Result<RecordBatch> {
        let (mut parts, mut rows) = (Vec::new(), self.state.iter());
        loop {
            let part = rows.by_ref().take(BATCH_ROWS).collect::<Result<Vec<_>>>()?;
            if part.is_empty() {
                return Ok(concat_batches(&aggregation.delta_schema, &parts)?);
            }
            parts.push(self.decode(aggregation, &part)?);
        }
    }

    /// The state of one key, whose values are given in the order of the GROUP BY; no row if there is none.
    pub fn get(&self, aggregation: &Aggregation, key: &[ArrayRef]) -> Result<RecordBatch> {
        if let Some((index, spans)) = aggregation.sliding() {
            let Some(start) = instant(&key[index]) else {
                return Ok(RecordBatch::new_empty(aggregation.delta_schema.clone()));
            };
            let reach = spans.duration - spans.pane();
            let panes = self.between(aggregation, key, &[start], &[start.saturating_add(reach)])?;
            let windows = windows(aggregation, &panes, index, spans)?;
            let wanted = aggregation.starts(&windows)?.iter().map(|found| Some(found == Some(start))).collect();
            return Ok(filter_record_batch(&windows, &wanted)?);
        }
        let columns: Vec<ArrayRef> = self.order.iter().map(|index| key[*index].clone()).collect();
        let key = self.state.keys(&columns, 1)?.remove(0);
        let found: Vec<(Key, Kept)> =
            self.state.get(&key)?.map(|kept| (key.clone(), kept.into_owned())).into_iter().collect();
        self.decode(aggregation, &found)
    }

    fn keys(&self, states: &RecordBatch) -> Result<Vec<Key>> {
        self.keys_of(states.columns(), states.num_rows())
    }

    /// Keys as bytes, from columns in the order of the GROUP BY.
    fn keys_of(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<Key>> {
        let columns: Vec<ArrayRef> = self.order.iter().map(|index| columns[*index].clone()).collect();
        self.state.keys(&columns, rows)
    }

    fn decode(&self, aggregation: &Aggregation, rows: &[(Key, Kept)]) -> Result<RecordBatch> {
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

/// Panes by their time, of a store that evicts.
struct ByTime<'a> {
    store: &'a Store,
    aggregation: &'a Aggregation,
    key: usize,
    spans: Spans,
}

impl ByTime<'_> {
    /// The states that are let go at one instant.
    fn states(&self, keys: Vec<Key>) -> Result<RecordBatch> {
        let mut rows = Vec::new();
        for key in keys {
            let kept = self.store.state.get(&key)?.map(Cow::into_owned);
            rows.extend(kept.map(|kept| (key, kept)));
        }
        self.store.decode(self.aggregation, &rows)
    }

    /// Whether all that is let go at one instant is one pane.
    fn one_pane(&self) -> bool {
        self.spans.pane() == self.spans.slide
    }
}

impl Panes for ByTime<'_> {
    fn first(&self, from: i64) -> Result<Option<i64>> {
        for ending in self.store.state.by_time(self.spans.last_end(from)..) {
            let (at, keys) = ending?;
            let first = match self.one_pane() {
                true => Some(at - self.spans.duration).filter(|start| *start >= from),
                false => {
                    let starts = self.aggregation.starts(&self.states(keys)?)?;
                    starts.values().iter().copied().filter(|start| *start >= from).min()
                }
            };
            if first.is_some() {
                return Ok(first);
            }
        }
        Ok(None)
    }

    fn between(&self, from: i64, to: i64) -> Result<Vec<(i64, RecordBatch)>> {
        let mut panes = Vec::new();
        for ending in self.store.state.by_time(self.spans.last_end(from)..=self.spans.last_end(to)) {
            let (at, keys) = ending?;
            if self.one_pane() {
                let start = at - self.spans.duration;
                if (from..to).contains(&start) {
                    panes.push((start, self.states(keys)?));
                }
                continue;
            }
            let states = self.states(keys)?;
            let starts = states.column(self.key).as_primitive::<TimestampMicrosecondType>();
            let distinct: BTreeSet<i64> =
                starts.values().iter().copied().filter(|start| (from..to).contains(start)).collect();
            for start in distinct {
                let of_pane: BooleanArray = starts.values().iter().map(|other| Some(*other == start)).collect();
                panes.push((start, filter_record_batch(&states, &of_pane)?));
            }
        }
        Ok(panes)
    }
}

/// The instant in a column of one row.
fn instant(column: &ArrayRef) -> Option<i64> {
    let instants = column.as_primitive_opt::<TimestampMicrosecondType>()?;
    (instants.len() == 1 && instants.is_valid(0)).then(|| instants.value(0))
}

/// Leaves out the rows of windows that ended at or before an instant, in microseconds.
pub fn without_ended(aggregation: &Aggregation, states: &RecordBatch, ended: i64) -> Result<RecordBatch> {
    let Some(ends) = aggregation.ends(states)? else {
        return Ok(states.clone());
    };
    let open: BooleanArray = ends.iter().map(|end| end.map(|end| end > ended)).collect();
    Ok(filter_record_batch(states, &open)?)
}
