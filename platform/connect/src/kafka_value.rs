//! What a row is as a record of Kafka: a JSON object, or Avro, with the id of its schema where a registry keeps it.

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Fields, SchemaRef};
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use braid_kernel::SinkError;
use braid_spec::model::{SinkFormat, SubjectName};
use memchr::memchr;

use crate::formats::avro::write::{Writer, name_of, schema_of};
use crate::registry::{Failed, Registry};

/// Timestamps are UTC.
const TIMESTAMP: &str = "%Y-%m-%dT%H:%M:%S%.fZ";

/// Makes records of rows.
#[derive(Debug)]
pub(crate) enum Values {
    /// A JSON object each; or the columns `key` and `value`, where `value` is text or bytes.
    Json,
    /// Avro, of all columns but a `key` that is text or bytes.
    Avro(Box<Avro>),
}

#[derive(Debug)]
pub(crate) struct Avro {
    writer: Writer,
    key: Option<usize>,
    value: Vec<usize>,
    schema: String,
    register: Option<Register>,
}

/// Where the schema is kept, and its id once that is known.
#[derive(Debug)]
struct Register {
    registry: Registry,
    subject: String,
    /// Whether a schema that is not there is put there.
    auto: bool,
    id: Option<u32>,
}

impl Values {
    /// For rows of these columns. A registry that is away is asked again when rows come; one that refuses the schema is an error.
    pub(crate) fn new(format: &SinkFormat, topic: &str, columns: &SchemaRef) -> Result<Self, SinkError> {
        let SinkFormat::Avro(format) = format else { return Ok(Self::Json) };
        let fatal = |reason: String| SinkError::Fatal(reason);
        let key = columns.fields().iter().position(|field| field.name() == "key" && is_bytes(field.data_type()));
        let value: Vec<usize> = (0..columns.fields().len()).filter(|place| Some(*place) != key).collect();
        let fields: Fields = value.iter().map(|place| columns.fields()[*place].clone()).collect();
        let schema = match &format.schema {
            Some(schema) => schema.clone(),
            None => schema_of(&fields).map_err(fatal)?,
        };
        let writer = Writer::new(&schema, &fields).map_err(fatal)?;
        let register = match &format.registry {
            Some(registry) => {
                let record = || name_of(&schema).map_err(fatal);
                let subject = match (&registry.at.subject, registry.subject_name) {
                    (given, _) if !given.is_empty() => given.clone(),
                    (_, SubjectName::Topic) => format!("{topic}-value"),
                    (_, SubjectName::Record) => record()?,
                    (_, SubjectName::TopicRecord) => format!("{topic}-{}", record()?),
                };
                let (auto, id) = (registry.auto_register_schemas, None);
                Some(Register { registry: Registry::new(registry.at.clone()), subject, auto, id })
            }
            None => None,
        };
        let mut values = Self::Avro(Box::new(Avro { writer, key, value, schema, register }));
        match values.ready() {
            Err(SinkError::Retry(reason)) => tracing::warn!(topic, reason, "the schema is registered when rows come"),
            ready => ready?,
        }
        Ok(values)
    }

    /// Has the schema's id, which rows need.
    pub(crate) fn ready(&mut self) -> Result<(), SinkError> {
        let Self::Avro(avro) = self else { return Ok(()) };
        let Avro { schema, register: Some(Register { registry, subject, auto, id: id @ None }), .. } = &mut **avro
        else {
            return Ok(());
        };
        *id = Some(registry.id_of(subject, schema, *auto).map_err(|failed| match failed {
            Failed::Away(reason) => SinkError::Retry(reason),
            Failed::Unknown(reason) | Failed::Refused(reason) => SinkError::Fatal(reason),
        })?);
        Ok(())
    }

    /// Gives each row's key and value to `send`.
    pub(crate) fn each<E>(
        &self,
        batch: &RecordBatch,
        unfit: impl Fn(String) -> E,
        mut send: impl FnMut(Option<&[u8]>, Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        let unfit = |error: &dyn std::fmt::Display| unfit(format!("rows cannot be sent as records: {error}"));
        let bytes_of = |place: usize| {
            let column = cast(batch.column(place), &DataType::Binary).map_err(|error| unfit(&error))?;
            Ok(column.as_binary::<i32>().clone())
        };
        let schema = batch.schema();
        let named = |name: &str| schema.index_of(name).ok().filter(|place| is_bytes(schema.field(*place).data_type()));
        let at = |column: Option<&BinaryArray>, row: usize| {
            column.filter(|column| column.is_valid(row)).map(|column| column.value(row).to_vec())
        };
        match self {
            Self::Avro(avro) => {
                let key = avro.key.map(bytes_of).transpose()?;
                let value = batch.project(&avro.value).map_err(|error| unfit(&error))?;
                let id = avro.register.as_ref().and_then(|register| register.id);
                let framing = id.map_or(vec![], |id| [&[0], &id.to_be_bytes()[..]].concat());
                let rows = avro.writer.rows(&value, &framing).map_err(|error| unfit(&error))?;
                rows.iter().enumerate().try_for_each(|(row, value)| send(at(key.as_ref(), row).as_deref(), Some(value)))
            }
            Self::Json => match named("value") {
                Some(value) => {
                    let value = bytes_of(value)?;
                    let key = named("key").map(bytes_of).transpose()?;
                    (0..batch.num_rows())
                        .try_for_each(|row| send(at(key.as_ref(), row).as_deref(), at(Some(&value), row).as_deref()))
                }
                None => {
                    let mut lines = Vec::new();
                    let builder = WriterBuilder::new().with_timestamp_format(TIMESTAMP.to_owned());
                    let mut writer = builder.build::<_, LineDelimited>(&mut lines);
                    writer.write(batch).and_then(|()| writer.finish()).map_err(|error| unfit(&error))?;
                    drop(writer);
                    let mut rest = lines.as_slice();
                    while let Some(end) = memchr(b'\n', rest) {
                        send(None, Some(&rest[..end]))?;
                        rest = &rest[end + 1..];
                    }
                    Ok(())
                }
            },
        }
    }
}

fn is_bytes(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
    )
}
