//! Every key of a deployment file and of a layout file: its name, type, default and meaning. The parser and the JSON Schema
//! are both made from these tables, so they cannot differ.

use crate::{keys_answers, keys_run, keys_tests};
use Need::{Default, Must, Optional};
use Shape::{
    Address, Columns, Duration, Flag, Format, Group, Groups, Many, Named, NamedWords, OneOrMany, Pairs, Partitions,
    PerPartition, Size, Text, Whole, Word,
};

/// A key of a map.
pub(crate) struct Key {
    pub name: &'static str,
    pub shape: Shape,
    pub need: Need,
    pub doc: &'static str,
}

/// Whether a key has to be there.
pub(crate) enum Need {
    Must,
    Optional,
    /// As it would stand in the file.
    Default(&'static str),
}

/// What may stand behind a key.
pub(crate) enum Shape {
    /// Any text that is not empty.
    Text,
    Whole {
        min: u64,
        max: u64,
    },
    /// A number that is not negative, with or without a fraction.
    Number,
    Flag,
    Duration {
        min_ms: u64,
    },
    Size {
        min: u64,
    },
    Word(&'static [&'static str]),
    /// `host:port`.
    Address,
    /// One ASCII character.
    Character,
    /// A list of names, not empty; one name needs no brackets.
    OneOrMany,
    /// A list of names.
    Many,
    /// A map with these keys.
    Group(&'static Keys),
    /// A map from names to such maps.
    Named(&'static Keys, Names),
    /// A map from text to any scalar, passed on as it is.
    Pairs,
    /// A map from a column's name to its type.
    Columns,
    /// A word, or a map with the word as its only key and options below.
    Format,
    /// One of these words, if there are any, or a map from topics to maps from partitions to numbers of at least so much.
    PerPartition {
        words: &'static [&'static str],
        least: i64,
        /// What a number is.
        number: &'static str,
    },
    /// A map from topics to lists of partitions.
    Partitions,
    /// A list of such words, or a map from names to them.
    NamedWords(&'static [&'static str]),
    /// A list of maps with one of these keys each; one without options needs no map.
    Steps(&'static Keys),
    /// A list of maps with these keys.
    Groups(&'static Keys),
    /// A map from sources and tables to lists of records, or a list of such maps.
    Given,
    /// A map, not empty, from views and sinks to lists of rows or to how many there are.
    Expect,
    /// A map, not empty, from columns to SQL expressions.
    Expressions,
    /// An SQL expression, or a map with the only key `plugin`.
    Condition,
}

/// Which names are allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// Lower-case letters, digits and underscores: they stand in SQL without quotes.
    Sql,
    /// Dashes too.
    Dashed,
}

/// The keys of a map.
pub(crate) struct Keys {
    /// What the map is, e.g. "a source".
    pub what: &'static str,
    pub keys: &'static [Key],
    /// Exactly one of these must be there.
    pub one_of: &'static [&'static str],
    /// What that one says.
    pub choice: &'static str,
    /// Whether other keys are allowed if they have a dot; they are passed on.
    pub dotted: bool,
}

pub(crate) const fn key(name: &'static str, shape: Shape, need: Need, doc: &'static str) -> Key {
    Key { name, shape, need, doc }
}

pub(crate) const fn keys(what: &'static str, keys: &'static [Key]) -> Keys {
    Keys { what, keys, one_of: &[], choice: KIND, dotted: false }
}

/// What a key of `one_of` mostly says.
pub(crate) const KIND: &str = "kind";

impl Keys {
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }
}

pub(crate) const WHOLE: Shape = Whole { min: 1, max: i64::MAX as u64 };
const MILLIS: Shape = Whole { min: 0, max: i64::MAX as u64 };
pub(crate) const SOME_TIME: Shape = Duration { min_ms: 1 };
const SOME_BYTES: Shape = Size { min: 1 };

