//! From what a guest returned to Arrow. Nothing is believed: every length, offset and byte of text is checked first.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Decimal128Array, PrimitiveArray, RecordBatch, StringArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DECIMAL128_MAX_PRECISION, DataType, Date32Type, Field, Float32Type, Float64Type, Int32Type,
    Int64Type, Schema, SchemaRef, TimestampMicrosecondType, TimestampMillisecondType,
};
use braid_wire::{Layout, Type, bitmap_bytes};

use crate::boundary::{BatchOut, ColumnOut, WireField, WireSchema, WireType, from_arrow, to_arrow};

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

/// Answers of a function, one a row, of the type that it had described.
pub(crate) fn lift_answers(column: ColumnOut, expected: Type, rows: usize) -> Result<ArrayRef, String> {
    let found = Type::from(column.data_type);
    if found != expected {
        return Err(format!("returned answers of type {found}, and had described {expected}"));
    }
    lift_column(column, found, rows).map_err(|reason| format!("returned answers with {reason}"))
}

/// A type of answers, checked.
pub(crate) fn lift_type(described: WireType) -> Result<DataType, String> {
    let fields = vec![WireField { name: "answer".into(), data_type: described }];
    Ok(lift_schema(WireSchema { fields })?.field(0).data_type().clone())
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

#[cfg(test)]
mod tests {
    use arrow::array::Array;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    const TYPES: [WireType; 11] = [
        WireType::Boolean,
        WireType::Int32,
        WireType::Int64,
        WireType::Float32,
        WireType::Float64,
        WireType::Utf8,
        WireType::Binary,
        WireType::Date32,
        WireType::TimestampMillis,
        WireType::TimestampMicros,
        WireType::Decimal128((5, 2)),
    ];

    /// A length that is right, or nearly.
    fn near(length: usize) -> impl Strategy<Value = usize> {
        prop_oneof![8 => Just(length), 1 => Just(length + 1), 1 => Just(length.saturating_sub(1)), 1 => 0..64usize]
    }

    fn bytes(length: usize) -> impl Strategy<Value = Vec<u8>> {
        near(length).prop_flat_map(|length| {
            prop_oneof![vec(any::<u8>(), length), vec(b'a'..b'e', length), Just(vec![0; length])]
        })
    }

    fn offset_bytes(rows: usize, length: usize) -> impl Strategy<Value = Vec<u8>> {
        let ascending = vec(0..=length as i32, rows).prop_map(move |mut offsets| {
            offsets.sort_unstable();
            if let Some(first) = offsets.first_mut() {
                *first = 0;
            }
            offsets.push(length as i32);
            offsets
        });
        let whole = prop_oneof![3 => ascending, 1 => vec(any::<i32>(), rows + 1)];
        let whole = whole.prop_map(|o| o.iter().flat_map(|o| o.to_le_bytes()).collect::<Vec<u8>>());
        prop_oneof![6 => whole, 1 => bytes((rows + 1) * 4)]
    }

    /// Columns as an honest, a careless and a hostile guest may return them.
    fn column(rows: usize) -> impl Strategy<Value = ColumnOut> {
        (prop::sample::select(&TYPES[..]), 0..40usize).prop_flat_map(move |(data_type, text)| {
            let (length, has_offsets) = match Type::from(data_type).layout() {
                Layout::Bits => (bitmap_bytes(rows), false),
                Layout::Fixed(width) => (rows * width, false),
                Layout::Offsets => (text, true),
            };
            let present = if has_offsets { 0.95 } else { 0.05 };
            (
                option::of(bytes(bitmap_bytes(rows))),
                option::weighted(present, offset_bytes(rows, length)),
                bytes(length),
            )
                .prop_map(move |(validity, offsets, values)| ColumnOut {
                    name: "c".into(),
                    data_type,
                    validity,
                    offsets,
                    values,
                })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

        /// It is refused, or it is an array that Arrow's own full validation accepts, in canonical bytes.
        #[test]
        fn whatever_a_guest_returns_is_an_array_or_an_error((rows, column) in (0..20usize).prop_flat_map(|rows| (Just(rows), column(rows)))) {
            let data_type = Type::from(column.data_type);
            if let Ok(array) = lift_column(column, data_type, rows) {
                prop_assert_eq!(array.len(), rows);
                prop_assert_eq!(array.data_type(), &to_arrow(data_type));
                prop_assert!(array.to_data().validate_full().is_ok());
            }
        }
    }

    #[test]
    fn impossible_schemas_are_refused() {
        let field = |name: &str, data_type| crate::boundary::WireField { name: name.into(), data_type };
        let refused = |fields| lift_schema(WireSchema { fields }).expect_err("it is impossible");
        assert!(refused(vec![]).contains("0 columns"));
        assert!(refused(vec![field("a", WireType::Int32), field("a", WireType::Utf8)]).contains("`a` twice"));
        assert!(refused(vec![field("", WireType::Int32)]).contains("empty"));
        for (precision, scale) in [(0, 0), (39, 2), (5, 6), (5, -1)] {
            refused(vec![field("a", WireType::Decimal128((precision, scale)))]);
        }
        let many = (0..=COLUMNS_MAX).map(|n| field(&n.to_string(), WireType::Int32));
        assert!(refused(many.collect()).contains("1025 columns"));
    }
}
