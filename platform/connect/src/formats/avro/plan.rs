//! How data of one Avro schema become columns: the writer's schema, matched once with the columns that are wanted.
//!
//! Avro's rules of resolution hold: fields by name or alias, in any order; those that nobody asked for are passed over; those
//! that are not there are their default, or null; numbers are promoted. Beyond them, a whole number may become a smaller
//! one where it fits, an enum is text, and what the columns say stands in for a reader's schema where there is none.

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use super::datum::encode;
use super::schema::{DEPTH_MAX, NODES_MAX, Record, RecordField, Schema};
use crate::formats::tree::cells;

/// How one value is read. What does not fit is said when such a value is met: a union may never take that branch.
#[derive(Debug)]
pub(super) enum Step {
    Null,
    Bool,
    /// An int or a long, as it is.
    Whole,
    /// An int or a long, times or by a number.
    Scaled {
        times: i64,
        over: i64,
    },
    Float,
    Double,
    /// Bytes or a string, into bytes or text.
    Bytes,
    Fixed(usize),
    Uuid,
    /// A decimal of this many bytes, or as many as it says, times or by a number; or a whole number as a decimal.
    Decimal {
        size: Size,
        times: i128,
        over: i128,
    },
    Enum(Vec<Result<Box<str>, String>>),
    Array {
        item: Box<Self>,
        cells: usize,
    },
    Map {
        value: Box<Self>,
        cells: usize,
    },
    Record {
        fields: Vec<FieldStep>,
        absent: Vec<(usize, Absent)>,
    },
    Union(Vec<Self>),
    /// A union of several types, each with a field of its own.
    Members(Vec<(Option<usize>, Self)>),
    Wrong(String),
}

impl Step {
    /// Why these columns never have their values from the only writer that there is, if so.
    pub(super) fn problem(&self, columns: &Fields) -> Option<String> {
        match self {
            Self::Wrong(reason) => Some(reason.clone()),
            Self::Array { item: inner, .. } | Self::Map { value: inner, .. } => inner.problem(&Fields::empty()),
            Self::Union(branches) => {
                let mut problems = branches.iter().filter(|branch| !matches!(branch, Self::Null));
                let first = problems.next()?.problem(columns)?;
                problems.all(|branch| branch.problem(columns).is_some()).then_some(first)
            }
            Self::Record { fields, absent } => {
                let missing = absent.iter().find_map(|(to, _)| columns.get(*to));
                let names = || fields.iter().map(|field| format!("`{}`", field.name)).collect::<Vec<_>>().join(", ");
                if let Some(column) = missing {
                    return Some(format!("the Avro schema has no field `{}`, but {}", column.name(), names()));
                }
                fields.iter().find_map(|field| {
                    let Wanted::To(_, step) = &field.what else { return None };
                    Some(format!("`{}`: {}", field.name, step.problem(&Fields::empty())?))
                })
            }
            _ => None,
        }
    }
}

/// How a decimal stands in the data.
#[derive(Debug, Clone, Copy)]
pub(super) enum Size {
    /// With its length before it.
    Told,
    Bytes(usize),
    /// It is an int or a long.
    Whole,
}

/// A field of the writer's.
#[derive(Debug)]
pub(super) struct FieldStep {
    pub(super) name: Box<str>,
    pub(super) what: Wanted,
}

/// What becomes of it.
#[derive(Debug)]
pub(super) enum Wanted {
    /// It goes to this field.
    To(usize, Step),
    Not(Skip),
}

/// A field that the writer does not have.
#[derive(Debug)]
pub(super) enum Absent {
    Null,
    /// The reader's default, as the data of this plan.
    Default(Vec<u8>, Step),
    Wrong(String),
}

/// How a value is passed over.
#[derive(Debug)]
pub(super) enum Skip {
    Bytes(usize),
    Varint,
    /// With a length before it.
    Long,
    Blocks(Box<Self>),
    Record(Vec<Self>),
    Union(Vec<Self>),
    Wrong(String),
}

/// Makes plans, none of which grows without end.
pub(super) struct Planner {
    nodes: usize,
}

/// Plans how records of one schema become rows.
pub(super) fn plan(writer: &Schema, reader: Option<&Schema>, columns: &Fields) -> Step {
    let (writer, reader) = (writer.clone().row(), reader.cloned().map(Schema::row));
    Planner { nodes: 0 }.step(&writer, reader.as_ref(), &DataType::Struct(columns.clone()), 0)
}

/// Plans how data of a schema are passed over.
pub(super) fn skip(writer: &Schema) -> Skip {
    Planner { nodes: 0 }.skip(&writer.clone().row(), 0)
}

fn wrong(writer: &Schema, to: &DataType) -> Step {
    Step::Wrong(format!("{} is no {}", writer.name(), crate::formats::words(to)))
}

impl Planner {
    fn too_much(&mut self, depth: usize) -> Option<String> {
        self.nodes += 1;
        (depth > DEPTH_MAX || self.nodes > NODES_MAX).then(|| "the Avro schema nests too deeply, or too often".into())
    }

