//! Values as they are written in a test, as columns of their types; and rows as people read them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, MapArray, RecordBatch, RecordBatchOptions, StringArray,
    StructArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{CastOptions, cast, cast_with_options, concat};
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use braid_connect::type_words;
use braid_spec::did_you_mean;
use braid_spec::model::Told;

/// A value that does not fit its column.
#[derive(Debug)]
pub struct Misfit {
    /// Where it stands.
    pub path: String,
    pub message: String,
    pub hint: Option<String>,
}

/// A value and where it stands.
struct Cell<'a> {
    path: String,
    told: &'a Told,
}

/// Rows of these columns; what is left out is null. Each row is a map, and where it stands.
pub fn batch(schema: &SchemaRef, rows: &[(String, &Told)]) -> Result<RecordBatch, Vec<Misfit>> {
    let mut misfits = vec![];
    for (path, row) in rows {
        let Told::Map(cells) = row else { continue };
        for (name, _) in cells.iter().filter(|(name, _)| schema.field_with_name(name).is_err()) {
            let names = || schema.fields().iter().map(|field| field.name().as_str());
            let known: Vec<String> = names().map(|name| format!("`{name}`")).collect();
            misfits.push(Misfit {
                path: format!("{path}.{name}"),
                message: format!("there is no column `{name}`; there are {}", known.join(", ")),
                hint: did_you_mean(name, names()),
            });
        }
    }
    let columns = schema.fields().iter().map(|field| {
        let cells = rows.iter().map(|(path, row)| field_of(path, row, field.name()));
        column(&cells.collect::<Vec<_>>(), field.data_type(), &mut misfits)
    });
    let columns: Vec<ArrayRef> = columns.collect();
    if !misfits.is_empty() {
        return Err(misfits);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    // What is expected may leave out what is never null.
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new_with_options(schema, columns, &options).map_err(|error| {
        let path = rows.first().map_or_else(String::new, |(path, _)| path.clone());
        vec![Misfit { path, message: format!("these are no rows: {error}"), hint: None }]
    })
}

fn field_of<'a>(path: &str, map: &'a Told, name: &str) -> Cell<'a> {
    let told = match map {
        Told::Map(cells) => cells.iter().find(|(other, _)| other == name).map_or(&Told::Null, |(_, told)| told),
        _ => &Told::Null,
    };
    Cell { path: format!("{path}.{name}"), told }
}

