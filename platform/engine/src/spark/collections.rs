//! Functions of arrays and structs.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, UInt32Array, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{concat as join, take};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};

use super::scalar::{Call, Function, TEXT, usage};
use super::schema_text::list_of;
use super::values;

const LONG: DataType = DataType::Int64;
const INT: DataType = DataType::Int32;

/// The functions of this file.
pub const FUNCTIONS: &[Function] = &[
    Function {
        names: &["array_size"],
        takes: |given| one_list(given, 0, "array_size(array)"),
        gives: |_, _| Ok(INT),
        run: |call| call.ints(|row| Some(call.list(0, row)?.len() as i32)),
    },
    Function {
        names: &["size"],
        takes: |given| match given {
            [DataType::Map(_, _)] => Ok(given.to_vec()),
            _ => one_list(given, 0, "size(array or map)"),
        },
        gives: |_, _| Ok(INT),
        run: |call| match call.columns[0].data_type() {
            DataType::Map(_, _) => {
                let map = call.columns[0].as_map();
                call.ints(|row| map.is_valid(row).then(|| map.value_length(row)))
            }
            _ => call.ints(|row| Some(call.list(0, row)?.len() as i32)),
        },
    },
    Function {
        names: &["flatten"],
        takes: |given| match given {
            [DataType::List(item)] if matches!(item.data_type(), DataType::List(_)) => Ok(given.to_vec()),
            _ => usage("flatten(array of arrays)"),
        },
        gives: |given, _| Ok(item_of(&given[0]).data_type().clone()),
        run: |call| {
            lists(call, |row| {
                let Some(outer) = call.list(0, row).filter(|outer| outer.null_count() == 0) else {
                    return Ok(None);
                };
                let inner = outer.as_list::<i32>();
                let parts: Vec<ArrayRef> = (0..inner.len()).map(|item| inner.value(item)).collect();
                match parts.is_empty() {
                    true => Ok(Some(arrow::array::new_empty_array(item_of(call.answer).data_type()))),
                    false => Ok(Some(join(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?)),
                }
            })
        },
    },
    Function {
        names: &["get"],
        takes: |given| one_list(given, 1, "get(array, index)"),
        gives: |given, _| Ok(item_of(&given[0]).data_type().clone()),
        run: |call| picked(call, |list, index| usize::try_from(index).ok().filter(|index| *index < list.len()), false),
    },
    Function {
        names: &["array_index"],
        takes: |given| one_list(given, 1, "array[index]"),
        gives: |given, _| Ok(item_of(&given[0]).data_type().clone()),
        run: |call| picked(call, |list, index| usize::try_from(index).ok().filter(|index| *index < list.len()), true),
    },
    Function { names: &["element_at"], takes: element_types, gives: element_type, run: |call| element(call, true) },
    Function {
        names: &["try_element_at"],
        takes: element_types,
        gives: element_type,
        run: |call| element(call, false),
    },
    Function {
        names: &["sort_array"],
        takes: |given| match given {
            [DataType::List(_)] => Ok(given.to_vec()),
            [DataType::List(_), _] => Ok(vec![given[0].clone(), DataType::Boolean]),
            _ => usage("sort_array(array[, ascending])"),
        },
        gives: |given, _| Ok(given[0].clone()),
        run: |call| {
            lists(call, |row| {
                let Some(list) = call.list(0, row) else {
                    return Ok(None);
                };
                let ascending = !call.has(1) || call.truth(1, row).unwrap_or(true);
                values::sorted(&list, !ascending, ascending).map(Some)
            })
        },
    },
    Function {
        names: &["array_sort"],
        takes: |given| one_list(given, 0, "array_sort(array)"),
        gives: |given, _| Ok(given[0].clone()),
        run: |call| lists(call, |row| call.list(0, row).map(|list| values::sorted(&list, false, false)).transpose()),
    },
    Function {
        names: &["array_position"],
        takes: with_item,
        gives: |_, _| Ok(LONG),
        run: |call| {
            let wanted = values::rows_of(&call.columns[1])?;
            call.try_longs(|row| {
                let (Some(list), true) = (call.list(0, row), call.columns[1].is_valid(row)) else {
                    return Ok(None);
                };
                let rows = values::rows_of(&list)?;
                let found = (0..list.len()).position(|item| list.is_valid(item) && rows.row(item) == wanted.row(row));
                Ok(Some(found.map_or(0, |at| at as i64 + 1)))
            })
        },
    },
    Function {
        names: &["array_remove"],
        takes: with_item,
        gives: |given, _| Ok(given[0].clone()),
        run: |call| {
            let unwanted = values::rows_of(&call.columns[1])?;
            lists(call, |row| {
                let (Some(list), true) = (call.list(0, row), call.columns[1].is_valid(row)) else {
                    return Ok(None);
                };
                let rows = values::rows_of(&list)?;
                let kept = (0..list.len()).filter(|item| list.is_null(*item) || rows.row(*item) != unwanted.row(row));
                taken(&list, kept).map(Some)
            })
        },
    },
    Function {
        names: &["arrays_overlap"],
        takes: |given| match given {
            [DataType::List(_), DataType::List(_)] => Ok(vec![given[0].clone(); 2]),
            _ => usage("arrays_overlap(array, array)"),
        },
        gives: |_, _| Ok(DataType::Boolean),
        run: |call| {
            let mut found = Vec::with_capacity(call.rows);
            for row in 0..call.rows {
                found.push(match (call.list(0, row), call.list(1, row)) {
                    (Some(left), Some(right)) => overlap(&left, &right)?,
                    _ => None,
                });
            }
            call.truths(|row| found[row])
        },
    },
    Function {
        names: &["array_insert"],
        takes: |given| match given {
            [list @ DataType::List(item), _, _] => Ok(vec![list.clone(), LONG, item.data_type().clone()]),
            _ => usage("array_insert(array, position, value)"),
        },
        gives: |given, _| Ok(given[0].clone()),
        run: |call| {
            lists(call, |row| {
                let (Some(list), Some(position)) = (call.list(0, row), call.long(1, row)) else {
                    return Ok(None);
                };
                let at = match position {
                    0 => return exec_err!("positions of arrays begin with 1"),
                    1.. => position as usize - 1,
                    _ => (list.len() as i64 + position + 1).max(0) as usize,
                };
                let (before, after) = (at.min(list.len()), list.len() - at.min(list.len()));
                let gap = new_null_array(list.data_type(), (at - before).min(super::sequence::ITEMS_MAX));
                let item = call.columns[2].slice(row, 1);
                let parts = [list.slice(0, before), gap, item, list.slice(before, after)];
                Ok(Some(join(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?))
            })
        },
    },
    Function {
        names: &["array_join"],
        takes: |given| match given {
            [DataType::List(_), _] => Ok(vec![list_of(TEXT), TEXT]),
            [DataType::List(_), _, _] => Ok(vec![list_of(TEXT), TEXT, TEXT]),
            _ => usage("array_join(array, delimiter[, in place of null])"),
        },
        gives: |_, _| Ok(TEXT),
        run: |call| {
            call.texts(|row| {
                let (list, delimiter) = (call.list(0, row)?, call.text(1, row)?);
                let list = list.as_string::<i32>();
                let null = if call.has(2) { Some(call.text(2, row)?) } else { None };
                let parts = list.iter().filter_map(|item| item.or(null));
                Some(parts.collect::<Vec<_>>().join(delimiter))
            })
        },
    },
    Function {
        names: &["struct"],
        takes: |given| Ok(given.to_vec()),
        gives: |given, _| {
            let fields = given.iter().enumerate();
            let fields = fields.map(|(index, given)| Field::new(format!("col{}", index + 1), given.clone(), true));
            Ok(DataType::Struct(fields.collect()))
        },
        run: |call| match call.answer {
            DataType::Struct(fields) if !fields.is_empty() => {
                Ok(Arc::new(StructArray::new(fields.clone(), call.columns.to_vec(), None)) as ArrayRef)
            }
            _ => exec_err!("a struct without fields"),
        },
    },
    Function {
        names: &["field_at"],
        takes: |given| match given {
            [DataType::Struct(_), _] => Ok(vec![given[0].clone(), LONG]),
            [DataType::List(_), _] => Ok(vec![given[0].clone(), LONG]),
            _ => plan_err!("several columns come only of structs, maps, and arrays with positions"),
        },
        gives: |given, literals| match (&given[0], literals.get(1)) {
            (DataType::Struct(fields), Some(Some(ScalarValue::Int64(Some(index))))) => {
                match fields.get(usize::try_from(*index).unwrap_or(usize::MAX)) {
                    Some(field) => Ok(field.data_type().clone()),
                    None => plan_err!("there are {} columns, and more names", fields.len()),
                }
            }
            (DataType::List(item), _) => Ok(item.data_type().clone()),
            _ => plan_err!("a field is named by its position"),
        },
        run: |call| match call.columns[0].data_type() {
            DataType::List(_) => {
                picked(call, |list, index| (index < list.len() as i64).then_some(index as usize), false)
            }
            _ => {
                let index = call.long(1, 0).unwrap_or(0) as usize;
                let parent = call.columns[0].as_struct();
                masked(parent.column(index), parent.nulls())
            }
        },
    },
    Function {
        names: &["list_fields"],
        takes: |given| match given {
            [DataType::List(item), _] if matches!(item.data_type(), DataType::Struct(_)) => {
                Ok(vec![given[0].clone(), TEXT])
            }
            _ => usage("array.field, of an array of structs"),
        },
        gives: |given, literals| match (item_of(&given[0]).data_type(), literals.get(1)) {
            (DataType::Struct(fields), Some(Some(ScalarValue::Utf8(Some(name))))) => {
                match fields.iter().find(|field| field.name().eq_ignore_ascii_case(name)) {
                    Some(field) => Ok(list_of(field.data_type().clone())),
                    None => plan_err!("the structs have no field `{name}`"),
                }
            }
            _ => plan_err!("a field is named by a literal"),
        },
        run: |call| {
            let list = call.columns[0].as_list::<i32>();
            let name = call.text(1, 0).unwrap_or_default();
            let structs = list.values().as_struct();
            let fields = structs.fields().iter();
            let Some(index) = fields.clone().position(|field| field.name().eq_ignore_ascii_case(name)) else {
                return exec_err!("the structs have no field `{name}`");
            };
            let values = masked(structs.column(index), structs.nulls())?;
            rebuilt(call.answer, list.offsets().clone(), values, list.nulls().cloned())
        },
    },
    Function {
        names: &["list_entries"],
        takes: |given| match given {
            [DataType::List(_) | DataType::Map(_, _)] => Ok(given.to_vec()),
            _ => usage("posexplode(array or map)"),
        },
        gives: |given, _| {
            let position = Field::new("pos", INT, false);
            let fields = match &given[0] {
                DataType::Map(entries, _) => match entries.data_type() {
                    DataType::Struct(entry) => vec![
                        position,
                        Field::new("key", entry[0].data_type().clone(), true),
                        Field::new("value", entry[1].data_type().clone(), true),
                    ],
                    _ => return usage("posexplode(map)"),
                },
                list => vec![position, Field::new("col", item_of(list).data_type().clone(), true)],
            };
            Ok(list_of(DataType::Struct(fields.into())))
        },
        run: entries,
    },
    Function {
        names: &["map_or_array_items"],
        takes: |given| match given {
            [DataType::List(_) | DataType::Map(_, _)] => Ok(given.to_vec()),
            _ => usage("explode(array or map)"),
        },
        gives: |given, _| match &given[0] {
            DataType::Map(entries, _) => Ok(super::maps::entries_type(entries)),
            list => Ok(list.clone()),
        },
        run: |call| match call.columns[0].data_type() {
            DataType::Map(_, _) => super::maps::entries(call),
            _ => Ok(call.columns[0].clone()),
        },
    },
    Function {
        names: &["items_or_null"],
        takes: |given| one_list(given, 0, "explode_outer(array)"),
        gives: |given, _| Ok(given[0].clone()),
        run: |call| {
            lists(call, |row| match call.list(0, row) {
                Some(list) if !list.is_empty() => Ok(Some(list)),
                _ => Ok(Some(new_null_array(item_of(call.answer).data_type(), 1))),
            })
        },
    },
    Function {
        names: &["zipped"],
        takes: |given| {
            let pairs = given.chunks(2).all(|pair| matches!(pair, [_, DataType::List(_)]));
            if pairs && !given.is_empty() { Ok(given.to_vec()) } else { usage("arrays_zip(array, …)") }
        },
        gives: |given, literals| {
            let pairs = given.chunks(2).zip(literals.chunks(2));
            let fields = pairs.map(|(given, literals)| {
                let name = match literals.first() {
                    Some(Some(ScalarValue::Utf8(Some(name)))) => name.clone(),
                    _ => "0".to_owned(),
                };
                Field::new(name, item_of(&given[1]).data_type().clone(), true)
            });
            Ok(list_of(DataType::Struct(fields.collect())))
        },
        run: |call| {
            let DataType::Struct(fields) = item_of(call.answer).data_type().clone() else {
                return usage("arrays_zip(array, …)");
            };
            lists(call, |row| {
                let rows = (1..call.columns.len()).step_by(2).map(|index| call.list(index, row));
                let Some(rows) = rows.collect::<Option<Vec<_>>>() else {
                    return Ok(None);
                };
                let longest = rows.iter().map(|list| list.len()).max().unwrap_or(0);
                let columns = rows.iter().map(|list| {
                    let rest = new_null_array(list.data_type(), longest - list.len());
                    join(&[list.as_ref(), rest.as_ref()])
                });
                let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
                Ok(Some(Arc::new(StructArray::new(fields.clone(), columns, None)) as ArrayRef))
            })
        },
    },
];

/// The field of a list's items.
pub fn item_of(list: &DataType) -> FieldRef {
    match list {
        DataType::List(item) => item.clone(),
        _ => Arc::new(Field::new_list_field(DataType::Null, true)),
    }
}

fn one_list(given: &[DataType], numbers: usize, called: &str) -> Result<Vec<DataType>> {
    match given.split_first() {
        Some((list @ DataType::List(_), rest)) if rest.len() == numbers => {
            Ok([vec![list.clone()], vec![LONG; numbers]].concat())
        }
        Some((DataType::Null, rest)) if rest.len() == numbers => {
            Ok([vec![list_of(DataType::Null)], vec![LONG; numbers]].concat())
        }
        _ => usage(called),
    }
}

fn with_item(given: &[DataType]) -> Result<Vec<DataType>> {
    match given {
        [list @ DataType::List(item), _] => Ok(vec![list.clone(), item.data_type().clone()]),
        _ => usage("array_position(array, value), array_remove(array, value)"),
    }
}

fn rebuilt(
    answer: &DataType,
    offsets: OffsetBuffer<i32>,
    values: ArrayRef,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    Ok(Arc::new(ListArray::try_new(item_of(answer), offsets, values, nulls)?))
}

/// A child's values, null where the parent is.
pub fn masked(child: &ArrayRef, parent: Option<&NullBuffer>) -> Result<ArrayRef> {
    let Some(parent) = parent else {
        return Ok(child.clone());
    };
    let gone = arrow::array::BooleanArray::new(!parent.inner(), None);
    Ok(arrow::compute::nullif(child, &gone)?)
}

/// A list of each row's items.
pub fn lists(call: &Call, row: impl Fn(usize) -> Result<Option<ArrayRef>>) -> Result<ArrayRef> {
    let item = item_of(call.answer);
    let rows = (0..call.rows).map(row).collect::<Result<Vec<_>>>()?;
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| row.as_ref().map_or(0, |row| row.len())));
    let nulls = NullBuffer::from_iter(rows.iter().map(Option::is_some));
    let parts: Vec<ArrayRef> = rows
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .map(|part| {
            if part.data_type() == item.data_type() { Ok(part) } else { arrow::compute::cast(&part, item.data_type()) }
        })
        .collect::<std::result::Result<_, _>>()?;
    let values = match parts.is_empty() {
        true => arrow::array::new_empty_array(item.data_type()),
        false => join(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?,
    };
    rebuilt(call.answer, offsets, values, Some(nulls))
}

fn taken(list: &ArrayRef, items: impl Iterator<Item = usize>) -> Result<ArrayRef> {
    Ok(take(list, &UInt32Array::from_iter_values(items.map(|item| item as u32)), None)?)
}

/// Lists turned around.
pub fn reverse(call: &Call) -> Result<ArrayRef> {
    lists(call, |row| call.list(0, row).map(|list| taken(&list, (0..list.len()).rev())).transpose())
}

/// Lists one after the other.
pub fn concat(call: &Call) -> Result<ArrayRef> {
    lists(call, |row| {
        let parts = (0..call.columns.len()).map(|index| call.list(index, row)).collect::<Option<Vec<_>>>();
        match parts {
            Some(parts) => Ok(Some(join(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?)),
            None => Ok(None),
        }
    })
}

/// One item of each list, at the place that is found for the index.
fn picked(call: &Call, place: impl Fn(&ArrayRef, i64) -> Option<usize>, strict: bool) -> Result<ArrayRef> {
    let list = call.columns[0].as_list::<i32>();
    let mut items = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let (Some(values), Some(index)) = (call.list(0, row), call.long(1, row)) else {
            items.push(None);
            continue;
        };
        match place(&values, index) {
            Some(place) => items.push(Some(list.value_offsets()[row] as u32 + place as u32)),
            None if strict => return exec_err!("the array has {} items, and none at {index}", values.len()),
            None => items.push(None),
        }
    }
    Ok(take(list.values(), &UInt32Array::from(items), None)?)
}

fn element_types(given: &[DataType]) -> Result<Vec<DataType>> {
    match given {
        [map @ DataType::Map(entries, _), _] => match entries.data_type() {
            DataType::Struct(entry) => Ok(vec![map.clone(), entry[0].data_type().clone()]),
            _ => usage("element_at(map, key)"),
        },
        _ => one_list(given, 1, "element_at(array, position) or element_at(map, key)"),
    }
}

fn element_type(given: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    match &given[0] {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(entry) => Ok(entry[1].data_type().clone()),
            other => Ok(other.clone()),
        },
        list => Ok(item_of(list).data_type().clone()),
    }
}

