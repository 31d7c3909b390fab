//! Columns of any shape that grow value by value, and go back to where they were when a record turns out to be bad.

use arrow::array::{ArrayRef, BooleanBufferBuilder, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, SchemaRef};
use arrow::error::ArrowError;

use super::RECORD_BYTES_MAX;

/// The most values that the lists and maps of one record may come to. A record that claims more is bad, so that a few
/// bytes cannot ask for much memory.
pub(super) const VALUES_MAX: usize = RECORD_BYTES_MAX;

/// A column that grows.
#[derive(Debug)]
pub(super) struct Tree {
    valid: BooleanBufferBuilder,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Bool(BooleanBufferBuilder),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Decimal { values: Vec<i128>, precision: u8 },
    Bytes { ends: Vec<i32>, bytes: Vec<u8>, text: bool },
    List { ends: Vec<i32>, item: Box<Tree> },
    Map { ends: Vec<i32>, key: Box<Tree>, value: Box<Tree> },
    Struct(Vec<Tree>),
}

impl Tree {
    /// An empty column of this type; `None` where there is no such column.
    pub(super) fn of(data_type: &DataType) -> Option<Self> {
        let data = match data_type {
            DataType::Boolean => Data::Bool(BooleanBufferBuilder::new(0)),
            DataType::Int8 => Data::I8(vec![]),
            DataType::Int16 => Data::I16(vec![]),
            DataType::Int32 | DataType::Date32 => Data::I32(vec![]),
            DataType::Int64 | DataType::Timestamp(..) => Data::I64(vec![]),
            DataType::Float32 => Data::F32(vec![]),
            DataType::Float64 => Data::F64(vec![]),
            DataType::Decimal128(precision, _) => Data::Decimal { values: vec![], precision: *precision },
            DataType::Utf8 => Data::Bytes { ends: vec![0], bytes: vec![], text: true },
            DataType::Binary => Data::Bytes { ends: vec![0], bytes: vec![], text: false },
            DataType::List(item) => Data::List { ends: vec![0], item: Box::new(Self::of(item.data_type())?) },
            DataType::Map(entries, _) => {
                let DataType::Struct(parts) = entries.data_type() else { return None };
                let [key, value] = &parts[..] else { return None };
                let (key, value) = (Self::of(key.data_type())?, Self::of(value.data_type())?);
                Data::Map { ends: vec![0], key: Box::new(key), value: Box::new(value) }
            }
            DataType::Struct(fields) => {
                Data::Struct(fields.iter().map(|field| Self::of(field.data_type())).collect::<Option<_>>()?)
            }
            _ => return None,
        };
        Some(Self { valid: BooleanBufferBuilder::new(0), data })
    }

    /// One row of these columns.
    pub(super) fn row(schema: &SchemaRef) -> Option<Self> {
        Self::of(&DataType::Struct(schema.fields().clone()))
    }

    pub(super) fn len(&self) -> usize {
        self.valid.len()
    }

    pub(super) fn null(&mut self) {
        self.valid.append(false);
        match &mut self.data {
            Data::Bool(values) => values.append(false),
            Data::I8(values) => values.push(0),
            Data::I16(values) => values.push(0),
            Data::I32(values) => values.push(0),
            Data::I64(values) => values.push(0),
            Data::F32(values) => values.push(0.0),
            Data::F64(values) => values.push(0.0),
            Data::Decimal { values, .. } => values.push(0),
            Data::Bytes { ends, .. } | Data::List { ends, .. } | Data::Map { ends, .. } => {
                ends.push(ends.last().copied().unwrap_or(0));
            }
            Data::Struct(fields) => fields.iter_mut().for_each(Self::null),
        }
    }

    pub(super) fn bool(&mut self, value: bool) -> Result<(), String> {
        let Data::Bool(values) = &mut self.data else { return Err(misfit("a boolean")) };
        values.append(value);
        self.valid.append(true);
        Ok(())
    }