/// The deployment file.
pub(crate) static DEPLOYMENT: Keys = keys(
    "a deployment",
    &[
        key("apiVersion", Word(&["braid/v1"]), Must, "The version of this file's form."),
        key("name", Text, Must, "The deployment's name: lower-case letters, digits and dashes."),
        key(
            "layout",
            Text,
            Must,
            "The architecture: `lambda`, `kappa`, or the path of a layout file, relative to this one.",
        ),
        key(
            "store",
            Text,
            Optional,
            "Where everything durable is: a URL with file, s3, gs, az or memory. `file://./data/<name>` if it is not given.",
        ),
        key(
            "watermark_policy",
            Word(&["min", "max"]),
            Default("min"),
            "Which of several sources' watermarks is the deployment's.",
        ),
        key("sources", Named(&SOURCE, Names::Sql), Must, "Where rows come from."),
        key("tables", Named(&TABLE, Names::Sql), Optional, "Tables that are read whole: the static sides of joins."),
        key("plugins", Named(&PLUGIN, Names::Dashed), Optional, "Your own code, as WebAssembly components."),
        key("streams", Named(&STREAM, Names::Sql), Optional, "Sources with plugins applied, or several as one."),
        key("views", Named(&keys_answers::VIEW, Names::Sql), Must, "The questions, answered continuously."),
        key("sinks", Named(&keys_answers::SINK, Names::Sql), Optional, "Where answers go."),
        key("serving", Group(&SERVING), Optional, "What is listened on."),
        key(
            "trigger",
            Group(&keys_run::TRIGGER),
            Optional,
            "When epochs run. As soon as there are rows if it is not given, no faster than the layout's `speed.epoch.every`.",
        ),
        key(
            "backpressure",
            Group(&keys_run::BACKPRESSURE),
            Optional,
            "The intake follows what is processed in an epoch's time, by a PID controller as in Spark.",
        ),
        key(
            "restart",
            Group(&keys_run::RESTART),
            Optional,
            "What happens when the query fails while `braid up` runs it.",
        ),
        key(
            "state",
            Group(&keys_run::STATE),
            Optional,
            "How much memory what is remembered takes, and where the rest is.",
        ),
        key(
            "tests",
            Groups(&keys_tests::TEST),
            Optional,
            "What must come of what: run by `braid test` in each layout, at every cut, and with a crash at each step.",
        ),
    ],
);

/// The kinds of sources.
pub(crate) const SOURCE_KINDS: &[&str] = &["files", "kafka", "socket", "http", "rate", "rate_micro_batch"];

static SOURCE: Keys = Keys {
    what: "a source",
    keys: &[
        key("files", Group(&FILES), Optional, "Files that appear in a directory."),
        key("kafka", Group(&KAFKA), Optional, "A Kafka topic."),
        key("socket", Group(&SOCKET), Optional, "Lines from a TCP server, kept in Braid's journal."),
        key("http", Group(&HTTP), Optional, "Lines posted to `/v1/sources/{name}/records`, kept in Braid's journal."),
        key("rate", Group(&RATE), Optional, "Rows generated at a speed, with the columns `timestamp` and `value`."),
        key(
            "rate_micro_batch",
            Group(&RATE_MICRO_BATCH),
            Optional,
            "So many rows generated in each epoch, the same in every run, with the columns `timestamp` and `value`.",
        ),
        key(
            "format",
            Format,
            Optional,
            "How bytes are rows. `text` for a socket and `json` for HTTP if it is not given; generated rows have none.",
        ),
        key("schema", Columns, Optional, "The columns and their types. Not needed for text and rate."),
        key("watermark", Group(&WATERMARK), Optional, "The event time, and how late a row may be."),
        key(
            "on_bad_record",
            Word(&["fail", "drop", "dead_letter"]),
            Default("dead_letter"),
            "What happens to a record that is no row: the query stops, it is counted, or it is kept in `dead_letters`.",
        ),
    ],
    one_of: SOURCE_KINDS,
    choice: KIND,
    dotted: false,
};

