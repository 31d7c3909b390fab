//! What a deployment file says, as types. Plain data: every default is filled in, every duration and size is a number.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use arrow_schema::SchemaRef;

mod answers;
mod code;
mod formats;
mod kafka;
mod tests;

pub use answers::{Delivery, Expression, OutputMode, Role, Sink, SinkKind, TextFiles, View};
pub use code::{HttpLimits, Language, Limits, PluginCode, PluginLimits};
pub use formats::{Avro, Csv, Protobuf, Registry, SinkAvro, SinkFormat, SinkRegistry, SubjectName, Text};
pub use kafka::{End, Kafka, Metadata, PerPartition, Start, Topics};
pub use tests::{Expectation, Expected, Given, Step, Test, Told};

/// A whole deployment: one YAML file and its layout.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Its name: lower-case letters, digits and dashes.
    pub name: String,
    /// Which layers run, and who writes the base.
    pub layout: Layout,
    /// Where everything durable is: an object store URL (`file://`, `s3://`, `gs://`, `az://`, `memory://`).
    /// A relative `file://./…` was resolved against the working directory.
    pub store: String,
    /// Which of several sources' watermarks is the deployment's.
    pub watermark_policy: WatermarkPolicy,
    /// Where rows come from.
    pub sources: BTreeMap<String, Source>,
    /// The static sides of joins.
    pub tables: BTreeMap<String, StaticTable>,
    /// The user's code.
    pub plugins: BTreeMap<String, Plugin>,
    /// Sources with transformations applied, in an order in which each comes after what it reads.
    pub streams: Vec<Stream>,
    /// The questions, answered continuously.
    pub views: BTreeMap<String, View>,
    /// Where answers go.
    pub sinks: BTreeMap<String, Sink>,
    /// What is listened on.
    pub serving: Serving,
    /// When epochs run.
    pub trigger: Trigger,
    /// Whether, and how, the intake follows what is processed.
    pub backpressure: Option<Backpressure>,
    /// What happens when the query fails.
    pub restart: Restart,
    /// Where what is remembered is kept.
    pub state: StateBounds,
    /// What must come of what.
    pub tests: Vec<Test>,
}

/// How much memory what operators and sinks remember takes, and where the rest is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateBounds {
    /// Bytes of memory, of all together.
    pub memory_bytes: u64,
    /// Where on the local disk; absolute. A directory for temporary files if it is not given.
    pub directory: Option<PathBuf>,
}

/// The controller of the intake: Spark's names and defaults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backpressure {
    /// Rows a second of each source until there is an estimate.
    pub initial_rate: Option<u64>,
    /// Never less.
    pub min_rate: u64,
    /// The controller's gains.
    pub proportional: f64,
    pub integral: f64,
    pub derived: f64,
}

/// How often, and after how long, a failed query starts again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restart {
    /// Failures without an epoch in between that are followed by another start.
    pub max_attempts: u64,
    /// The first wait; it doubles …
    pub backoff_min: Duration,
    /// … up to this.
    pub backoff_max: Duration,
}

/// When epochs run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// As soon as there are rows, no faster than [`Layout::epoch_every`].
    Default,
    /// At each whole multiple of this.
    ProcessingTime(Duration),
    /// Rows flow as they come, and what came is committed so often.
    Continuous(Duration),
    /// Once, with everything that is there.
    Once,
    /// In several epochs, with what is there at the start.
    AvailableNow,
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trigger::Default => f.write_str("default"),
            Trigger::ProcessingTime(interval) => write!(f, "processing_time {interval:?}"),
            Trigger::Continuous(every) => write!(f, "continuous {every:?}"),
            Trigger::Once => f.write_str("once"),
            Trigger::AvailableNow => f.write_str("available_now"),
        }
    }
}

/// Which of several sources' watermarks is the deployment's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatermarkPolicy {
    /// The least.
    Min,
    /// The greatest.
    Max,
}

