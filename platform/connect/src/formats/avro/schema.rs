//! Avro schemas: JSON text to a finite tree, and the columns that a tree stands for.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use serde_json::{Map, Value};

/// The longest text of a schema.
const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The deepest nesting of columns that are made of a schema.
pub(super) const DEPTH_MAX: usize = 32;
/// The most columns, nested ones too, that a schema may come to: a few names can refer to each other very often.
pub(super) const NODES_MAX: usize = 20_000;

/// A type of Avro.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Schema {
    Null,
    Bool,
    Int,
    Date,
    Long,
    /// A long that is a time: so many of its units are a second.
    Time {
        per_second: i64,
    },
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Decimal {
        precision: u8,
        scale: u8,
        /// Its bytes, where they are not as many as it needs.
        size: Option<usize>,
    },
    /// Of 16 bytes.
    Uuid,
    Enum(Arc<Enum>),
    Array(Arc<Self>),
    Map(Arc<Self>),
    Union(Arc<Vec<Self>>),
    Record(Arc<Record>),
    /// A type inside of itself.
    Recursive(Arc<str>),
}

#[derive(Debug, PartialEq)]
pub(super) struct Enum {
    pub(super) symbols: Vec<String>,
    pub(super) default: Option<String>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Record {
    pub(super) fields: Vec<RecordField>,
}

#[derive(Debug, PartialEq)]
pub(super) struct RecordField {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) default: Option<Value>,
    pub(super) schema: Schema,
}

impl Schema {
    /// Reads a schema's text, after those that it refers to.
    pub(super) fn parse(text: &str, references: &[String]) -> Result<Self, String> {
        let mut names = HashMap::new();
        for reference in references {
            read(&json(reference)?, "", &mut names)?;
        }
        read(&json(text)?, "", &mut names)
    }

    /// What a message calls it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Null => "a null",
            Self::Bool => "a boolean",
            Self::Int => "an int",
            Self::Date => "a date",
            Self::Long => "a long",
            Self::Time { .. } => "a timestamp",
            Self::Float => "a float",
            Self::Double => "a double",
            Self::Bytes => "bytes",
            Self::String => "a string",
            Self::Fixed(_) => "a fixed",
            Self::Decimal { .. } => "a decimal",
            Self::Uuid => "a uuid",
            Self::Enum(_) => "an enum",
            Self::Array(_) => "an array",
            Self::Map(_) => "a map",
            Self::Union(_) => "a union",
            Self::Record(_) => "a record",
            Self::Recursive(_) => "a record inside of itself",
        }
    }

    /// The record that it is, or one whose only field `value` it is.
    pub(super) fn row(self) -> Self {
        if matches!(self, Self::Record(_)) {
            return self;
        }
        let value = RecordField { name: "value".into(), aliases: vec![], default: None, schema: self };
        Self::Record(Arc::new(Record { fields: vec![value] }))
    }

    /// The columns of a row, typed as Spark types them. All may be null, as Spark's are.
    pub(super) fn columns(&self) -> Result<Fields, String> {
        match data_type(&self.clone().row(), 0, &mut 0)? {
            DataType::Struct(fields) if !fields.is_empty() => Ok(fields),
            _ => Err("the Avro schema has no fields".into()),
        }
    }
}

fn json(text: &str) -> Result<Value, String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("an Avro schema of more than {TEXT_BYTES_MAX} bytes"));
    }
    let text = text.trim();
    // A name alone is a schema too, and registries give it without quotes.
    if !text.starts_with(['{', '[', '"']) && !text.is_empty() {
        return Ok(Value::String(text.into()));
    }
    serde_json::from_str(text).map_err(|error| format!("the Avro schema is no JSON: {error}"))
}

type Names = HashMap<String, Schema>;

