//! Typed views of columns, without a copy.

use std::marker::PhantomData;

use braid_wire::bitmap_get;

use crate::batch::{Column, offset_at};

/// A number that lies in a column as its little-endian bytes.
pub trait Value: Copy {
    /// Its bytes.
    const BYTES: usize;
    /// From exactly [`Self::BYTES`] bytes.
    fn read(bytes: &[u8]) -> Self;
    /// Appends its bytes.
    fn write(self, to: &mut Vec<u8>);
}

macro_rules! values {
    ($($number:ty),*) => {$(
        impl Value for $number {
            const BYTES: usize = size_of::<$number>();
            #[inline]
            fn read(bytes: &[u8]) -> Self {
                let mut value = [0; size_of::<$number>()];
                value.copy_from_slice(bytes);
                Self::from_le_bytes(value)
            }
            #[inline]
            fn write(self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
values!(i32, i64, f32, f64, i128);

/// Numbers.
#[derive(Debug, Clone, Copy)]
pub struct Fixed<'a, T> {
    rows: usize,
    validity: Option<&'a [u8]>,
    values: &'a [u8],
    number: PhantomData<T>,
}

impl<'a, T: Value> Fixed<'a, T> {
    pub(crate) fn new(rows: usize, column: &'a Column) -> Self {
        Self { rows, validity: column.validity.as_deref(), values: &column.values, number: PhantomData }
    }

    /// A row's number; `None` where it is null.
    pub fn get(&self, row: usize) -> Option<T> {
        valid(self.validity, row).then(|| T::read(&self.values[row * T::BYTES..(row + 1) * T::BYTES]))
    }

    /// Every row's number, in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<T>> + use<'a, T> {
        let validity = self.validity;
        let rows = self.values.chunks_exact(T::BYTES).take(self.rows);
        rows.enumerate().map(move |(row, bytes)| valid(validity, row).then(|| T::read(bytes)))
    }
}

/// Booleans.
#[derive(Debug, Clone, Copy)]
pub struct Bits<'a> {
    rows: usize,
    validity: Option<&'a [u8]>,
    values: &'a [u8],
}

impl<'a> Bits<'a> {
    pub(crate) fn new(rows: usize, column: &'a Column) -> Self {
        Self { rows, validity: column.validity.as_deref(), values: &column.values }
    }

    /// A row's boolean; `None` where it is null.
    pub fn get(&self, row: usize) -> Option<bool> {
        valid(self.validity, row).then(|| bitmap_get(self.values, row))
    }

    /// Every row's boolean, in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<bool>> + use<'a> {
        let view = *self;
        (0..self.rows).map(move |row| view.get(row))
    }
}

/// Text or bytes.
#[derive(Debug, Clone, Copy)]
pub struct Var<'a> {
    rows: usize,
    validity: Option<&'a [u8]>,
    offsets: Option<&'a [u8]>,
    values: &'a [u8],
}

impl<'a> Var<'a> {
    pub(crate) fn new(rows: usize, column: &'a Column) -> Self {
        Self { rows, validity: column.validity.as_deref(), offsets: column.offsets.as_deref(), values: &column.values }
    }

    /// A row's bytes; `None` where it is null.
    pub fn bytes(&self, row: usize) -> Option<&'a [u8]> {
        let range = || offset_at(self.offsets, row)..offset_at(self.offsets, row + 1);
        valid(self.validity, row).then(|| &self.values[range()])
    }

    /// A row's text; `None` where it is null, or where a column of bytes holds something else than UTF-8.
    pub fn get(&self, row: usize) -> Option<&'a str> {
        self.bytes(row).and_then(|bytes| str::from_utf8(bytes).ok())
    }

    /// Every row's text, in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
        let view = *self;
        (0..self.rows).map(move |row| view.get(row))
    }

    /// Every row's bytes, in order: faster than [`Self::iter`] where the text is only compared.
    pub fn iter_bytes(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let view = *self;
        (0..self.rows).map(move |row| view.bytes(row))
    }
}

fn valid(validity: Option<&[u8]>, row: usize) -> bool {
    validity.is_none_or(|bitmap| bitmap_get(bitmap, row))
}
