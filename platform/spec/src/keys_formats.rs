//! The keys of `format:`.

use crate::keys::Need::{Default, Optional};
use crate::keys::Shape::{Character, Flag, Group, Text, Whole, Word};
use crate::keys::{KIND, Keys, Need, Shape, key, keys};

/// `format: {csv: {…}}` and its kin.
pub(crate) static FORMATS: Keys = Keys {
    what: "a format",
    keys: &[
        key("json", Group(&NO_OPTIONS), Optional, "One JSON object a line."),
        key("csv", Group(&CSV), Optional, "Comma-separated values."),
        key("text", Group(&NO_OPTIONS), Optional, "One column, `value`: the line."),
        key("parquet", Group(&NO_OPTIONS), Optional, "Parquet files."),
        key(
            "raw",
            Group(&NO_OPTIONS),
            Optional,
            "From Kafka only: the bytes as they are, in Spark's columns `key`, `value`, `topic`, `partition`, `offset`, `timestamp` and `timestamp_type`; with `metadata`, `value` and those.",
        ),
        key("avro", Group(&AVRO), Optional, "Avro files; from Kafka, a datum for each record."),
        key("protobuf", Group(&PROTOBUF), Optional, "From Kafka only: a Protobuf message for each record."),
    ],
    one_of: &["json", "csv", "text", "parquet", "raw", "avro", "protobuf"],
    choice: KIND,
    dotted: false,
};

static NO_OPTIONS: Keys = keys("a format without options", &[]);

pub(crate) static CSV: Keys = keys(
    "CSV",
    &[
        key(
            "header",
            Flag,
            Optional,
            "Whether a file's first line names the columns, which may then stand in any order. True for files if it is not given; records of other sources have no header.",
        ),
        key("delimiter", Character, Default(","), "Between values."),
        key("quote", Character, Default("\""), "Around values that contain the delimiter."),
        key("null_value", Text, Optional, "The text that means null; the empty value always does."),
    ],
);

const MODE: Shape = Word(&["failfast", "permissive"]);
const MODE_DOC: &str =
    "What a bad record is: `failfast`, what `on_bad_record` says; `permissive`, a row of nulls, as in Spark.";

static AVRO: Keys = keys(
    "Avro",
    &[
        key(
            "schema_file",
            Text,
            Optional,
            "A file with the schema in JSON. From Kafka, what the records were written with; of files, what they are read as.",
        ),
        key("schema", Text, Optional, "The same, as text."),
        key("registry", Group(&REGISTRY), Optional, "From Kafka: a schema registry. Records begin with a schema's id."),
        key("mode", MODE, Default("failfast"), MODE_DOC),
    ],
);

static PROTOBUF: Keys = keys(
    "Protobuf",
    &[
        key(
            "descriptor_file",
            Text,
            Optional,
            "A file with a descriptor set, from `protoc --descriptor_set_out=… --include_imports`.",
        ),
        key(
            "message",
            Text,
            Optional,
            "The message, with or without its package. A registry's first, if none is given.",
        ),
        key("registry", Group(&REGISTRY), Optional, "A schema registry. Records begin with a schema's id."),
        key("mode", MODE, Default("failfast"), MODE_DOC),
        key(
            "emit_default_values",
            Flag,
            Default("false"),
            "Whether a field of proto3 that is not there is zero, and not null.",
        ),
        key("enums_as_ints", Flag, Default("false"), "Whether enums are numbers, and not their names."),
        key(
            "unwrap_primitive_wrapper_types",
            Flag,
            Default("false"),
            "Whether `google.protobuf.Int32Value` and its like are the values in them, and not structs.",
        ),
        key(
            "upcast_unsigned_ints",
            Flag,
            Default("false"),
            "Whether `uint32` is a long and `uint64` a `decimal(20,0)`, and not their bits with a sign.",
        ),
    ],
);

static REGISTRY: Keys = keys(
    "a schema registry",
    &[
        key("url", Text, Need::Must, "Where it listens: `http://host:port`, with a path if need be."),
        key("subject", Text, Optional, "Whose schema the columns are. `<topic>-value` if it is not given."),
        key(
            "version",
            Whole { min: 1, max: i32::MAX as u64 },
            Optional,
            "Which version of it. The latest if it is not given.",
        ),
        key("username", Text, Optional, "For basic authentication."),
        key("password", Text, Optional, "For basic authentication; best as `${NAME}` from the environment."),
    ],
);

pub(crate) static SINK_FORMAT: Keys = Keys {
    what: "a sink's format",
    keys: &[
        key("json", Group(&NO_OPTIONS), Optional, "A JSON object; or the columns `key` and `value`."),
        key(
            "avro",
            Group(&AVRO_SINK),
            Optional,
            "An Avro datum of all columns but a `key` that is text or bytes, which is the record's key.",
        ),
    ],
    one_of: &["json", "avro"],
    choice: KIND,
    dotted: false,
};

static AVRO_SINK: Keys = keys(
    "Avro",
    &[
        key("schema_file", Text, Optional, "A file with the schema; made of the columns if none is given."),
        key("schema", Text, Optional, "The schema's text."),
        key(
            "registry",
            Group(&SINK_REGISTRY),
            Optional,
            "A schema registry, where the schema is put. Records begin with its id.",
        ),
    ],
);

static SINK_REGISTRY: Keys = keys(
    "a schema registry",
    &[
        key("url", Text, Need::Must, "Where it listens: `http://host:port`, with a path if need be."),
        key("subject", Text, Optional, "The subject, whatever `subject_name_strategy` says."),
        key(
            "subject_name_strategy",
            Word(&["topic_name", "record_name", "topic_record_name"]),
            Default("topic_name"),
            "The subject: `<topic>-value`, the record's full name, or both with a dash.",
        ),
        key(
            "auto_register_schemas",
            Flag,
            Default("true"),
            "Whether a schema that is not there is put there, and not refused.",
        ),
        key("username", Text, Optional, "For basic authentication."),
        key("password", Text, Optional, "For basic authentication; best as `${NAME}` from the environment."),
    ],
);
