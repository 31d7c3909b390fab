//! What an operator remembers from epoch to epoch: rows by key, each with the event time at which it may be let go.
//!
//! Rows are kept as comparable bytes, in memory or on the local disk ([`crate::memory`]). Keys that begin alike lie
//! together, so the rows of a prefix are one range. What an epoch changes is the delta of a table of its own ([`braid_kernel::TableKind::State`]), and can be undone until
//! the next epoch begins.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, new_null_array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef};
use arrow::row::{self, RowConverter, SortField};
use datafusion::common::{Result, exec_err};

use crate::disk::OnDisk;
use crate::memory::{Share, StateMemory};
use crate::rows::{Ending, Found, InMemory, Rows};

/// When a row may be let go, in microseconds of event time; null for never.
const AT: &str = "__at";
/// What the operator notes of the row.
const MARKED: &str = "__marked";
/// Whether the key is gone.
const GONE: &str = "__gone";

/// A key as comparable bytes.
pub type Key = Arc<[u8]>;

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The value's columns as comparable bytes.
    pub value: Box<[u8]>,
    /// When it may be let go, in microseconds of event time.
    pub at: Option<i64>,
    /// What its operator notes of it: that it found a partner.
    pub marked: bool,
}

/// How many columns stand behind the values.
const NOTES: usize = 3;

/// Rows by key. See the module.
#[derive(Debug)]
pub struct State {
    keys: RowConverter,
    values: RowConverter,
    key_columns: usize,
    /// Keys, values, [`AT`], [`MARKED`] and [`GONE`].
    schema: SchemaRef,
    rows: Rows,
    count: u64,
    share: Share,
    /// What stood under the keys that this epoch changed.
    before: HashMap<Key, Option<Kept>>,
    epoch: Option<u64>,
}

impl State {
    /// An empty state with these columns.
    pub fn new(keys: &[FieldRef], values: &[FieldRef]) -> Result<Self> {
        let converter = |fields: &[FieldRef]| {
            RowConverter::new(fields.iter().map(|field| SortField::new(field.data_type().clone())).collect())
        };
        let numbered = |prefix: &str, fields: &[FieldRef]| {
            // Two sides may have columns of one name.
            let field = |(index, field): (usize, &FieldRef)| {
                Field::new(format!("{prefix}{index}_{}", field.name()), field.data_type().clone(), true)
            };
            fields.iter().enumerate().map(field).collect::<Vec<_>>()
        };
        let mut fields = numbered("key", keys);
        fields.extend(numbered("value", values));
        fields.push(Field::new(AT, DataType::Int64, true));
        fields.push(Field::new(MARKED, DataType::Boolean, false));
        fields.push(Field::new(GONE, DataType::Boolean, false));
        Ok(Self {
            keys: converter(keys)?,
            values: converter(values)?,
            key_columns: keys.len(),
            schema: Arc::new(Schema::new(fields)),
            rows: Rows::Memory(InMemory::default()),
            count: 0,
            share: Share::new(StateMemory::unbounded()),
            before: HashMap::new(),
            epoch: None,
        })
    }

    /// Shares memory with other states from now on.
    pub fn within(&mut self, memory: &Arc<StateMemory>) {
        self.share = Share::new(memory.clone());
        self.share.now(self.count, self.rows.bytes());
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Starts an epoch. What an earlier one changed is settled; what this one changed before is undone.
    pub fn begin(&mut self, epoch: u64) -> Result<()> {
        let before = std::mem::take(&mut self.before);
        if self.epoch == Some(epoch) {
            for (key, kept) in before {
                self.set(&key, kept)?;
            }
        }
        self.epoch = Some(epoch);
        self.make_room()
    }

    /// Takes what was changed for good, where there are no epochs.
    pub fn settle(&mut self) {
        self.before.clear();
    }

    /// Keys as bytes: all key columns, or the first of them for a prefix.
    pub fn keys(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<Key>> {
        if columns.is_empty() {
            return Ok(vec![Key::from([]); rows]);
        }
        if columns.len() == self.key_columns {
            return Ok(bytes(&self.keys.convert_columns(columns)?));
        }
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
        Ok(bytes(&RowConverter::new(fields)?.convert_columns(columns)?))
    }

    /// Values as bytes.
    pub fn values(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<Box<[u8]>>> {
        if columns.is_empty() {
            return Ok(vec![Box::default(); rows]);
        }
        Ok(self.values.convert_columns(columns)?.iter().map(|row| row.data().into()).collect())
    }

    /// What stands under a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Cow<'_, Kept>>> {
        match self.count {
            0 => Ok(None),
            _ => self.rows.get(key),
        }
    }

    /// The keys that begin so, in order.
    pub fn prefix(&self, prefix: &[u8]) -> Found<'_> {
        let end = behind(prefix);
        self.rows.range(Bound::Included(prefix), end.as_deref().map_or(Bound::Unbounded, Bound::Excluded))
    }

    /// All keys, in order.
    pub fn iter(&self) -> Found<'_> {
        self.rows.range(Bound::Unbounded, Bound::Unbounded)
    }

