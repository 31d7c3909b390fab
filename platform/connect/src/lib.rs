//! Sources, sinks and formats: everything of Braid that touches the world outside of its store.

mod backoff;
mod console;
mod files;
mod folder;
mod formats;
mod generate;
mod given;
mod journal;
mod journal_source;
mod kafka;
mod kafka_follow;
mod kafka_limits;
mod kafka_loss;
mod kafka_plan;
mod kafka_queue;
mod kafka_rows;
mod kafka_sink;
mod kafka_source;
mod kafka_topics;
mod kafka_value;
mod memory;
mod parquet_sink;
mod place;
mod pump;
mod rate;
mod rate_micro_batch;
mod registry;
pub mod replay;
mod socket;
mod tables;
#[cfg(test)]
mod test_store;
mod text_sink;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use braid_kernel::{Ingest, SinkError, Source, SourceError, Store};
use braid_spec::model::{self, Delivery, OutputMode, SinkKind, SourceKind};
use tokio::sync::Notify;

use kafka_value::Values;
use replay::Replaying;

pub use formats::{columns_of, words as type_words};
pub use given::{Given, GivenRecord};
pub use memory::MemoryTable;
pub use tables::read_table;

/// What a source is given besides its description.
#[derive(Clone)]
pub struct SourceContext {
    /// Its name in the deployment.
    pub name: String,
    /// The deployment's store, where socket and HTTP sources keep their journal.
    pub journal: Arc<dyn Store>,
    /// The columns that are needed; `None` for all. Batches hold these, in the declared order.
    pub projection: Option<Vec<String>>,
    /// The most rows in a batch.
    pub batch_rows: usize,
    /// About the most rows in an epoch, where the source itself has no limit set.
    pub epoch_rows: u64,
    /// Whether the run ends once no source has anything new.
    pub ends: bool,
}

impl SourceContext {
    /// The default of [`Self::batch_rows`].
    pub const BATCH_ROWS: usize = 8192;
}

/// A source, ready to be planned and read.
pub struct OpenSource {
    /// Its rows.
    pub source: Box<dyn Source>,
    /// Where its records are handed in, if they are (HTTP).
    pub ingest: Option<Arc<dyn Ingest>>,
    /// Told when something new came, if the source knows: plan soon. (Planning at intervals is enough.)
    pub wake: Option<Arc<Notify>>,
}

/// The write side of a sink.
#[async_trait]
pub trait Output: Send {
    /// Writes an epoch's rows. Again with the same epoch and rows, the effect is that of once
    /// (a console prints again, and Kafka says in its own words what it can do).
    async fn write(&mut self, epoch: u64, rows: &[RecordBatch]) -> Result<(), SinkError>;
    /// Takes rows of an epoch that has not ended, if it can: [`Self::close`] is given them all. Part 0 begins the epoch:
    /// whatever flowed of one that never ended is void, as far as it can be taken back.
    async fn flow(&mut self, _epoch: u64, _part: u64, _rows: &[RecordBatch]) -> Result<(), SinkError> {
        Ok(())
    }
    /// Ends an epoch of whose rows all have flowed.
    async fn close(&mut self, epoch: u64, rows: &[RecordBatch]) -> Result<(), SinkError> {
        self.write(epoch, rows).await
    }
}

/// A sink, ready to be written.
pub struct OpenSink {
    /// Where rows go.
    pub output: Box<dyn Output>,
    /// The rows, if it keeps them in memory.
    pub memory: Option<Arc<MemoryTable>>,
}

impl From<Box<dyn Source>> for OpenSource {
    fn from(source: Box<dyn Source>) -> Self {
        Self { source, ingest: None, wake: None }
    }
}

/// Opens a source. Must be called inside a Tokio runtime.
pub fn source(spec: &model::Source, context: SourceContext) -> Result<OpenSource, SourceError> {
    let opened = open(spec, context.clone())?;
    match &spec.from {
        SourceKind::Rate(_) | SourceKind::RateMicroBatch(_) => Ok(opened),
        _ => Ok(OpenSource { source: Box::new(Replaying::new(opened.source, spec, context)), ..opened }),
    }
}

fn open(spec: &model::Source, context: SourceContext) -> Result<OpenSource, SourceError> {
    match &spec.from {
        SourceKind::Files(options) => files::open(options, spec, context),
        SourceKind::Kafka(options) => {
            let source: Box<dyn Source> = Box::new(kafka_source::open(options, spec, &context)?);
            Ok(source.into())
        }
        SourceKind::Socket(options) => socket::open(options, spec, context),
        SourceKind::Http(options) => journal_source::open_http(options, spec, context),
        SourceKind::Rate(options) => rate::open(options, spec, context),
        SourceKind::RateMicroBatch(options) => rate_micro_batch::open(options, spec, context),
    }
}

/// Opens a sink for rows of `schema`, which come by `mode`. No other sink of a deployment has its `name`, and its epochs
/// are those of `history` ([`braid_kernel::Manifest::history`]). Where rows flow, an epoch is open for `flows`.
pub fn sink(
    name: &str,
    history: &str,
    to: &SinkKind,
    mode: OutputMode,
    delivery: Delivery,
    schema: SchemaRef,
    flows: Option<Duration>,
) -> Result<OpenSink, SinkError> {
    match to {
        SinkKind::Memory => Ok(memory::open(mode, schema)),
        SinkKind::Console { rows_max } => Ok(console::open(name, *rows_max, schema)),
        SinkKind::Pprint { rows_max } => Ok(text_sink::pprint(*rows_max)),
        SinkKind::Text(files) => text_sink::files(files),
        SinkKind::Parquet { path } => parquet_sink::open(path, schema),
        SinkKind::Kafka { brokers, topic, client, format } => {
            let values = Values::new(format, topic, &schema)?;
            let sink = kafka_sink::open(name, history, brokers, topic, client, delivery, values, flows)?;
            Ok(OpenSink { output: Box::new(sink), memory: None })
        }
        SinkKind::Plugin { .. } => Err(SinkError::Fatal("bug: user code is run elsewhere".into())),
    }
}