/// A column. In the place of what does not fit is null, and a note.
fn column(cells: &[Cell<'_>], data_type: &DataType, misfits: &mut Vec<Misfit>) -> ArrayRef {
    let present = |fits: fn(&Told) -> bool| -> NullBuffer { cells.iter().map(|cell| fits(cell.told)).collect() };
    match data_type {
        DataType::List(item) => {
            let (mut inner, mut lengths) = (vec![], vec![]);
            for cell in cells {
                let items = match cell.told {
                    Told::List(items) => items.as_slice(),
                    other => {
                        unfit(cell, other, data_type, misfits);
                        &[]
                    }
                };
                let paths = (0..).map(|at| format!("{}[{at}]", cell.path));
                inner.extend(items.iter().zip(paths).map(|(told, path)| Cell { path, told }));
                lengths.push(items.len());
            }
            let values = column(&inner, item.data_type(), misfits);
            let nulls = present(|told| matches!(told, Told::List(_)));
            Arc::new(ListArray::new(item.clone(), OffsetBuffer::from_lengths(lengths), values, Some(nulls)))
        }
        DataType::Struct(fields) => {
            for cell in cells {
                match cell.told {
                    Told::Map(given) => {
                        for (name, _) in given.iter().filter(|(name, _)| fields.find(name).is_none()) {
                            let names = fields.iter().map(|field| field.name().as_str());
                            misfits.push(Misfit {
                                path: format!("{}.{name}", cell.path),
                                message: format!("there is no field `{name}` in {}", words(data_type)),
                                hint: did_you_mean(name, names),
                            });
                        }
                    }
                    other => unfit(cell, other, data_type, misfits),
                }
            }
            let columns = fields.iter().map(|field| {
                let inner: Vec<_> = cells.iter().map(|cell| field_of(&cell.path, cell.told, field.name())).collect();
                column(&inner, field.data_type(), misfits)
            });
            let columns: Vec<ArrayRef> = columns.collect();
            let nulls = present(|told| matches!(told, Told::Map(_)));
            Arc::new(StructArray::new(fields.clone(), columns, Some(nulls)))
        }
        DataType::Map(entries, ordered) => {
            let DataType::Struct(fields) = entries.data_type() else { return new_null_array(data_type, cells.len()) };
            let (mut keys, mut values, mut lengths) = (vec![], vec![], vec![]);
            for cell in cells {
                let given = match cell.told {
                    Told::Map(given) => given.as_slice(),
                    other => {
                        unfit(cell, other, data_type, misfits);
                        &[]
                    }
                };
                keys.extend(given.iter().map(|(key, _)| (format!("{}.{key}", cell.path), key_of(key, &fields[0]))));
                let inner = given.iter().map(|(key, told)| Cell { path: format!("{}.{key}", cell.path), told });
                values.extend(inner);
                lengths.push(given.len());
            }
            let keys: Vec<_> = keys.iter().map(|(path, told)| Cell { path: path.clone(), told }).collect();
            let keys = column(&keys, fields[0].data_type(), misfits);
            if keys.null_count() > 0 {
                return new_null_array(data_type, cells.len());
            }
            let values = column(&values, fields[1].data_type(), misfits);
            let pairs = StructArray::new(fields.clone(), vec![keys, values], None);
            let nulls = present(|told| matches!(told, Told::Map(_)));
            Arc::new(MapArray::new(entries.clone(), OffsetBuffer::from_lengths(lengths), pairs, Some(nulls), *ordered))
        }
        _ => {
            let leaves = cells.iter().map(|cell| {
                leaf(cell.told, data_type).unwrap_or_else(|(message, hint)| {
                    misfits.push(Misfit { path: cell.path.clone(), message, hint });
                    new_null_array(data_type, 1)
                })
            });
            let leaves: Vec<ArrayRef> = leaves.collect();
            let leaves: Vec<&dyn Array> = leaves.iter().map(|leaf| &**leaf).collect();
            match leaves.is_empty() {
                true => new_null_array(data_type, 0),
                false => concat(&leaves).unwrap_or_else(|_| new_null_array(data_type, cells.len())),
            }
        }
    }
}

/// A map's keys are text in YAML, whatever they are meant as.
fn key_of(key: &str, field: &arrow::datatypes::Field) -> Told {
    match field.data_type() {
        DataType::Boolean => Told::Flag(key == "true"),
        data_type if data_type.is_numeric() => Told::Number(key.to_owned()),
        _ => Told::Text(key.to_owned()),
    }
}

fn unfit(cell: &Cell<'_>, told: &Told, data_type: &DataType, misfits: &mut Vec<Misfit>) {
    if *told != Told::Null {
        let message = format!("here stands {}, and the column is {}", told.words(), words(data_type));
        misfits.push(Misfit { path: cell.path.clone(), message, hint: None });
    }
}

/// One value.
fn leaf(told: &Told, data_type: &DataType) -> Result<ArrayRef, (String, Option<String>)> {
    let wrong = |hint: Option<String>| {
        Err((format!("here stands {}, and the column is {}", told.words(), words(data_type)), hint))
    };
    let is_text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let text = match (told, data_type) {
        (Told::Null, _) => return Ok(new_null_array(data_type, 1)),
        (Told::Number(text), _) if is_text => return wrong(Some(format!("write \"{text}\" if it is meant as text"))),
        (Told::Flag(flag), _) if is_text => return wrong(Some(format!("write \"{flag}\" if it is meant as text"))),
        (Told::Flag(flag), DataType::Boolean) => flag.to_string(),
        (Told::Text(_) | Told::Number(_), DataType::Boolean) => return wrong(Some("write `true` or `false`".into())),
        (Told::Text(text), _) if data_type.is_floating() => match text.trim_start_matches(['.', '-', '+']) {
            "nan" | "NaN" => "NaN".into(),
            "inf" | "Inf" if text.starts_with('-') => "-inf".into(),
            "inf" | "Inf" => "inf".into(),
            _ => return wrong(None),
        },
        (Told::Text(text), _) if data_type.is_integer() => {
            let number = text.parse::<i128>().is_ok();
            return wrong(number.then(|| format!("write it without quotes: {text}")));
        }
        (Told::Text(text) | Told::Number(text), DataType::Decimal128(_, scale)) => {
            match digits(text).is_some_and(|digits| digits <= usize::from(scale.unsigned_abs())) {
                true => text.clone(),
                false => return wrong(Some(format!("write a number of at most {scale} digits behind the point"))),
            }
        }
        (Told::Number(text), DataType::Timestamp(TimeUnit::Millisecond, _)) => {
            let Ok(instant) = text.parse::<i64>() else { return wrong(None) };
            let instant = cast(&Int64Array::from(vec![instant]), data_type);
            return instant.map_err(|error| (error.to_string(), None));
        }
        (Told::Number(_), DataType::Timestamp(..) | DataType::Date32 | DataType::Binary) => return wrong(None),
        (Told::Text(text) | Told::Number(text), _) => text.clone(),
        (Told::Flag(_) | Told::List(_) | Told::Map(_), _) => return wrong(None),
    };
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    let read = cast_with_options(&StringArray::from(vec![text]), data_type, &options);
    let hint = match data_type {
        DataType::Timestamp(..) => Some("write an instant such as `2026-01-01 00:00:10`".to_owned()),
        DataType::Date32 => Some("write a day such as `2026-01-01`".to_owned()),
        _ => None,
    };
    read.or_else(|_| wrong(hint))
}

/// How many digits stand behind a number's point, but for zeros at the end.
fn digits(text: &str) -> Option<usize> {
    let (whole, behind) = text.trim_start_matches(['-', '+']).split_once('.').unwrap_or((text, ""));
    let number = |part: &str| part.trim_start_matches(['-', '+']).bytes().all(|byte| byte.is_ascii_digit());
    (number(whole) && number(behind) && !text.is_empty()).then(|| behind.trim_end_matches('0').len())
}

fn words(data_type: &DataType) -> String {
    type_words(data_type)
}

/// The rows of some columns as text: equal exactly where the values are.
pub fn shown(rows: &[RecordBatch], columns: &[String]) -> Vec<Vec<String>> {
    let mut all = vec![];
    for batch in rows {
        let columns: Vec<Option<&ArrayRef>> = columns.iter().map(|name| batch.column_by_name(name)).collect();
        all.extend((0..batch.num_rows()).map(|row| {
            let cells = columns.iter().map(|column| column.map_or_else(String::new, |column| value(column, row, true)));
            cells.collect::<Vec<_>>()
        }));
    }
    all
}

fn value(array: &ArrayRef, row: usize, outermost: bool) -> String {
    if array.is_null(row) {
        return "null".into();
    }
    let items = |items: &ArrayRef| {
        let items: Vec<String> = (0..items.len()).map(|at| value(items, at, false)).collect();
        items.join(", ")
    };
    match array.data_type() {
        DataType::Utf8 => text(array.as_string::<i32>().value(row), outermost),
        DataType::List(_) => format!("[{}]", items(&array.as_list::<i32>().value(row))),
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            let cells: Vec<String> =
                columns.map(|(field, column)| format!("{}: {}", field.name(), value(column, row, false))).collect();
            format!("{{{}}}", cells.join(", "))
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let mut pairs: Vec<String> = (0..entries.len())
                .map(|at| format!("{}: {}", value(keys, at, false), value(values, at, false)))
                .collect();
            // A map's entries have no order.
            pairs.sort();
            format!("{{{}}}", pairs.join(", "))
        }
        _ => {
            let instant = Some("%Y-%m-%d %H:%M:%S%.f");
            let options = FormatOptions::default().with_timestamp_format(instant).with_display_error(true);
            match ArrayFormatter::try_new(array.as_ref(), &options) {
                Ok(formatter) => formatter.value(row).to_string(),
                Err(error) => error.to_string(),
            }
        }
    }
}