    fn step(&mut self, writer: &Schema, reader: Option<&Schema>, to: &DataType, depth: usize) -> Step {
        if let Some(reason) = self.too_much(depth) {
            return Step::Wrong(reason);
        }
        let whole = |per_unit: Option<(i64, i64)>| match per_unit {
            Some((times, over)) => Step::Scaled { times, over },
            None => Step::Whole,
        };
        match (writer, to) {
            (Schema::Null, _) => Step::Null,
            (Schema::Union(branches), _) => self.union(branches, reader, to, depth),
            (Schema::Bool, DataType::Boolean) => Step::Bool,
            (Schema::Date, DataType::Date32 | DataType::Int32)
            | (Schema::Int | Schema::Date, DataType::Int64 | DataType::Float32 | DataType::Float64)
            | (Schema::Int, DataType::Int8 | DataType::Int16 | DataType::Int32)
            | (
                Schema::Long,
                DataType::Int8
                | DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::Float32
                | DataType::Float64,
            )
            | (Schema::Time { .. }, DataType::Int64)
            // As in JSON, a number may stand for milliseconds.
            | (Schema::Long, DataType::Timestamp(TimeUnit::Millisecond, _)) => whole(None),
            (Schema::Time { per_second }, DataType::Timestamp(unit, _)) => {
                let ours = if *unit == TimeUnit::Millisecond { 1000 } else { 1_000_000 };
                whole((ours != *per_second).then(|| ((ours / per_second).max(1), (per_second / ours).max(1))))
            }
            (Schema::Float, DataType::Float32 | DataType::Float64) => Step::Float,
            (Schema::Double, DataType::Float64) => Step::Double,
            (Schema::Bytes | Schema::String, DataType::Binary | DataType::Utf8) => Step::Bytes,
            (Schema::Fixed(size), DataType::Binary) => Step::Fixed(*size),
            (Schema::Uuid, DataType::Binary) => Step::Fixed(16),
            (Schema::Uuid, DataType::Utf8) => Step::Uuid,
            (Schema::Int | Schema::Long, DataType::Decimal128(_, scale)) => decimal(Size::Whole, 0, *scale),
            (Schema::Decimal { scale, size, .. }, DataType::Decimal128(_, ours)) => {
                decimal(size.map_or(Size::Told, Size::Bytes), *scale, *ours)
            }
            (Schema::Decimal { size, .. }, DataType::Binary) => size.map_or(Step::Bytes, Step::Fixed),
            (Schema::Enum(writer), DataType::Utf8) => {
                let readers = match arm(reader, |schema| matches!(schema, Schema::Enum(_))) {
                    Some(Schema::Enum(reader)) => Some(reader.clone()),
                    _ => None,
                };
                let symbols = writer.symbols.iter().map(|symbol| match &readers {
                    Some(reader) if !reader.symbols.contains(symbol) => match &reader.default {
                        Some(default) => Ok(default.as_str().into()),
                        None => Err(format!("`{symbol}` is no symbol of the reader's enum")),
                    },
                    _ => Ok(symbol.as_str().into()),
                });
                Step::Enum(symbols.collect())
            }
            (Schema::Array(items), DataType::List(of)) => {
                let reader = arm(reader, |schema| matches!(schema, Schema::Array(_)));
                let reader = reader.and_then(|schema| if let Schema::Array(items) = schema { Some(&**items) } else { None });
                let item = Box::new(self.step(items, reader, of.data_type(), depth + 1));
                Step::Array { item, cells: cells(of.data_type()) }
            }
            (Schema::Map(values), DataType::Map(entries, _)) => {
                let reader = arm(reader, |schema| matches!(schema, Schema::Map(_)));
                let reader = reader.and_then(|schema| if let Schema::Map(values) = schema { Some(&**values) } else { None });
                let DataType::Struct(parts) = entries.data_type() else { return wrong(writer, to) };
                let [key, value] = &parts[..] else { return wrong(writer, to) };
                if key.data_type() != &DataType::Utf8 {
                    return Step::Wrong("the keys of Avro's maps are strings".into());
                }
                let of = value.data_type();
                let value = Box::new(self.step(values, reader, of, depth + 1));
                Step::Map { value, cells: 1 + cells(of) }
            }
            (Schema::Record(record), DataType::Struct(columns)) => self.record(record, reader, columns, depth),
            _ => wrong(writer, to),
        }
    }

    fn union(&mut self, branches: &[Schema], reader: Option<&Schema>, to: &DataType, depth: usize) -> Step {
        let several = branches.iter().filter(|branch| **branch != Schema::Null).count() > 1;
        if several
            && let DataType::Struct(fields) = to
            && fields.iter().all(|field| field.name().starts_with("member"))
        {
            let mut number = 0;
            let members = branches.iter().map(|branch| {
                if *branch == Schema::Null {
                    return (None, Step::Null);
                }
                let name = format!("member{number}");
                number += 1;
                match fields.find(&name) {
                    Some((index, field)) => (Some(index), self.step(branch, None, field.data_type(), depth + 1)),
                    None => (None, Step::Wrong(format!("a union's branch has no column `{name}`"))),
                }
            });
            return Step::Members(members.collect());
        }
        Step::Union(branches.iter().map(|branch| self.step(branch, reader, to, depth + 1)).collect())
    }

