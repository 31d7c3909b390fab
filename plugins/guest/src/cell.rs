//! Single values: what state is made of, and what a stateful plugin gives out.

use std::borrow::Cow;
use std::cmp::Ordering;

use braid_wire::Type;

use crate::batch::{Batch, Column};
use crate::build::{FixedBuilder, VarBuilder};

/// One value of a column.
#[derive(Debug, Clone)]
pub enum Cell<'a> {
    /// Nothing.
    Null,
    /// [`Type::Boolean`].
    Boolean(bool),
    /// [`Type::Int32`] and [`Type::Date32`].
    Int32(i32),
    /// [`Type::Int64`] and the timestamps.
    Int64(i64),
    /// [`Type::Float32`].
    Float32(f32),
    /// [`Type::Float64`].
    Float64(f64),
    /// [`Type::Decimal128`], without its point.
    Decimal128(i128),
    /// [`Type::Utf8`].
    Utf8(Cow<'a, str>),
    /// [`Type::Binary`].
    Binary(Cow<'a, [u8]>),
}

impl<'a> Cell<'a> {
    /// A row's value.
    pub(crate) fn read(rows: usize, column: &'a Column, row: usize) -> Self {
        use crate::view::{Bits, Fixed, Var};
        let value = match column.data_type {
            Type::Boolean => Bits::new(rows, column).get(row).map(Self::Boolean),
            Type::Int32 | Type::Date32 => Fixed::new(rows, column).get(row).map(Self::Int32),
            Type::Int64 | Type::TimestampMillis | Type::TimestampMicros => {
                Fixed::new(rows, column).get(row).map(Self::Int64)
            }
            Type::Float32 => Fixed::new(rows, column).get(row).map(Self::Float32),
            Type::Float64 => Fixed::new(rows, column).get(row).map(Self::Float64),
            Type::Decimal128 { .. } => Fixed::new(rows, column).get(row).map(Self::Decimal128),
            Type::Utf8 => Var::new(rows, column).get(row).map(|text| Self::Utf8(text.into())),
            Type::Binary => Var::new(rows, column).bytes(row).map(|bytes| Self::Binary(bytes.into())),
        };
        value.unwrap_or(Self::Null)
    }

    /// The same, of no column.
    pub fn into_owned(self) -> Cell<'static> {
        match self {
            Self::Null => Cell::Null,
            Self::Boolean(value) => Cell::Boolean(value),
            Self::Int32(value) => Cell::Int32(value),
            Self::Int64(value) => Cell::Int64(value),
            Self::Float32(value) => Cell::Float32(value),
            Self::Float64(value) => Cell::Float64(value),
            Self::Decimal128(value) => Cell::Decimal128(value),
            Self::Utf8(text) => Cell::Utf8(text.into_owned().into()),
            Self::Binary(bytes) => Cell::Binary(bytes.into_owned().into()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Boolean(_) => 1,
            Self::Int32(_) => 2,
            Self::Int64(_) => 3,
            Self::Float32(_) => 4,
            Self::Float64(_) => 5,
            Self::Decimal128(_) => 6,
            Self::Utf8(_) => 7,
            Self::Binary(_) => 8,
        }
    }
}

impl Ord for Cell<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::Int32(a), Self::Int32(b)) => a.cmp(b),
            (Self::Int64(a), Self::Int64(b)) => a.cmp(b),
            (Self::Float32(a), Self::Float32(b)) => a.total_cmp(b),
            (Self::Float64(a), Self::Float64(b)) => a.total_cmp(b),
            (Self::Decimal128(a), Self::Decimal128(b)) => a.cmp(b),
            (Self::Utf8(a), Self::Utf8(b)) => a.cmp(b),
            (Self::Binary(a), Self::Binary(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Cell<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Cell<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Cell<'_> {}

macro_rules! cells {
    ($($native:ty, $variant:ident, $data_type:expr;)*) => {$(
        impl From<$native> for Cell<'_> {
            fn from(value: $native) -> Self {
                Self::$variant(value.into())
            }
        }

        impl Kept for $native {
            const TYPE: Type = $data_type;
            fn of(cell: &Cell<'_>) -> Option<Self> {
                match cell {
                    Cell::$variant(value) => Some(value.clone().into()),
                    _ => None,
                }
            }
            fn cell(self) -> Cell<'static> {
                Cell::$variant(self.into())
            }
        }
    )*};
}

/// What a variable of state can hold.
pub trait Kept: Sized {
    /// Its column's type.
    const TYPE: Type;
    /// From a cell of that type.
    fn of(cell: &Cell<'_>) -> Option<Self>;
    /// As a cell.
    fn cell(self) -> Cell<'static>;
}

cells! {
    bool, Boolean, Type::Boolean;
    i32, Int32, Type::Int32;
    i64, Int64, Type::Int64;
    f32, Float32, Type::Float32;
    f64, Float64, Type::Float64;
    String, Utf8, Type::Utf8;
    Vec<u8>, Binary, Type::Binary;
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Self::Utf8(text.into())
    }
}

impl<'a> From<&'a [u8]> for Cell<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Binary(bytes.into())
    }
}

impl<'a, T: Into<Cell<'a>>> From<Option<T>> for Cell<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// One row of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    batch: &'a Batch,
    row: usize,
}

impl<'a> Row<'a> {
    /// A batch's row, from 0.
    pub fn new(batch: &'a Batch, row: usize) -> Self {
        Self { batch, row }
    }

