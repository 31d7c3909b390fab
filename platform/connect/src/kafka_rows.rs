//! Kafka records to rows: the value by its format, and beside it what the schema names of Spark's Kafka row.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    StringBuilder, TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use braid_kernel::{BadRecord, Rows, SourceError};
use braid_spec::model::Format;

use crate::formats::{Decoder, RECORD_BYTES_MAX, project};
use crate::kafka_queue::Record;

/// A batch ends after so many bytes of bad records.
const BAD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A column that is not of the record's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Key,
    Topic,
    Partition,
    Offset,
    Timestamp,
}

impl Beside {
    /// What a field is, if it has the name and the type of such a column.
    fn of(field: &Field) -> Option<Self> {
        match (field.name().as_str(), field.data_type()) {
            ("key", DataType::Utf8 | DataType::Binary) => Some(Self::Key),
            ("topic", DataType::Utf8) => Some(Self::Topic),
            ("partition", DataType::Int32) => Some(Self::Partition),
            ("offset", DataType::Int64) => Some(Self::Offset),
            ("timestamp", DataType::Timestamp(TimeUnit::Microsecond | TimeUnit::Millisecond, None)) => {
                Some(Self::Timestamp)
            }
            _ => None,
        }
    }
}

/// Where a column of a batch comes from.
#[derive(Debug)]
enum Column {
    /// This column of the decoded values.
    Value(usize),
    Beside(Beside),
}

/// Keys of the records that were decoded, in the type of their column.
#[derive(Debug)]
enum Keys {
    Text(StringBuilder),
    Bytes(BinaryBuilder),
}

/// Builds batches of one partition's rows at a time.
#[derive(Debug)]
pub(crate) struct RowsBuilder {
    decoder: Decoder,
    schema: SchemaRef,
    columns: Vec<Column>,
    blank_is_bad: bool,
    key_required: bool,
    keys: Option<Keys>,
    /// In milliseconds since the Unix epoch.
    timestamps: Option<Vec<Option<i64>>>,
    /// Of the records that keys and timestamps stand for: the decoder may refuse some of them later.
    offsets: Vec<i64>,
    bad: Vec<BadRecord>,
    bad_bytes: usize,
    batch_rows: usize,
    topic: Arc<str>,
    partition: i32,
    name: Arc<str>,
}