/// Which layers run: the content of `layouts/<name>.yaml`.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// `lambda`, `kappa`, or the file's stem.
    pub name: String,
    /// When an epoch ends: after this time …
    pub epoch_every: Duration,
    /// … or this many rows, whichever comes first.
    pub epoch_rows: u64,
    /// Whether the raw rows are kept.
    pub log: LogKeep,
    /// Who writes the base.
    pub base: BaseBy,
    /// How often.
    pub base_every: Duration,
}

/// How long the raw rows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKeep {
    /// They are the master dataset.
    Forever,
    /// Until the base covers them; journals of sources that cannot replay are then cut.
    UntilFolded,
}

/// Who writes the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseBy {
    /// Merge the deltas into it.
    Fold,
    /// Compute it anew from the raw log.
    Recompute,
}

/// One source of rows.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where from.
    pub from: SourceKind,
    /// How its bytes are rows.
    pub format: Format,
    /// Its columns. For Kafka, those of the value and those of [`Kafka::metadata`]. For generated rows, `timestamp` and
    /// `value`. For text and raw, `value`.
    pub schema: SchemaRef,
    /// Its event time, if it has one.
    pub watermark: Option<Watermark>,
    /// What happens to a record that is no row.
    pub on_bad_record: OnBadRecord,
}

/// Event time and how late a row may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    /// The column, a timestamp.
    pub event_time: String,
    /// The watermark is the greatest event time less this.
    pub delay: Duration,
    /// A source silent for this long does not hold the others back.
    pub idle_timeout: Option<Duration>,
}

/// What happens to a record that is no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBadRecord {
    /// The query stops with an error.
    Fail,
    /// It is counted.
    Drop,
    /// It is counted and kept in the table `dead_letters`.
    DeadLetter,
}

/// Where rows come from.
#[derive(Debug, Clone)]
pub enum SourceKind {
    /// Files that appear in a directory.
    Files(Files),
    /// A Kafka topic.
    Kafka(Kafka),
    /// Lines from a TCP server, kept in Braid's journal.
    Socket(Socket),
    /// Lines that are posted to Braid, kept in its journal.
    Http(Http),
    /// Rows generated at a speed.
    Rate(Rate),
    /// Rows generated by the epoch.
    RateMicroBatch(RateMicroBatch),
}

/// Files that appear in a directory. Each is read once, whole, in the order of modification time and then name.
#[derive(Debug, Clone)]
pub struct Files {
    /// A directory or a glob (`*` and `?` in the last part): a local path or an object store URL.
    pub path: String,
    /// At most so many in an epoch.
    pub max_files_per_trigger: Option<u64>,
    /// About so many bytes in an epoch: at least one file.
    pub max_bytes_per_trigger: Option<u64>,
    /// The newest first.
    pub latest_first: bool,
    /// A new file is not read where files newer by more than this were read.
    pub max_file_age: Duration,
    /// What becomes of a file once the epoch that read it is committed.
    pub clean_source: CleanSource,
}

/// What becomes of a file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CleanSource {
    /// It stays.
    Off,
    /// It is moved below this folder, under its own whole path.
    Archive(String),
    /// It is deleted.
    Delete,
}

/// Lines from a TCP server.
#[derive(Debug, Clone)]
pub struct Socket {
    /// Host.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Lines posted to `/v1/sources/{name}/records`.
#[derive(Debug, Clone)]
pub struct Http {
    /// The longest body.
    pub body_bytes_max: u64,
}

/// Generated rows: `timestamp` and `value`, which counts from 0.
#[derive(Debug, Clone)]
pub struct Rate {
    /// How many a second.
    pub rows_per_second: u64,
    /// Grows to that speed over this time.
    pub ramp_up_time: Duration,
    /// Over how many partitions.
    pub num_partitions: u64,
    /// Stops after so many rows.
    pub rows_max: Option<u64>,
}

/// Generated rows: `timestamp`, the same for all of an epoch, and `value`, which counts from 0.
#[derive(Debug, Clone)]
pub struct RateMicroBatch {
    /// How many in an epoch.
    pub rows_per_batch: u64,
    /// Over how many partitions.
    pub num_partitions: u64,
    /// The timestamp of the first epoch's rows, in milliseconds since the Unix epoch.
    pub start_timestamp: u64,
    /// How much later the next epoch's rows are, in milliseconds.
    pub advance_millis_per_batch: u64,
}

/// How bytes are rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// Comma-separated values.
    Csv(Csv),
    /// One column, `value`: the line.
    Text,
    /// Parquet files.
    Parquet,
    /// One column, `value`: a record's bytes as they are.
    Raw,
    /// Avro: its files, or a record's bytes.
    Avro(Box<Avro>),
    /// A Protobuf message for each record.
    Protobuf(Box<Protobuf>),
    /// No bytes: the source makes rows itself (rate).
    Native,
}

