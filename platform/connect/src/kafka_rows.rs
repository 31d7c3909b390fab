//! Kafka records to rows: the value by its format, and the columns that the deployment asks for beside it.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BinaryBuilder, BooleanArray, Int32Array, Int32Builder, Int64Array, ListBuilder,
    RecordBatch, RecordBatchOptions, StringArray, StringBuilder, StructBuilder, TimestampMicrosecondBuilder,
};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use braid_kernel::{BadRecord, Rows, SourceError};
use braid_spec::model::{self, Format, Metadata};

use crate::formats::{Decoder, RECORD_BYTES_MAX, project};
use crate::kafka_queue::Record;

/// A batch ends after so many bytes of bad records.
const BAD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Where a column of a batch comes from.
#[derive(Debug)]
enum Column {
    /// This column of the decoded values.
    Value(usize),
    Topic,
    Partition,
    Offset,
    /// This one of the notes.
    Noted(usize),
}

/// What is noted of each record that is decoded.
#[derive(Debug)]
enum Note {
    Key(BinaryBuilder),
    Timestamp(TimestampMicrosecondBuilder),
    TimestampType(Int32Builder),
    Headers(ListBuilder<StructBuilder>),
}

impl Note {
    fn of(metadata: Metadata) -> Option<Self> {
        match metadata {
            Metadata::Topic | Metadata::Partition | Metadata::Offset => None,
            Metadata::Key => Some(Self::Key(BinaryBuilder::new())),
            Metadata::Timestamp => Some(Self::Timestamp(TimestampMicrosecondBuilder::new())),
            Metadata::TimestampType => Some(Self::TimestampType(Int32Builder::new())),
            Metadata::Headers => {
                let DataType::List(item) = metadata.data_type() else { return None };
                let DataType::Struct(fields) = item.data_type() else { return None };
                let parts: Vec<Box<dyn ArrayBuilder>> =
                    vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())];
                Some(Self::Headers(ListBuilder::new(StructBuilder::new(fields.clone(), parts)).with_field(item)))
            }
        }
    }

    fn push(&mut self, record: &Record<'_>) {
        match self {
            Self::Key(keys) => keys.append_option(record.key),
            Self::Timestamp(instants) => {
                instants.append_option(record.timestamp().0.map(|millis| millis.saturating_mul(1000)));
            }
            Self::TimestampType(types) => types.append_value(record.timestamp().1),
            Self::Headers(lists) => {
                let mut any = false;
                record.headers(|name, value| {
                    let header = lists.values();
                    if let Some(names) = header.field_builder::<StringBuilder>(0) {
                        names.append_value(name);
                    }
                    if let Some(values) = header.field_builder::<BinaryBuilder>(1) {
                        values.append_option(value);
                    }
                    header.append(true);
                    any = true;
                });
                // As in Spark, null where there is none.
                lists.append(any);
            }
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Key(keys) => Arc::new(keys.finish()),
            Self::Timestamp(instants) => Arc::new(instants.finish()),
            Self::TimestampType(types) => Arc::new(types.finish()),
            Self::Headers(lists) => Arc::new(lists.finish()),
        }
    }
}

/// Builds batches of one partition's rows at a time.
#[derive(Debug)]
pub(crate) struct RowsBuilder {
    decoder: Decoder,
    schema: SchemaRef,
    columns: Vec<Column>,
    raw: bool,
    blank_is_bad: bool,
    notes: Vec<Note>,
    /// Of the records that were noted: the decoder may refuse some of them later.
    offsets: Vec<i64>,
    bad: Vec<BadRecord>,
    bad_bytes: usize,
    batch_rows: usize,
    topic: Arc<str>,
    partition: i32,
    name: Arc<str>,
}

impl RowsBuilder {
    /// For values of a source's format, in its schema, whose columns are those of the value and these.
    pub(crate) fn new(
        spec: &model::Source,
        metadata: &[(String, Metadata)],
        projection: Option<&[String]>,
        batch_rows: usize,
    ) -> Result<Self, SourceError> {
        let beside = |name: &str| metadata.iter().find(|(column, _)| column == name).map(|(_, metadata)| *metadata);
        let of_value = spec.schema.fields().iter().filter(|field| beside(field.name()).is_none());
        let of_value: SchemaRef = Arc::new(Schema::new(of_value.cloned().collect::<Vec<_>>()));
        let decoder = Decoder::headless(&spec.format, &of_value, projection, batch_rows)?;
        let schema = project(&spec.schema, projection);
        let (mut columns, mut notes) = (Vec::new(), Vec::new());
        for field in schema.fields() {
            columns.push(match beside(field.name()) {
                None => Column::Value(decoder.schema().index_of(field.name()).map_err(misfit)?),
                Some(Metadata::Topic) => Column::Topic,
                Some(Metadata::Partition) => Column::Partition,
                Some(Metadata::Offset) => Column::Offset,
                Some(metadata) => {
                    notes.extend(Note::of(metadata));
                    Column::Noted(notes.len() - 1)
                }
            });
        }
        Ok(Self {
            raw: spec.format == Format::Raw,
            blank_is_bad: !matches!(spec.format, Format::Text | Format::Avro(_) | Format::Protobuf(_)),
            decoder,
            schema,
            columns,
            notes,
            offsets: Vec::new(),
            bad: Vec::new(),
            bad_bytes: 0,
            batch_rows,
            topic: Arc::from(""),
            partition: 0,
            name: Arc::from(""),
        })
    }