    /// A whole number, or what is kept as one: days, or a time in the column's unit.
    #[inline]
    pub(super) fn whole(&mut self, value: i64) -> Result<(), String> {
        fn narrow<T: TryFrom<i64>>(value: i64) -> Result<T, String> {
            T::try_from(value).map_err(|_| format!("{value} is too great for its column"))
        }
        match &mut self.data {
            Data::I8(values) => values.push(narrow(value)?),
            Data::I16(values) => values.push(narrow(value)?),
            Data::I32(values) => values.push(narrow(value)?),
            Data::I64(values) => values.push(value),
            Data::F32(values) => values.push(value as f32),
            Data::F64(values) => values.push(value as f64),
            _ => return Err(misfit("a whole number")),
        }
        self.valid.append(true);
        Ok(())
    }

    pub(super) fn float(&mut self, value: f32) -> Result<(), String> {
        match &mut self.data {
            Data::F32(values) => values.push(value),
            Data::F64(values) => values.push(value.into()),
            _ => return Err(misfit("a float")),
        }
        self.valid.append(true);
        Ok(())
    }

    pub(super) fn double(&mut self, value: f64) -> Result<(), String> {
        let Data::F64(values) = &mut self.data else { return Err(misfit("a double")) };
        values.push(value);
        self.valid.append(true);
        Ok(())
    }

    /// A decimal in the column's scale.
    pub(super) fn decimal(&mut self, value: i128) -> Result<(), String> {
        let Data::Decimal { values, precision } = &mut self.data else { return Err(misfit("a decimal")) };
        if value.unsigned_abs() >= 10_u128.pow(u32::from(*precision)) {
            return Err(format!("a decimal of more than {precision} digits"));
        }
        values.push(value);
        self.valid.append(true);
        Ok(())
    }

    /// Bytes, which are proved to be UTF-8 where the column is text.
    #[inline]
    pub(super) fn bytes(&mut self, value: &[u8]) -> Result<(), String> {
        let Data::Bytes { ends, bytes, text } = &mut self.data else { return Err(misfit("bytes")) };
        if *text && simdutf8::basic::from_utf8(value).is_err() {
            return Err("invalid UTF-8".into());
        }
        bytes.extend_from_slice(value);
        ends.push(end(bytes.len())?);
        self.valid.append(true);
        Ok(())
    }

    /// What the items of the list that grows are pushed to; [`Self::close`] ends it.
    pub(super) fn items(&mut self) -> Result<&mut Self, String> {
        match &mut self.data {
            Data::List { item, .. } => Ok(item),
            _ => Err(misfit("an array")),
        }
    }

    /// What the keys and values of the map that grows are pushed to; [`Self::close`] ends it.
    pub(super) fn entries(&mut self) -> Result<(&mut Self, &mut Self), String> {
        match &mut self.data {
            Data::Map { key, value, .. } => Ok((key, value)),
            _ => Err(misfit("a map")),
        }
    }

    /// Ends a list or a map: what was pushed since the last one is its content.
    pub(super) fn close(&mut self) -> Result<(), String> {
        match &mut self.data {
            Data::List { ends, item } => ends.push(end(item.len())?),
            Data::Map { ends, key, .. } => ends.push(end(key.len())?),
            _ => return Err(misfit("a list")),
        }
        self.valid.append(true);
        Ok(())
    }

    /// The fields of a struct, each of which takes one value; [`Self::done`] ends it.
    pub(super) fn fields(&mut self) -> Result<&mut [Self], String> {
        match &mut self.data {
            Data::Struct(fields) => Ok(fields),
            _ => Err(misfit("a record")),
        }
    }

    /// Ends a struct, whose fields have one value more each.
    pub(super) fn done(&mut self) {
        self.valid.append(true);
    }

    /// Forgets all values behind the first so many, and those that were begun.
    pub(super) fn truncate(&mut self, len: usize) {
        self.valid.truncate(len);
        match &mut self.data {
            Data::Bool(values) => values.truncate(len),
            Data::I8(values) => values.truncate(len),
            Data::I16(values) => values.truncate(len),
            Data::I32(values) => values.truncate(len),
            Data::I64(values) => values.truncate(len),
            Data::F32(values) => values.truncate(len),
            Data::F64(values) => values.truncate(len),
            Data::Decimal { values, .. } => values.truncate(len),
            Data::Bytes { ends, bytes, .. } => bytes.truncate(cut(ends, len)),
            Data::List { ends, item } => item.truncate(cut(ends, len)),
            Data::Map { ends, key, value } => {
                let entries = cut(ends, len);
                key.truncate(entries);
                value.truncate(entries);
            }
            Data::Struct(fields) => fields.iter_mut().for_each(|field| field.truncate(len)),
        }
    }