/// A table that is read whole and joined.
#[derive(Debug, Clone)]
pub struct StaticTable {
    /// A file, a directory or a glob: a local path or an object store URL.
    pub path: String,
    /// How its bytes are rows.
    pub format: Format,
    /// Its columns.
    pub schema: SchemaRef,
    /// Read again this often, at an epoch's boundary.
    pub refresh: Option<Duration>,
}

/// The user's code.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// Where it is.
    pub code: PluginCode,
    /// What it may use up.
    pub limits: Limits,
    /// What it may reach.
    pub grants: Grants,
    /// What happens to a record on which it fails.
    pub on_error: OnPluginError,
    /// What happens where it breaks a law of its world.
    pub laws: OnBrokenLaw,
}

/// What a plugin may have beside its rows: nothing, unless it is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Origins, `https://host` or `http://host:port`, as URLs serialize them.
    pub http: Vec<String>,
    /// Whether names among them may stand for addresses of private networks.
    pub private_addresses: bool,
    /// Whether it may write lines to the log.
    pub log: bool,
    /// Values by their names.
    pub env: BTreeMap<String, String>,
    /// Whether it may know the time.
    pub clock: bool,
    /// Whether it may have random bytes.
    pub random: bool,
}

/// What happens to a record on which a plugin fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnPluginError {
    /// The query stops with an error.
    Fail,
    /// It is counted.
    Skip,
    /// It is counted and kept in the table `dead_letters`.
    DeadLetter,
}

/// What happens where a plugin breaks a law of its world, when a deployment is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnBrokenLaw {
    /// The deployment is refused.
    Refuse,
    /// It is said.
    Warn,
    /// Nothing: the laws are not tried.
    Skip,
}

/// A source or several, with plugins applied in order.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Its name in SQL.
    pub name: String,
    /// Sources or streams, of the same schema if several (a union).
    pub from: Vec<String>,
    /// Plugins.
    pub apply: Vec<String>,
    /// Whether only the first of equal rows passes.
    pub drop_duplicates: Option<DropDuplicates>,
    /// User code with a memory for each key, behind the plugins.
    pub transform_with_state: Option<TransformWithState>,
}

impl Stream {
    /// The key of what remembers rows from epoch to epoch, if anything does.
    pub fn remembers(&self) -> Option<&'static str> {
        match (&self.drop_duplicates, &self.transform_with_state) {
            (Some(_), _) => Some("drop_duplicates"),
            (None, Some(_)) => Some("transform_with_state"),
            (None, None) => None,
        }
    }
}

/// User code with a memory for each key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransformWithState {
    /// The plugin.
    pub plugin: String,
    /// The columns that make the key.
    pub key: Vec<String>,
    /// By which clock timers go.
    pub time_mode: TimeMode,
    /// A table whose rows are given to the plugin before the first row of the stream.
    pub initial_state: Option<String>,
    /// Which column of its rows is event time.
    pub event_time: Option<String>,
}

/// By which clock timers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeMode {
    /// There are none.
    None,
    /// The watermark.
    EventTime,
    /// The time at which epochs are planned.
    ProcessingTime,
}

/// Which rows are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropDuplicates {
    /// The columns that are compared; all, where there are none.
    pub columns: Vec<String>,
    /// Whether a row is forgotten when the watermark has passed it by the delay.
    pub within_watermark: bool,
}

/// What is listened on.
#[derive(Debug, Clone, Default)]
pub struct Serving {
    /// The HTTP API's address.
    pub http: Option<String>,
}