impl RowsBuilder {
    /// For values of a format, in a schema whose last columns may be `key`, `topic`, `partition`, `offset` and `timestamp`.
    pub(crate) fn new(
        format: &Format,
        declared: &SchemaRef,
        projection: Option<&[String]>,
        batch_rows: usize,
    ) -> Result<Self, SourceError> {
        let fields = declared.fields();
        let beside = fields.iter().rev().take_while(|field| Beside::of(field).is_some()).count();
        let (of_value, beside) = fields.split_at(fields.len() - beside);
        let of_value: SchemaRef = Arc::new(Schema::new(of_value.to_vec()));
        let decoder = Decoder::headless(format, &of_value, projection, batch_rows)?;
        let schema = project(declared, projection);
        let columns: Vec<Column> = schema
            .fields()
            .iter()
            .filter_map(|field| {
                if !beside.contains(field) {
                    return decoder.schema().index_of(field.name()).ok().map(Column::Value);
                }
                Beside::of(field).map(Column::Beside)
            })
            .collect();
        let needs =
            |wanted: Beside| columns.iter().any(|column| matches!(column, Column::Beside(found) if *found == wanted));
        let key = schema.field_with_name("key").ok();
        let keys = needs(Beside::Key).then(|| match key.map(Field::data_type) {
            Some(DataType::Utf8) => Keys::Text(StringBuilder::new()),
            _ => Keys::Bytes(BinaryBuilder::new()),
        });
        Ok(Self {
            key_required: keys.is_some() && key.is_some_and(|key| !key.is_nullable()),
            timestamps: needs(Beside::Timestamp).then(Vec::new),
            blank_is_bad: *format != Format::Text,
            decoder,
            schema,
            columns,
            keys,
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

    /// Decodes one record. One without a value cannot be a row.
    #[inline]
    pub(crate) fn record(&mut self, record: &Record<'_>) {
        let Some(value) = record.value else {
            return self.divert(record, "the value is null (a tombstone), and a row needs one".into());
        };
        if value.len() > RECORD_BYTES_MAX {
            return self.divert(record, format!("a record of more than {RECORD_BYTES_MAX} bytes"));
        }
        if self.blank_is_bad && value.iter().all(u8::is_ascii_whitespace) {
            return self.divert(record, "the value is empty".into());
        }
        if (self.keys.is_some() || self.timestamps.is_some()) && !self.note(record) {
            return;
        }
        self.decoder.record(record.offset, value);
    }

    /// Notes what stands beside the value; `false` where that makes the record a bad one.
    fn note(&mut self, record: &Record<'_>) -> bool {
        if self.key_required && record.key.is_none() {
            self.divert(record, "column `key`: expected a key, found none".into());
            return false;
        }
        match &mut self.keys {
            Some(Keys::Text(keys)) => match record.key.map(str::from_utf8).transpose() {
                Ok(key) => keys.append_option(key),
                Err(_) => {
                    self.divert(record, "column `key`: expected a string, found invalid UTF-8".into());
                    return false;
                }
            },
            Some(Keys::Bytes(keys)) => keys.append_option(record.key),
            None => {}
        }
        if let Some(timestamps) = &mut self.timestamps {
            timestamps.push(record.timestamp());
        }
        self.offsets.push(record.offset);
        true
    }

    #[cold]
    fn divert(&mut self, record: &Record<'_>, reason: String) {
        let bad = BadRecord::new(self.name.clone(), record.offset, reason, record.value.unwrap_or_default());
        self.bad_bytes += bad.raw.len();
        self.bad.push(bad);
    }

    /// The rows and bad records since the last time, if there are any.
    pub(crate) fn take(&mut self) -> Result<Option<Rows>, SourceError> {
        let mut rows = match self.decoder.take()? {
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
        let count = rows.offsets.len();
        let noted = std::mem::take(&mut self.offsets);
        let keys: Option<ArrayRef> = self.keys.as_mut().map(|keys| match keys {
            Keys::Text(keys) => Arc::new(keys.finish()) as ArrayRef,
            Keys::Bytes(keys) => Arc::new(keys.finish()) as ArrayRef,
        });
        let timestamps = self.timestamps.as_mut().map(std::mem::take);
        if self.columns.iter().all(|column| matches!(column, Column::Value(_))) {
            return Ok(rows.batch.clone());
        }
        let kept = |noted_column: ArrayRef| -> Result<ArrayRef, SourceError> {
            if noted.len() == count {
                return Ok(noted_column);
            }
            let mut remaining = rows.offsets.values().iter().peekable();
            let kept: BooleanArray = noted.iter().map(|offset| Some(remaining.next_if_eq(&offset).is_some())).collect();
            filter(&noted_column, &kept).map_err(misfit)
        };
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        for (column, field) in self.columns.iter().zip(self.schema.fields()) {
            columns.push(match column {
                Column::Value(index) => rows.batch.column(*index).clone(),
                Column::Beside(Beside::Key) => kept(keys.clone().expect("keys are noted where the column is needed"))?,
                Column::Beside(Beside::Topic) => {
                    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&*self.topic, count)))
                }
                Column::Beside(Beside::Partition) => Arc::new(Int32Array::from_value(self.partition, count)),
                Column::Beside(Beside::Offset) => Arc::new(rows.offsets.clone()),
                Column::Beside(Beside::Timestamp) => {
                    let millis = timestamps.as_deref().unwrap_or_default();
                    kept(match field.data_type() {
                        DataType::Timestamp(TimeUnit::Millisecond, _) => {
                            Arc::new(millis.iter().copied().collect::<TimestampMillisecondArray>())
                        }
                        _ => Arc::new(
                            millis
                                .iter()
                                .map(|millis| millis.map(|millis| millis.saturating_mul(1000)))
                                .collect::<TimestampMicrosecondArray>(),
                        ),
                    })?
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map_err(misfit)
    }
}

fn misfit(error: arrow::error::ArrowError) -> SourceError {
    SourceError::Fatal(format!("a decoded batch does not fit its schema: {error}"))
}
