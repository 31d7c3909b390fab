//! The options of formats.

use std::fmt;

/// Options of CSV, Spark's names.
#[derive(Debug, Clone, PartialEq)]
pub struct Csv {
    /// The first line names the columns, which may then stand in any order.
    pub header: bool,
    /// Between values.
    pub delimiter: u8,
    /// Around values that contain it.
    pub quote: u8,
    /// The text that means null; the empty value always does.
    pub null_value: Option<String>,
}

/// Avro.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Avro {
    /// Of records without a registry, what wrote them. Otherwise the reader's: its defaults and aliases hold.
    pub schema: Option<Text>,
    /// Where the writers' schemas are, if records say which it is.
    pub registry: Option<Registry>,
    /// Whether the records are in Avro's files, which hold their schema.
    pub in_files: bool,
    /// Whether a bad record is a row of nulls.
    pub permissive: bool,
}

/// A schema's text, and those that it refers to, in an order in which each comes after what it needs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Text {
    pub text: String,
    pub references: Vec<String>,
}

/// Protobuf, with Spark's options.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Protobuf {
    /// A `FileDescriptorSet`.
    pub descriptors: Option<Vec<u8>>,
    /// The message's name, with or without its package.
    pub message: Option<String>,
    /// Where the writers' schemas are, if records say which it is.
    pub registry: Option<Registry>,
    /// Whether a bad record is a row of nulls.
    pub permissive: bool,
    /// Whether a field of proto3 that is not there is zero, and not null.
    pub emit_default_values: bool,
    /// Whether enums are numbers.
    pub enums_as_ints: bool,
    /// Whether `google.protobuf.Int32Value` and its like are the values in them.
    pub unwrap_primitive_wrapper_types: bool,
    /// Whether numbers without a sign are of the next wider type.
    pub upcast_unsigned_ints: bool,
}

/// A schema registry.
#[derive(Clone, PartialEq, Default)]
pub struct Registry {
    /// Where it listens.
    pub url: String,
    /// Whose schema the columns are.
    pub subject: String,
    /// Which version of it; the latest, if none is given.
    pub version: Option<u64>,
    /// The user and the password.
    pub login: Option<(String, String)>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Registry { url, subject, version, login } = self;
        f.debug_struct("Registry")
            .field("url", url)
            .field("subject", subject)
            .field("version", version)
            .field("user", &login.as_ref().map(|(user, _)| user))
            .finish()
    }
}

/// How a row is the value of a Kafka record.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum SinkFormat {
    /// A JSON object; or the columns `key` and `value`, if the view has a `value` of text or bytes.
    #[default]
    Json,
    /// An Avro datum.
    Avro(Box<SinkAvro>),
}

/// Avro that is written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SinkAvro {
    /// The schema; made of the columns, if none is given.
    pub schema: Option<String>,
    /// Where it is kept, if records say its id.
    pub registry: Option<SinkRegistry>,
}

/// A registry that schemas are put into.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkRegistry {
    /// Where it is. Without a subject, that of [`Self::subject_name`].
    pub at: Registry,
    /// How the subject is called.
    pub subject_name: SubjectName,
    /// Whether a schema that is not there is put there.
    pub auto_register_schemas: bool,
}

/// Confluent's strategies for the name of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectName {
    /// `<topic>-value`.
    Topic,
    /// The record's full name.
    Record,
    /// `<topic>-<the record's full name>`.
    TopicRecord,
}
