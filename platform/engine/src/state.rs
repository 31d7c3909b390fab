//! What an operator remembers from epoch to epoch: rows by key, each with the event time at which it may be let go.
//!
//! Rows are kept as comparable bytes. Keys that begin alike lie together, so the rows of a prefix are one range. What
//! an epoch changes is the delta of a table of its own ([`braid_kernel::TableKind::State`]), and can be undone until
//! the next epoch begins.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, new_null_array,
};
use arrow::compute::{concat_batches, interleave_record_batch};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::{Result, exec_err};

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
    rows: BTreeMap<Key, Kept>,
    times: BTreeMap<i64, BTreeSet<Key>>,
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
            rows: BTreeMap::new(),
            times: BTreeMap::new(),
            before: HashMap::new(),
            epoch: None,
        })
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Starts an epoch. What an earlier one changed is settled; what this one changed before is undone.
    pub fn begin(&mut self, epoch: u64) {
        let before = std::mem::take(&mut self.before);
        if self.epoch == Some(epoch) {
            for (key, kept) in before {
                self.set(&key, kept);
            }
        }
        self.epoch = Some(epoch);
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
    pub fn get(&self, key: &[u8]) -> Option<&Kept> {
        self.rows.get(key)
    }

    /// The keys that begin so, in order.
    pub fn prefix<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = (&'a Key, &'a Kept)> {
        let range = self.rows.range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded));
        range.take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// All keys, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Kept)> {
        self.rows.iter()
    }

    /// The keys in a range, in order.
    pub fn range<'a>(&'a self, from: &'a [u8], to: &'a [u8]) -> impl Iterator<Item = (&'a Key, &'a Kept)> {
        self.rows.range::<[u8], _>((Bound::Included(from), Bound::Included(to)))
    }

    /// The keys that may be let go at the instants of a range, by instant.
    pub fn by_time(&self, instants: impl RangeBounds<i64>) -> impl Iterator<Item = (i64, &BTreeSet<Key>)> {
        self.times.range(instants).map(|(at, keys)| (*at, keys))
    }

    /// Puts a value under a key.
    pub fn put(&mut self, key: &Key, kept: Kept) {
        self.change(key, Some(kept));
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &Key) {
        self.change(key, None);
    }

    /// Takes out what may be let go at an instant in microseconds, earliest first.
    pub fn expire(&mut self, instant: i64) -> Vec<(Key, Kept)> {
        let mut gone = Vec::new();
        while let Some((at, _)) = self.times.first_key_value()
            && *at <= instant
            && let Some((_, keys)) = self.times.pop_first()
        {
            for key in keys {
                if let Some(kept) = self.rows.remove(&key) {
                    self.before.entry(key.clone()).or_insert_with(|| Some(kept.clone()));
                    gone.push((key, kept));
                }
            }
        }
        gone
    }

    /// When the first row may be let go.
    pub fn first_time(&self) -> Option<i64> {
        self.times.first_key_value().map(|(at, _)| *at)
    }

    fn change(&mut self, key: &Key, kept: Option<Kept>) {
        let old = self.set(key, kept);
        self.before.entry(key.clone()).or_insert(old);
    }

    fn set(&mut self, key: &Key, kept: Option<Kept>) -> Option<Kept> {
        let old = match kept {
            Some(kept) => {
                if let Some(at) = kept.at {
                    self.times.entry(at).or_default().insert(key.clone());
                }
                let at = kept.at;
                let old = self.rows.insert(key.clone(), kept);
                if let Some(old) = &old
                    && old.at == at
                {
                    return Some(old.clone());
                }
                old
            }
            None => self.rows.remove(key),
        };
        if let Some(Kept { at: Some(at), .. }) = &old
            && let Entry::Occupied(mut keys) = self.times.entry(*at)
        {
            keys.get_mut().remove(key);
            if keys.get().is_empty() {
                keys.remove();
            }
        }
        old
    }

    /// What the epoch under way changed: one row per key.
    pub fn delta(&self) -> Result<Option<RecordBatch>> {
        let mut changed: Vec<(&Key, Option<&Kept>)> = Vec::new();
        for (key, before) in &self.before {
            let now = self.rows.get(key);
            if now != before.as_ref() {
                changed.push((key, now));
            }
        }
        if changed.is_empty() {
            return Ok(None);
        }
        changed.sort_unstable_by_key(|(key, _)| *key);
        let mut columns = self.decode_keys(changed.iter().map(|(key, _)| key.as_ref()), changed.len())?;
        let there: Vec<&[u8]> = changed.iter().filter_map(|(_, kept)| Some(kept.as_ref()?.value.as_ref())).collect();
        let mut next = 0;
        let index: Vec<Option<u32>> = changed
            .iter()
            .map(|(_, kept)| {
                kept.map(|_| {
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
        columns.push(Arc::new(Int64Array::from_iter(changed.iter().map(|(_, kept)| kept.and_then(|kept| kept.at)))));
        let marked = changed.iter().map(|(_, kept)| Some(kept.is_some_and(|kept| kept.marked)));
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
            for (row, (key, value)) in keys.iter().zip(values).enumerate() {
                let at = at.is_valid(row).then(|| at.value(row));
                self.set(key, (!gone.value(row)).then_some(Kept { value, at, marked: marked.value(row) }));
            }
        }
        Ok(())
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

fn bytes(rows: &Rows) -> Vec<Key> {
    rows.iter().map(|row| row.data().into()).collect()
}

/// ⊕ of states: the last row per key, in the order of keys; a key that is gone leaves no trace.
pub fn merge(parts: &[RecordBatch]) -> Result<Option<RecordBatch>> {
    let Some(first) = parts.first() else {
        return Ok(None);
    };
    let schema = first.schema();
    let keys = schema.fields().iter().take_while(|field| field.name().starts_with("key")).count();
    let fields = schema.fields()[..keys].iter().map(|field| SortField::new(field.data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    let part_keys: Vec<Option<Rows>> = parts
        .iter()
        .map(|part| Ok(if keys == 0 { None } else { Some(converter.convert_columns(&part.columns()[..keys])?) }))
        .collect::<Result<_>>()?;
    let mut order: Vec<(u32, u32)> = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        order.extend((0..part.num_rows()).map(|row| (number as u32, row as u32)));
    }
    let key = |(number, row): &(u32, u32)| part_keys[*number as usize].as_ref().map(|rows| rows.row(*row as usize));
    // The sort is stable: of equal keys the last is the newest. A base is in order already, which makes it cheap.
    order.sort_by(|one, other| key(one).cmp(&key(other)));
    let gone: Vec<&BooleanArray> = parts.iter().map(|part| part.column(part.num_columns() - 1).as_boolean()).collect();
    let last = order.iter().enumerate().filter(|(index, at)| {
        let newest = order.get(index + 1).is_none_or(|next| key(next) != key(at));
        newest && !gone[at.0 as usize].value(at.1 as usize)
    });
    let last: Vec<(usize, usize)> = last.map(|(_, (number, row))| (*number as usize, *row as usize)).collect();
    if last.is_empty() {
        return Ok(None);
    }
    drop((order, part_keys));
    let parts: Vec<&RecordBatch> = parts.iter().collect();
    Ok(Some(interleave_record_batch(&parts, &last)?))
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
