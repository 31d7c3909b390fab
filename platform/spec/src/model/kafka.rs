//! A Kafka source: which records of which topics, and what stands beside their values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::{DataType, Field, TimeUnit};

/// Topics of Kafka.
#[derive(Clone)]
pub struct Kafka {
    /// `bootstrap.servers`.
    pub brokers: String,
    /// Which partitions of which topics.
    pub topics: Topics,
    /// Where the first start begins; later ones go on where the manifest says.
    pub start: Start,
    /// Whether a partition without a record from the starting time on begins at its end. It is an error otherwise.
    pub start_at_latest_if_none: bool,
    /// Where a run that ends by itself ends.
    pub end: Option<End>,
    /// At most so many records in an epoch, over all partitions.
    pub max_offsets_per_trigger: Option<u64>,
    /// An epoch waits until so many are there …
    pub min_offsets_per_trigger: Option<u64>,
    /// … but not longer than this.
    pub max_trigger_delay: Duration,
    /// Whether records that are gone stop the query.
    pub fail_on_data_loss: bool,
    /// The columns that are not of the value.
    pub metadata: Vec<(String, Metadata)>,
    /// Passed through to the client, e.g. `fetch.max.bytes`.
    pub client: BTreeMap<String, String>,
}

/// Numbers per topic and partition.
pub type PerPartition = BTreeMap<String, BTreeMap<i32, i64>>;

/// Which partitions are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topics {
    /// These partitions.
    Assign(BTreeMap<String, BTreeSet<i32>>),
    /// All partitions of these topics.
    Subscribe(Vec<String>),
    /// All partitions of the topics whose whole name matches this regular expression.
    Pattern(String),
}

impl Topics {
    /// The topic, if it is one and known.
    pub(crate) fn only(&self) -> Option<String> {
        let mut all: Box<dyn Iterator<Item = &String>> = match self {
            Topics::Assign(topics) => Box::new(topics.keys()),
            Topics::Subscribe(topics) => Box::new(topics.iter()),
            Topics::Pattern(_) => return None,
        };
        all.next().filter(|_| all.next().is_none()).cloned()
    }
}

impl fmt::Display for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Topics::Assign(topics) => {
                let topics = topics.iter().map(|(topic, partitions)| format!("{topic} {partitions:?}"));
                f.write_str(&topics.collect::<Vec<_>>().join(", "))
            }
            Topics::Subscribe(topics) => f.write_str(&topics.join(", ")),
            Topics::Pattern(pattern) => write!(f, "topics like {pattern}"),
        }
    }
}

/// Where the first start begins. Times are milliseconds since the Unix epoch, and mean the first record from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// At the oldest record.
    Earliest,
    /// After the newest one.
    Latest,
    /// At these offsets; −2 is earliest, −1 latest.
    Offsets(PerPartition),
    /// At this time.
    Time(i64),
    /// At these times.
    Times(PerPartition),
}

/// Where a run that ends by itself ends, exclusive. Times as in [`Start`]; where no record is as late, it is the latest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// After the record that is the newest when the run begins.
    Latest,
    /// At these offsets; −1 is latest.
    Offsets(PerPartition),
    /// At this time.
    Time(i64),
    /// At these times.
    Times(PerPartition),
}

/// What a Kafka record has beside its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metadata {
    Key,
    Topic,
    Partition,
    Offset,
    Timestamp,
    TimestampType,
    Headers,
}

impl Metadata {
    /// What it is called in a deployment.
    pub fn of(word: &str) -> Option<Self> {
        Some(match word {
            "key" => Self::Key,
            "topic" => Self::Topic,
            "partition" => Self::Partition,
            "offset" => Self::Offset,
            "timestamp" => Self::Timestamp,
            "timestamp_type" => Self::TimestampType,
            "headers" => Self::Headers,
            _ => return None,
        })
    }

    /// Its column's type, as in Spark.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Key => DataType::Binary,
            Self::Topic => DataType::Utf8,
            Self::Partition | Self::TimestampType => DataType::Int32,
            Self::Offset => DataType::Int64,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Headers => {
                let header = vec![Field::new("key", DataType::Utf8, true), Field::new("value", DataType::Binary, true)];
                DataType::List(Arc::new(Field::new_list_field(DataType::Struct(header.into()), true)))
            }
        }
    }
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kafka {
            brokers,
            topics,
            start,
            start_at_latest_if_none,
            end,
            max_offsets_per_trigger,
            min_offsets_per_trigger,
            max_trigger_delay,
            fail_on_data_loss,
            metadata,
            client,
        } = self;
        f.debug_struct("Kafka")
            .field("brokers", brokers)
            .field("topics", topics)
            .field("start", start)
            .field("start_at_latest_if_none", start_at_latest_if_none)
            .field("end", end)
            .field("max_offsets_per_trigger", max_offsets_per_trigger)
            .field("min_offsets_per_trigger", min_offsets_per_trigger)
            .field("max_trigger_delay", max_trigger_delay)
            .field("fail_on_data_loss", fail_on_data_loss)
            .field("metadata", metadata)
            .field("client", &Discreet(client))
            .finish()
    }
}

/// Shows a client's options without its secrets.
pub(crate) struct Discreet<'a>(pub(crate) &'a BTreeMap<String, String>);

impl fmt::Debug for Discreet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |key, value| if crate::env::is_secret(key) { "***" } else { value };
        f.debug_map().entries(self.0.iter().map(|(key, value)| (key, shown(key, value)))).finish()
    }
}
