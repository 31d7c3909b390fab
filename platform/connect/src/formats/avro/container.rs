//! Avro's files: a header with the writer's schema, then blocks of records, each with its count, its size and a marker.
//!
//! A record is addressed by its row. One that is bad is left out, and the records behind it are read as long as it is known
//! where they begin; otherwise its block is lost from there on, or the file.

use std::io::Read;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use braid_kernel::{BadRecord, Rows, SourceError};
use braid_spec::model;
use miniz_oxide::inflate::decompress_to_vec_with_limit;

use super::datum::Cursor;
use super::parsed;
use super::plan::{Skip, Step, plan, skip};
use super::schema::Schema;
use crate::formats::binary::{finish, places, row};
use crate::formats::records::Stop;
use crate::formats::tree::Tree;
use crate::formats::{BATCH_BAD_BYTES_MAX, BATCH_BYTES_MAX, RECORD_BYTES_MAX};
use crate::pump::Emit;

const MAGIC: &[u8] = b"Obj\x01";
/// The most bytes of a header, which holds the schema.
const HEADER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The most bytes of a block, as it stands in the file and unpacked: a few bytes can unpack to very many.
const BLOCK_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The most records without bytes that a block may hold: Avro has types of no bytes, and any count of them is cheap to say.
const EMPTY_RECORDS_MAX: usize = 1 << 20;

/// What is read of each file.
pub(crate) struct Wanted<'a> {
    pub(crate) format: &'a model::Avro,
    /// The columns that a row has.
    pub(crate) declared: &'a SchemaRef,
    /// Those of them that are needed, in the declared order.
    pub(crate) projected: &'a SchemaRef,
    /// The most rows in a batch.
    pub(crate) batch_rows: usize,
}

/// Why a file is read no further.
enum End {
    /// It is damaged.
    Damage(String),
    Stop(Stop),
}

impl From<String> for End {
    fn from(reason: String) -> Self {
        Self::Damage(reason)
    }
}

impl From<Stop> for End {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

/// Reads one file.
pub(crate) fn read_file(
    reader: &mut dyn Read,
    wanted: &Wanted<'_>,
    partition: &Arc<str>,
    emit: Emit<'_>,
) -> Result<(), Stop> {
    let places = places(wanted.declared, wanted.projected)?;
    let mut file = File {
        wanted,
        partition,
        rows: row(wanted.declared)?,
        places,
        next: 0,
        offsets: vec![],
        bad: vec![],
        bytes: 0,
        bad_bytes: 0,
    };
    let mut input = Input { reader, partition };
    match file.read(&mut input, emit) {
        Ok(()) => {}
        Err(End::Stop(stop)) => return Err(stop),
        Err(End::Damage(reason)) => file.divert(&format!("from here on the file is unreadable: {reason}"), &[]),
    }
    file.give(emit)
}

/// The file's bytes.
struct Input<'a> {
    reader: &'a mut dyn Read,
    partition: &'a str,
}

impl Input<'_> {
    /// Reads so many bytes, in pieces: what a file claims is not asked for at once.
    fn exactly(&mut self, count: usize) -> Result<Vec<u8>, End> {
        let mut bytes = vec![];
        let read = Read::take(&mut *self.reader, count as u64).read_to_end(&mut bytes);
        read.map_err(|error| Stop::Error(SourceError::Retry(format!("{}: {error}", self.partition))))?;
        if bytes.len() < count { Err(End::Damage("the file ends too early".into())) } else { Ok(bytes) }
    }

    /// A number, or nothing at the end of the file.
    fn long(&mut self) -> Result<Option<i64>, End> {
        let mut bytes = vec![];
        loop {
            let mut byte = [0];
            match self.reader.read(&mut byte) {
                Ok(0) if bytes.is_empty() => return Ok(None),
                Ok(0) => return Err(End::Damage("the file ends too early".into())),
                Ok(_) => bytes.push(byte[0]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(Stop::Error(SourceError::Retry(format!("{}: {error}", self.partition))).into());
                }
            }
            if byte[0] & 0x80 == 0 || bytes.len() >= 10 {
                return Ok(Some(Cursor::new(&bytes).long()?));
            }
        }
    }

    fn size(&mut self, max: usize, what: &str) -> Result<usize, End> {
        let size = self.long()?.ok_or_else(|| "the file ends too early".to_owned())?;
        let fits = usize::try_from(size).ok().filter(|size| *size <= max);
        Ok(fits.ok_or_else(|| format!("{what} of {size} bytes; at most {max} are read"))?)
    }
}

