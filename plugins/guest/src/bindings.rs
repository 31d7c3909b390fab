//! Between the generated types of the contract and the SDK's: every conversion moves, none copies.

use std::marker::PhantomData;

use crate::{Batch, Column, Field, Schema, Transform, Type};

mod generated {
    wit_bindgen::generate!({
        path: "../wire/wit",
        world: "transform",
        pub_export_macro: true,
        export_macro_name: "export_component",
        default_bindings_module: "$crate",
    });
}

pub use generated::{export_component, exports};

use exports::braid::plugin::transforms as wit;

/// A [`Transform`] as the contract's interface.
pub struct Component<T>(PhantomData<T>);

impl<T: Transform> wit::Guest for Component<T> {
    fn describe(input: wit::Schema) -> Result<wit::Schema, String> {
        let fields =
            input.fields.into_iter().map(|field| Field { name: field.name, data_type: type_in(field.data_type) });
        let output = T::describe(Schema { fields: fields.collect() })?;
        let fields = output
            .fields
            .into_iter()
            .map(|field| wit::Field { name: field.name, data_type: type_out(field.data_type) });
        Ok(wit::Schema { fields: fields.collect() })
    }

    fn apply(input: wit::Batch) -> Result<wit::Batch, String> {
        let columns = input.columns.into_iter().map(|column| Column {
            name: column.name,
            data_type: type_in(column.data_type),
            validity: column.validity,
            offsets: column.offsets,
            values: column.values,
        });
        let output = T::apply(Batch { rows: input.rows as usize, columns: columns.collect() })?;
        let columns = output.columns.into_iter().map(|column| wit::Column {
            name: column.name,
            data_type: type_out(column.data_type),
            validity: column.validity,
            offsets: column.offsets,
            values: column.values,
        });
        Ok(wit::Batch { rows: output.rows as u32, columns: columns.collect() })
    }
}

fn type_in(data_type: wit::DataType) -> Type {
    match data_type {
        wit::DataType::Boolean => Type::Boolean,
        wit::DataType::Int32 => Type::Int32,
        wit::DataType::Int64 => Type::Int64,
        wit::DataType::Float32 => Type::Float32,
        wit::DataType::Float64 => Type::Float64,
        wit::DataType::Utf8 => Type::Utf8,
        wit::DataType::Binary => Type::Binary,
        wit::DataType::Date32 => Type::Date32,
        wit::DataType::TimestampMillis => Type::TimestampMillis,
        wit::DataType::TimestampMicros => Type::TimestampMicros,
        wit::DataType::Decimal128((precision, scale)) => Type::Decimal128 { precision, scale },
    }
}

fn type_out(data_type: Type) -> wit::DataType {
    match data_type {
        Type::Boolean => wit::DataType::Boolean,
        Type::Int32 => wit::DataType::Int32,
        Type::Int64 => wit::DataType::Int64,
        Type::Float32 => wit::DataType::Float32,
        Type::Float64 => wit::DataType::Float64,
        Type::Utf8 => wit::DataType::Utf8,
        Type::Binary => wit::DataType::Binary,
        Type::Date32 => wit::DataType::Date32,
        Type::TimestampMillis => wit::DataType::TimestampMillis,
        Type::TimestampMicros => wit::DataType::TimestampMicros,
        Type::Decimal128 { precision, scale } => wit::DataType::Decimal128((precision, scale)),
    }
}
