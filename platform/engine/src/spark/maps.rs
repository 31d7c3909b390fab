//! Functions of maps.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, exec_err};

use super::scalar::{Call, Function, usage};
use super::schema_text::{list_of, map_of};
use super::values;

/// The functions of this file.
pub const FUNCTIONS: &[Function] = &[
    Function {
        names: &["map_keys"],
        takes: |given| one_map(given, "map_keys(map)"),
        gives: |given, _| Ok(list_of(parts(&given[0]).0)),
        run: |call| column(call, 0),
    },
    Function {
        names: &["map_values"],
        takes: |given| one_map(given, "map_values(map)"),
        gives: |given, _| Ok(list_of(parts(&given[0]).1)),
        run: |call| column(call, 1),
    },
    Function {
        names: &["map_entries"],
        takes: |given| one_map(given, "map_entries(map)"),
        gives: |given, _| match &given[0] {
            DataType::Map(entries, _) => Ok(entries_type(entries)),
            _ => usage("map_entries(map)"),
        },
        run: entries,
    },
    Function {
        names: &["map_contains_key"],
        takes: |given| match given {
            [map @ DataType::Map(_, _), _] => Ok(vec![map.clone(), parts(map).0]),
            _ => usage("map_contains_key(map, key)"),
        },
        gives: |_, _| Ok(DataType::Boolean),
        run: |call| {
            let found = places(call)?;
            call.truths(|row| {
                (call.columns[0].is_valid(row) && call.columns[1].is_valid(row)).then(|| found[row].is_some())
            })
        },
    },
    Function {
        names: &["map_concat"],
        takes: |given| match given.first() {
            Some(first @ DataType::Map(_, _)) => Ok(vec![first.clone(); given.len()]),
            _ => usage("map_concat(map, …)"),
        },
        gives: |given, _| Ok(given[0].clone()),
        run: |call| {
            from_rows(call, |row| {
                let maps: Option<Vec<StructArray>> =
                    call.columns.iter().map(|map| map.is_valid(row).then(|| map.as_map().value(row))).collect();
                let Some(maps) = maps else {
                    return Ok(None);
                };
                let part = |index: usize| {
                    let columns: Vec<&dyn Array> = maps.iter().map(|map| map.column(index).as_ref()).collect();
                    arrow::compute::concat(&columns)
                };
                Ok(Some((part(0)?, part(1)?)))
            })
        },
    },
    Function {
        names: &["map_from_entries"],
        takes: |given| match given {
            [DataType::List(item)] if matches!(item.data_type(), DataType::Struct(f) if f.len() == 2) => {
                Ok(given.to_vec())
            }
            _ => usage("map_from_entries(array of structs of key and value)"),
        },
        gives: |given, _| match super::collections::item_of(&given[0]).data_type() {
            DataType::Struct(entry) => Ok(map_of(entry[0].data_type().clone(), entry[1].data_type().clone())),
            _ => usage("map_from_entries(array of structs of key and value)"),
        },
        run: |call| {
            from_rows(call, |row| {
                Ok(call.list(0, row).map(|list| {
                    let entry = list.as_struct();
                    (entry.column(0).clone(), entry.column(1).clone())
                }))
            })
        },
    },
    Function {
        names: &["map_from_arrays"],
        takes: |given| match given {
            [DataType::List(_), DataType::List(_)] => Ok(given.to_vec()),
            _ => usage("map_from_arrays(keys, values)"),
        },
        gives: |given, _| {
            let item = |list| super::collections::item_of(list).data_type().clone();
            Ok(map_of(item(&given[0]), item(&given[1])))
        },
        run: |call| from_rows(call, |row| Ok(call.list(0, row).zip(call.list(1, row)))),
    },
];

fn one_map(given: &[DataType], called: &str) -> Result<Vec<DataType>> {
    match given {
        [DataType::Map(_, _)] => Ok(given.to_vec()),
        _ => usage(called),
    }
}

/// Types of keys and values.
fn parts(map: &DataType) -> (DataType, DataType) {
    if let DataType::Map(entries, _) = map
        && let DataType::Struct(entry) = entries.data_type()
        && entry.len() == 2
    {
        return (entry[0].data_type().clone(), entry[1].data_type().clone());
    }
    (DataType::Null, DataType::Null)
}

