//! Bytes to rows: records in the declared schema become columns, and those that cannot are kept with their position.

pub(crate) mod avro;
pub(crate) mod binary;
mod columns;
mod csv;
mod json;
mod nested;
pub(crate) mod parquet;
mod protobuf;
pub(crate) mod records;
mod tree;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use braid_kernel::{BadRecord, Rows, SourceError};
use braid_spec::model::Format;
use memchr::{memchr, memchr_iter, memrchr};

use binary::Binary;
use columns::{Columns, Kind, Value};

/// The longest record. A longer one is a bad record, and memory stays bounded while it is skipped.
pub(crate) const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// A batch ends after so many bytes of records, however few they are: column offsets have 32 bits.
const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;
/// A batch ends after so many bytes of bad records.
const BATCH_BAD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Lines are proved to be UTF-8 in windows of about this size, which stay in the cache until they are decoded.
const WINDOW_BYTES: usize = 64 * 1024;

/// The columns that are needed, in the declared order.
pub(crate) fn project(declared: &SchemaRef, projection: Option<&[String]>) -> SchemaRef {
    let Some(names) = projection else {
        return declared.clone();
    };
    let needed = declared.fields().iter().filter(|field| names.contains(field.name()));
    Arc::new(Schema::new(needed.cloned().collect::<Vec<_>>()))
}

/// The columns of a format whose schema is elsewhere: those that are declared, checked, or those that it says. What had to
/// be looked up for that is put into the format. The error is the reason.
pub fn columns_of(format: &mut Format, declared: Option<&SchemaRef>) -> Result<SchemaRef, String> {
    match (format, declared) {
        (Format::Avro(avro), None) => avro::columns(avro),
        (Format::Avro(avro), Some(declared)) => avro::check(avro, declared).map(|()| declared.clone()),
        (Format::Protobuf(protobuf), None) => protobuf::columns(protobuf),
        (Format::Protobuf(protobuf), Some(declared)) => protobuf::check(protobuf, declared).map(|()| declared.clone()),
        _ => Err("this format's columns are declared".into()),
    }
}