/// Text is quoted where it could be taken for something else, or would spoil a line.
fn text(text: &str, outermost: bool) -> String {
    let odd = |c: char| c.is_control() || c == '"' || c == '|';
    let plain = outermost && !text.is_empty() && text != "null" && text.trim() == text && !text.contains(odd);
    if plain { text.to_owned() } else { format!("{text:?}") }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use arrow::datatypes::Field;

    use super::*;

    fn number(text: &str) -> Told {
        Told::Number(text.into())
    }

    fn text(text: &str) -> Told {
        Told::Text(text.into())
    }

    fn read(data_type: &DataType, told: &Told) -> Result<String, String> {
        let schema = Arc::new(Schema::new(vec![Field::new("c", data_type.clone(), false)]));
        let row = Told::Map(vec![("c".into(), told.clone())]);
        let read = batch(&schema, &[("r".into(), &row)]).map_err(|misfits| {
            let said = misfits.iter().map(|misfit| format!("{}: {} {:?}", misfit.path, misfit.message, misfit.hint));
            said.collect::<Vec<_>>().join("; ")
        })?;
        Ok(shown(&[read], &["c".into()]).remove(0).remove(0))
    }

    #[test]
    fn values_are_read_by_their_types() {
        let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
        let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
        let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true)));
        let cases = [
            (DataType::Int64, number("-7"), "-7"),
            (DataType::Float64, number("0.1"), "0.1"),
            (DataType::Float64, text(".nan"), "NaN"),
            (DataType::Decimal128(8, 2), number("3.5"), "3.50"),
            (DataType::Decimal128(8, 2), text("3.500"), "3.50"),
            (DataType::Utf8, text("null"), "\"null\""),
            (DataType::Utf8, Told::Null, "null"),
            (micros, text("2026-01-01 00:00:10.5"), "2026-01-01 00:00:10.500"),
            (millis.clone(), number("1767225600000"), "2026-01-01 00:00:00"),
            (DataType::Date32, text("2026-01-01"), "2026-01-01"),
            (DataType::Boolean, Told::Flag(true), "true"),
            (DataType::Binary, text("ab"), "6162"),
            (list.clone(), Told::List(vec![number("1"), Told::Null]), "[1, null]"),
            (list.clone(), Told::Null, "null"),
        ];
        for (data_type, told, wanted) in cases {
            assert_eq!(read(&data_type, &told).as_deref(), Ok(wanted), "{data_type} of {told:?}");
        }
        let unfit = [
            (DataType::Int64, number("1.5")),
            (DataType::Int64, text("1")),
            (DataType::Int32, number("3000000000")),
            (DataType::Decimal128(8, 2), number("3.555")),
            (DataType::Decimal128(4, 2), number("100.5")),
            (DataType::Utf8, number("5")),
            (DataType::Boolean, number("1")),
            (millis, text("soon")),
            (list, Told::List(vec![text("a")])),
        ];
        let said: HashSet<String> = unfit.iter().filter_map(|(data_type, told)| read(data_type, told).err()).collect();
        assert_eq!(said.len(), unfit.len(), "{said:#?}");
    }
}
