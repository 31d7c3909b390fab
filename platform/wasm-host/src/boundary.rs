//! The contract's types on this side: `plugins/wire/wit/transform.wit`, borrowed on the way in and owned on the way out.

use arrow::datatypes::{DataType, TimeUnit};
use braid_wire::Type;
use wasmtime::component::{ComponentType, Lift, Lower};

#[derive(ComponentType, Lift, Lower, Debug, Clone, Copy, PartialEq, Eq)]
#[component(variant)]
pub(crate) enum WireType {
    #[component(name = "boolean")]
    Boolean,
    #[component(name = "int32")]
    Int32,
    #[component(name = "int64")]
    Int64,
    #[component(name = "float32")]
    Float32,
    #[component(name = "float64")]
    Float64,
    #[component(name = "utf8")]
    Utf8,
    #[component(name = "binary")]
    Binary,
    #[component(name = "date32")]
    Date32,
    #[component(name = "timestamp-millis")]
    TimestampMillis,
    #[component(name = "timestamp-micros")]
    TimestampMicros,
    #[component(name = "decimal128")]
    Decimal128((u8, i8)),
}

#[derive(ComponentType, Lift, Lower, Debug, Clone)]
#[component(record)]
pub(crate) struct WireField {
    pub(crate) name: String,
    #[component(name = "data-type")]
    pub(crate) data_type: WireType,
}

#[derive(ComponentType, Lift, Lower, Debug, Clone)]
#[component(record)]
pub(crate) struct WireSchema {
    pub(crate) fields: Vec<WireField>,
}

#[derive(ComponentType, Lower, Debug, Clone, Copy)]
#[component(record)]
pub(crate) struct ColumnIn<'a> {
    pub(crate) name: &'a str,
    #[component(name = "data-type")]
    pub(crate) data_type: WireType,
    pub(crate) validity: Option<&'a [u8]>,
    pub(crate) offsets: Option<&'a [u8]>,
    pub(crate) values: &'a [u8],
}

#[derive(ComponentType, Lower, Debug, Clone, Copy)]
#[component(record)]
pub(crate) struct BatchIn<'a> {
    pub(crate) rows: u32,
    pub(crate) columns: &'a [ColumnIn<'a>],
}

#[derive(ComponentType, Lift, Debug)]
#[component(record)]
pub(crate) struct ColumnOut {
    pub(crate) name: String,
    #[component(name = "data-type")]
    pub(crate) data_type: WireType,
    pub(crate) validity: Option<Vec<u8>>,
    pub(crate) offsets: Option<Vec<u8>>,
    pub(crate) values: Vec<u8>,
}

#[derive(ComponentType, Lift, Debug)]
#[component(record)]
pub(crate) struct BatchOut {
    pub(crate) rows: u32,
    pub(crate) columns: Vec<ColumnOut>,
}

impl From<Type> for WireType {
    fn from(data_type: Type) -> Self {
        match data_type {
            Type::Boolean => Self::Boolean,
            Type::Int32 => Self::Int32,
            Type::Int64 => Self::Int64,
            Type::Float32 => Self::Float32,
            Type::Float64 => Self::Float64,
            Type::Utf8 => Self::Utf8,
            Type::Binary => Self::Binary,
            Type::Date32 => Self::Date32,
            Type::TimestampMillis => Self::TimestampMillis,
            Type::TimestampMicros => Self::TimestampMicros,
            Type::Decimal128 { precision, scale } => Self::Decimal128((precision, scale)),
        }
    }
}

impl From<WireType> for Type {
    fn from(data_type: WireType) -> Self {
        match data_type {
            WireType::Boolean => Self::Boolean,
            WireType::Int32 => Self::Int32,
            WireType::Int64 => Self::Int64,
            WireType::Float32 => Self::Float32,
            WireType::Float64 => Self::Float64,
            WireType::Utf8 => Self::Utf8,
            WireType::Binary => Self::Binary,
            WireType::Date32 => Self::Date32,
            WireType::TimestampMillis => Self::TimestampMillis,
            WireType::TimestampMicros => Self::TimestampMicros,
            WireType::Decimal128((precision, scale)) => Self::Decimal128 { precision, scale },
        }
    }
}

/// The contract's type of an Arrow type, where there is one.
pub(crate) fn from_arrow(data_type: &DataType) -> Option<Type> {
    Some(match data_type {
        DataType::Boolean => Type::Boolean,
        DataType::Int32 => Type::Int32,
        DataType::Int64 => Type::Int64,
        DataType::Float32 => Type::Float32,
        DataType::Float64 => Type::Float64,
        DataType::Utf8 => Type::Utf8,
        DataType::Binary => Type::Binary,
        DataType::Date32 => Type::Date32,
        DataType::Timestamp(TimeUnit::Millisecond, None) => Type::TimestampMillis,
        DataType::Timestamp(TimeUnit::Microsecond, None) => Type::TimestampMicros,
        DataType::Decimal128(precision, scale) => Type::Decimal128 { precision: *precision, scale: *scale },
        _ => return None,
    })
}

/// The Arrow type of a contract's type.
pub(crate) fn to_arrow(data_type: Type) -> DataType {
    match data_type {
        Type::Boolean => DataType::Boolean,
        Type::Int32 => DataType::Int32,
        Type::Int64 => DataType::Int64,
        Type::Float32 => DataType::Float32,
        Type::Float64 => DataType::Float64,
        Type::Utf8 => DataType::Utf8,
        Type::Binary => DataType::Binary,
        Type::Date32 => DataType::Date32,
        Type::TimestampMillis => DataType::Timestamp(TimeUnit::Millisecond, None),
        Type::TimestampMicros => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::Decimal128 { precision, scale } => DataType::Decimal128(precision, scale),
    }
}
