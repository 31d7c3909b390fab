//! Views and sinks: what is asked, and where the answers go.

use std::collections::BTreeMap;
use std::fmt;

use super::formats::SinkFormat;
use super::kafka::Discreet;

/// A question, answered continuously.
#[derive(Debug, Clone)]
pub struct View {
    /// SQL over sources, streams, static tables and stateless views.
    pub sql: String,
    /// Of a view that was written as a pipeline, which became that SQL: the expressions in it, each to be checked by itself.
    pub pipeline: Option<Vec<Expression>>,
}

/// An SQL expression of a pipeline's step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    /// Where it stands, such as `views.counts.pipeline[2].map.word`.
    pub path: String,
    /// The step's number, from 0.
    pub step: usize,
    /// What the step is called.
    pub operation: &'static str,
    /// As it was written.
    pub sql: String,
    /// What it may be.
    pub role: Role,
}

/// What an expression of a step may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Of one row, one value.
    Value,
    /// Of one row, one value or many; one of the step's expressions makes many.
    Values,
    /// Of many rows, one value.
    Aggregate,
}

/// Where a view's answers go.
#[derive(Debug, Clone)]
pub struct Sink {
    /// The view.
    pub from: String,
    /// Which rows.
    pub output_mode: OutputMode,
    /// How often a row gets there.
    pub delivery: Delivery,
    /// Where.
    pub to: SinkKind,
}

/// Which rows of a view a sink gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMode {
    /// Rows that are final.
    Append,
    /// Rows that changed.
    Update,
    /// All rows, whenever any changed.
    Complete,
}

/// How often a row gets to where it is to go, over crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Once: an epoch that is written again has the effect of one.
    ExactlyOnce,
    /// Once, or several times after a crash.
    AtLeastOnce,
    /// Once, or not at all after a crash: written behind the commit, and never again.
    AtMostOnce,
}

/// Where a view's answers go.
#[derive(Clone)]
pub enum SinkKind {
    /// Printed.
    Console { rows_max: usize },
    /// Printed as a pipeline's `pprint` does: a row a line.
    Pprint { rows_max: usize },
    /// Parquet files in a directory: a local path or an object store URL.
    Parquet { path: String },
    /// Text files.
    Text(TextFiles),
    /// A Kafka topic.
    Kafka { brokers: String, topic: String, client: BTreeMap<String, String>, format: SinkFormat },
    /// Kept in memory and queryable under the sink's name.
    Memory,
    /// Handed to a plugin, epoch by epoch.
    Plugin { plugin: String, options: BTreeMap<String, String> },
}

/// How rows become text files. Paths are local or object store URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextFiles {
    /// A file an epoch in this directory, of the view's one column, which is text.
    Folder { path: String },
    /// A directory an epoch, `prefix-<epoch>[.suffix]`, of rows as text.
    PerEpoch { prefix: String, suffix: Option<String> },
}

impl SinkKind {
    /// The most that a sink can promise; or why it cannot promise more than `at_least_once`.
    pub fn delivery(&self) -> Result<Delivery, &'static str> {
        match self {
            Self::Console { .. } | Self::Pprint { .. } => Err("what was printed cannot be taken back after a crash"),
            Self::Memory => Err("memory is empty after a crash"),
            // Whether the plugin makes an epoch that comes again one is known where the plugin is.
            Self::Parquet { .. } | Self::Text(_) | Self::Kafka { .. } | Self::Plugin { .. } => {
                Ok(Delivery::ExactlyOnce)
            }
        }
    }
}

impl fmt::Debug for SinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SinkKind::Console { rows_max } => f.debug_struct("Console").field("rows_max", rows_max).finish(),
            SinkKind::Pprint { rows_max } => f.debug_struct("Pprint").field("rows_max", rows_max).finish(),
            SinkKind::Parquet { path } => f.debug_struct("Parquet").field("path", path).finish(),
            SinkKind::Text(files) => f.debug_tuple("Text").field(files).finish(),
            SinkKind::Kafka { brokers, topic, client, format } => f
                .debug_struct("Kafka")
                .field("brokers", brokers)
                .field("topic", topic)
                .field("client", &Discreet(client))
                .field("format", format)
                .finish(),
            SinkKind::Memory => f.write_str("Memory"),
            SinkKind::Plugin { plugin, options } => {
                f.debug_struct("Plugin").field("plugin", plugin).field("options", &Discreet(options)).finish()
            }
        }
    }
}