    /// The columns of all rows since the last time.
    pub(super) fn finish_rows(&mut self, schema: &SchemaRef) -> Result<Vec<ArrayRef>, ArrowError> {
        self.valid.truncate(0);
        let Data::Struct(columns) = &mut self.data else { return Ok(vec![]) };
        columns.iter_mut().zip(schema.fields()).map(|(column, field)| column.finish(field.data_type())).collect()
    }

    fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        Ok(make_array(self.array(data_type)?))
    }

    fn array(&mut self, data_type: &DataType) -> Result<arrow::array::ArrayData, ArrowError> {
        let len = self.valid.len();
        let nulls = NullBuffer::new(taken(&mut self.valid));
        let mut array = arrow::array::ArrayData::builder(data_type.clone()).len(len);
        if nulls.null_count() > 0 {
            array = array.nulls(Some(nulls));
        }
        array = match (&mut self.data, data_type) {
            (Data::Bool(values), _) => array.add_buffer(taken(values).into_inner()),
            (Data::I8(values), _) => array.add_buffer(buffer(values)),
            (Data::I16(values), _) => array.add_buffer(buffer(values)),
            (Data::I32(values), _) => array.add_buffer(buffer(values)),
            (Data::I64(values), _) => array.add_buffer(buffer(values)),
            (Data::F32(values), _) => array.add_buffer(buffer(values)),
            (Data::F64(values), _) => array.add_buffer(buffer(values)),
            (Data::Decimal { values, .. }, _) => array.add_buffer(buffer(values)),
            (Data::Bytes { ends, bytes, .. }, _) => array.add_buffer(offsets(ends)).add_buffer(buffer(bytes)),
            (Data::List { ends, item }, DataType::List(of)) => {
                array.add_buffer(offsets(ends)).add_child_data(item.array(of.data_type())?)
            }
            (Data::Map { ends, key, value }, DataType::Map(entries, _)) => {
                let DataType::Struct(parts) = entries.data_type() else { return Err(unlike(data_type)) };
                let pairs = arrow::array::ArrayData::builder(entries.data_type().clone()).len(key.len());
                let pairs = pairs.add_child_data(key.array(parts[0].data_type())?);
                let pairs = pairs.add_child_data(value.array(parts[1].data_type())?).build()?;
                array.add_buffer(offsets(ends)).add_child_data(pairs)
            }
            (Data::Struct(fields), DataType::Struct(of)) => {
                for (field, of) in fields.iter_mut().zip(of) {
                    array = array.add_child_data(field.array(of.data_type())?);
                }
                array
            }
            _ => return Err(unlike(data_type)),
        };
        array.build()
    }
}

fn misfit(what: &str) -> String {
    format!("{what} does not fit its column")
}

fn unlike(data_type: &DataType) -> ArrowError {
    ArrowError::SchemaError(format!("bug: a column is no {data_type}"))
}

fn taken(bits: &mut BooleanBufferBuilder) -> BooleanBuffer {
    bits.finish()
}

fn buffer<T: ArrowNativeType>(values: &mut Vec<T>) -> Buffer {
    // The next batch is likely to be as large.
    let next = Vec::with_capacity(values.len());
    Buffer::from_vec(std::mem::replace(values, next))
}

fn offsets(ends: &mut Vec<i32>) -> Buffer {
    let all = buffer(ends);
    ends.push(0);
    all
}

fn end(len: usize) -> Result<i32, String> {
    i32::try_from(len).map_err(|_| "more than a column can hold".to_owned())
}

/// Keeps the ends of so many values; says where the last one ends.
fn cut(ends: &mut Vec<i32>, len: usize) -> usize {
    ends.truncate(len + 1);
    ends.last().map_or(0, |end| usize::try_from(*end).unwrap_or(0))
}

/// How many values one value of a type is at least, which a list of it is charged for each item.
pub(super) fn cells(data_type: &DataType) -> usize {
    match data_type {
        DataType::Struct(fields) => 1 + fields.iter().map(|field| cells(field.data_type())).sum::<usize>(),
        _ => 1,
    }
}
