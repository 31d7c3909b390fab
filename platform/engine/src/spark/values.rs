//! Values of any type: in order, as bytes of rows, and hashed as Spark does.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, UInt32Array};
use arrow::compute::SortOptions;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::{Result, exec_err};

use super::scalar::Call;

/// Spark's order: nulls first, NaN last; as bytes that compare alike.
pub fn rows_of(column: &ArrayRef) -> Result<Rows> {
    let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
    Ok(converter.convert_columns(&[normal(column)])?)
}

/// One zero and one NaN, so that equal floats have equal bytes.
pub fn normal(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>();
            Arc::new(values.unary::<_, Float64Type>(|value| if value.is_nan() { f64::NAN } else { value + 0.0 }))
        }
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>();
            Arc::new(values.unary::<_, Float32Type>(|value| if value.is_nan() { f32::NAN } else { value + 0.0 }))
        }
        _ => column.clone(),
    }
}

/// The values in ascending or descending order; nulls come first or last.
pub fn sorted(values: &ArrayRef, descending: bool, nulls_first: bool) -> Result<ArrayRef> {
    let options = SortOptions { descending, nulls_first };
    let field = SortField::new_with_options(values.data_type().clone(), options);
    let converter = RowConverter::new(vec![field])?;
    let rows = converter.convert_columns(&[normal(values)])?;
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_by(|left, right| rows.row(*left as usize).cmp(&rows.row(*right as usize)));
    Ok(arrow::compute::take(values, &UInt32Array::from(order), None)?)
}

/// Each row's greatest (or least) of several columns of one type; nulls do not count.
pub fn extreme(call: &Call, wanted: Ordering) -> Result<ArrayRef> {
    let rows = call.columns.iter().map(rows_of).collect::<Result<Vec<_>>>()?;
    let picks = (0..call.rows).map(|row| {
        let mut best: Option<usize> = None;
        for (index, column) in call.columns.iter().enumerate() {
            let better = |best: usize| rows[index].row(row).cmp(&rows[best].row(row)) == wanted;
            if column.is_valid(row) && best.is_none_or(better) {
                best = Some(index);
            }
        }
        (best.unwrap_or(0), row)
    });
    let picks: Vec<(usize, usize)> = picks.collect();
    let columns: Vec<&dyn Array> = call.columns.iter().map(|column| column.as_ref()).collect();
    Ok(arrow::compute::interleave(&columns, &picks)?)
}

/// Spark's `hash`: Murmur3 (A. Appleby) of each value in turn, seeded by the hash so far.
pub fn hash(call: &Call) -> Result<ArrayRef> {
    const SEED: i32 = 42;
    let mut hashes = vec![SEED; call.rows];
    for column in call.columns {
        for (row, hash) in hashes.iter_mut().enumerate() {
            *hash = hash_value(column, row, *hash)?;
        }
    }
    Ok(Arc::new(Int32Array::from(hashes)))
}

fn hash_value(column: &ArrayRef, row: usize, seed: i32) -> Result<i32> {
    if column.is_null(row) {
        return Ok(seed);
    }
    Ok(match column.data_type() {
        DataType::Utf8 => hash_bytes(column.as_string::<i32>().value(row).as_bytes(), seed),
        DataType::Binary => hash_bytes(column.as_binary::<i32>().value(row), seed),
        DataType::Boolean => hash_int(column.as_boolean().value(row).into(), seed),
        DataType::Int8 => hash_int(column.as_primitive::<Int8Type>().value(row).into(), seed),
        DataType::Int16 => hash_int(column.as_primitive::<Int16Type>().value(row).into(), seed),
        DataType::Int32 => hash_int(column.as_primitive::<Int32Type>().value(row), seed),
        DataType::Date32 => hash_int(column.as_primitive::<Date32Type>().value(row), seed),
        DataType::Int64 => hash_long(column.as_primitive::<Int64Type>().value(row), seed),
        DataType::Timestamp(_, _) => {
            let micros = arrow::compute::cast(column, &super::dates::MICROS)?;
            hash_long(micros.as_primitive::<TimestampMicrosecondType>().value(row), seed)
        }
        DataType::Float32 => {
            let value = column.as_primitive::<Float32Type>().value(row);
            hash_int((if value.is_nan() { f32::NAN } else { value + 0.0 }).to_bits() as i32, seed)
        }
        DataType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            hash_long((if value.is_nan() { f64::NAN } else { value + 0.0 }).to_bits() as i64, seed)
        }
        DataType::Decimal128(precision, _) => {
            let value = column.as_primitive::<Decimal128Type>().value(row);
            match i64::try_from(value) {
                Ok(small) if *precision <= 18 => hash_long(small, seed),
                _ => {
                    let bytes = value.to_be_bytes();
                    let skipped = if value < 0 { 0xff } else { 0 };
                    let mut from = 0;
                    while from < 15 && bytes[from] == skipped && (bytes[from + 1] ^ skipped) & 0x80 == 0 {
                        from += 1;
                    }
                    hash_bytes(&bytes[from..], seed)
                }
            }
        }
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            (0..items.len()).try_fold(seed, |seed, item| hash_value(&items, item, seed))?
        }
        DataType::Struct(_) => {
            column.as_struct().columns().iter().try_fold(seed, |seed, field| hash_value(field, row, seed))?
        }
        other => return exec_err!("hash of {other} is not supported"),
    })
}

fn mix(hash: i32, word: i32) -> i32 {
    let word = word.wrapping_mul(0xcc9e_2d51_u32 as i32).rotate_left(15).wrapping_mul(0x1b87_3593);
    (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64_u32 as i32)
}

fn finish(hash: i32, length: i32) -> i32 {
    let mut hash = (hash ^ length) as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    (hash ^ (hash >> 16)) as i32
}

fn hash_int(value: i32, seed: i32) -> i32 {
    finish(mix(seed, value), 4)
}

fn hash_long(value: i64, seed: i32) -> i32 {
    finish(mix(mix(seed, value as i32), (value >> 32) as i32), 8)
}

/// Spark mixes the last bytes one by one.
fn hash_bytes(bytes: &[u8], seed: i32) -> i32 {
    let words = bytes.chunks_exact(4);
    let rest = words.remainder();
    let hash = words.fold(seed, |hash, word| mix(hash, i32::from_le_bytes([word[0], word[1], word[2], word[3]])));
    finish(rest.iter().fold(hash, |hash, byte| mix(hash, i32::from(*byte as i8))), bytes.len() as i32)
}