static FILES: Keys = keys(
    "a directory of files",
    &[
        key(
            "path",
            Text,
            Must,
            "A directory or a glob (`*` and `?` in the last part): a local path or an object store URL.",
        ),
        key(
            "max_files_per_trigger",
            WHOLE,
            Optional,
            "At most so many files in an epoch. Not together with `max_bytes_per_trigger`.",
        ),
        key("max_bytes_per_trigger", SOME_BYTES, Optional, "About so many bytes in an epoch, at least one file."),
        key("latest_first", Flag, Default("false"), "Whether the newest files are read first."),
        key(
            "max_file_age",
            SOME_TIME,
            Default("7d"),
            "A file that comes after files newer by more than this were read is left out. What is there at the start is not; nor is any file with `latest_first` and a limit.",
        ),
        key(
            "clean_source",
            Word(&["off", "archive", "delete"]),
            Default("off"),
            "What becomes of a file once the epoch that read it is committed: it stays, is moved below `source_archive_dir`, or is deleted.",
        ),
        key(
            "source_archive_dir",
            Text,
            Optional,
            "Where `clean_source: archive` moves files, each under its own whole path. In the same file system or bucket.",
        ),
    ],
);

static KAFKA: Keys = Keys {
    what: "a Kafka source",
    keys: &[
        key("brokers", Text, Must, "`host:port`, several with commas."),
        key("subscribe", OneOrMany, Optional, "The topic, or a list of them. Or `subscribe_pattern`, or `assign`."),
        key("subscribe_pattern", Text, Optional, "A regular expression; topics whose whole name matches are read."),
        key("assign", Partitions, Optional, "The only partitions to read, per topic: `{topic: [0, 1]}`."),
        key(
            "starting_offsets",
            PerPartition { words: &["earliest", "latest"], least: -2, number: "an offset; -2 is earliest, -1 latest" },
            Optional,
            "Where the first start begins: earliest, latest, or offsets per topic and partition (-2 is earliest, -1 latest). `latest` if it is not given, `earliest` with an end. A restart goes on where it was.",
        ),
        key(
            "starting_offsets_by_timestamp",
            PerPartition { words: &[], least: 0, number: "a time in milliseconds since 1970" },
            Optional,
            "Where the first start begins: per topic and partition, at the first record from this time on. Goes before `starting_offsets`.",
        ),
        key(
            "starting_timestamp",
            MILLIS,
            Optional,
            "Where the first start begins: in every partition at the first record from this time on, in milliseconds since 1970. Goes before the other two.",
        ),
        key(
            "starting_offsets_by_timestamp_strategy",
            Word(&["error", "latest"]),
            Default("error"),
            "What to do where a partition has no record from the starting time on: stop, or begin at the end.",
        ),
        key(
            "ending_offsets",
            PerPartition { words: &["latest"], least: -1, number: "an offset; -1 is latest" },
            Optional,
            "Where `braid run` ends: what is there when it begins, or offsets per topic and partition, exclusive (-1 is latest). `braid up` has no end.",
        ),
        key(
            "ending_offsets_by_timestamp",
            PerPartition { words: &[], least: 0, number: "a time in milliseconds since 1970" },
            Optional,
            "Where `braid run` ends: per topic and partition, before the first record from this time on. Goes before `ending_offsets`.",
        ),
        key(
            "ending_timestamp",
            MILLIS,
            Optional,
            "Where `braid run` ends: in every partition before the first record from this time on, in milliseconds since 1970. Goes before the other two.",
        ),
        key("max_offsets_per_trigger", WHOLE, Optional, "At most so many records in an epoch, over all partitions."),
        key(
            "min_offsets_per_trigger",
            WHOLE,
            Optional,
            "An epoch waits until so many records are there, but not longer than `max_trigger_delay`. `braid run` does not wait.",
        ),
        key(
            "max_trigger_delay",
            SOME_TIME,
            Optional,
            "How long an epoch may wait for `min_offsets_per_trigger`. `15m` if it is not given.",
        ),
        key(
            "fail_on_data_loss",
            Flag,
            Default("true"),
            "Whether the query stops when records are gone before they were read.",
        ),
        key(
            "metadata",
            NamedWords(KAFKA_METADATA),
            Optional,
            "Columns beside those of the value: a list such as `[key, offset]`, or a map from columns to what they hold, such as `{written_at: timestamp}`.",
        ),
        key(
            "include_headers",
            Flag,
            Default("false"),
            "Whether rows have the column `headers`: an array of keys and values, null without headers.",
        ),
        key(
            "client",
            Pairs,
            Optional,
            "Options passed on to the client, e.g. `fetch.max.bytes`. A key with a dot may also stand beside `brokers`.",
        ),
    ],
    one_of: &["subscribe", "subscribe_pattern", "assign"],
    choice: "topics",
    dotted: true,
};

