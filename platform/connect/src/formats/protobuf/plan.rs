//! How a Protobuf message becomes a row: its descriptor, matched once with the columns that are wanted. Types are Spark's.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field as Column, Fields, TimeUnit};
use braid_spec::model;
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Syntax, Value};

use crate::formats::avro::schema::map_of;
use crate::formats::tree::cells;

/// The deepest nesting of messages that columns have.
const DEPTH_MAX: usize = 32;
/// The most fields, nested ones too, that a message may come to.
const NODES_MAX: usize = 20_000;

/// How a message is read.
#[derive(Debug)]
pub(super) struct Message {
    /// Ascending by number.
    pub(super) fields: Vec<Field>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) name: Box<str>,
    /// Its column.
    pub(super) to: usize,
    pub(super) what: What,
    pub(super) many: Many,
    /// Which of the message's choices it is one of.
    pub(super) oneof: Option<usize>,
    pub(super) required: bool,
    /// Whether zero and not being there are one, and both are null.
    pub(super) zero_is_null: bool,
    /// What stands for it where it is not there.
    pub(super) default: Option<Scalar>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Many {
    One,
    List { cells: usize },
    Map { cells: usize },
}

/// What one value is.
#[derive(Debug)]
pub(super) enum What {
    /// On the wire a number of 64 bits, made a whole number of the column so.
    Number(Number),
    Bool,
    Float,
    Double,
    Bytes,
    Enum(Names),
    Message(Box<Message>),
    /// A `google.protobuf.Timestamp`, in this many units a second.
    Timestamp {
        per_second: i64,
    },
    /// A wrapper of a value, taken out of it.
    Wrapped(Box<Self>),
    /// A map's entry.
    Entry(Box<Self>, Box<Self>),
}

/// How a number on the wire is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) wire: Wire,
    pub(super) sign: Sign,
    /// Whether the column is a decimal.
    pub(super) decimal: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Varint,
    Fixed32,
    Fixed64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// 32 bits, with a sign.
    Narrow,
    Wide,
    ZigZag,
    /// Without a sign, of 32 or 64 bits.
    None {
        bits: u8,
    },
}

/// The symbols of an enum by number.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) names: Vec<(i32, Box<str>)>,
    pub(super) of: Box<str>,
    /// A number that it has not is as if it were not there; otherwise it has a name of its own.
    pub(super) closed: bool,
}

/// A value that a schema says.
#[derive(Debug, Clone)]
pub(super) enum Scalar {
    Whole(i64),
    Decimal(i128),
    Bool(bool),
    Float(f32),
    Double(f64),
    Bytes(Vec<u8>),
}

/// Makes columns and plans, none of which grows without end.
pub(super) struct Planner<'a> {
    options: &'a model::Protobuf,
    /// The messages that the one at hand is in.
    above: Vec<String>,
    nodes: usize,
}

/// The columns of a message.
pub(super) fn columns(message: &MessageDescriptor, options: &model::Protobuf) -> Result<Fields, String> {
    let fields = Planner { options, above: vec![], nodes: 0 }.columns(message)?;
    if fields.is_empty() { Err(format!("the message `{}` has no fields", message.full_name())) } else { Ok(fields) }
}

/// The plan of a message, whose fields are these columns.
pub(super) fn plan(
    message: &MessageDescriptor,
    options: &model::Protobuf,
    columns: &Fields,
) -> Result<Message, String> {
    Planner { options, above: vec![], nodes: 0 }.message(message, columns)
}

/// A message of Google's that has a type of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WellKnown {
    Timestamp,
    Duration,
    Wrapper,
}

fn well_known(message: &MessageDescriptor) -> Option<WellKnown> {
    match message.full_name().strip_prefix("google.protobuf.")? {
        "Timestamp" => Some(WellKnown::Timestamp),
        "Duration" => Some(WellKnown::Duration),
        "BoolValue" | "Int32Value" | "UInt32Value" | "Int64Value" | "UInt64Value" | "FloatValue" | "DoubleValue"
        | "StringValue" | "BytesValue" => Some(WellKnown::Wrapper),
        _ => None,
    }
}

