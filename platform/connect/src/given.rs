//! Records that are given beforehand, in place of what a source would read: for a deployment's tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{Int64Array, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use braid_kernel::{Limit, Offsets, Rows, Source, SourceError, SourcePlan, SourceState};
use braid_spec::model::{self, Format, OnBadRecord, SourceKind};
use futures::stream::{self, BoxStream, StreamExt};

use crate::formats::Decoder;
use crate::pump::accept;

/// The one partition.
const PARTITION: &str = "0";

/// A record: a row of the source's columns, or bytes in its format.
#[derive(Debug, Clone)]
pub enum GivenRecord {
    Row(RecordBatch),
    Bytes(Vec<u8>),
}

/// Records of one source, read.
#[derive(Debug, Clone)]
pub struct Given {
    records: Arc<[Rows]>,
    schema: SchemaRef,
    on_bad_record: OnBadRecord,
}

impl Given {
    /// Reads records as the source would; a record's offset is its place among them. The error is the record that the
    /// source's format does not allow, and the reason.
    pub fn read(spec: &model::Source, records: Vec<GivenRecord>) -> Result<Self, (usize, String)> {
        let mut decoder = None;
        let read = records.into_iter().enumerate().map(|(at, record)| {
            let rows = match record {
                GivenRecord::Row(batch) => Ok(one(at, batch)),
                GivenRecord::Bytes(bytes) => {
                    let decoder = match &mut decoder {
                        Some(decoder) => decoder,
                        None => decoder.insert(decoder_of(spec).map_err(|reason| (at, reason))?),
                    };
                    decode(spec, decoder, at, &bytes)
                }
            };
            rows.map_err(|reason| (at, reason))
        });
        let records = read.collect::<Result<_, _>>()?;
        Ok(Self { records, schema: spec.schema.clone(), on_bad_record: spec.on_bad_record })
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// A source that has come so far, and not further until `there` says so.
    pub fn source(&self, there: Arc<AtomicI64>) -> Box<dyn Source> {
        Box::new(GivenSource { given: self.clone(), there })
    }
}

/// A row at its place.
fn one(at: usize, batch: RecordBatch) -> Rows {
    Rows { batch, partition: Arc::from(PARTITION), offsets: Int64Array::from(vec![at as i64]), bad: Vec::new() }
}

/// The decoder of a source's records, where a text can be one.
fn decoder_of(spec: &model::Source) -> Result<(Decoder, SchemaRef), String> {
    let mut format = spec.format.clone();
    match &mut format {
        // A record stands alone, and so has no header.
        Format::Csv(csv) => csv.header = false,
        Format::Json | Format::Text | Format::Raw => {}
        // A test asks nobody.
        Format::Protobuf(protobuf) if protobuf.registry.is_none() => {}
        Format::Avro(avro) if avro.registry.is_none() && !avro.in_files => {}
        Format::Avro(_) | Format::Protobuf(_) | Format::Parquet | Format::Native => {
            return Err("no text is a record of this source's format".into());
        }
    }
    // What stands beside the value of a record is not in its bytes.
    let beside = match &spec.from {
        SourceKind::Kafka(kafka) => kafka.metadata.as_slice(),
        _ => &[],
    };
    let of_value = spec.schema.fields().iter().filter(|field| !beside.iter().any(|(name, _)| name == field.name()));
    let of_value: SchemaRef = Arc::new(Schema::new(of_value.cloned().collect::<Vec<_>>()));
    let decoder = Decoder::headless(&format, &of_value, None, 1).map_err(|error| error.to_string())?;
    Ok((decoder, of_value))
}

/// Reads one record's bytes.
fn decode(
    spec: &model::Source,
    (decoder, of_value): &mut (Decoder, SchemaRef),
    at: usize,
    bytes: &[u8],
) -> Result<Rows, String> {
    decoder.start(Arc::from(PARTITION), at as i64);
    decoder.record(at as i64, bytes);
    let rows = decoder.take().map_err(|error| error.to_string())?;
    let rows = rows.unwrap_or_else(|| Rows {
        batch: RecordBatch::new_empty(of_value.clone()),
        partition: Arc::from(PARTITION),
        offsets: Int64Array::from(Vec::<i64>::new()),
        bad: Vec::new(),
    });
    let count = rows.batch.num_rows();
    let columns = spec.schema.fields().iter().map(|field| match rows.batch.column_by_name(field.name()) {
        Some(column) => column.clone(),
        None => new_null_array(field.data_type(), count),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let batch = RecordBatch::try_new_with_options(spec.schema.clone(), columns.collect(), &options);
    Ok(Rows { batch: batch.map_err(|error| error.to_string())?, ..rows })
}

struct GivenSource {
    given: Given,
    there: Arc<AtomicI64>,
}

#[async_trait]
impl Source for GivenSource {
    async fn plan(&mut self, state: &SourceState, _: &Limit) -> Result<Option<SourcePlan>, SourceError> {
        let start = state.offsets.get(PARTITION).copied().unwrap_or(0);
        let end = self.there.load(Ordering::Relaxed);
        let at = |offset| Offsets::from([(PARTITION.to_owned(), offset)]);
        Ok((end > start).then(|| SourcePlan { start: at(start), end: at(end), ..SourcePlan::default() }))
    }

    async fn read(&mut self, plan: &SourcePlan) -> Result<BoxStream<'static, Result<Rows, SourceError>>, SourceError> {
        let fatal = |error: &dyn std::fmt::Display| SourceError::Fatal(error.to_string());
        let place = |offsets: &Offsets| offsets.get(PARTITION).and_then(|offset| usize::try_from(*offset).ok());
        let records = match (place(&plan.start), place(&plan.end)) {
            (Some(start), Some(end)) => self.given.records.get(start..end),
            _ => None,
        };
        let records = records.ok_or_else(|| fatal(&"the plan is of other records"))?;
        let batch = concat_batches(&self.given.schema, records.iter().map(|rows| &rows.batch));
        let offsets = records.iter().flat_map(|rows| rows.offsets.values().iter().copied());
        let rows = Rows {
            batch: batch.map_err(|error| fatal(&error))?,
            partition: Arc::from(PARTITION),
            offsets: offsets.collect::<Vec<_>>().into(),
            bad: records.iter().flat_map(|rows| rows.bad.iter().cloned()).collect(),
        };
        Ok(stream::iter([accept(rows, self.given.on_bad_record)]).boxed())
    }

    async fn ack(&mut self, _: &SourceState) -> Result<(), SourceError> {
        Ok(())
    }
}