fn element(call: &Call, strict: bool) -> Result<ArrayRef> {
    if let DataType::Map(_, _) = call.columns[0].data_type() {
        return super::maps::value_of(call);
    }
    if (0..call.rows).any(|row| call.long(1, row) == Some(0) && call.columns[0].is_valid(row)) {
        return exec_err!("positions of arrays begin with 1");
    }
    let place = |list: &ArrayRef, position: i64| {
        let index = if position > 0 { position - 1 } else { list.len() as i64 + position };
        usize::try_from(index).ok().filter(|index| *index < list.len())
    };
    picked(call, place, strict)
}

/// Whether two lists have an item in common; unknown where only a null could be one.
fn overlap(left: &ArrayRef, right: &ArrayRef) -> Result<Option<bool>> {
    let (a, b) = (values::rows_of(left)?, values::rows_of(right)?);
    let common = (0..left.len()).any(|i| {
        left.is_valid(i) && (0..right.len()).any(|j| right.is_valid(j) && a.row(i).as_ref() == b.row(j).as_ref())
    });
    let nulls = (left.null_count() > 0 || right.null_count() > 0) && !left.is_empty() && !right.is_empty();
    Ok(if common {
        Some(true)
    } else if nulls {
        None
    } else {
        Some(false)
    })
}

/// Each item with its position; of a map, position, key and value.
fn entries(call: &Call) -> Result<ArrayRef> {
    let DataType::Struct(fields) = item_of(call.answer).data_type().clone() else {
        return usage("posexplode(array or map)");
    };
    lists(call, |row| {
        let parts: Vec<ArrayRef> = match call.columns[0].data_type() {
            DataType::Map(_, _) => {
                let map = call.columns[0].as_map();
                if map.is_null(row) {
                    return Ok(None);
                }
                map.value(row).columns().to_vec()
            }
            _ => match call.list(0, row) {
                Some(list) => vec![list],
                None => return Ok(None),
            },
        };
        let positions: ArrayRef = Arc::new(arrow::array::Int32Array::from_iter_values(0..parts[0].len() as i32));
        let columns = [vec![positions], parts].concat();
        Ok(Some(Arc::new(StructArray::new(fields.clone(), columns, None)) as ArrayRef))
    })
}
