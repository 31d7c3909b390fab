//! CSV to columns: values in quotes may hold line ends, and a broken row costs itself and not the rest of the file.

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use braid_kernel::SourceError;
use braid_spec::model::Csv as Options;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use memchr::memchr;

use super::columns::{Columns, Kind, Value};

/// Bytes that may be read twice before anything was read once. See [`Csv::salvage`].
const SALVAGE_CREDIT_BYTES: usize = 64 * 1024 * 1024;
/// Bytes that may be read twice for each byte read.
const SALVAGE_CREDIT_PER_BYTE: usize = 8;

/// A declared column.
#[derive(Debug)]
struct Field {
    name: String,
    kind: Kind,
    required: bool,
    /// Its place in the projected schema, if it is needed.
    column: Option<usize>,
    /// Its place in a row.
    place: usize,
}

/// The decoder of CSV.
#[derive(Debug)]
pub(super) struct Csv {
    options: Options,
    reader: Reader,
    fields: Vec<Field>,
    columns: Columns,
    /// How many values a row has; `None` until the header was read.
    width: Option<usize>,
    /// Why nothing of this file can be read.
    unusable: bool,
    values: Vec<u8>,
    ends: Vec<usize>,
    slots: Vec<Value<'static>>,
    salvage_credit: usize,
}

/// What the next bytes were.
pub(super) struct Step {
    pub(super) bytes: usize,
    /// A row, nothing (a header, the end), or why it is no row.
    pub(super) outcome: Result<Option<()>, String>,
}

/// A record as it was cut.
struct Cut {
    bytes: usize,
    /// How many values it has.
    width: usize,
    /// The input ended inside a quoted value.
    unterminated: bool,
}

impl Csv {
    pub(super) fn new(
        options: &Options,
        declared: &SchemaRef,
        projected: &SchemaRef,
        rows: usize,
    ) -> Result<Self, SourceError> {
        let fields = declared.fields().iter().enumerate().map(|(place, field)| {
            let kind = Kind::of(field.data_type()).ok_or_else(|| {
                SourceError::Fatal(format!("column `{}`: CSV cannot hold {}", field.name(), field.data_type()))
            })?;
            Ok(Field {
                name: field.name().clone(),
                kind,
                required: !field.is_nullable(),
                column: projected.index_of(field.name()).ok(),
                place,
            })
        });
        let fields = fields.collect::<Result<Vec<_>, SourceError>>()?;
        Ok(Self {
            reader: ReaderBuilder::new().delimiter(options.delimiter).quote(options.quote).build(),
            width: (!options.header).then_some(fields.len()),
            options: options.clone(),
            fields,
            columns: Columns::new(projected.clone(), rows)?,
            unusable: false,
            values: vec![0; 1024],
            ends: vec![0; 64],
            slots: Vec::new(),
            salvage_credit: SALVAGE_CREDIT_BYTES,
        })
    }

    /// A new file begins.
    pub(super) fn start(&mut self) {
        self.width = (!self.options.header).then_some(self.fields.len());
        self.unusable = false;
        self.salvage_credit = SALVAGE_CREDIT_BYTES;
    }

    pub(super) fn finish(&mut self) -> Vec<ArrayRef> {
        self.columns.finish()
    }

    /// Decodes the record at the start of `bytes`; `None` where it is not whole, or nothing is there.
    pub(super) fn next(&mut self, bytes: &[u8], end: bool) -> Option<Step> {
        if self.unusable {
            return (!bytes.is_empty()).then_some(Step { bytes: bytes.len(), outcome: Ok(None) });
        }
        let cut = self.cut(bytes, end)?;
        if self.width.is_none() {
            let outcome = self.header(&cut).map(|()| None);
            self.unusable = outcome.is_err();
            return Some(Step { bytes: cut.bytes, outcome });
        }
        let outcome =
            if cut.unterminated { Err("a quoted value without its closing quote".to_owned()) } else { self.row(&cut) };
        let bytes = match outcome {
            Err(_) => self.salvage(&bytes[..cut.bytes]),
            Ok(()) => cut.bytes,
        };
        self.salvage_credit = self.salvage_credit.saturating_add(bytes * SALVAGE_CREDIT_PER_BYTE);
        Some(Step { bytes, outcome: outcome.map(Some) })
    }

