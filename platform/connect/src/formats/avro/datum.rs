//! Avro's binary data: read by a plan, passed over, and (for defaults) written.

use serde_json::Value;

use super::plan::{Absent, FieldStep, Size, Skip, Step, Wanted};
use super::schema::Schema;
use crate::formats::binary::varint;
use crate::formats::tree::{Tree, VALUES_MAX};

/// Data on the way of being read. Every count in it is bounded by what the record may come to.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    /// How many values lists and maps may still come to.
    values_left: usize,
}

fn short() -> String {
    "the data ends too early".into()
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, values_left: VALUES_MAX }
    }

    /// What was not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many values lists and maps came to.
    pub(super) fn values(&self) -> usize {
        VALUES_MAX - self.values_left
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(short)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or_else(short)?;
        self.bytes = rest;
        Ok(*taken)
    }

    /// A number of Avro: zig-zag, seven bits a byte.
    #[inline]
    pub(super) fn long(&mut self) -> Result<i64, String> {
        let value = varint(&mut self.bytes, short)?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Bytes with their length before them.
    #[inline]
    pub(super) fn prefixed(&mut self) -> Result<&'a [u8], String> {
        let length = self.long()?;
        let length = usize::try_from(length).map_err(|_| format!("a length of {length}"))?;
        self.take(length)
    }

    /// How many items the next block has; none at the end. Each is charged so many values.
    fn block(&mut self, cells: usize) -> Result<(usize, Option<usize>), String> {
        let count = self.long()?;
        let bytes = match count < 0 {
            true => Some(usize::try_from(self.long()?).map_err(|_| "a block of negative size".to_owned())?),
            false => None,
        };
        let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        let left = self.values_left.checked_sub(count.saturating_mul(cells.max(1)));
        self.values_left = left.ok_or_else(|| format!("a list of {count} items is longer than a record may be"))?;
        Ok((count, bytes))
    }

    fn index(&mut self, of: usize, what: &str) -> Result<usize, String> {
        let index = self.long()?;
        let fits = usize::try_from(index).ok().filter(|index| *index < of);
        fits.ok_or_else(|| format!("{what} {index} of {of}"))
    }
}

impl Step {
    /// Reads one value into one column.
    pub(super) fn read(&self, cursor: &mut Cursor<'_>, to: &mut Tree) -> Result<(), String> {
        match self {
            Self::Null => {
                to.null();
                Ok(())
            }
            Self::Bool => match cursor.array::<1>()? {
                [0] => to.bool(false),
                [1] => to.bool(true),
                [other] => Err(format!("a boolean of {other}")),
            },
            Self::Whole => to.whole(cursor.long()?),
            Self::Scaled { times, over } => {
                let value = cursor.long()?;
                if value % over != 0 {
                    return Err(format!("the time {value} does not fit its column's milliseconds"));
                }
                let scaled = (value / over).checked_mul(*times);
                to.whole(scaled.ok_or_else(|| format!("the time {value} is too far away"))?)
            }
            Self::Float => to.float(f32::from_le_bytes(cursor.array()?)),
            Self::Double => to.double(f64::from_le_bytes(cursor.array()?)),
            Self::Bytes => to.bytes(cursor.prefixed()?),
            Self::Fixed(size) => to.bytes(cursor.take(*size)?),
            Self::Uuid => {
                let uuid = uuid::Uuid::from_bytes(cursor.array()?);
                to.bytes(uuid.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()).as_bytes())
            }
            Self::Decimal { size, times, over } => {
                let value = match size {
                    Size::Told => unscaled(cursor.prefixed()?)?,
                    Size::Bytes(size) => unscaled(cursor.take(*size)?)?,
                    Size::Whole => cursor.long()?.into(),
                };
                if value % over != 0 {
                    return Err("a decimal with more places than its column".into());
                }
                to.decimal((value / over).checked_mul(*times).ok_or("a decimal that is too great")?)
            }
            Self::Enum(symbols) => {
                let index = cursor.index(symbols.len(), "the symbol")?;
                to.bytes(symbols[index].as_ref().map_err(Clone::clone)?.as_bytes())
            }
            Self::Array { item, cells } => {
                let items = to.items()?;
                loop {
                    match cursor.block(*cells)? {
                        (0, _) => break,
                        (count, _) => (0..count).try_for_each(|_| item.read(cursor, items))?,
                    }
                }
                to.close()
            }
            Self::Map { value, cells } => {
                let (keys, values) = to.entries()?;
                loop {
                    match cursor.block(*cells)? {
                        (0, _) => break,
                        (count, _) => (0..count).try_for_each(|_| {
                            keys.bytes(cursor.prefixed()?)?;
                            value.read(cursor, values)
                        })?,
                    }
                }
                to.close()
            }
            Self::Record { fields, absent } => {
                let columns = to.fields()?;
                for FieldStep { name, what } in fields {
                    let read = match what {
                        Wanted::To(column, step) => step.read(cursor, &mut columns[*column]),
                        Wanted::Not(skip) => skip.pass(cursor),
                    };
                    read.map_err(|reason| format!("`{name}`: {reason}"))?;
                }
                for (column, absent) in absent {
                    let column = &mut columns[*column];
                    match absent {
                        Absent::Null => column.null(),
                        Absent::Default(bytes, step) => step.read(&mut Cursor::new(bytes), column)?,
                        Absent::Wrong(reason) => return Err(reason.clone()),
                    }
                }
                to.done();
                Ok(())
            }
            Self::Union(branches) => branches[cursor.index(branches.len(), "the branch")?].read(cursor, to),
            Self::Members(members) => {
                let (taken, step) = &members[cursor.index(members.len(), "the branch")?];
                let Some(taken) = taken else { return step.read(cursor, to) };
                for (number, field) in to.fields()?.iter_mut().enumerate() {
                    if number == *taken { step.read(cursor, field)? } else { field.null() }
                }
                to.done();
                Ok(())
            }
            Self::Wrong(reason) => Err(reason.clone()),
        }
    }
}

