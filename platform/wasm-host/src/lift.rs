//! From what a guest returned to Arrow. Nothing is believed: every length, offset and byte of text is checked first.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Decimal128Array, PrimitiveArray, RecordBatch, StringArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DECIMAL128_MAX_PRECISION, Date32Type, Field, Float32Type, Float64Type, Int32Type, Int64Type,
    Schema, SchemaRef, TimestampMicrosecondType, TimestampMillisecondType,
};
use braid_wire::{Layout, Type, bitmap_bytes};

use crate::boundary::{BatchOut, ColumnOut, WireSchema, from_arrow, to_arrow};

/// The most columns a plugin may describe.
pub const COLUMNS_MAX: usize = 1024;

/// Where an Arrow buffer must begin: sixteen bytes for the widest value.
const ALIGNMENT: usize = 16;

/// The output's schema, checked. Every column may hold nulls.
pub(crate) fn lift_schema(described: WireSchema) -> Result<SchemaRef, String> {
    if described.fields.is_empty() || described.fields.len() > COLUMNS_MAX {
        let count = described.fields.len();
        return Err(format!("describe returned {count} columns, and must return 1 to {COLUMNS_MAX}"));
    }
    let mut names = HashSet::new();
    let mut fields = Vec::with_capacity(described.fields.len());
    for field in described.fields {
        if field.name.is_empty() || !names.insert(field.name.clone()) {
            return Err(format!("describe returned the name `{}` twice or empty", field.name));
        }
        let data_type = Type::from(field.data_type);
        if let Type::Decimal128 { precision, scale } = data_type
            && (precision == 0
                || precision > DECIMAL128_MAX_PRECISION
                || i16::from(scale) < 0
                || i16::from(scale) > i16::from(precision))
        {
            return Err(format!("describe returned the type {data_type} for `{}`, which is not possible", field.name));
        }
        fields.push(Field::new(field.name, to_arrow(data_type), true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// A batch of the described schema, or what is wrong with it.
pub(crate) fn lift(output: BatchOut, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let rows = output.rows as usize;
    if output.columns.len() != schema.fields().len() {
        return Err(format!("returned {} columns, and had described {}", output.columns.len(), schema.fields().len()));
    }
    let columns = output.columns.into_iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| {
        let (name, data_type) = (column.name.clone(), Type::from(column.data_type));
        if name != *field.name() || from_arrow(field.data_type()) != Some(data_type) {
            return Err(format!(
                "returned column `{name}` of type {data_type}, and had described `{}` of type {}",
                field.name(),
                from_arrow(field.data_type()).map_or_else(String::new, |t| t.to_string()),
            ));
        }
        lift_column(column, data_type, rows).map_err(|reason| format!("returned column `{name}` with {reason}"))
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| error.to_string())
}

fn lift_column(column: ColumnOut, data_type: Type, rows: usize) -> Result<ArrayRef, String> {
    let nulls = match column.validity {
        Some(bitmap) => {
            exactly("bytes of validity", bitmap.len(), bitmap_bytes(rows))?;
            Some(NullBuffer::new(BooleanBuffer::new(aligned(bitmap), 0, rows)))
        }
        None => None,
    };
    let layout = data_type.layout();
    if (layout == Layout::Offsets) != column.offsets.is_some() {
        return Err(format!(
            "{} offsets, which is wrong for {data_type}",
            if column.offsets.is_some() { "" } else { "no" }
        )
        .trim_start()
        .to_owned());
    }
    let length = column.values.len();
    match layout {
        Layout::Bits => exactly("bytes of values", length, bitmap_bytes(rows))?,
        Layout::Fixed(width) => match rows.checked_mul(width) {
            Some(bytes) => exactly("bytes of values", length, bytes)?,
            None => return Err("more rows than memory".into()),
        },
        Layout::Offsets => {}
    }
    let values = aligned(column.values);
    Ok(match data_type {
        Type::Boolean => Arc::new(BooleanArray::new(BooleanBuffer::new(values, 0, rows), nulls)),
        Type::Int32 => primitive::<Int32Type>(values, nulls)?,
        Type::Int64 => primitive::<Int64Type>(values, nulls)?,
        Type::Float32 => primitive::<Float32Type>(values, nulls)?,
        Type::Float64 => primitive::<Float64Type>(values, nulls)?,
        Type::Date32 => primitive::<Date32Type>(values, nulls)?,
        Type::TimestampMillis => primitive::<TimestampMillisecondType>(values, nulls)?,
        Type::TimestampMicros => primitive::<TimestampMicrosecondType>(values, nulls)?,
        Type::Decimal128 { precision, scale } => {
            let array = Decimal128Array::try_new(ScalarBuffer::from(values), nulls)
                .and_then(|array| array.with_precision_and_scale(precision, scale))
                .map_err(|error| error.to_string())?;
            array.validate_decimal_precision(precision).map_err(|error| error.to_string())?;
            Arc::new(array)
        }
        Type::Utf8 => {
            let offsets = offsets(column.offsets.unwrap_or_default(), rows, length)?;
            let array = StringArray::try_new(offsets, values, nulls);
            Arc::new(array.map_err(|error| error.to_string())?)
        }
        Type::Binary => {
            let offsets = offsets(column.offsets.unwrap_or_default(), rows, length)?;
            let array = BinaryArray::try_new(offsets, values, nulls);
            Arc::new(array.map_err(|error| error.to_string())?)
        }
    })
}

fn primitive<T: ArrowPrimitiveType>(values: Buffer, nulls: Option<NullBuffer>) -> Result<ArrayRef, String> {
    let array = PrimitiveArray::<T>::try_new(ScalarBuffer::from(values), nulls);
    Ok(Arc::new(array.map_err(|error| error.to_string())?))
}

fn offsets(bytes: Vec<u8>, rows: usize, values: usize) -> Result<OffsetBuffer<i32>, String> {
    let expected = rows.checked_add(1).and_then(|count| count.checked_mul(4));
    exactly("bytes of offsets", bytes.len(), expected.unwrap_or(usize::MAX))?;
    let offsets = ScalarBuffer::<i32>::from(aligned(bytes));
    let ascending = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    let whole = offsets.first() == Some(&0) && offsets.last().map(|last| usize::try_from(*last)) == Some(Ok(values));
    if !ascending || !whole {
        return Err(format!("offsets that do not ascend from 0 to {values}, the length of its values"));
    }
    Ok(OffsetBuffer::new(offsets))
}

fn exactly(what: &str, found: usize, expected: usize) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{found} {what}, and should have {expected}"))
}

/// The bytes as they are, if they begin where a value may begin; a copy otherwise.
fn aligned(bytes: Vec<u8>) -> Buffer {
    if bytes.as_ptr().addr().is_multiple_of(ALIGNMENT) {
        Buffer::from_vec(bytes)
    } else {
        Buffer::from(bytes.as_slice())
    }
}
