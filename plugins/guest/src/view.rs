//! Typed views of columns, without a copy.

use std::marker::PhantomData;
use std::ops::Range;

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

    /// Whether no row is null.
    pub fn whole(&self) -> bool {
        self.validity.is_none()
    }

    /// The bytes of all rows' numbers. Those of a null have no meaning.
    pub fn bytes(&self) -> &'a [u8] {
        &self.values[..self.rows * T::BYTES]
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

    /// Whether no row is null.
    pub fn whole(&self) -> bool {
        self.validity.is_none()
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
    /// All values as one text, where they are known to be one.
    text: Option<&'a str>,
}

impl<'a> Var<'a> {
    pub(crate) fn new(rows: usize, column: &'a Column) -> Self {
        let (validity, offsets) = (column.validity.as_deref(), column.offsets.as_deref());
        Self { rows, validity, offsets, values: &column.values, text: None }
    }

    /// The same, faster where every row is asked for: that it is UTF-8 is found out once.
    pub fn checked(self) -> Self {
        Self { text: text_of(self.values), ..self }
    }

    fn range(&self, row: usize) -> Range<usize> {
        offset_at(self.offsets, row)..offset_at(self.offsets, row + 1)
    }

    /// A row's bytes; `None` where it is null.
    pub fn bytes(&self, row: usize) -> Option<&'a [u8]> {
        valid(self.validity, row).then(|| &self.values[self.range(row)])
    }

    /// A row's text; `None` where it is null, or where a column of bytes holds something else than UTF-8.
    #[inline]
    pub fn get(&self, row: usize) -> Option<&'a str> {
        if let Some(text) = self.text {
            return valid(self.validity, row).then(|| text.get(self.range(row))).flatten();
        }
        self.bytes(row).and_then(|bytes| str::from_utf8(bytes).ok())
    }

    /// Whether no row is null.
    pub fn whole(&self) -> bool {
        self.validity.is_none()
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Every row's text, in order.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
        let view = self.checked();
        (0..self.rows).map(move |row| view.get(row))
    }

    /// Every row's bytes, in order: faster than [`Self::iter`] where the text is only compared.
    pub fn iter_bytes(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let view = *self;
        (0..self.rows).map(move |row| view.bytes(row))
    }
}

/// Bytes as text, if they are one.
fn text_of(bytes: &[u8]) -> Option<&str> {
    // Many bytes at once, which a search for the first that is none would not be.
    if bytes.iter().fold(0, |all, byte| all | byte).is_ascii() {
        #[expect(
            unsafe_code,
            reason = "`from_utf8` takes bytes a few at a time, which costs more than what is done with them"
        )]
        // SAFETY: bytes below 128 are UTF-8.
        return Some(unsafe { str::from_utf8_unchecked(bytes) });
    }
    str::from_utf8(bytes).ok()
}

fn valid(validity: Option<&[u8]>, row: usize) -> bool {
    validity.is_none_or(|bitmap| bitmap_get(bitmap, row))
}