/// A list of structs of `key` and `value`.
pub fn entries_type(entries: &FieldRef) -> DataType {
    match entries.data_type() {
        DataType::Struct(entry) if entry.len() == 2 => {
            let fields = vec![
                Field::new("key", entry[0].data_type().clone(), true),
                Field::new("value", entry[1].data_type().clone(), true),
            ];
            list_of(DataType::Struct(fields.into()))
        }
        other => list_of(other.clone()),
    }
}

fn column(call: &Call, index: usize) -> Result<ArrayRef> {
    let map = call.columns[0].as_map();
    let values = map.entries().column(index).clone();
    let item = super::collections::item_of(call.answer);
    Ok(Arc::new(ListArray::try_new(item, map.offsets().clone(), values, map.nulls().cloned())?))
}

/// Keys and values in pairs.
pub fn entries(call: &Call) -> Result<ArrayRef> {
    let map = call.columns[0].as_map();
    let item = super::collections::item_of(call.answer);
    let DataType::Struct(fields) = item.data_type().clone() else {
        return usage("map_entries(map)");
    };
    let values = StructArray::new(fields, map.entries().columns().to_vec(), None);
    Ok(Arc::new(ListArray::try_new(item, map.offsets().clone(), Arc::new(values), map.nulls().cloned())?))
}

/// Maps of so many entries each.
pub fn build(
    entries: &FieldRef,
    lengths: &[usize],
    nulls: Option<NullBuffer>,
    keys: ArrayRef,
    values: ArrayRef,
) -> Result<ArrayRef> {
    let DataType::Struct(fields) = entries.data_type() else {
        return exec_err!("a map without entries");
    };
    let pairs = StructArray::try_new(fields.clone(), vec![keys, values], None)?;
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, nulls, false)?))
}

/// Maps of each row's keys and values. A key that is null or there twice is an error.
fn from_rows(call: &Call, row: impl Fn(usize) -> Result<Option<(ArrayRef, ArrayRef)>>) -> Result<ArrayRef> {
    let DataType::Map(entries, _) = call.answer else {
        return exec_err!("a map was expected");
    };
    let rows = (0..call.rows).map(row).collect::<Result<Vec<_>>>()?;
    for (keys, items) in rows.iter().flatten() {
        if keys.null_count() > 0 || keys.len() != items.len() {
            return exec_err!("a key of a map is null, or has no value");
        }
        let bytes = values::rows_of(keys)?;
        for key in 1..keys.len() {
            if (0..key).any(|earlier| bytes.row(earlier) == bytes.row(key)) {
                return exec_err!("a key of a map is there twice");
            }
        }
    }
    let lengths: Vec<usize> = rows.iter().map(|row| row.as_ref().map_or(0, |(keys, _)| keys.len())).collect();
    let nulls = NullBuffer::from_iter(rows.iter().map(Option::is_some));
    let (key, value) = parts(call.answer);
    let joined = |data_type: &DataType, part: &dyn Fn(&(ArrayRef, ArrayRef)) -> ArrayRef| -> Result<ArrayRef> {
        let columns: Vec<ArrayRef> = rows.iter().flatten().map(part).collect();
        Ok(match columns.is_empty() {
            true => arrow::array::new_empty_array(data_type),
            false => arrow::compute::concat(&columns.iter().map(AsRef::as_ref).collect::<Vec<_>>())?,
        })
    };
    let keys = joined(&key, &|pair| pair.0.clone())?;
    let values = joined(&value, &|pair| pair.1.clone())?;
    build(entries, &lengths, Some(nulls), keys, values)
}

/// Per row the entry that has the key, counted over all rows.
fn places(call: &Call) -> Result<Vec<Option<u32>>> {
    let map = call.columns[0].as_map();
    let (keys, wanted) = (values::rows_of(map.keys())?, values::rows_of(&call.columns[1])?);
    let offsets = map.value_offsets();
    let place = |row: usize| {
        let known = map.is_valid(row) && call.columns[1].is_valid(row);
        let mut entries = offsets[row]..offsets[row + 1];
        known.then(|| entries.find(|entry| keys.row(*entry as usize) == wanted.row(row)).map(|entry| entry as u32))?
    };
    Ok((0..call.rows).map(place).collect())
}

/// The value of a key.
pub fn value_of(call: &Call) -> Result<ArrayRef> {
    Ok(take(call.columns[0].as_map().values(), &UInt32Array::from(places(call)?), None)?)
}
