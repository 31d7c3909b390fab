//! Protobuf: messages whose types are in a set of descriptors, or in a schema registry.
//!
//! The descriptors are a library's; the bytes are read here, straight into columns, so that a message makes no objects.

mod plan;
mod wire;

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Fields, Schema, SchemaRef};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use braid_spec::model;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::FileDescriptorProto;
use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor};

use super::binary::{Wrong, framed};
use super::tree::Tree;
use crate::registry::{Fetched, Registry};
use plan::Message;
use wire::{Cursor, Reader};

/// The writers' schemas that are kept.
const FILES_MAX: usize = 1024;
/// How deep the messages of a file nest, as the registry's framing says it.
const INDEXES_MAX: u64 = 32;

/// Reads records that are one message each.
#[derive(Debug)]
pub(super) struct Records {
    plan: Message,
    message: String,
    writers: Option<Writers>,
}

/// What wrote the records: their first bytes say which.
#[derive(Debug)]
struct Writers {
    registry: Registry,
    files: HashMap<u32, Result<FileDescriptor, String>>,
}

/// The columns of a format's message, which the registry is asked for where there are no descriptors.
pub(crate) fn columns(format: &mut model::Protobuf) -> Result<SchemaRef, String> {
    complete(format)?;
    let message = message(format)?;
    Ok(Arc::new(Schema::new(plan::columns(&message, format)?)))
}

/// Whether a format's message has these columns.
pub(crate) fn check(format: &mut model::Protobuf, declared: &SchemaRef) -> Result<(), String> {
    complete(format)?;
    plan::plan(&message(format)?, format, declared.fields()).map(drop)
}

/// Asks the registry for the descriptors and the message that are not given.
fn complete(format: &mut model::Protobuf) -> Result<(), String> {
    let (None, Some(registry)) = (&format.descriptors, &format.registry) else { return Ok(()) };
    let file = file(Registry::serialized(registry.clone()).latest()?)?;
    format.descriptors = Some(file.parent_pool().encode_to_vec());
    if format.message.is_none() {
        let first = file.messages().next().ok_or("the registry's schema has no message")?;
        format.message = Some(first.full_name().to_owned());
    }
    Ok(())
}

fn message(format: &model::Protobuf) -> Result<MessageDescriptor, String> {
    let bytes = format.descriptors.as_deref().ok_or("there is no `descriptor_file` and no registry")?;
    let wanted = format.message.as_deref().unwrap_or_default();
    // A set that leaves out what it imports of Google's is a set with it.
    let pool = DescriptorPool::decode(bytes).or_else(|error| {
        let mut pool = DescriptorPool::global();
        pool.decode_file_descriptor_set(bytes).map(|()| pool).map_err(|_| error)
    });
    let pool = pool.map_err(|error| format!("the descriptors are wrong: {error}"))?;
    let mut all = pool.all_messages().filter(|message| !message.is_map_entry());
    let found = pool.get_message_by_name(wanted).or_else(|| all.find(|message| message.name() == wanted));
    found.ok_or_else(|| {
        let names: Vec<String> = pool
            .all_messages()
            .filter(|m| !m.is_map_entry() && !m.package_name().starts_with("google.protobuf"))
            .map(|m| format!("`{}`", m.full_name()))
            .take(20)
            .collect();
        format!("the descriptors have no message `{wanted}`, but {}", names.join(", "))
    })
}

/// A registry's schema with what it imports.
fn file(fetched: Fetched) -> Result<FileDescriptor, String> {
    if fetched.kind != "PROTOBUF" {
        return Err(format!("it is {}, and not Protobuf", fetched.kind));
    }
    let mut pool = DescriptorPool::global();
    let decode = |text: &str, name: Option<&str>| {
        let bytes = BASE64.decode(text.trim()).map_err(|_| {
            "the schema registry gives no descriptors; it has to know `format=serialized`, as Confluent's does"
                .to_owned()
        })?;
        let mut file = FileDescriptorProto::decode(&*bytes).map_err(|error| error.to_string())?;
        if let Some(name) = name {
            file.name = Some(name.to_owned());
        }
        Ok::<_, String>(file)
    };
    for (name, text) in &fetched.references {
        if pool.get_file_by_name(name).is_none() {
            pool.add_file_descriptor_proto(decode(text, Some(name))?).map_err(|error| error.to_string())?;
        }
    }
    let mut root = decode(&fetched.text, None)?;
    // Registries give it no name, or any.
    if root.name().is_empty() || pool.get_file_by_name(root.name()).is_some() {
        root.name = Some("the schema".into());
    }
    let name = root.name().to_owned();
    pool.add_file_descriptor_proto(root).map_err(|error| error.to_string())?;
    pool.get_file_by_name(&name).ok_or_else(|| "the schema was lost".into())
}

impl Records {
    pub(super) fn new(format: &model::Protobuf, columns: &Fields) -> Result<Self, String> {
        let message = message(format)?;
        let writers = format
            .registry
            .as_ref()
            .map(|registry| Writers { registry: Registry::serialized(registry.clone()), files: HashMap::new() });
        Ok(Self { plan: plan::plan(&message, format, columns)?, message: message.full_name().to_owned(), writers })
    }

    /// Reads one record into one row; says how many values its lists came to.
    pub(super) fn read(&mut self, record: &[u8], row: &mut Tree) -> Result<usize, Wrong> {
        let record = match &mut self.writers {
            None => record,
            Some(writers) => writers.open(record, &self.message)?,
        };
        let mut reader = Reader::new();
        reader.message(&self.plan, record, row)?;
        Ok(reader.values())
    }
}

impl Writers {
    /// The message inside of the registry's framing, if it is the one that is wanted.
    fn open<'a>(&mut self, record: &'a [u8], wanted: &str) -> Result<&'a [u8], Wrong> {
        let (id, framed) = framed(record)?;
        let mut cursor = Cursor::new(framed);
        let mut index = || cursor.varint().map(|bits| (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed());
        let count = index()?;
        let path = match u64::try_from(count) {
            Ok(0) => vec![0],
            Ok(count) if count <= INDEXES_MAX => (0..count).map(|_| index()).collect::<Result<_, _>>()?,
            _ => return Err(Wrong::Bad(format!("it names its message by {count} numbers"))),
        };
        if !self.files.contains_key(&id) {
            let fetched = self.registry.by_id(id)?;
            if self.files.len() >= FILES_MAX {
                self.files.clear();
            }
            self.files.insert(id, file(fetched));
        }
        let named = match self.files.get(&id) {
            Some(Ok(file)) => at(file, &path),
            Some(Err(reason)) => return Err(Wrong::Bad(format!("schema {id}: {reason}"))),
            None => None,
        };
        match named {
            Some(message) if message.full_name() == wanted => Ok(cursor.rest()),
            Some(message) => Err(Wrong::Bad(format!("it is a `{}`, and not a `{wanted}`", message.full_name()))),
            None => Err(Wrong::Bad(format!("schema {id} has no message {path:?}"))),
        }
    }
}

/// The message that these numbers lead to.
fn at(file: &FileDescriptor, path: &[i64]) -> Option<MessageDescriptor> {
    let (first, inner) = path.split_first()?;
    let mut message = file.messages().nth(usize::try_from(*first).ok()?)?;
    for index in inner {
        let index = usize::try_from(*index).ok()?;
        let child = message.child_messages().nth(index)?;
        message = child;
    }
    Some(message)
}

#[cfg(test)]
mod tests;
