//! Schemas and batches: what goes in and what comes out.

use braid_wire::{Layout, Type, bitmap_bytes, bitmap_get, bitmap_set};

use crate::view::{Bits, Fixed, Value, Var};

/// The columns of a batch, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Names are unique.
    pub fields: Vec<Field>,
}

/// A column's name and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: Type,
}

impl Schema {
    /// The field of that name, if there is one.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// An error in the user's words unless there is a column of that name and type.
    pub fn require(&self, name: &str, data_type: Type) -> Result<(), String> {
        match self.field(name) {
            Some(field) if field.data_type == data_type => Ok(()),
            Some(field) => Err(wrong_type(name, field.data_type, &data_type.to_string())),
            None => {
                let names: Vec<&str> = self.fields.iter().map(|f| f.name.as_str()).collect();
                Err(format!("needs a column `{name}` of type {data_type}; there are: {}", names.join(", ")))
            }
        }
    }
}

fn wrong_type(name: &str, is: Type, should_be: &str) -> String {
    format!("column `{name}` is {is}, and should be {should_be}")
}

/// One column. Its bytes are Arrow's layout, without padding, little-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: Type,
    /// One bit a row, 1 where there is a value; `None` where every row has one.
    pub validity: Option<Vec<u8>>,
    /// For text and bytes: rows + 1 offsets into `values`, four bytes each.
    pub offsets: Option<Vec<u8>>,
    /// The values.
    pub values: Vec<u8>,
}

/// Rows, as columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// How many rows: every column has as many.
    pub rows: usize,
    /// The columns, in the schema's order.
    pub columns: Vec<Column>,
}

impl Batch {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Result<&Column, String> {
        self.columns.iter().find(|column| column.name == name).ok_or_else(|| format!("there is no column `{name}`"))
    }

    /// A text column.
    pub fn utf8(&self, name: &str) -> Result<Var<'_>, String> {
        self.var(name, Type::Utf8)
    }

    /// A column of bytes.
    pub fn binary(&self, name: &str) -> Result<Var<'_>, String> {
        self.var(name, Type::Binary)
    }

    /// A column of booleans.
    pub fn boolean(&self, name: &str) -> Result<Bits<'_>, String> {
        let column = self.column(name)?;
        match column.data_type {
            Type::Boolean => Ok(Bits::new(self.rows, column)),
            other => Err(wrong_type(name, other, "boolean")),
        }
    }

    /// A column of four-byte integers: int, or date (days since 1970-01-01).
    pub fn int32(&self, name: &str) -> Result<Fixed<'_, i32>, String> {
        self.fixed(name, "int or date", |t| matches!(t, Type::Int32 | Type::Date32))
    }

    /// A column of eight-byte integers: long, timestamp (microseconds) or timestamp_millis (milliseconds).
    pub fn int64(&self, name: &str) -> Result<Fixed<'_, i64>, String> {
        self.fixed(name, "long, timestamp or timestamp_millis", |t| {
            matches!(t, Type::Int64 | Type::TimestampMillis | Type::TimestampMicros)
        })
    }

    /// A column of floats.
    pub fn float32(&self, name: &str) -> Result<Fixed<'_, f32>, String> {
        self.fixed(name, "float", |t| t == Type::Float32)
    }

    /// A column of doubles.
    pub fn float64(&self, name: &str) -> Result<Fixed<'_, f64>, String> {
        self.fixed(name, "double", |t| t == Type::Float64)
    }

    /// A column of decimals: the number times ten to the power of its scale.
    pub fn decimal128(&self, name: &str) -> Result<Fixed<'_, i128>, String> {
        self.fixed(name, "decimal", |t| matches!(t, Type::Decimal128 { .. }))
    }

    /// Puts a column in the place of the one with its name, or after the others.
    pub fn set(&mut self, column: Column) {
        match self.columns.iter_mut().find(|c| c.name == column.name) {
            Some(place) => *place = column,
            None => self.columns.push(column),
        }
    }

    /// The rows marked `true`, of as many marks as there are rows. All of them: nothing is copied.
    pub fn filter(self, keep: &[bool]) -> Self {
        assert_eq!(keep.len(), self.rows, "one mark for each row");
        let rows = keep.iter().filter(|keep| **keep).count();
        if rows == self.rows {
            return self;
        }
        let columns = self.columns.into_iter();
        let columns = columns.map(|column| column.filter(keep, rows)).collect();
        Self { rows, columns }
    }

    fn var(&self, name: &str, data_type: Type) -> Result<Var<'_>, String> {
        let column = self.column(name)?;
        if column.data_type != data_type {
            return Err(wrong_type(name, column.data_type, &data_type.to_string()));
        }
        Ok(Var::new(self.rows, column))
    }

    fn fixed<T: Value>(&self, name: &str, should_be: &str, is: impl Fn(Type) -> bool) -> Result<Fixed<'_, T>, String> {
        let column = self.column(name)?;
        if !is(column.data_type) {
            return Err(wrong_type(name, column.data_type, should_be));
        }
        Ok(Fixed::new(self.rows, column))
    }
}

impl Column {
    fn filter(self, keep: &[bool], rows: usize) -> Self {
        let kept = || keep.iter().enumerate().filter(|(_, keep)| **keep);
        let bits = |from: &[u8]| {
            let mut bitmap = vec![0; bitmap_bytes(rows)];
            for (to, (row, _)) in kept().enumerate() {
                if bitmap_get(from, row) {
                    bitmap_set(&mut bitmap, to);
                }
            }
            bitmap
        };
        let validity = self.validity.as_deref().map(bits);
        let (offsets, values) = match self.data_type.layout() {
            Layout::Bits => (None, bits(&self.values)),
            Layout::Fixed(width) => {
                let mut values = Vec::with_capacity(rows * width);
                for (row, _) in kept() {
                    values.extend_from_slice(&self.values[row * width..(row + 1) * width]);
                }
                (None, values)
            }
            Layout::Offsets => {
                let offset = |row: usize| offset_at(self.offsets.as_deref(), row);
                let mut offsets = Vec::with_capacity((rows + 1) * 4);
                let mut values = Vec::with_capacity(self.values.len());
                offsets.extend_from_slice(&0i32.to_le_bytes());
                for (row, _) in kept() {
                    values.extend_from_slice(&self.values[offset(row)..offset(row + 1)]);
                    offsets.extend_from_slice(&(values.len() as i32).to_le_bytes());
                }
                (Some(offsets), values)
            }
        };
        Self { name: self.name, data_type: self.data_type, validity, offsets, values }
    }
}

/// Where a row's bytes begin. The host passes offsets with every column of text or bytes.
pub(crate) fn offset_at(offsets: Option<&[u8]>, row: usize) -> usize {
    let offsets = offsets.expect("a column of text or bytes has offsets");
    let bytes = &offsets[row * 4..row * 4 + 4];
    i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize
}