/// What a deployment calls a type.
pub fn words(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 => "string".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Int8 => "tinyint".into(),
        DataType::Int16 => "smallint".into(),
        DataType::Int32 => "int".into(),
        DataType::Int64 => "long".into(),
        DataType::Float32 => "float".into(),
        DataType::Float64 => "double".into(),
        DataType::Date32 => "date".into(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => "timestamp_millis".into(),
        DataType::Timestamp(..) => "timestamp".into(),
        DataType::Binary => "binary".into(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::List(item) => format!("array<{}>", words(item.data_type())),
        DataType::Map(..) => "map".into(),
        DataType::Struct(_) => "struct".into(),
        other => other.to_string(),
    }
}

/// Decodes records of one partition at a time; see [`Decoder::start`].
///
/// A row's place in the schema's projection, its offset and its badness depend on its bytes only, not on batches.
#[derive(Debug)]
pub(crate) struct Decoder {
    inner: Inner,
    schema: SchemaRef,
    partition: Arc<str>,
    next_offset: i64,
    offsets: Vec<i64>,
    bad: Vec<BadRecord>,
    bytes: usize,
    bad_bytes: usize,
    batch_rows: usize,
    slots: Vec<Value<'static>>,
}

#[derive(Debug)]
enum Inner {
    Json(json::Json),
    Nested(nested::Nested),
    Csv(Box<csv::Csv>),
    Text(Columns),
    Raw(Columns),
    Binary(Box<Binary>),
}

impl Decoder {
    /// A decoder of records in the declared schema to batches of at most `batch_rows` rows of the projected one.
    /// Fails where the format cannot hold the schema.
    pub(crate) fn new(
        format: &Format,
        declared: &SchemaRef,
        projection: Option<&[String]>,
        batch_rows: usize,
    ) -> Result<Self, SourceError> {
        let schema = project(declared, projection);
        let flat = declared.fields().iter().all(|field| Kind::of(field.data_type()).is_some());
        let inner = match format {
            Format::Json if flat => Inner::Json(json::Json::new(declared, &schema, batch_rows)?),
            Format::Json => Inner::Nested(nested::Nested::new(declared, &schema)?),
            Format::Csv(options) => Inner::Csv(Box::new(csv::Csv::new(options, declared, &schema, batch_rows)?)),
            Format::Text => {
                let names: Vec<&str> = declared.fields().iter().map(|f| f.name().as_str()).collect();
                if names != ["value"] || Kind::of(declared.field(0).data_type()) != Some(Kind::Text) {
                    return Err(SourceError::Fatal(format!(
                        "format text has one column, `value: string`, but the schema has {names:?}"
                    )));
                }
                Inner::Text(Columns::new(schema.clone(), batch_rows)?)
            }
            Format::Raw => {
                let fields = declared.fields();
                if !matches!(&fields[..], [value] if Kind::of(value.data_type()) == Some(Kind::Binary)) {
                    let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
                    let reason = format!("format raw has one column, `value: binary`, but the schema has {names:?}");
                    return Err(SourceError::Fatal(reason));
                }
                Inner::Raw(Columns::new(schema.clone(), batch_rows)?)
            }
            Format::Avro(_) | Format::Protobuf(_) => Inner::Binary(Box::new(Binary::new(format, declared, &schema)?)),
            Format::Parquet => {
                return Err(SourceError::Fatal("format parquet is for files; lines are json, csv or text".into()));
            }
            Format::Native => return Err(SourceError::Fatal("this source needs a format: json, csv or text".into())),
        };
        Ok(Self {
            inner,
            schema,
            partition: Arc::from("0"),
            next_offset: 0,
            offsets: Vec::with_capacity(batch_rows),
            bad: Vec::new(),
            bytes: 0,
            bad_bytes: 0,
            batch_rows: batch_rows.max(1),
            slots: Vec::new(),
        })
    }

    /// Like [`Self::new`], for records that come one by one and so cannot have a header.
    pub(crate) fn headless(
        format: &Format,
        declared: &SchemaRef,
        projection: Option<&[String]>,
        batch_rows: usize,
    ) -> Result<Self, SourceError> {
        if let Format::Csv(options) = format
            && options.header
        {
            return Err(SourceError::Fatal(
                "header: true is for CSV files; records of this source have the declared columns in order".into(),
            ));
        }
        Self::new(format, declared, projection, batch_rows)
    }

    /// The schema of the batches: the declared one, projected.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What comes next is of this partition, from this offset on (a CSV header is expected, if there is one).
    /// Take what is there before.
    pub(crate) fn start(&mut self, partition: Arc<str>, offset: i64) {
        debug_assert!(self.offsets.is_empty() && self.bad.is_empty());
        self.partition = partition;
        self.next_offset = offset;
        if let Inner::Csv(csv) = &mut self.inner {
            csv.start();
        }
    }

    /// Whether the batch should be taken before more is decoded.
    pub(crate) fn full(&self) -> bool {
        self.offsets.len() >= self.batch_rows
            || self.bad.len() >= self.batch_rows
            || self.bytes >= BATCH_BYTES_MAX
            || self.bad_bytes >= BATCH_BAD_BYTES_MAX
            || matches!(&self.inner, Inner::Binary(binary) if binary.failed())
    }

    /// Decodes the whole records at the start of `bytes` until full, and says how many bytes they took.
    /// With `end`, nothing follows `bytes`: the last record need not be terminated.
    pub(crate) fn block(&mut self, bytes: &[u8], end: bool) -> usize {
        if matches!(self.inner, Inner::Csv(_)) {
            return self.csv_block(bytes, end);
        }
        let mut used = 0;
        while used < bytes.len() && !self.full() {
            let rest = &bytes[used..];
            // Whole lines of about a window, or one longer line.
            let near = &rest[..rest.len().min(WINDOW_BYTES)];
            let whole = match memrchr(b'\n', near).or_else(|| memchr(b'\n', rest)) {
                Some(newline) => newline + 1,
                None if end => rest.len(),
                None => break,
            };
            used += self.lines(&rest[..whole]);
        }
        used
    }

    /// Decodes lines until full, each a record, whatever the format; says how many bytes they took.
    pub(crate) fn each_line(&mut self, bytes: &[u8]) -> usize {
        if !matches!(self.inner, Inner::Csv(_)) {
            return self.block(bytes, true);
        }
        let mut used = 0;
        while used < bytes.len() && !self.full() {
            let length = memchr(b'\n', &bytes[used..]).unwrap_or(bytes.len() - used);
            self.record(self.next_offset, &bytes[used..used + length]);
            used += length + 1;
        }
        used.min(bytes.len())
    }

    /// Decodes one record that stands alone.
    pub(crate) fn record(&mut self, offset: i64, record: &[u8]) {
        self.next_offset = offset;
        match &mut self.inner {
            Inner::Csv(csv) => {
                let outcome = csv.alone(record);
                self.account(outcome, record);
            }
            Inner::Raw(_) => self.raw(Some(record)),
            Inner::Binary(_) => self.binary(record),
            _ => {
                let valid = simdutf8::basic::from_utf8(record);
                let mut slots = recycle(std::mem::take(&mut self.slots));
                self.line(record, valid.ok(), !has_control(record), &mut slots);
                self.slots = recycle(slots);
            }
        }
        self.next_offset = offset + 1;
    }

    fn binary(&mut self, record: &[u8]) {
        let Inner::Binary(binary) = &mut self.inner else { return };
        match binary.record(record) {
            Ok(Some(values)) => {
                self.account(Ok(Some(())), record);
                // A few bytes can be many values.
                self.bytes += values.saturating_mul(8);
            }
            Ok(None) => {}
            Err(reason) => self.divert(reason, record),
        }
    }

    /// Takes one raw record, which may be null.
    pub(crate) fn raw_record(&mut self, offset: i64, record: Option<&[u8]>) {
        self.next_offset = offset;
        self.raw(record);
        self.next_offset = offset + 1;
    }

    fn raw(&mut self, record: Option<&[u8]>) {
        if let Inner::Raw(columns) = &mut self.inner
            && !self.schema.fields().is_empty()
        {
            columns.push(0, record.map_or(Value::Null, Value::Bytes));
        }
        self.account(Ok(Some(())), record.unwrap_or_default());
    }

    /// Counts the line ends of what was passed.
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        self.next_offset += memchr_iter(b'\n', bytes).count() as i64;
    }

    /// Counts a record that is longer than [`RECORD_BYTES_MAX`], of which this is the start.
    pub(crate) fn too_long(&mut self, head: &[u8]) {
        self.divert(format!("a record of more than {RECORD_BYTES_MAX} bytes"), head);
        self.next_offset += 1;
    }

    /// The rows and bad records since the last time, if there are any.
    pub(crate) fn take(&mut self) -> Result<Option<Rows>, SourceError> {
        let columns = self.finish().inspect_err(|_| {
            // What was decoded is forgotten with what could not be: it will be read again.
            self.offsets.clear();
            self.bad.clear();
            (self.bytes, self.bad_bytes) = (0, 0);
        })?;
        if self.offsets.is_empty() && self.bad.is_empty() {
            return Ok(None);
        }
        let offsets = std::mem::replace(&mut self.offsets, Vec::with_capacity(self.batch_rows));
        let options = RecordBatchOptions::new().with_row_count(Some(offsets.len()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|error| SourceError::Fatal(format!("a decoded batch does not fit its schema: {error}")))?;
        (self.bytes, self.bad_bytes) = (0, 0);
        Ok(Some(Rows {
            batch,
            partition: self.partition.clone(),
            offsets: Int64Array::from(offsets),
            bad: std::mem::take(&mut self.bad),
        }))
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>, SourceError> {
        let nested = match &mut self.inner {
            Inner::Json(json) => return Ok(json.finish()),
            Inner::Csv(csv) => return Ok(csv.finish()),
            Inner::Text(columns) | Inner::Raw(columns) => return Ok(columns.finish()),
            Inner::Binary(binary) => return binary.finish(),
            Inner::Nested(nested) => nested,
        };
        let finished = nested.finish().map_err(SourceError::Fatal)?;
        for (index, reason) in &finished.bad {
            let (offset, raw) = (self.offsets[*index], nested.raw(*index).as_bytes());
            self.bad.push(BadRecord::new(self.partition.clone(), offset, reason, raw));
        }
        self.bad.sort_by_key(|bad| bad.offset);
        for (index, _) in finished.bad.iter().rev() {
            self.offsets.remove(*index);
        }
        nested.clear();
        Ok(finished.columns)
    }

    /// Decodes whole lines until full.
    fn lines(&mut self, window: &[u8]) -> usize {
        let text = simdutf8::basic::from_utf8(window).ok();
        let plain = !has_control(window);
        let mut slots = recycle(std::mem::take(&mut self.slots));
        let mut used = 0;
        while used < window.len() && !self.full() {
            let length = memchr(b'\n', &window[used..]).unwrap_or(window.len() - used);
            let range = used..used + length;
            self.line(&window[range.clone()], text.map(|text| &text[range]), plain, &mut slots);
            self.next_offset += 1;
            used += length + 1;
        }
        self.slots = recycle(slots);
        used.min(window.len())
    }

    /// Decodes one line; `text` is the same, where that was proved for it and all around it.
    #[inline]
    fn line<'a>(&mut self, bytes: &'a [u8], text: Option<&'a str>, plain: bool, slots: &mut Vec<Value<'a>>) {
        let Some(text) = text.or_else(|| simdutf8::basic::from_utf8(bytes).ok()) else {
            return self.divert("invalid UTF-8".into(), bytes);
        };
        let outcome = match &mut self.inner {
            Inner::Text(columns) => {
                let line = text.strip_suffix('\r').unwrap_or(text);
                if !self.schema.fields().is_empty() {
                    columns.push(0, Value::Text(line));
                }
                Ok(())
            }
            Inner::Raw(_) => return self.raw(Some(bytes)),
            Inner::Binary(_) => return self.binary(bytes),
            _ if text.bytes().all(|byte| byte.is_ascii_whitespace()) => return,
            Inner::Json(json) => {
                slots.resize(json.width(), Value::Null);
                json.record(text, plain, slots)
            }
            Inner::Nested(nested) => nested.record(text),
            Inner::Csv(_) => unreachable!("CSV is not cut at line ends"),
        };
        self.account(outcome.map(Some), bytes);
    }

    fn csv_block(&mut self, bytes: &[u8], end: bool) -> usize {
        let mut used = 0;
        while !self.full() {
            let Inner::Csv(csv) = &mut self.inner else { break };
            let Some(step) = csv.next(&bytes[used..], end) else { break };
            let raw = &bytes[used..used + step.bytes];
            used += step.bytes;
            // A row stands where it begins, after blank lines and the rest of a two-byte line end.
            let blank = raw.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            self.pass(&raw[..blank]);
            self.account(step.outcome, raw);
            self.pass(&raw[blank..]);
        }
        used
    }

    /// Notes what became of a record: `None` where it was none.
    #[inline]
    fn account(&mut self, outcome: Result<Option<()>, String>, raw: &[u8]) {
        match outcome {
            Ok(Some(())) => {
                self.offsets.push(self.next_offset);
                self.bytes += raw.len();
            }
            Ok(None) => {}
            Err(reason) => self.divert(reason, raw),
        }
    }

    #[cold]
    fn divert(&mut self, reason: String, raw: &[u8]) {
        let raw = if matches!(self.inner, Inner::Binary(_)) { raw } else { trim_lines(raw) };
        let bad = BadRecord::new(self.partition.clone(), self.next_offset, reason, raw);
        self.bad_bytes += bad.raw.len();
        self.bad.push(bad);
    }
}

/// Without line ends around it.
fn trim_lines(raw: &[u8]) -> &[u8] {
    let line_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
    let raw = &raw[raw.iter().take_while(line_end).count()..];
    &raw[..raw.len() - raw.iter().rev().take_while(line_end).count()]
}

/// An empty vector that keeps its memory and lets go of its lifetime.
fn recycle<'b>(mut slots: Vec<Value<'_>>) -> Vec<Value<'b>> {
    slots.clear();
    slots.into_iter().map(|_| Value::Null).collect()
}

/// Whether there are control characters other than line ends, which a JSON string may not hold as they are.
fn has_control(bytes: &[u8]) -> bool {
    const LANE: usize = 64;
    bytes.chunks(LANE).any(|lane| lane.iter().fold(false, |found, byte| found | ((*byte < 0x20) & (*byte != b'\n'))))
}

#[cfg(test)]
mod tests;