    /// What comes next is of this partition. What was there of another must have been taken, and is forgotten.
    pub(crate) fn start(
        &mut self,
        topic: &Arc<str>,
        partition: i32,
        name: &Arc<str>,
        offset: i64,
    ) -> Result<(), SourceError> {
        self.take()?;
        self.decoder.start(name.clone(), offset);
        (self.topic, self.partition, self.name) = (topic.clone(), partition, name.clone());
        Ok(())
    }

    /// Whether the batch should be taken before more is decoded.
    pub(crate) fn full(&self) -> bool {
        self.decoder.full() || self.bad.len() >= self.batch_rows || self.bad_bytes >= BAD_BYTES_MAX
    }

    /// Decodes one record. One without a value cannot be a row, but as it is.
    #[inline]
    pub(crate) fn record(&mut self, record: &Record<'_>) {
        if self.raw && record.value.is_none_or(|value| value.len() <= RECORD_BYTES_MAX) {
            self.note(record);
            return self.decoder.raw_record(record.offset, record.value);
        }
        let Some(value) = record.value else {
            return self.divert(record, "the value is null (a tombstone), and a row needs one".into());
        };
        if value.len() > RECORD_BYTES_MAX {
            return self.divert(record, format!("a record of more than {RECORD_BYTES_MAX} bytes"));
        }
        if self.blank_is_bad && value.iter().all(u8::is_ascii_whitespace) {
            return self.divert(record, "the value is empty".into());
        }
        self.note(record);
        self.decoder.record(record.offset, value);
    }

    /// Notes what stands beside the value.
    #[inline]
    fn note(&mut self, record: &Record<'_>) {
        if !self.notes.is_empty() {
            self.notes.iter_mut().for_each(|note| note.push(record));
            self.offsets.push(record.offset);
        }
    }

    #[cold]
    fn divert(&mut self, record: &Record<'_>, reason: String) {
        let bad = BadRecord::new(self.name.clone(), record.offset, reason, record.value.unwrap_or_default());
        self.bad_bytes += bad.raw.len();
        self.bad.push(bad);
    }

    /// The rows and bad records since the last time, if there are any.
    pub(crate) fn take(&mut self) -> Result<Option<Rows>, SourceError> {
        let taken = self.decoder.take().inspect_err(|_| {
            // The records that were noted will be read again.
            self.notes.iter_mut().for_each(|note| drop(note.finish()));
            self.offsets.clear();
            self.bad.clear();
            self.bad_bytes = 0;
        });
        let mut rows = match taken? {
            Some(rows) => rows,
            None if self.bad.is_empty() => return Ok(None),
            None => Rows {
                batch: RecordBatch::new_empty(self.decoder.schema().clone()),
                partition: self.name.clone(),
                offsets: Int64Array::from(Vec::<i64>::new()),
                bad: Vec::new(),
            },
        };
        if !self.bad.is_empty() {
            rows.bad.append(&mut self.bad);
            rows.bad.sort_by_key(|bad| bad.offset);
            self.bad_bytes = 0;
        }
        rows.batch = self.beside(&rows)?;
        Ok(Some(rows))
    }

    /// The batch with the columns that are not of the value.
    fn beside(&mut self, rows: &Rows) -> Result<RecordBatch, SourceError> {
        if self.columns.iter().all(|column| matches!(column, Column::Value(_))) {
            return Ok(rows.batch.clone());
        }
        let count = rows.offsets.len();
        let offsets = std::mem::take(&mut self.offsets);
        let mut noted: Vec<ArrayRef> = self.notes.iter_mut().map(Note::finish).collect();
        if offsets.len() != count && !noted.is_empty() {
            let mut remaining = rows.offsets.values().iter().peekable();
            let kept: BooleanArray =
                offsets.iter().map(|offset| Some(remaining.next_if_eq(&offset).is_some())).collect();
            noted = noted.iter().map(|column| filter(column, &kept)).collect::<Result<_, _>>().map_err(misfit)?;
        }
        let columns = self.columns.iter().map(|column| -> ArrayRef {
            match column {
                Column::Value(index) => rows.batch.column(*index).clone(),
                Column::Topic => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&*self.topic, count))),
                Column::Partition => Arc::new(Int32Array::from_value(self.partition, count)),
                Column::Offset => Arc::new(rows.offsets.clone()),
                Column::Noted(index) => noted[*index].clone(),
            }
        });
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(self.schema.clone(), columns.collect(), &options).map_err(misfit)
    }
}

fn misfit(error: arrow::error::ArrowError) -> SourceError {
    SourceError::Fatal(format!("a decoded batch does not fit its schema: {error}"))
}