    fn record(&mut self, record: &Record, reader: Option<&Schema>, columns: &Fields, depth: usize) -> Step {
        let reader = match arm(reader, |schema| matches!(schema, Schema::Record(_))) {
            Some(Schema::Record(reader)) => Some(&**reader),
            _ => None,
        };
        let in_reader = |column: &Field| reader.and_then(|it| it.fields.iter().find(|f| &f.name == column.name()));
        let of_writer = |column: &Field| {
            let by_name = record.fields.iter().position(|field| &field.name == column.name());
            by_name.or_else(|| {
                let aliases = &in_reader(column)?.aliases;
                record.fields.iter().position(|field| aliases.contains(&field.name))
            })
        };
        let sources: Vec<Option<usize>> = columns.iter().map(|column| of_writer(column)).collect();
        let fields = record.fields.iter().enumerate().map(|(index, field)| {
            let what = match sources.iter().position(|source| *source == Some(index)) {
                Some(to) => {
                    let reader = in_reader(&columns[to]).map(|field| &field.schema);
                    Wanted::To(to, self.step(&field.schema, reader, columns[to].data_type(), depth + 1))
                }
                None => Wanted::Not(self.skip(&field.schema, depth + 1)),
            };
            FieldStep { name: field.name.as_str().into(), what }
        });
        let fields: Vec<FieldStep> = fields.collect();
        let taken: Vec<usize> = fields
            .iter()
            .filter_map(|field| if let Wanted::To(to, _) = field.what { Some(to) } else { None })
            .collect();
        let absent = columns.iter().enumerate().filter(|(to, _)| !taken.contains(to));
        let absent: Vec<(usize, &Field)> = absent.map(|(to, column)| (to, column.as_ref())).collect();
        let absent =
            absent.into_iter().map(|(to, column)| (to, self.absent(in_reader(column), column, depth + 1))).collect();
        Step::Record { fields, absent }
    }

    fn absent(&mut self, reader: Option<&RecordField>, column: &Field, depth: usize) -> Absent {
        let Some(field) = reader else { return Absent::Null };
        let Some(default) = &field.default else {
            return match &field.schema {
                Schema::Null => Absent::Null,
                Schema::Union(branches) if branches.contains(&Schema::Null) => Absent::Null,
                _ => Absent::Wrong("the writer has no such field, and the reader's schema no default".into()),
            };
        };
        let mut bytes = vec![];
        match encode(default, &field.schema, &mut bytes) {
            Ok(()) => Absent::Default(bytes, self.step(&field.schema, None, column.data_type(), depth + 1)),
            Err(reason) => Absent::Wrong(format!("its default `{default}` is wrong: {reason}")),
        }
    }

    fn skip(&mut self, writer: &Schema, depth: usize) -> Skip {
        if let Some(reason) = self.too_much(depth) {
            return Skip::Wrong(reason);
        }
        match writer {
            Schema::Null => Skip::Bytes(0),
            Schema::Bool => Skip::Bytes(1),
            Schema::Int | Schema::Date | Schema::Long | Schema::Time { .. } | Schema::Enum(_) => Skip::Varint,
            Schema::Float => Skip::Bytes(4),
            Schema::Double => Skip::Bytes(8),
            Schema::Bytes | Schema::String | Schema::Decimal { size: None, .. } => Skip::Long,
            Schema::Fixed(size) | Schema::Decimal { size: Some(size), .. } => Skip::Bytes(*size),
            Schema::Uuid => Skip::Bytes(16),
            Schema::Array(items) => Skip::Blocks(Box::new(self.skip(items, depth + 1))),
            Schema::Map(values) => {
                let entry = vec![Skip::Long, self.skip(values, depth + 1)];
                Skip::Blocks(Box::new(Skip::Record(entry)))
            }
            Schema::Union(branches) => {
                Skip::Union(branches.iter().map(|branch| self.skip(branch, depth + 1)).collect())
            }
            Schema::Record(record) => {
                Skip::Record(record.fields.iter().map(|field| self.skip(&field.schema, depth + 1)).collect())
            }
            Schema::Recursive(name) => Skip::Wrong(format!("`{name}` holds itself, which is not passed over")),
        }
    }
}

/// What the reader's schema says where the writer has such a type: its branch, if it is a union.
fn arm(reader: Option<&Schema>, like: impl Fn(&Schema) -> bool) -> Option<&Schema> {
    match reader? {
        Schema::Union(branches) => branches.iter().find(|branch| like(branch)),
        one => Some(one).filter(|one| like(one)),
    }
}

fn decimal(size: Size, theirs: u8, ours: i8) -> Step {
    let up = i32::from(ours) - i32::from(theirs);
    let power = |digits: i32| 10_i128.checked_pow(digits.max(0).unsigned_abs());
    match (power(up), power(-up)) {
        (Some(times), Some(over)) => Step::Decimal { size, times, over },
        _ => Step::Wrong("the scales of the decimals are too far apart".into()),
    }
}