/// What a header says.
struct Header {
    writer: Schema,
    codec: Codec,
    marker: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
}

impl Codec {
    fn unpack(self, block: Vec<u8>) -> Result<Vec<u8>, String> {
        match self {
            Self::Null => Ok(block),
            Self::Deflate => decompress_to_vec_with_limit(&block, BLOCK_BYTES_MAX)
                .map_err(|error| format!("a block does not unpack: {error}")),
            Self::Snappy => {
                let (packed, sum) = block.split_last_chunk::<4>().ok_or("a block without its checksum")?;
                let size = snap::raw::decompress_len(packed).map_err(|error| error.to_string())?;
                if size > BLOCK_BYTES_MAX {
                    return Err(format!("a block of {size} bytes; at most {BLOCK_BYTES_MAX} are read"));
                }
                let unpacked = snap::raw::Decoder::new().decompress_vec(packed).map_err(|error| error.to_string())?;
                if crc32fast::hash(&unpacked) != u32::from_be_bytes(*sum) {
                    return Err("a block's checksum is wrong".into());
                }
                Ok(unpacked)
            }
            Self::Zstandard => {
                let mut unpacked = vec![];
                let decoder = zstd::Decoder::new(&*block).map_err(|error| error.to_string())?;
                let read = decoder.take(BLOCK_BYTES_MAX as u64 + 1).read_to_end(&mut unpacked);
                read.map_err(|error| format!("a block does not unpack: {error}"))?;
                if unpacked.len() > BLOCK_BYTES_MAX {
                    return Err(format!("a block of more than {BLOCK_BYTES_MAX} bytes"));
                }
                Ok(unpacked)
            }
        }
    }
}

fn header(input: &mut Input<'_>) -> Result<Header, End> {
    if input.exactly(MAGIC.len())? != MAGIC {
        return Err(End::Damage("it is no Avro file".into()));
    }
    let (mut schema, mut codec, mut left) = (None, Codec::Null, HEADER_BYTES_MAX);
    loop {
        let mut count = input.long()?.unwrap_or(0);
        if count == 0 {
            break;
        }
        if count < 0 {
            input.size(left, "a header")?;
            count = count.saturating_neg();
        }
        for _ in 0..count {
            let size = input.size(left, "a header")?;
            let key = input.exactly(size)?;
            let size = input.size(left - size, "a header")?;
            let value = input.exactly(size)?;
            let used = key.len() + value.len() + 2;
            left = left.checked_sub(used).ok_or_else(|| format!("a header of more than {HEADER_BYTES_MAX} bytes"))?;
            match &key[..] {
                b"avro.schema" => schema = Some(String::from_utf8(value).map_err(|error| error.to_string())?),
                b"avro.codec" => {
                    codec = match &value[..] {
                        b"null" | b"" => Codec::Null,
                        b"deflate" => Codec::Deflate,
                        b"snappy" => Codec::Snappy,
                        b"zstandard" => Codec::Zstandard,
                        other => {
                            let other = String::from_utf8_lossy(other);
                            return Err(End::Damage(format!(
                                "it is packed by `{other}`, and not by deflate, snappy or zstandard"
                            )));
                        }
                    }
                }
                _ => {}
            }
        }
    }
    let writer = Schema::parse(&schema.ok_or_else(|| "the header has no schema".to_owned())?, &[])?;
    Ok(Header { writer, codec, marker: input.exactly(16)? })
}

struct File<'a> {
    wanted: &'a Wanted<'a>,
    partition: &'a Arc<str>,
    rows: Tree,
    places: Vec<usize>,
    /// The row that comes next.
    next: i64,
    offsets: Vec<i64>,
    bad: Vec<BadRecord>,
    bytes: usize,
    bad_bytes: usize,
}

