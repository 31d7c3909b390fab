//! Builders of columns, row by row.

use std::marker::PhantomData;

use braid_wire::{Type, bitmap_bytes, bitmap_set};

use crate::batch::Column;
use crate::view::Value;

/// Which rows have a value: a bitmap, once there is a null.
#[derive(Debug, Default)]
struct Validity {
    rows: usize,
    bitmap: Option<Vec<u8>>,
}

impl Validity {
    fn push(&mut self, valid: bool) {
        let row = self.rows;
        self.rows += 1;
        if !valid && self.bitmap.is_none() {
            let mut bitmap = vec![0; bitmap_bytes(row)];
            (0..row).for_each(|row| bitmap_set(&mut bitmap, row));
            self.bitmap = Some(bitmap);
        }
        if let Some(bitmap) = &mut self.bitmap {
            bitmap.resize(bitmap_bytes(self.rows), 0);
            if valid {
                bitmap_set(bitmap, row);
            }
        }
    }
}

/// Builds a column of numbers.
#[derive(Debug)]
pub struct FixedBuilder<T> {
    validity: Validity,
    values: Vec<u8>,
    number: PhantomData<T>,
}

impl<T: Value> FixedBuilder<T> {
    /// With room for so many rows.
    pub fn with_capacity(rows: usize) -> Self {
        Self { validity: Validity::default(), values: Vec::with_capacity(rows * T::BYTES), number: PhantomData }
    }

    /// The next row.
    pub fn push(&mut self, value: Option<T>) {
        self.validity.push(value.is_some());
        match value {
            Some(value) => value.write(&mut self.values),
            None => self.values.resize(self.values.len() + T::BYTES, 0),
        }
    }

    /// The column. Its type is one whose values have this number's bytes, e.g. a timestamp for `i64`.
    pub fn finish(self, name: impl Into<String>, data_type: Type) -> Column {
        Column { name: name.into(), data_type, validity: self.validity.bitmap, offsets: None, values: self.values }
    }
}

/// Builds a column of text or bytes.
#[derive(Debug)]
pub struct VarBuilder {
    validity: Validity,
    offsets: Vec<u8>,
    values: Vec<u8>,
}

impl VarBuilder {
    /// With room for so many rows and bytes.
    pub fn with_capacity(rows: usize, bytes: usize) -> Self {
        let mut offsets = Vec::with_capacity((rows + 1) * 4);
        offsets.extend_from_slice(&0i32.to_le_bytes());
        Self { validity: Validity::default(), offsets, values: Vec::with_capacity(bytes) }
    }

    /// The next row.
    pub fn push(&mut self, value: Option<impl AsRef<[u8]>>) {
        match value {
            Some(value) => self.push_parts(&[value.as_ref()]),
            None => {
                self.validity.push(false);
                self.end();
            }
        }
    }

    /// The next row, of these parts one after the other.
    #[inline]
    pub fn push_parts(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.values.extend_from_slice(part));
        self.validity.push(true);
        self.end();
    }

    /// The column, [`Type::Utf8`] or [`Type::Binary`]. The host refuses text that is not UTF-8.
    pub fn finish(self, name: impl Into<String>, data_type: Type) -> Column {
        Column {
            name: name.into(),
            data_type,
            validity: self.validity.bitmap,
            offsets: Some(self.offsets),
            values: self.values,
        }
    }

    #[inline]
    fn end(&mut self) {
        self.offsets.extend_from_slice(&(self.values.len() as i32).to_le_bytes());
    }
}

impl Column {
    /// A text column.
    pub fn utf8<S: AsRef<str>>(name: &str, rows: impl IntoIterator<Item = Option<S>>) -> Self {
        let mut column = VarBuilder::with_capacity(0, 0);
        rows.into_iter().for_each(|row| column.push(row.as_ref().map(|text| text.as_ref().as_bytes())));
        column.finish(name, Type::Utf8)
    }

    /// A column of numbers, of a type whose values have their bytes.
    pub fn fixed<T: Value>(name: &str, data_type: Type, rows: impl IntoIterator<Item = Option<T>>) -> Self {
        let mut column = FixedBuilder::with_capacity(0);
        rows.into_iter().for_each(|row| column.push(row));
        column.finish(name, data_type)
    }

    /// A column of booleans.
    pub fn boolean(name: &str, rows: impl IntoIterator<Item = Option<bool>>) -> Self {
        let (mut validity, mut values) = (Validity::default(), Vec::new());
        for (row, value) in rows.into_iter().enumerate() {
            validity.push(value.is_some());
            values.resize(bitmap_bytes(row + 1), 0);
            if value == Some(true) {
                bitmap_set(&mut values, row);
            }
        }
        Self { name: name.into(), data_type: Type::Boolean, validity: validity.bitmap, offsets: None, values }
    }
}