impl Skip {
    /// Passes over one value.
    pub(super) fn pass(&self, cursor: &mut Cursor<'_>) -> Result<(), String> {
        match self {
            Self::Bytes(count) => cursor.take(*count).map(drop),
            Self::Varint => cursor.long().map(drop),
            Self::Long => cursor.prefixed().map(drop),
            Self::Blocks(item) => loop {
                match cursor.block(1)? {
                    (0, _) => return Ok(()),
                    (_, Some(bytes)) => drop(cursor.take(bytes)?),
                    (count, None) => (0..count).try_for_each(|_| item.pass(cursor))?,
                }
            },
            Self::Record(fields) => fields.iter().try_for_each(|field| field.pass(cursor)),
            Self::Union(branches) => branches[cursor.index(branches.len(), "the branch")?].pass(cursor),
            Self::Wrong(reason) => Err(reason.clone()),
        }
    }
}

/// A big-endian number in two's complement.
fn unscaled(bytes: &[u8]) -> Result<i128, String> {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let fill = if negative { 0xff } else { 0 };
    let extra = bytes.len().saturating_sub(16);
    let mut whole = [fill; 16];
    whole[16 - (bytes.len() - extra)..].copy_from_slice(&bytes[extra..]);
    let value = i128::from_be_bytes(whole);
    if bytes[..extra].iter().any(|byte| *byte != fill) || (value < 0) != negative {
        return Err("a decimal of more than 38 digits".into());
    }
    Ok(value)
}

pub(super) fn put_long(value: i64, out: &mut Vec<u8>) {
    let mut value = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

/// Writes the JSON of a default as data. The default of a union is one of its first branch, or of any that takes it.
pub(super) fn encode(json: &Value, schema: &Schema, out: &mut Vec<u8>) -> Result<(), String> {
    let no = || format!("it is not {}", schema.name());
    match schema {
        Schema::Null if json.is_null() => {}
        Schema::Bool => out.push(json.as_bool().ok_or_else(no)?.into()),
        Schema::Int | Schema::Date | Schema::Long | Schema::Time { .. } => put_long(json.as_i64().ok_or_else(no)?, out),
        Schema::Float => out.extend_from_slice(&(number(json).ok_or_else(no)? as f32).to_le_bytes()),
        Schema::Double => out.extend_from_slice(&number(json).ok_or_else(no)?.to_le_bytes()),
        Schema::String => put_bytes(json.as_str().ok_or_else(no)?.as_bytes(), out),
        Schema::Bytes | Schema::Decimal { size: None, .. } => put_bytes(&latin(json).ok_or_else(no)?, out),
        Schema::Fixed(_) | Schema::Uuid | Schema::Decimal { size: Some(_), .. } => {
            let bytes = latin(json).ok_or_else(no)?;
            let size = match schema {
                Schema::Fixed(size) | Schema::Decimal { size: Some(size), .. } => *size,
                _ => 16,
            };
            if bytes.len() != size {
                return Err(format!("it has {} bytes, and not {size}", bytes.len()));
            }
            out.extend_from_slice(&bytes);
        }
        Schema::Enum(of) => {
            let index = of.symbols.iter().position(|symbol| json == symbol.as_str()).ok_or_else(no)?;
            put_long(index as i64, out);
        }
        Schema::Array(of) => {
            let items = json.as_array().ok_or_else(no)?;
            if !items.is_empty() {
                put_long(items.len() as i64, out);
                items.iter().try_for_each(|item| encode(item, of, out))?;
            }
            out.push(0);
        }
        Schema::Map(of) => {
            let entries = json.as_object().ok_or_else(no)?;
            if !entries.is_empty() {
                put_long(entries.len() as i64, out);
                for (key, value) in entries {
                    put_bytes(key.as_bytes(), out);
                    encode(value, of, out)?;
                }
            }
            out.push(0);
        }
        Schema::Union(branches) => {
            let start = out.len();
            for (index, branch) in branches.iter().enumerate() {
                put_long(index as i64, out);
                if encode(json, branch, out).is_ok() {
                    return Ok(());
                }
                out.truncate(start);
            }
            return Err("it is of no branch of its union".into());
        }
        Schema::Record(record) => {
            for field in &record.fields {
                let value = json.get(&field.name).or(field.default.as_ref());
                encode(value.ok_or_else(|| format!("it has no `{}`", field.name))?, &field.schema, out)?;
            }
        }
        Schema::Null | Schema::Recursive(_) => return Err(no()),
    }
    Ok(())
}

/// Avro writes what JSON has no number for as text.
fn number(json: &Value) -> Option<f64> {
    match json.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        _ => json.as_f64(),
    }
}

/// The bytes of a default: one character, up to U+00FF, each.
fn latin(json: &Value) -> Option<Vec<u8>> {
    json.as_str()?.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}