impl Planner<'_> {
    fn node(&mut self) -> Result<(), String> {
        self.nodes += 1;
        match self.nodes > NODES_MAX || self.above.len() > DEPTH_MAX {
            true => Err("the message nests too deeply, or too often, for columns".into()),
            false => Ok(()),
        }
    }

    fn columns(&mut self, message: &MessageDescriptor) -> Result<Fields, String> {
        if self.above.iter().any(|above| above == message.full_name()) {
            let name = message.full_name();
            return Err(format!("`{name}` holds itself, and columns end; name those that are wanted in `schema`"));
        }
        self.above.push(message.full_name().to_owned());
        let mut columns = vec![];
        for field in message.fields() {
            let at = |reason: String| format!("`{}`: {reason}", field.name());
            if let Some(data_type) = self.field_type(&field).map_err(at)? {
                columns.push(Column::new(field.name(), data_type, true));
            }
        }
        self.above.pop();
        Ok(columns.into())
    }

    /// The type of a field's column; as in Spark, a message without fields has none.
    fn field_type(&mut self, field: &FieldDescriptor) -> Result<Option<DataType>, String> {
        if field.is_map() {
            let Kind::Message(entry) = field.kind() else { return Ok(None) };
            let key = self.value_type(&entry.map_entry_key_field())?;
            let value = self.value_type(&entry.map_entry_value_field())?;
            return Ok(key.zip(value).map(|(key, value)| map_of(key, value)));
        }
        let value = self.value_type(field)?;
        let list = |item| DataType::List(Arc::new(Column::new_list_field(item, true)));
        Ok(if field.is_list() { value.map(list) } else { value })
    }

    fn value_type(&mut self, field: &FieldDescriptor) -> Result<Option<DataType>, String> {
        self.node()?;
        if field.is_group() {
            return Err("a group of proto2, which no column is".into());
        }
        Ok(Some(match field.kind() {
            Kind::Double => DataType::Float64,
            Kind::Float => DataType::Float32,
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => DataType::Int32,
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => DataType::Int64,
            Kind::Uint32 | Kind::Fixed32 if self.options.upcast_unsigned_ints => DataType::Int64,
            Kind::Uint32 | Kind::Fixed32 => DataType::Int32,
            Kind::Uint64 | Kind::Fixed64 if self.options.upcast_unsigned_ints => DataType::Decimal128(20, 0),
            Kind::Uint64 | Kind::Fixed64 => DataType::Int64,
            Kind::Bool => DataType::Boolean,
            Kind::String => DataType::Utf8,
            Kind::Bytes => DataType::Binary,
            Kind::Enum(_) if self.options.enums_as_ints => DataType::Int32,
            Kind::Enum(_) => DataType::Utf8,
            Kind::Message(message) => match well_known(&message) {
                Some(WellKnown::Timestamp) => DataType::Timestamp(TimeUnit::Microsecond, None),
                Some(WellKnown::Duration) => {
                    return Err("a Duration, and no column is an interval; declare it in `schema` as \
                                `struct<seconds:long,nanos:int>`"
                        .into());
                }
                Some(WellKnown::Wrapper) if self.options.unwrap_primitive_wrapper_types => {
                    return message.get_field(1).map_or(Ok(None), |value| self.value_type(&value));
                }
                _ => {
                    let fields = self.columns(&message)?;
                    if fields.is_empty() {
                        return Ok(None);
                    }
                    DataType::Struct(fields)
                }
            },
        }))
    }

    fn message(&mut self, message: &MessageDescriptor, columns: &Fields) -> Result<Message, String> {
        self.above.push(message.full_name().to_owned());
        let oneofs: Vec<String> =
            message.oneofs().filter(|of| !of.is_synthetic()).map(|of| of.full_name().to_owned()).collect();
        let mut fields = vec![];
        for (to, column) in columns.iter().enumerate() {
            let Some(field) = message.get_field_by_name(column.name()) else {
                let names: Vec<String> = message.fields().map(|field| format!("`{}`", field.name())).collect();
                let (of, name) = (message.full_name(), column.name());
                return Err(format!("the message `{of}` has no field `{name}`, but {}", names.join(", ")));
            };
            let at = |reason: String| format!("`{}`: {reason}", column.name());
            let (what, many) = self.field(&field, column.data_type()).map_err(at)?;
            let oneof = field.containing_oneof();
            let oneof = oneof.and_then(|of| oneofs.iter().position(|name| name == of.full_name()));
            let implicit = many == Many::One && !field.supports_presence();
            let told = field.field_descriptor_proto().default_value.is_some();
            let zero = implicit && self.options.emit_default_values;
            let default = match told || zero {
                true => scalar(&field.default_value(), &what),
                false => None,
            };
            fields.push(Field {
                number: field.number(),
                name: field.name().into(),
                to,
                what,
                many,
                oneof,
                required: field.is_required(),
                zero_is_null: implicit && !self.options.emit_default_values,
                default,
            });
        }
        fields.sort_by_key(|field| field.number);
        self.above.pop();
        Ok(Message { fields })
    }

    fn field(&mut self, field: &FieldDescriptor, to: &DataType) -> Result<(What, Many), String> {
        match (field.kind(), to) {
            (Kind::Message(entry), DataType::Map(entries, _)) if field.is_map() => {
                let DataType::Struct(parts) = entries.data_type() else { return Err("no map".into()) };
                let [key, value] = &parts[..] else { return Err("no map".into()) };
                let cells = 1 + cells(value.data_type());
                let key = self.value(&entry.map_entry_key_field(), key.data_type())?;
                let value = self.value(&entry.map_entry_value_field(), value.data_type())?;
                Ok((What::Entry(Box::new(key), Box::new(value)), Many::Map { cells }))
            }
            (_, DataType::List(item)) if field.is_list() => {
                let cells = cells(item.data_type());
                Ok((self.value(field, item.data_type())?, Many::List { cells }))
            }
            _ if field.is_list() || field.is_map() => {
                let what = if field.is_map() { "a map" } else { "repeated" };
                Err(format!("it is {what}, and no {}", crate::formats::words(to)))
            }
            _ => Ok((self.value(field, to)?, Many::One)),
        }
    }

    fn value(&mut self, field: &FieldDescriptor, to: &DataType) -> Result<What, String> {
        self.node()?;
        let number = |wire, sign| match to {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                // Spark keeps the bits of what has no sign; a wider column has room for the number.
                let sign = match (sign, to) {
                    (Sign::None { bits: 32 }, DataType::Int32) => Sign::Narrow,
                    (Sign::None { bits: 64 }, _) => Sign::Wide,
                    (sign, _) => sign,
                };
                Some(What::Number(Number { wire, sign, decimal: false }))
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) if sign == Sign::Wide || sign == Sign::ZigZag => {
                Some(What::Number(Number { wire, sign, decimal: false }))
            }
            DataType::Decimal128(_, 0) => Some(What::Number(Number { wire, sign, decimal: true })),
            _ => None,
        };
        use Wire::{Fixed32, Fixed64, Varint};
        let kind = field.kind();
        let what = match (&kind, to) {
            _ if field.is_group() => return Err("a group of proto2, which no column is".into()),
            (Kind::Double, DataType::Float64) => Some(What::Double),
            (Kind::Float, DataType::Float32 | DataType::Float64) => Some(What::Float),
            (Kind::Int32, _) => number(Varint, Sign::Narrow),
            (Kind::Int64, _) => number(Varint, Sign::Wide),
            (Kind::Sint32 | Kind::Sint64, _) => number(Varint, Sign::ZigZag),
            (Kind::Sfixed32, _) => number(Fixed32, Sign::Narrow),
            (Kind::Sfixed64, _) => number(Fixed64, Sign::Wide),
            (Kind::Uint32, _) => number(Varint, Sign::None { bits: 32 }),
            (Kind::Uint64, _) => number(Varint, Sign::None { bits: 64 }),
            (Kind::Fixed32, _) => number(Fixed32, Sign::None { bits: 32 }),
            (Kind::Fixed64, _) => number(Fixed64, Sign::None { bits: 64 }),
            (Kind::Bool, DataType::Boolean) => Some(What::Bool),
            (Kind::String | Kind::Bytes, DataType::Utf8 | DataType::Binary) => Some(What::Bytes),
            (Kind::Enum(of), DataType::Utf8) => Some(What::Enum(names(of))),
            (Kind::Enum(_), _) => number(Varint, Sign::Narrow),
            (Kind::Message(message), _) => match (well_known(message), to) {
                (Some(WellKnown::Timestamp), DataType::Timestamp(unit, _)) => {
                    let per_second = if *unit == TimeUnit::Millisecond { 1000 } else { 1_000_000 };
                    Some(What::Timestamp { per_second })
                }
                (_, DataType::Struct(columns)) => {
                    let inner = self.message(message, columns)?;
                    Some(What::Message(Box::new(inner)))
                }
                (Some(WellKnown::Wrapper), _) => match message.get_field(1) {
                    // Inside of a wrapper, zero is a value.
                    Some(value) => Some(What::Wrapped(Box::new(self.value(&value, to)?))),
                    None => None,
                },
                _ => None,
            },
            _ => None,
        };
        let name = match &kind {
            Kind::Message(message) => format!("the message `{}`", message.full_name()),
            Kind::Enum(of) => format!("the enum `{}`", of.full_name()),
            kind => format!("a {kind:?}"),
        };
        what.ok_or_else(|| format!("it is {name}, and no {}", crate::formats::words(to)))
    }
}