    /// Decodes a record that stands alone.
    pub(super) fn alone(&mut self, record: &[u8]) -> Result<Option<()>, String> {
        let Some(cut) = self.cut(record, true) else {
            return Ok(None);
        };
        if cut.unterminated {
            return Err("a quoted value without its closing quote".to_owned());
        }
        if record[cut.bytes..].iter().any(|byte| !matches!(byte, b'\r' | b'\n')) {
            return Err("more than one row in a record".to_owned());
        }
        self.row(&cut).map(Some)
    }

    /// A broken row may have swallowed those after it, through a quote that was never closed. Then only its first
    /// line is bad, and reading goes on after that line. Reading twice has a budget, so that no input is quadratic.
    fn salvage(&mut self, raw: &[u8]) -> usize {
        let blank = raw.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        match memchr(b'\n', &raw[blank..]) {
            Some(newline) if raw.len() <= self.salvage_credit => {
                self.salvage_credit -= raw.len();
                blank + newline + 1
            }
            _ => raw.len(),
        }
    }

    /// Cuts the record at the start of `bytes` into [`Self::values`] and [`Self::ends`].
    fn cut(&mut self, bytes: &[u8], end: bool) -> Option<Cut> {
        if end && bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            return None;
        }
        self.reader.reset();
        let (mut used, mut values, mut width) = (0, 0, 0);
        let mut at_end = false;
        loop {
            // At the end a line end is supplied. A reader that wants still more is inside quotes.
            let input = if at_end { b"\n" } else { &bytes[used..] };
            let (result, read, written, ended) = if input.is_empty() {
                (ReadRecordResult::InputEmpty, 0, 0, 0)
            } else {
                self.reader.read_record(input, &mut self.values[values..], &mut self.ends[width..])
            };
            used += if at_end { 0 } else { read };
            values += written;
            width += ended;
            let unterminated = match result {
                ReadRecordResult::InputEmpty if !end => return None,
                ReadRecordResult::InputEmpty if !at_end => {
                    at_end = true;
                    continue;
                }
                ReadRecordResult::InputEmpty | ReadRecordResult::End => true,
                ReadRecordResult::OutputFull => {
                    self.values.resize(self.values.len() * 2, 0);
                    continue;
                }
                ReadRecordResult::OutputEndsFull => {
                    self.ends.resize(self.ends.len() * 2, 0);
                    continue;
                }
                ReadRecordResult::Record => false,
            };
            return Some(Cut { bytes: used, width, unterminated });
        }
    }

    fn header(&mut self, cut: &Cut) -> Result<(), String> {
        let names: Vec<String> = (0..cut.width)
            .map(|place| String::from_utf8_lossy(&self.values[value_range(&self.ends, place)]).into_owned())
            .collect();
        for field in &mut self.fields {
            field.place = names
                .iter()
                .position(|name| *name == field.name)
                .ok_or_else(|| format!("the header has no column `{}`, but {}", field.name, names.join(", ")))?;
        }
        self.width = Some(cut.width);
        Ok(())
    }

    fn row(&mut self, cut: &Cut) -> Result<(), String> {
        let Self { fields, columns, values, ends, width, options, .. } = self;
        let expected = width.unwrap_or(fields.len());
        if cut.width != expected {
            return Err(format!("expected {expected} values, found {}", cut.width));
        }
        let length = ends[..cut.width].last().copied().unwrap_or(0);
        let text = simdutf8::basic::from_utf8(&values[..length]).map_err(|_| "invalid UTF-8")?;
        let mut slots = super::recycle(std::mem::take(&mut self.slots));
        for field in &*fields {
            // Two halves of a character in neighbouring values are valid together only.
            let value = text.get(value_range(ends, field.place)).ok_or("invalid UTF-8")?;
            let slot = if value.is_empty() || options.null_value.as_deref() == Some(value) {
                if field.required {
                    return Err(format!("`{}` is missing or null", field.name));
                }
                Value::Null
            } else {
                field.kind.parse(value).ok_or_else(|| {
                    let found = super::json::found(value);
                    format!("`{}`: expected {}, found {found}", field.name, field.kind.expected())
                })?
            };
            slots.push(slot);
        }
        for (field, slot) in fields.iter().zip(&slots) {
            if let Some(column) = field.column {
                columns.push(column, *slot);
            }
        }
        self.slots = super::recycle(slots);
        Ok(())
    }
}

/// Where a value stands among all of its record.
fn value_range(ends: &[usize], place: usize) -> std::ops::Range<usize> {
    let start = if place == 0 { 0 } else { ends[place - 1] };
    start..ends[place]
}