    /// Its columns in order: name, type and value.
    pub fn cells(&self) -> impl Iterator<Item = (&'a str, Type, Cell<'a>)> + use<'a> {
        let Self { batch, row } = *self;
        batch.columns.iter().map(move |column| (&*column.name, column.data_type, Cell::read(batch.rows, column, row)))
    }

    /// Whatever stands in a column.
    pub fn cell(&self, name: &str) -> Result<Cell<'a>, String> {
        Ok(Cell::read(self.batch.rows, self.batch.column(name)?, self.row))
    }

    /// What stands in the one column, where there is no other: a key's.
    pub fn only(&self) -> Result<Cell<'a>, String> {
        match self.batch.columns.as_slice() {
            [column] => Ok(Cell::read(self.batch.rows, column, self.row)),
            columns => Err(format!("there are {} columns", columns.len())),
        }
    }

    /// Text; `None` where it is null.
    pub fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        Ok(self.batch.utf8(name)?.get(self.row))
    }

    /// Bytes.
    pub fn bytes(&self, name: &str) -> Result<Option<&'a [u8]>, String> {
        Ok(self.batch.binary(name)?.bytes(self.row))
    }

    /// A boolean.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, String> {
        Ok(self.batch.boolean(name)?.get(self.row))
    }

    /// An int, or a date (days since 1970-01-01).
    pub fn int32(&self, name: &str) -> Result<Option<i32>, String> {
        Ok(self.batch.int32(name)?.get(self.row))
    }

    /// A long, or a timestamp (microseconds; of timestamp_millis milliseconds).
    pub fn int64(&self, name: &str) -> Result<Option<i64>, String> {
        Ok(self.batch.int64(name)?.get(self.row))
    }

    /// A float.
    pub fn float32(&self, name: &str) -> Result<Option<f32>, String> {
        Ok(self.batch.float32(name)?.get(self.row))
    }

    /// A double.
    pub fn float64(&self, name: &str) -> Result<Option<f64>, String> {
        Ok(self.batch.float64(name)?.get(self.row))
    }

    /// A decimal, without its point.
    pub fn decimal128(&self, name: &str) -> Result<Option<i128>, String> {
        Ok(self.batch.decimal128(name)?.get(self.row))
    }
}

/// Builds a column of cells of one type.
#[derive(Debug)]
pub(crate) struct CellBuilder {
    name: String,
    data_type: Type,
    cells: Cells,
}

#[derive(Debug)]
enum Cells {
    Boolean(Vec<Option<bool>>),
    Int32(FixedBuilder<i32>),
    Int64(FixedBuilder<i64>),
    Float32(FixedBuilder<f32>),
    Float64(FixedBuilder<f64>),
    Decimal128(FixedBuilder<i128>),
    Var(VarBuilder),
}

impl CellBuilder {
    pub(crate) fn new(name: &str, data_type: Type) -> Self {
        let cells = match data_type {
            Type::Boolean => Cells::Boolean(Vec::new()),
            Type::Int32 | Type::Date32 => Cells::Int32(FixedBuilder::with_capacity(0)),
            Type::Int64 | Type::TimestampMillis | Type::TimestampMicros => Cells::Int64(FixedBuilder::with_capacity(0)),
            Type::Float32 => Cells::Float32(FixedBuilder::with_capacity(0)),
            Type::Float64 => Cells::Float64(FixedBuilder::with_capacity(0)),
            Type::Decimal128 { .. } => Cells::Decimal128(FixedBuilder::with_capacity(0)),
            Type::Utf8 | Type::Binary => Cells::Var(VarBuilder::with_capacity(0, 0)),
        };
        Self { name: name.into(), data_type, cells }
    }

    /// The next row, of this type or null.
    pub(crate) fn push(&mut self, cell: &Cell<'_>) -> Result<(), String> {
        match (&mut self.cells, cell) {
            (Cells::Boolean(cells), Cell::Boolean(value)) => cells.push(Some(*value)),
            (Cells::Int32(cells), Cell::Int32(value)) => cells.push(Some(*value)),
            (Cells::Int64(cells), Cell::Int64(value)) => cells.push(Some(*value)),
            (Cells::Float32(cells), Cell::Float32(value)) => cells.push(Some(*value)),
            (Cells::Float64(cells), Cell::Float64(value)) => cells.push(Some(*value)),
            (Cells::Decimal128(cells), Cell::Decimal128(value)) => cells.push(Some(*value)),
            (Cells::Var(cells), Cell::Utf8(text)) if self.data_type == Type::Utf8 => {
                cells.push(Some(text.as_bytes()));
            }
            (Cells::Var(cells), Cell::Binary(bytes)) if self.data_type == Type::Binary => cells.push(Some(bytes)),
            (cells, Cell::Null) => cells.push_null(),
            (_, other) => return Err(format!("column `{}` is {}, and was given {other:?}", self.name, self.data_type)),
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Column {
        let Self { name, data_type, cells } = self;
        match cells {
            Cells::Boolean(cells) => Column::boolean(&name, cells),
            Cells::Int32(cells) => cells.finish(name, data_type),
            Cells::Int64(cells) => cells.finish(name, data_type),
            Cells::Float32(cells) => cells.finish(name, data_type),
            Cells::Float64(cells) => cells.finish(name, data_type),
            Cells::Decimal128(cells) => cells.finish(name, data_type),
            Cells::Var(cells) => cells.finish(name, data_type),
        }
    }
}

impl Cells {
    fn push_null(&mut self) {
        match self {
            Self::Boolean(cells) => cells.push(None),
            Self::Int32(cells) => cells.push(None),
            Self::Int64(cells) => cells.push(None),
            Self::Float32(cells) => cells.push(None),
            Self::Float64(cells) => cells.push(None),
            Self::Decimal128(cells) => cells.push(None),
            Self::Var(cells) => cells.push(None::<&[u8]>),
        }
    }
}