fn names(of: &EnumDescriptor) -> Names {
    let mut names: Vec<(i32, Box<str>)> = of.values().map(|value| (value.number(), value.name().into())).collect();
    // Of several names of one number, the first counts.
    names.sort_by_key(|(number, _)| *number);
    names.dedup_by_key(|(number, _)| *number);
    Names { names, of: of.name().into(), closed: of.parent_file().syntax() == Syntax::Proto2 }
}

/// A default as a value of its column.
fn scalar(value: &Value, what: &What) -> Option<Scalar> {
    let whole = |value: i64| match what {
        What::Number(Number { decimal: true, .. }) => Scalar::Decimal(value.into()),
        _ => Scalar::Whole(value),
    };
    Some(match (value, what) {
        (Value::Bool(value), _) => Scalar::Bool(*value),
        (Value::I32(value), _) => whole((*value).into()),
        (Value::I64(value), _) => whole(*value),
        (Value::U32(value), What::Number(Number { sign: Sign::Narrow, .. })) => whole(value.cast_signed().into()),
        (Value::U32(value), _) => whole((*value).into()),
        (Value::U64(value), What::Number(Number { decimal: true, .. })) => Scalar::Decimal((*value).into()),
        (Value::U64(value), _) => whole(value.cast_signed()),
        (Value::F32(value), _) => Scalar::Float(*value),
        (Value::F64(value), _) => Scalar::Double(*value),
        (Value::String(value), _) => Scalar::Bytes(value.clone().into_bytes()),
        (Value::Bytes(value), _) => Scalar::Bytes(value.to_vec()),
        (Value::EnumNumber(number), What::Enum(names)) => {
            Scalar::Bytes(names.names.iter().find(|(n, _)| n == number)?.1.as_bytes().to_vec())
        }
        (Value::EnumNumber(number), _) => whole((*number).into()),
        _ => return None,
    })
}