impl File<'_> {
    fn read(&mut self, input: &mut Input<'_>, emit: Emit<'_>) -> Result<(), End> {
        let Header { writer, codec, marker } = header(input)?;
        let reader = self.wanted.format.schema.as_ref().map(parsed).transpose()?;
        let step = plan(&writer, reader.as_ref(), self.wanted.declared.fields());
        let skip = skip(&writer);
        while let Some(count) = input.long()? {
            let count = usize::try_from(count).map_err(|_| format!("a block of {count} records"))?;
            let size = input.size(BLOCK_BYTES_MAX, "a block")?;
            let block = input.exactly(size)?;
            let ended = input.exactly(marker.len())?;
            if ended != marker {
                return Err(End::Damage("a block does not end with the file's marker".into()));
            }
            let block = codec.unpack(block)?;
            if count > block.len() + EMPTY_RECORDS_MAX {
                return Err(End::Damage(format!("a block of {} bytes claims {count} records", block.len())));
            }
            self.block(&block, count, &step, &skip, emit)?;
        }
        Ok(())
    }

    fn block(&mut self, block: &[u8], count: usize, step: &Step, skip: &Skip, emit: Emit<'_>) -> Result<(), Stop> {
        let mut cursor = Cursor::new(block);
        for index in 0..count {
            let rest = cursor.rest();
            let before = self.rows.len();
            cursor = Cursor::new(rest);
            match step.read(&mut cursor, &mut self.rows) {
                Ok(()) => {
                    self.offsets.push(self.next);
                    self.bytes += (rest.len() - cursor.rest().len()).max(8 * cursor.values());
                    self.next += 1;
                }
                Err(reason) => {
                    self.rows.truncate(before);
                    cursor = Cursor::new(rest);
                    let passed = skip.pass(&mut cursor);
                    let raw = &rest[..rest.len() - cursor.rest().len()];
                    if let Err(lost) = passed {
                        let behind = count - index - 1;
                        self.divert(&format!("{reason}; with it {behind} records of its block are lost ({lost})"), raw);
                        self.next += i64::try_from(behind).unwrap_or(i64::MAX - self.next);
                        return self.give(emit);
                    }
                    if self.wanted.format.permissive {
                        self.rows.null();
                        self.offsets.push(self.next);
                        self.next += 1;
                    } else {
                        self.divert(&reason, raw);
                    }
                }
            }
            if self.full() {
                self.give(emit)?;
            }
        }
        let more = cursor.rest().len();
        if more > 0 {
            self.divert(&format!("{more} bytes follow the records of a block"), &[]);
        }
        Ok(())
    }

    fn full(&self) -> bool {
        self.offsets.len() >= self.wanted.batch_rows.max(1)
            || self.bad.len() >= self.wanted.batch_rows.max(1)
            || self.bytes >= BATCH_BYTES_MAX
            || self.bad_bytes >= BATCH_BAD_BYTES_MAX
    }

    fn divert(&mut self, reason: &str, raw: &[u8]) {
        let raw = &raw[..raw.len().min(RECORD_BYTES_MAX)];
        let bad = BadRecord::new(self.partition.clone(), self.next, reason.to_owned(), raw);
        self.bad_bytes += bad.raw.len();
        self.bad.push(bad);
        self.next += 1;
    }

    fn give(&mut self, emit: Emit<'_>) -> Result<(), Stop> {
        if self.offsets.is_empty() && self.bad.is_empty() {
            return Ok(());
        }
        let columns = finish(&mut self.rows, self.wanted.declared, &self.places)?;
        let offsets = std::mem::take(&mut self.offsets);
        (self.bytes, self.bad_bytes) = (0, 0);
        let options = RecordBatchOptions::new().with_row_count(Some(offsets.len()));
        let batch = RecordBatch::try_new_with_options(self.wanted.projected.clone(), columns, &options)
            .map_err(|error| SourceError::Fatal(format!("bug: decoded columns do not fit: {error}")))?;
        emit(Rows {
            batch,
            partition: self.partition.clone(),
            offsets: Int64Array::from(offsets),
            bad: std::mem::take(&mut self.bad),
        })
    }
}
