//! Single values, and columns made of them: what is generated, simplified, and read from a fixture's rows.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, SchemaRef, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType,
};

/// One value.
#[derive(Debug, Clone)]
pub enum Cell {
    Null,
    Boolean(bool),
    /// Integers, days, instants, and decimals without their point.
    Whole(i128),
    /// Floats and doubles.
    Number(f64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A row: a cell for each column.
pub type Row = Vec<Cell>;

impl PartialEq for Cell {
    /// Numbers are equal where their bits are: there are two zeros, and a NaN is itself.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Whole(a), Self::Whole(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => a.to_bits() == b.to_bits(),
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            _ => false,
        }
    }
}

impl Cell {
    fn whole<T: TryFrom<i128>>(&self) -> Option<T> {
        match self {
            Self::Whole(value) => T::try_from(*value).ok(),
            _ => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(*value),
            _ => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(value) => Some(value),
            _ => None,
        }
    }

    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(value) => Some(value),
            _ => None,
        }
    }
}

/// A batch of rows.
pub fn batch(schema: &SchemaRef, rows: &[Row]) -> Result<RecordBatch, String> {
    let columns = schema.fields().iter().enumerate().map(|(index, field)| {
        let cells = rows.iter().map(|row| &row[index]);
        column(field.data_type(), cells).ok_or_else(|| {
            format!("column `{}` has type {}, which plugins cannot be given", field.name(), field.data_type())
        })
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(|error| error.to_string())
}

fn column<'a>(data_type: &DataType, cells: impl Iterator<Item = &'a Cell>) -> Option<ArrayRef> {
    Some(match data_type {
        DataType::Boolean => Arc::new(BooleanArray::from_iter(cells.map(|cell| match cell {
            Cell::Boolean(value) => Some(*value),
            _ => None,
        }))),
        DataType::Int32 => Arc::new(Int32Array::from_iter(cells.map(Cell::whole::<i32>))),
        DataType::Int64 => Arc::new(Int64Array::from_iter(cells.map(Cell::whole::<i64>))),
        DataType::Float32 => Arc::new(Float32Array::from_iter(cells.map(|cell| cell.number().map(|n| n as f32)))),
        DataType::Float64 => Arc::new(Float64Array::from_iter(cells.map(Cell::number))),
        DataType::Utf8 => Arc::new(StringArray::from_iter(cells.map(Cell::text))),
        DataType::Binary => Arc::new(BinaryArray::from_iter(cells.map(Cell::bytes))),
        DataType::Date32 => Arc::new(Date32Array::from_iter(cells.map(Cell::whole::<i32>))),
        DataType::Timestamp(TimeUnit::Millisecond, None) => {
            Arc::new(TimestampMillisecondArray::from_iter(cells.map(Cell::whole::<i64>)))
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            Arc::new(TimestampMicrosecondArray::from_iter(cells.map(Cell::whole::<i64>)))
        }
        DataType::Decimal128(precision, scale) => {
            let array = Decimal128Array::from_iter(cells.map(Cell::whole::<i128>));
            Arc::new(array.with_precision_and_scale(*precision, *scale).ok()?)
        }
        _ => return None,
    })
}

/// A batch's rows. A value of a type that plugins cannot be given is null.
pub fn rows(batch: &RecordBatch) -> Vec<Row> {
    let row = |row: usize| batch.columns().iter().map(|column| cell(column, row)).collect();
    (0..batch.num_rows()).map(row).collect()
}

/// One value of a column.
pub fn cell(column: &ArrayRef, row: usize) -> Cell {
    if column.is_null(row) {
        return Cell::Null;
    }
    match column.data_type() {
        DataType::Boolean => Cell::Boolean(column.as_boolean().value(row)),
        DataType::Int32 => Cell::Whole(column.as_primitive::<Int32Type>().value(row).into()),
        DataType::Int64 => Cell::Whole(column.as_primitive::<Int64Type>().value(row).into()),
        DataType::Float32 => Cell::Number(column.as_primitive::<Float32Type>().value(row).into()),
        DataType::Float64 => Cell::Number(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Cell::Text(column.as_string::<i32>().value(row).to_owned()),
        DataType::Binary => Cell::Bytes(column.as_binary::<i32>().value(row).to_vec()),
        DataType::Date32 => Cell::Whole(column.as_primitive::<Date32Type>().value(row).into()),
        DataType::Timestamp(TimeUnit::Millisecond, None) => {
            Cell::Whole(column.as_primitive::<TimestampMillisecondType>().value(row).into())
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            Cell::Whole(column.as_primitive::<TimestampMicrosecondType>().value(row).into())
        }
        DataType::Decimal128(..) => Cell::Whole(column.as_primitive::<Decimal128Type>().value(row)),
        _ => Cell::Null,
    }
}
