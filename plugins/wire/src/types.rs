//! Types of columns, and how their values lie in memory.

use std::fmt;

/// A column's type. The same list as `data-type` in the WIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// One bit a row.
    Boolean,
    /// Four bytes, signed.
    Int32,
    /// Eight bytes, signed.
    Int64,
    /// Four bytes.
    Float32,
    /// Eight bytes.
    Float64,
    /// Text.
    Utf8,
    /// Bytes.
    Binary,
    /// Days since 1970-01-01.
    Date32,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    TimestampMillis,
    /// Microseconds since 1970-01-01T00:00:00Z.
    TimestampMicros,
    /// An exact number with so many digits, of which so many stand after the point.
    Decimal128 {
        /// Digits, 1 to 38.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
}

/// How a type's values lie in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One bit a row, the lowest bit of a byte first.
    Bits,
    /// So many bytes a row, little-endian.
    Fixed(usize),
    /// rows + 1 offsets of four bytes, and the bytes between them.
    Offsets,
}

impl Type {
    /// How this type's values lie in a column.
    pub const fn layout(self) -> Layout {
        match self {
            Self::Boolean => Layout::Bits,
            Self::Int32 | Self::Float32 | Self::Date32 => Layout::Fixed(4),
            Self::Int64 | Self::Float64 | Self::TimestampMillis | Self::TimestampMicros => Layout::Fixed(8),
            Self::Decimal128 { .. } => Layout::Fixed(16),
            Self::Utf8 | Self::Binary => Layout::Offsets,
        }
    }
}

impl fmt::Display for Type {
    /// The name a deployment's schema uses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "boolean",
            Self::Int32 => "int",
            Self::Int64 => "long",
            Self::Float32 => "float",
            Self::Float64 => "double",
            Self::Utf8 => "string",
            Self::Binary => "binary",
            Self::Date32 => "date",
            Self::TimestampMillis => "timestamp_millis",
            Self::TimestampMicros => "timestamp",
            Self::Decimal128 { precision, scale } => {
                return write!(f, "decimal({precision},{scale})");
            }
        })
    }
}

/// The bytes of a bitmap for so many rows.
pub const fn bitmap_bytes(rows: usize) -> usize {
    rows.div_ceil(8)
}

/// A row's bit.
pub fn bitmap_get(bitmap: &[u8], row: usize) -> bool {
    bitmap[row / 8] >> (row % 8) & 1 == 1
}

/// Sets a row's bit to 1.
pub fn bitmap_set(bitmap: &mut [u8], row: usize) {
    bitmap[row / 8] |= 1 << (row % 8);
}