/// What a Kafka record has beside its value.
const KAFKA_METADATA: &[&str] = &["key", "topic", "partition", "offset", "timestamp", "timestamp_type", "headers"];

static SOCKET: Keys = keys(
    "a socket",
    &[
        key("host", Text, Default("localhost"), "The server's host."),
        key("port", Whole { min: 1, max: 65_535 }, Must, "The server's port."),
    ],
);

static HTTP: Keys =
    keys("an HTTP source", &[key("max_body", SOME_BYTES, Default("8MiB"), "The longest body of a request.")]);

static RATE: Keys = keys(
    "a rate source",
    &[
        key("rows_per_second", WHOLE, Default("1"), "How many rows a second."),
        key("ramp_up_time", Duration { min_ms: 0 }, Default("0s"), "How long it takes to reach that speed."),
        key("num_partitions", Whole { min: 1, max: 1024 }, Default("1"), "Over how many partitions."),
        key("rows_max", WHOLE, Optional, "Stops after so many rows."),
    ],
);

static RATE_MICRO_BATCH: Keys = keys(
    "a rate source by the epoch",
    &[
        key("rows_per_batch", WHOLE, Must, "How many rows in an epoch."),
        key("num_partitions", Whole { min: 1, max: 1024 }, Default("1"), "Over how many partitions."),
        key(
            "start_timestamp",
            MILLIS,
            Default("0"),
            "The timestamp of the first epoch's rows, in milliseconds since 1970.",
        ),
        key(
            "advance_millis_per_batch",
            MILLIS,
            Default("1000"),
            "How many milliseconds later the next epoch's rows are.",
        ),
    ],
);

static WATERMARK: Keys = keys(
    "a watermark",
    &[
        key("event_time", Text, Must, "The column that holds the event time."),
        key(
            "delay",
            Duration { min_ms: 0 },
            Must,
            "How late a row may be: the watermark is the greatest event time less this.",
        ),
        key("idle_timeout", SOME_TIME, Optional, "A source silent for this long does not hold the others back."),
    ],
);

static TABLE: Keys = keys(
    "a table",
    &[
        key("file", Group(&FILE), Must, "Where its rows are."),
        key("format", Format, Must, "How bytes are rows."),
        key("schema", Columns, Optional, "The columns and their types. Not needed for text."),
        key("refresh", SOME_TIME, Optional, "Read again this often."),
    ],
);

static FILE: Keys =
    keys("a file", &[key("path", Text, Must, "A file, a directory or a glob: a local path or an object store URL.")]);

static PLUGIN: Keys = Keys {
    what: "a plugin",
    one_of: &["component", "script"],
    choice: "code",
    dotted: false,
    keys: &[
        key("component", Text, Optional, "A component's file, relative to this one or to the working directory."),
        key(
            "script",
            Text,
            Optional,
            "A script in JavaScript (`.js`), TypeScript (`.ts`) or Python (`.py`), found likewise; nothing is built.",
        ),
        key("limits", Group(&LIMITS), Optional, "What it may use up."),
        key("grants", Group(&GRANTS), Optional, "What it may have beside its rows; nothing if it is not given."),
        key(
            "on_error",
            Word(&["fail", "skip", "dead_letter"]),
            Default("dead_letter"),
            "What happens to a record on which it fails: the query stops, it is counted, or it is kept in `dead_letters`.",
        ),
        key("laws", Word(&["refuse", "warn", "skip"]), Default("refuse"), "What a broken law does before a start."),
    ],
};

