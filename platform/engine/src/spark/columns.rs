//! Columns row by row: typed views of arguments, and answers made of one optional value a row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, PrimitiveArray,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{ArrowPrimitiveType, Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use datafusion::common::{Result, exec_datafusion_err};

use super::scalar::Call;

impl Call<'_> {
    /// The text of an argument; null where the argument is missing.
    pub fn text(&self, index: usize, row: usize) -> Option<&str> {
        let column = self.columns.get(index)?.as_string_opt::<i32>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    /// The bytes of an argument.
    pub fn bytes(&self, index: usize, row: usize) -> Option<&[u8]> {
        let column = self.columns.get(index)?.as_binary_opt::<i32>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    fn primitive<T: ArrowPrimitiveType>(&self, index: usize, row: usize) -> Option<T::Native> {
        let column = self.columns.get(index)?.as_primitive_opt::<T>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    /// The BIGINT of an argument.
    pub fn long(&self, index: usize, row: usize) -> Option<i64> {
        self.primitive::<Int64Type>(index, row)
    }

    /// The INT of an argument.
    pub fn int(&self, index: usize, row: usize) -> Option<i32> {
        self.primitive::<Int32Type>(index, row)
    }

    /// The DOUBLE of an argument.
    pub fn double(&self, index: usize, row: usize) -> Option<f64> {
        self.primitive::<Float64Type>(index, row)
    }

    /// The days since 1970 of a DATE.
    pub fn date(&self, index: usize, row: usize) -> Option<i32> {
        self.primitive::<Date32Type>(index, row)
    }

    /// The microseconds since 1970 of a TIMESTAMP.
    pub fn instant(&self, index: usize, row: usize) -> Option<i64> {
        self.primitive::<TimestampMicrosecondType>(index, row)
    }

    /// The truth of a BOOLEAN.
    pub fn truth(&self, index: usize, row: usize) -> Option<bool> {
        let column = self.columns.get(index)?.as_boolean_opt()?;
        column.is_valid(row).then(|| column.value(row))
    }

    /// A list's row.
    pub fn list(&self, index: usize, row: usize) -> Option<ArrayRef> {
        let column = self.columns.get(index)?.as_list_opt::<i32>()?;
        column.is_valid(row).then(|| column.value(row))
    }

    /// Whether an argument was given.
    pub fn has(&self, index: usize) -> bool {
        index < self.columns.len()
    }

    /// Answers in text.
    pub fn texts<S: AsRef<str>>(&self, row: impl Fn(usize) -> Option<S>) -> Result<ArrayRef> {
        Ok(Arc::new((0..self.rows).map(row).collect::<StringArray>()))
    }

    /// Answers in text that may fail.
    pub fn try_texts(&self, row: impl Fn(usize) -> Result<Option<String>>) -> Result<ArrayRef> {
        Ok(Arc::new((0..self.rows).map(row).collect::<Result<StringArray>>()?))
    }

    fn primitives<T: ArrowPrimitiveType>(&self, row: impl Fn(usize) -> Result<Option<T::Native>>) -> Result<ArrayRef>
    where
        PrimitiveArray<T>: FromIterator<Option<T::Native>>,
    {
        Ok(Arc::new((0..self.rows).map(row).collect::<Result<PrimitiveArray<T>>>()?))
    }

    /// Answers in BIGINT.
    pub fn longs(&self, row: impl Fn(usize) -> Option<i64>) -> Result<ArrayRef> {
        Ok(Arc::new((0..self.rows).map(row).collect::<Int64Array>()))
    }

    /// Answers in INT.
    pub fn ints(&self, row: impl Fn(usize) -> Option<i32>) -> Result<ArrayRef> {
        Ok(Arc::new((0..self.rows).map(row).collect::<Int32Array>()))
    }

    /// Answers in DOUBLE.
    pub fn doubles(&self, row: impl Fn(usize) -> Option<f64>) -> Result<ArrayRef> {
        Ok(Arc::new((0..self.rows).map(row).collect::<Float64Array>()))
    }

    /// Answers in BOOLEAN.
    pub fn truths(&self, row: impl Fn(usize) -> Option<bool>) -> Result<ArrayRef> {
        Ok(Arc::new((0..self.rows).map(row).collect::<BooleanArray>()))
    }

    /// Answers in DATE.
    pub fn dates(&self, row: impl Fn(usize) -> Option<i32>) -> Result<ArrayRef> {
        Ok(Arc::new((0..self.rows).map(row).collect::<Date32Array>()))
    }

    /// Answers in DATE that may fail.
    pub fn try_dates(&self, row: impl Fn(usize) -> Result<Option<i32>>) -> Result<ArrayRef> {
        self.primitives::<Date32Type>(row)
    }

    /// Answers in TIMESTAMP.
    pub fn instants(&self, row: impl Fn(usize) -> Option<i64>) -> Result<ArrayRef> {
        Ok(Arc::new((0..self.rows).map(row).collect::<TimestampMicrosecondArray>()))
    }

    /// Answers in TIMESTAMP that may fail.
    pub fn try_instants(&self, row: impl Fn(usize) -> Result<Option<i64>>) -> Result<ArrayRef> {
        self.primitives::<TimestampMicrosecondType>(row)
    }

    /// Answers in BIGINT that may fail.
    pub fn try_longs(&self, row: impl Fn(usize) -> Result<Option<i64>>) -> Result<ArrayRef> {
        self.primitives::<Int64Type>(row)
    }
}

/// An integer that must fit.
pub fn fits_int(value: i64, what: &str) -> Result<i32> {
    i32::try_from(value).map_err(|_| exec_datafusion_err!("overflow: {what} does not fit INT"))
}
