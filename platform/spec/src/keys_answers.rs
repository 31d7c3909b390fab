//! The keys of views and sinks.

use crate::keys::Need::{Default, Must, Optional};
use crate::keys::Shape::{Group, Pairs, Steps, Text, Word};
use crate::keys::{KIND, Keys, WHOLE, key, keys};
use crate::{keys_formats, keys_pipeline};

pub(crate) static VIEW: Keys = Keys {
    what: "a view",
    keys: &[
        key("sql", Text, Optional, "SQL over sources, streams, tables and other views."),
        key("pipeline", Steps(&keys_pipeline::STEP), Optional, "Steps that become SQL, as on Spark's DStreams."),
    ],
    one_of: &["sql", "pipeline"],
    choice: "question",
    dotted: false,
};

pub(crate) static SINK: Keys = Keys {
    what: "a sink",
    keys: &[
        key("from", Text, Must, "The view."),
        key(
            "output_mode",
            Word(&["append", "update", "complete"]),
            Default("append"),
            "Which rows: those that are final, those that changed, or all whenever any changed.",
        ),
        key(
            "delivery",
            Word(&["exactly_once", "at_least_once", "at_most_once"]),
            Optional,
            "How often a row gets there over crashes; what is not given is the most that the sink can promise.",
        ),
        key("console", Group(&CONSOLE), Optional, "Printed."),
        key("parquet", Group(&PARQUET_SINK), Optional, "Parquet files in a directory."),
        key("text", Group(&TEXT_SINK), Optional, "Text files: the view's one column, a row a line."),
        key(
            "kafka",
            Group(&KAFKA_SINK),
            Optional,
            "A Kafka topic. A row becomes a JSON value, or its columns `key` and `value` are taken; or Avro.",
        ),
        key("memory", Group(&MEMORY), Optional, "Kept in memory and queryable under the sink's name."),
        key("plugin", Text, Optional, "A plugin that takes the rows of each epoch away."),
        key("options", Pairs, Optional, "For the plugin: text, numbers, true or false."),
    ],
    one_of: &["console", "parquet", "text", "kafka", "memory", "plugin"],
    choice: KIND,
    dotted: false,
};

static CONSOLE: Keys =
    keys("a console sink", &[key("num_rows", WHOLE, Default("20"), "At most so many rows an epoch.")]);

static PARQUET_SINK: Keys =
    keys("a Parquet sink", &[key("path", Text, Must, "A directory: a local path or an object store URL.")]);

static KAFKA_SINK: Keys = Keys {
    what: "a Kafka sink",
    keys: &[
        key("brokers", Text, Must, "`host:port`, several with commas."),
        key("topic", Text, Must, "The topic."),
        key(
            "format",
            Group(&keys_formats::SINK_FORMAT),
            Optional,
            "What a row is as a value; JSON if it is not given.",
        ),
        key(
            "client",
            Pairs,
            Optional,
            "Options passed on to the client. A key with a dot may also stand beside `brokers`.",
        ),
    ],
    one_of: &[],
    choice: KIND,
    dotted: true,
};

static MEMORY: Keys = keys("a memory sink", &[]);

static TEXT_SINK: Keys =
    keys("a text sink", &[key("path", Text, Must, "A directory: a local path or an object store URL.")]);