    /// The keys in a range, in order.
    pub fn range(&self, from: &[u8], to: &[u8]) -> Found<'_> {
        match from <= to {
            true => self.rows.range(Bound::Included(from), Bound::Included(to)),
            false => Box::new(std::iter::empty()),
        }
    }

    /// The keys that may be let go at the instants of a range, by instant.
    pub fn by_time(&self, instants: impl RangeBounds<i64>) -> Ending<'_> {
        self.rows.by_time(instants)
    }

    /// Puts a value under a key.
    pub fn put(&mut self, key: &Key, kept: Kept) -> Result<()> {
        self.change(key, Some(kept))
    }

    /// Puts a value under a key that is not there.
    pub fn add(&mut self, key: &Key, kept: Kept) -> Result<()> {
        self.rows.add(key, kept)?;
        self.before.entry(key.clone()).or_insert(None);
        self.count += 1;
        self.counted()
    }

    /// Takes rows of keys that are not there, which ascend, as what was there before the next epoch.
    pub fn load(&mut self, rows: Vec<(Key, Kept)>) -> Result<()> {
        match &mut self.rows {
            Rows::Disk(disk) => {
                self.count += disk.extend(rows)?;
                self.share.now(self.count, 0);
            }
            Rows::Memory(_) => {
                for (key, kept) in rows {
                    self.set(&key, Some(kept))?;
                }
            }
        }
        Ok(())
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &Key) -> Result<()> {
        self.change(key, None)
    }

    /// Takes out what may be let go at an instant in microseconds, earliest first.
    pub fn expire(&mut self, instant: i64) -> Result<Vec<(Key, Kept)>> {
        let keys = self.by_time(..=instant).collect::<Result<Vec<_>>>()?;
        let mut gone = Vec::new();
        for key in keys.into_iter().flat_map(|(_, keys)| keys) {
            if let Some(kept) = self.set(&key, None)? {
                self.before.entry(key.clone()).or_insert_with(|| Some(kept.clone()));
                gone.push((key, kept));
            }
        }
        if let Rows::Disk(disk) = &mut self.rows {
            disk.let_go(instant);
        }
        Ok(gone)
    }

    /// When the first row may be let go.
    pub fn first_time(&self) -> Result<Option<i64>> {
        Ok(self.by_time(..).next().transpose()?.map(|(at, _)| at))
    }

    fn change(&mut self, key: &Key, kept: Option<Kept>) -> Result<()> {
        let old = self.set(key, kept)?;
        self.before.entry(key.clone()).or_insert(old);
        Ok(())
    }

    fn set(&mut self, key: &Key, kept: Option<Kept>) -> Result<Option<Kept>> {
        let there = u64::from(kept.is_some());
        let old = self.rows.set(key, kept)?;
        self.count = self.count + there - u64::from(old.is_some());
        self.counted()?;
        Ok(old)
    }

    fn counted(&mut self) -> Result<()> {
        self.share.now(self.count, self.rows.bytes());
        self.make_room()
    }

    /// Moves the rows to disk if there are too many of them in memory.
    pub fn make_room(&mut self) -> Result<()> {
        if !self.share.too_much() {
            return Ok(());
        }
        let mut disk = OnDisk::new(self.share.memory())?;
        if let Rows::Memory(memory) = std::mem::replace(&mut self.rows, Rows::Memory(InMemory::default())) {
            disk.extend(memory.into_rows())?;
        }
        self.rows = Rows::Disk(Box::new(disk));
        self.share.now(self.count, 0);
        Ok(())
    }

    /// What the epoch under way changed: one row per key.
    pub fn delta(&self) -> Result<Option<RecordBatch>> {
        let mut befores: Vec<_> = self.before.iter().collect();
        befores.sort_unstable_by_key(|(key, _)| *key);
        let mut changed: Vec<(&Key, Option<Cow<'_, Kept>>)> = Vec::new();
        for (key, before) in befores {
            let now = self.get(key)?;
            if now.as_deref() != before.as_ref() {
                changed.push((key, now));
            }
        }
        if changed.is_empty() {
            return Ok(None);
        }
        let mut columns = self.decode_keys(changed.iter().map(|(key, _)| key.as_ref()), changed.len())?;
        let there: Vec<&[u8]> = changed.iter().filter_map(|(_, kept)| Some(kept.as_ref()?.value.as_ref())).collect();
        let mut next = 0;
        let index: Vec<Option<u32>> = changed
            .iter()
            .map(|(_, kept)| {
                kept.as_ref().map(|_| {
                    next += 1;
                    next - 1
                })
            })
            .collect();
        let index = arrow::array::UInt32Array::from(index);
        for (column, field) in self.decode_values(there)?.iter().zip(&self.schema.fields()[self.key_columns..]) {
            columns.push(match column.is_empty() {
                true => new_null_array(field.data_type(), changed.len()),
                false => arrow::compute::take(column, &index, None)?,
            });
        }
        columns.push(Arc::new(Int64Array::from_iter(changed.iter().map(|(_, kept)| kept.as_ref()?.at))));
        let marked = changed.iter().map(|(_, kept)| Some(kept.as_ref().is_some_and(|kept| kept.marked)));
        columns.push(Arc::new(BooleanArray::from_iter(marked)));
        columns.push(Arc::new(BooleanArray::from_iter(changed.iter().map(|(_, kept)| Some(kept.is_none())))));
        Ok(Some(RecordBatch::try_new(self.schema.clone(), columns)?))
    }

    /// Takes deltas, oldest first, as what was there before the next epoch.
    pub fn restore(&mut self, deltas: &[RecordBatch]) -> Result<()> {
        for delta in deltas {
            let columns = delta.columns();
            let (count, all) = (self.key_columns, columns.len());
            if all != self.schema.fields().len() {
                return exec_err!("a state has {all} columns and not {}", self.schema.fields().len());
            }
            let keys = self.keys(&columns[..count], delta.num_rows())?;
            let values = self.values(&columns[count..all - NOTES], delta.num_rows())?;
            let at = columns[all - 3].as_primitive::<Int64Type>();
            let (marked, gone) = (columns[all - 2].as_boolean(), columns[all - 1].as_boolean());
            let kept = values.into_iter().enumerate().map(|(row, value)| {
                let at = at.is_valid(row).then(|| at.value(row));
                (!gone.value(row)).then_some(Kept { value, at, marked: marked.value(row) })
            });
            match &mut self.rows {
                Rows::Disk(disk) if in_line(disk, &keys) && gone.true_count() == 0 => {
                    self.count += disk.extend(keys.iter().cloned().zip(kept.flatten()))?;
                    self.share.now(self.count, 0);
                }
                _ => {
                    for (key, kept) in keys.iter().zip(kept.collect::<Vec<_>>()) {
                        self.set(key, kept)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The rows behind a key, so many at most, and the key of the last of them; as they would be restored.
    pub fn part(&self, after: Option<&[u8]>, rows_max: usize) -> Result<Option<(RecordBatch, Key)>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.rows.range(from, Bound::Unbounded).take(rows_max).collect::<Result<Vec<_>>>()?;
        let Some((last, _)) = rows.last() else {
            return Ok(None);
        };
        let mut columns = self.decode_keys(rows.iter().map(|(key, _)| key.as_ref()), rows.len())?;
        columns.extend(self.decode_values(rows.iter().map(|(_, kept)| kept.value.as_ref()))?);
        columns.push(Arc::new(Int64Array::from_iter(rows.iter().map(|(_, kept)| kept.at))));
        columns.push(Arc::new(BooleanArray::from_iter(rows.iter().map(|(_, kept)| Some(kept.marked)))));
        columns.push(Arc::new(BooleanArray::from_iter(rows.iter().map(|_| Some(false)))));
        let last = last.clone();
        Ok(Some((RecordBatch::try_new(self.schema.clone(), columns)?, last)))
    }

    /// Key columns from bytes.
    pub fn decode_keys<'a>(&self, keys: impl IntoIterator<Item = &'a [u8]>, rows: usize) -> Result<Vec<ArrayRef>> {
        if self.key_columns == 0 || rows == 0 {
            let fields = &self.schema.fields()[..self.key_columns];
            return Ok(fields.iter().map(|field| new_null_array(field.data_type(), 0)).collect());
        }
        let parser = self.keys.parser();
        Ok(self.keys.convert_rows(keys.into_iter().map(|key| parser.parse(key)))?)
    }

    /// Value columns from bytes.
    pub fn decode_values<'a>(&self, values: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        if self.schema.fields().len() == self.key_columns + NOTES {
            return Ok(Vec::new());
        }
        let parser = self.values.parser();
        Ok(self.values.convert_rows(values.into_iter().map(|value| parser.parse(value)))?)
    }
}

/// Whether these keys ascend, behind all that are there.
fn in_line(disk: &OnDisk, keys: &[Key]) -> bool {
    keys.first().is_some_and(|first| disk.ends_before(first)) && keys.is_sorted_by(|one, next| one < next)
}

/// The first key behind all that begin so.
fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=kept].to_vec();
    end[kept] += 1;
    Some(end)
}

fn bytes(rows: &row::Rows) -> Vec<Key> {
    rows.iter().map(|row| row.data().into()).collect()
}

/// Rows in the order of their keys, equal keys in theirs: what is done in this order finds its way through a large state
/// on paths that were just taken.
pub fn in_order(keys: &[Key]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..keys.len() as u32).collect();
    order.sort_by(|one, other| keys[*one as usize].cmp(&keys[*other as usize]));
    order
}

/// Rows of one schema as one batch.
pub fn together(schema: &SchemaRef, rows: &[RecordBatch]) -> Result<RecordBatch> {
    match rows {
        [one] => Ok(one.clone()),
        _ => Ok(concat_batches(schema, rows)?),
    }
}

/// A batch of columns, also where there are none.
pub fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}