static LIMITS: Keys = keys(
    "a plugin's limits",
    &[
        key(
            "memory",
            SOME_BYTES,
            Default("64MiB"),
            "Memory. 128MiB for a script in JavaScript or TypeScript, 256MiB for one in Python.",
        ),
        key(
            "time",
            SOME_TIME,
            Default("100ms"),
            "Processor time for one batch. 500ms for a script, for each 1,024 rows.",
        ),
        key("output", SOME_BYTES, Default("64MiB"), "Bytes it may return for one batch."),
        key("stack", SOME_BYTES, Default("512KiB"), "Stack. 1MiB for a script."),
        key("table", WHOLE, Default("100000"), "Elements of a table: functions that can be called by their number."),
        key("log", SOME_BYTES, Default("64KiB"), "Lines of its log in one batch, where `grants` allow some."),
        key("module", SOME_BYTES, Default("8MiB"), "Its file's size. 1MiB for a script, 64MiB for one in a component."),
        key("compile_time", SOME_TIME, Default("2m"), "Time for compiling it."),
        key("http_requests", WHOLE, Default("1000"), "Requests in one epoch, where `grants` allow some."),
        key("http_time", SOME_TIME, Default("10s"), "Time for one request, with its answer."),
        key("http_wait", SOME_TIME, Default("1m"), "Time that all requests of one epoch may take."),
        key("http_request", SOME_BYTES, Default("8MiB"), "The body of a request."),
        key("http_response", SOME_BYTES, Default("1MiB"), "The body of an answer."),
    ],
);

static GRANTS: Keys = keys(
    "a plugin's grants",
    &[
        key(
            "http",
            Many,
            Optional,
            "Origins that it may send requests to, such as `https://api.example.com` or `http://127.0.0.1:9000`.",
        ),
        key(
            "private_addresses",
            Flag,
            Default("false"),
            "Whether names among them may stand for addresses of this machine and of private networks.",
        ),
        key("log", Flag, Default("false"), "Lines in Braid's own log, under its name."),
        key(
            "env",
            Pairs,
            Optional,
            "Values that it can ask for by their names. Answers are made of them as of its code.",
        ),
        key("clock", Flag, Default("false"), "The time of day. For plugins of sinks."),
        key("random", Flag, Default("false"), "Random bytes. For plugins of sinks."),
    ],
);

static STREAM: Keys = keys(
    "a stream",
    &[
        key("from", OneOrMany, Must, "A source or a stream, or a list of them with the same columns."),
        key("apply", Many, Optional, "Plugins, in order."),
        key(
            "drop_duplicates",
            Group(&DROP_DUPLICATES),
            Optional,
            "Only the first of equal rows passes. For streams that views read, and no other stream.",
        ),
        key(
            "transform_with_state",
            Group(&TRANSFORM_WITH_STATE),
            Optional,
            "A plugin with a memory for each key makes other rows of them. For streams that views read, and no other stream.",
        ),
    ],
);

pub(crate) static TRANSFORM_WITH_STATE: Keys = keys(
    "a plugin with a memory for each key",
    &[
        key("plugin", Text, Must, "The plugin."),
        key("key", OneOrMany, Must, "The columns that make the key."),
        key(
            "time_mode",
            Word(&["none", "event_time", "processing_time"]),
            Default("none"),
            "By which clock timers go: the watermark, or the time at which epochs are planned.",
        ),
        key("initial_state", Text, Optional, "A table whose rows the plugin gets before the first row of the stream."),
        key(
            "event_time",
            Text,
            Optional,
            "The column of its rows that is event time for what reads them, with the delay of the source.",
        ),
    ],
);

static DROP_DUPLICATES: Keys = keys(
    "which rows are equal",
    &[
        key("columns", Many, Optional, "The columns that are compared; all, if none are given."),
        key(
            "within_watermark",
            Flag,
            Default("false"),
            "A row is forgotten when the watermark has passed its event time by the delay. Otherwise it is when the \
             watermark has passed it, if the event time is among the columns, and never if not.",
        ),
    ],
);

static SERVING: Keys = keys("serving", &[key("http", Address, Optional, "The HTTP API's address.")]);
