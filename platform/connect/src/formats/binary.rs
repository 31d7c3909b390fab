//! Records that are bytes with a schema elsewhere: Avro and Protobuf. A bad one is taken back out of the columns.

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use braid_kernel::SourceError;
use braid_spec::model::Format;

use super::tree::Tree;
use super::{avro, protobuf};

/// Why a record is no row.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// Its bytes are not what its schema says.
    Bad(String),
    /// That cannot be told now: its schema is not to be had.
    Stop(SourceError),
}

impl From<String> for Wrong {
    fn from(reason: String) -> Self {
        Self::Bad(reason)
    }
}

/// The schema's id and the data of a record in Confluent's framing: a zero, four bytes, and the data.
pub(super) fn framed(record: &[u8]) -> Result<(u32, &[u8]), String> {
    match record {
        [0, a, b, c, d, data @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), data)),
        [0, ..] | [] => Err("it is too short for a schema's id".into()),
        [first, ..] => Err(format!("it begins with {first}, and not with the 0 of the registry's framing")),
    }
}

/// The most bytes of a number of 64 bits, seven bits a byte.
const VARINT_BYTES_MAX: usize = 10;

/// A number, seven bits a byte and the lowest first, off the front of these bytes; `short` says that they end before it.
#[inline]
pub(super) fn varint(bytes: &mut &[u8], short: fn() -> String) -> Result<u64, String> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        // The last byte has room for one bit.
        if index == VARINT_BYTES_MAX - 1 && *byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            return Ok(value);
        }
    }
    Err(if bytes.len() < VARINT_BYTES_MAX { short() } else { "a number of more than 64 bits".into() })
}

/// The decoder of such records.
#[derive(Debug)]
pub(super) struct Binary {
    kind: Kind,
    rows: Tree,
    declared: SchemaRef,
    projection: Vec<usize>,
    /// Whether a bad record is a row of nulls.
    permissive: bool,
    failed: Option<SourceError>,
}

#[derive(Debug)]
enum Kind {
    Avro(Box<avro::Records>),
    Protobuf(Box<protobuf::Records>),
}

impl Binary {
    pub(super) fn new(format: &Format, declared: &SchemaRef, projected: &SchemaRef) -> Result<Self, SourceError> {
        let columns = declared.fields();
        let (kind, permissive) = match format {
            Format::Avro(avro) => {
                (avro::Records::new(avro, columns).map(|records| Kind::Avro(Box::new(records))), avro.permissive)
            }
            Format::Protobuf(protobuf) => {
                let records = protobuf::Records::new(protobuf, columns);
                (records.map(|records| Kind::Protobuf(Box::new(records))), protobuf.permissive)
            }
            _ => (Err("bug: this format is text".into()), false),
        };
        Ok(Self {
            kind: kind.map_err(SourceError::Fatal)?,
            rows: row(declared)?,
            projection: places(declared, projected)?,
            declared: declared.clone(),
            permissive,
            failed: None,
        })
    }

    /// Whether decoding has to stop, for now or for good.
    pub(super) fn failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Decodes a record; says how many values its lists came to, and nothing when decoding has stopped.
    pub(super) fn record(&mut self, record: &[u8]) -> Result<Option<usize>, String> {
        if self.failed() {
            return Ok(None);
        }
        let before = self.rows.len();
        let read = match &mut self.kind {
            Kind::Avro(records) => records.read(record, &mut self.rows),
            Kind::Protobuf(records) => records.read(record, &mut self.rows),
        };
        let wrong = match read {
            Ok(values) => return Ok(Some(values)),
            Err(wrong) => wrong,
        };
        self.rows.truncate(before);
        match wrong {
            Wrong::Bad(_) if self.permissive => {
                self.rows.null();
                Ok(Some(0))
            }
            Wrong::Bad(reason) => Err(reason),
            Wrong::Stop(error) => {
                self.failed = Some(error);
                Ok(None)
            }
        }
    }

    pub(super) fn finish(&mut self) -> Result<Vec<ArrayRef>, SourceError> {
        if let Some(error) = self.failed.take() {
            self.rows.truncate(0);
            return Err(error);
        }
        finish(&mut self.rows, &self.declared, &self.projection)
    }
}

/// An empty row of the declared columns.
pub(super) fn row(declared: &SchemaRef) -> Result<Tree, SourceError> {
    Tree::row(declared).ok_or_else(|| SourceError::Fatal("a column's type is none that this format can hold".into()))
}

/// Where the needed columns are among the declared ones.
pub(super) fn places(declared: &SchemaRef, projected: &SchemaRef) -> Result<Vec<usize>, SourceError> {
    let places = projected.fields().iter().map(|field| declared.index_of(field.name()));
    places.collect::<Result<_, _>>().map_err(|error| SourceError::Fatal(error.to_string()))
}

/// The needed columns. All declared ones are decoded, so that a record is bad for every reader or for none.
pub(super) fn finish(rows: &mut Tree, declared: &SchemaRef, places: &[usize]) -> Result<Vec<ArrayRef>, SourceError> {
    let columns = rows.finish_rows(declared);
    let columns = columns.map_err(|error| SourceError::Fatal(format!("bug: decoded columns do not fit: {error}")))?;
    Ok(places.iter().map(|place| columns[*place].clone()).collect())
}