fn full(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn read(json: &Value, namespace: &str, names: &mut Names) -> Result<Schema, String> {
    match json {
        Value::String(name) => named(name, namespace, names),
        Value::Array(branches) => {
            let branches = branches.iter().map(|branch| read(branch, namespace, names)).collect::<Result<_, _>>()?;
            Ok(Schema::Union(Arc::new(branches)))
        }
        Value::Object(object) => complex(object, namespace, names),
        _ => Err(format!("`{json}` is no Avro schema")),
    }
}

fn named(name: &str, namespace: &str, names: &Names) -> Result<Schema, String> {
    Ok(match name {
        "null" => Schema::Null,
        "boolean" => Schema::Bool,
        "int" => Schema::Int,
        "long" => Schema::Long,
        "float" => Schema::Float,
        "double" => Schema::Double,
        "bytes" => Schema::Bytes,
        "string" => Schema::String,
        _ => {
            let known = names.get(&full(name, namespace)).or_else(|| names.get(name));
            known.cloned().ok_or_else(|| format!("the Avro schema names `{name}`, which is no type"))?
        }
    })
}

fn complex(object: &Map<String, Value>, namespace: &str, names: &mut Names) -> Result<Schema, String> {
    let kind = match object.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(inner @ (Value::Object(_) | Value::Array(_))) => return read(inner, namespace, names),
        _ => return Err("a part of the Avro schema has no `type`".into()),
    };
    let inner = |key: &str, names: &mut Names| match object.get(key) {
        Some(inner) => Ok(Arc::new(read(inner, namespace, names)?)),
        None => Err(format!("an Avro {kind} without `{key}`")),
    };
    match kind {
        "array" => return Ok(Schema::Array(inner("items", names)?)),
        "map" => return Ok(Schema::Map(inner("values", names)?)),
        "record" | "error" | "enum" | "fixed" => {}
        _ => return Ok(logical(named(kind, namespace, names)?, object)),
    }
    let name = text(object, "name").ok_or_else(|| format!("an Avro {kind} without a name"))?;
    let namespace = match (name.rsplit_once('.'), text(object, "namespace")) {
        (Some((namespace, _)), _) | (None, Some(namespace)) => namespace,
        (None, None) => namespace,
    };
    let name = full(name, namespace);
    let schema = match kind {
        "enum" => {
            let symbols = texts(object, "symbols");
            if symbols.is_empty() {
                return Err(format!("the Avro enum `{name}` has no symbols"));
            }
            Schema::Enum(Arc::new(Enum { symbols, default: text(object, "default").map(str::to_owned) }))
        }
        "fixed" => {
            let size = object.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
            logical(Schema::Fixed(size.ok_or_else(|| format!("the Avro fixed `{name}` has no size"))?), object)
        }
        _ => {
            names.insert(name.clone(), Schema::Recursive(name.as_str().into()));
            let fields = object.get("fields").and_then(Value::as_array);
            let fields = fields.ok_or_else(|| format!("the Avro record `{name}` has no fields"))?;
            let fields = fields.iter().map(|field| {
                let Some(field) = field.as_object() else { return Err(format!("a field of `{name}` is no object")) };
                let own = text(field, "name").ok_or_else(|| format!("a field of `{name}` has no name"))?;
                let schema = field.get("type").ok_or_else(|| format!("the field `{own}` of `{name}` has no type"))?;
                Ok(RecordField {
                    name: own.to_owned(),
                    aliases: texts(field, "aliases"),
                    default: field.get("default").cloned(),
                    schema: read(schema, namespace, names)?,
                })
            });
            Schema::Record(Arc::new(Record { fields: fields.collect::<Result<_, String>>()? }))
        }
    };
    names.insert(name, schema.clone());
    Ok(schema)
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

fn texts(object: &Map<String, Value>, key: &str) -> Vec<String> {
    let list = object.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What a primitive type or a fixed means. As Avro says, a logical type that is not known, or wrong, is ignored.
fn logical(schema: Schema, object: &Map<String, Value>) -> Schema {
    match (schema, text(object, "logicalType")) {
        (Schema::Int, Some("date")) => Schema::Date,
        (Schema::Long, Some("timestamp-millis" | "local-timestamp-millis")) => Schema::Time { per_second: 1000 },
        (Schema::Long, Some("timestamp-micros" | "local-timestamp-micros")) => Schema::Time { per_second: 1_000_000 },
        (Schema::Fixed(16), Some("uuid")) => Schema::Uuid,
        (schema @ (Schema::Bytes | Schema::Fixed(_)), Some("decimal")) => {
            let number = |key: &str| object.get(key).map(|value| value.as_u64().and_then(|n| u8::try_from(n).ok()));
            let (precision, scale) = (number("precision"), number("scale").unwrap_or(Some(0)));
            match (precision, scale) {
                (Some(Some(precision)), Some(scale)) if precision > 0 && scale <= precision => {
                    let size = if let Schema::Fixed(size) = schema { Some(size) } else { None };
                    Schema::Decimal { precision, scale, size }
                }
                _ => schema,
            }
        }
        (schema, _) => schema,
    }
}

/// The type of a column, as Spark's `SchemaConverters` has it.
fn data_type(schema: &Schema, depth: usize, nodes: &mut usize) -> Result<DataType, String> {
    *nodes += 1;
    if depth > DEPTH_MAX || *nodes > NODES_MAX {
        return Err("the Avro schema nests too deeply, or too often, for columns".into());
    }
    let mut inner = |schema: &Schema| data_type(schema, depth + 1, nodes);
    Ok(match schema {
        Schema::Null => return Err("it is always null, and no column is so; declare its column in `schema`".into()),
        Schema::Bool => DataType::Boolean,
        Schema::Int => DataType::Int32,
        Schema::Date => DataType::Date32,
        Schema::Long => DataType::Int64,
        Schema::Time { .. } => DataType::Timestamp(TimeUnit::Microsecond, None),
        Schema::Float => DataType::Float32,
        Schema::Double => DataType::Float64,
        Schema::Bytes | Schema::Fixed(_) => DataType::Binary,
        Schema::String | Schema::Uuid | Schema::Enum(_) => DataType::Utf8,
        Schema::Decimal { precision, .. } if *precision > 38 => {
            return Err(format!("a decimal of {precision} digits; a column has at most 38"));
        }
        Schema::Decimal { precision, scale, .. } => DataType::Decimal128(*precision, scale.cast_signed()),
        Schema::Array(items) => DataType::List(Arc::new(Field::new_list_field(inner(items)?, true))),
        Schema::Map(values) => map_of(DataType::Utf8, inner(values)?),
        Schema::Union(branches) => {
            let some: Vec<&Schema> = branches.iter().filter(|branch| **branch != Schema::Null).collect();
            match some[..] {
                [] => inner(&Schema::Null)?,
                [one] => inner(one)?,
                [Schema::Int, Schema::Long] | [Schema::Long, Schema::Int] => DataType::Int64,
                [Schema::Float, Schema::Double] | [Schema::Double, Schema::Float] => DataType::Float64,
                _ => {
                    let members = some
                        .into_iter()
                        .enumerate()
                        .map(|(number, branch)| Ok(Field::new(format!("member{number}"), inner(branch)?, true)));
                    DataType::Struct(members.collect::<Result<_, String>>()?)
                }
            }
        }
        Schema::Record(record) => {
            let fields = record.fields.iter().map(|field| {
                let data_type = inner(&field.schema).map_err(|reason| format!("`{}`: {reason}", field.name))?;
                Ok(Field::new(&field.name, data_type, true))
            });
            DataType::Struct(fields.collect::<Result<_, String>>()?)
        }
        Schema::Recursive(name) => {
            return Err(format!("`{name}` holds itself, and columns end; name those that are wanted in `schema`"));
        }
    })
}

/// A map's type, named as columns that are declared.
pub(in crate::formats) fn map_of(key: DataType, value: DataType) -> DataType {
    let entries = Fields::from(vec![Field::new("keys", key, false), Field::new("values", value, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}
