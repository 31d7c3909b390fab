//! Avro: data with a schema of their own, resolved with the columns that are wanted.
//!
//! The decoder is ours and not a library's, for what hostile data may do: a count is bounded by what one record may come
//! to, a compressed block by its own limit, a bad record costs itself and not its batch, and a column that nobody reads is
//! checked like the others.

pub(crate) mod container;
mod datum;
mod plan;
pub(in crate::formats) mod schema;
pub(crate) mod write;

use std::collections::HashMap;

use arrow::datatypes::{Fields, Schema as Columns, SchemaRef};
use braid_spec::model::{self, Text};

use super::binary::{Wrong, framed};
use super::tree::Tree;
use crate::registry::{Fetched, Registry};
use datum::Cursor;
use plan::Step;
use schema::Schema;

/// The writers' schemas that are kept with their plans.
const PLANS_MAX: usize = 1024;

/// Reads records that are one datum each.
#[derive(Debug)]
pub(super) struct Records {
    columns: Fields,
    writers: Writers,
}

/// What wrote the records.
#[derive(Debug)]
enum Writers {
    One(Step),
    /// A record's first bytes say which.
    Registry {
        registry: Registry,
        reader: Option<Schema>,
        plans: HashMap<u32, Result<Step, String>>,
    },
}

fn parsed(text: &Text) -> Result<Schema, String> {
    Schema::parse(&text.text, &text.references)
}

/// The columns that a format's schema comes to, which the registry is asked for where there is none.
pub(crate) fn columns(format: &mut model::Avro) -> Result<SchemaRef, String> {
    if let (None, Some(registry)) = (&format.schema, &format.registry) {
        let fetched = Registry::new(registry.clone()).latest()?;
        if fetched.kind != "AVRO" {
            return Err(format!("the subject `{}` holds {} and no Avro", registry.subject, fetched.kind));
        }
        format.schema = Some(text(fetched));
    }
    let Some(schema) = &format.schema else {
        return Err("without `schema_file` or `schema` the columns are not known before a file is there".into());
    };
    Ok(std::sync::Arc::new(Columns::new(parsed(schema)?.columns()?)))
}

/// Whether a format's schema is one, and what is known of the writer fits the columns.
pub(crate) fn check(format: &model::Avro, declared: &SchemaRef) -> Result<(), String> {
    let Some(text) = &format.schema else { return Ok(()) };
    let schema = parsed(text)?;
    if format.in_files || format.registry.is_some() {
        return Ok(());
    }
    plan::plan(&schema, None, declared.fields()).problem(declared.fields()).map_or(Ok(()), Err)
}

fn text(fetched: Fetched) -> Text {
    let references = fetched.references.into_iter().map(|(_, text)| text).collect();
    Text { text: fetched.text, references }
}

impl Records {
    pub(super) fn new(format: &model::Avro, columns: &Fields) -> Result<Self, String> {
        let schema = format.schema.as_ref().map(parsed).transpose()?;
        let writers = match (&format.registry, schema) {
            (Some(registry), reader) => {
                Writers::Registry { registry: Registry::new(registry.clone()), reader, plans: HashMap::new() }
            }
            (None, Some(writer)) => Writers::One(plan::plan(&writer, None, columns)),
            (None, None) => return Err("an Avro record needs a schema, or a registry that knows it".into()),
        };
        Ok(Self { columns: columns.clone(), writers })
    }

    /// Reads one record into one row; says how many values its lists came to.
    pub(super) fn read(&mut self, record: &[u8], row: &mut Tree) -> Result<usize, Wrong> {
        let (step, datum) = match &mut self.writers {
            Writers::One(step) => (&*step, record),
            Writers::Registry { registry, reader, plans } => {
                let (id, datum) = framed(record)?;
                if !plans.contains_key(&id) {
                    let fetched = registry.by_id(id)?;
                    if plans.len() >= PLANS_MAX {
                        plans.clear();
                    }
                    let planned = written(fetched).map(|writer| plan::plan(&writer, reader.as_ref(), &self.columns));
                    plans.insert(id, planned);
                }
                match plans.get(&id) {
                    Some(Ok(step)) => (step, datum),
                    Some(Err(reason)) => return Err(Wrong::Bad(format!("schema {id}: {reason}"))),
                    None => return Err(Wrong::Bad(format!("schema {id} was lost"))),
                }
            }
        };
        let mut cursor = Cursor::new(datum);
        step.read(&mut cursor, row)?;
        match cursor.rest().len() {
            0 => Ok(cursor.values()),
            more => Err(Wrong::Bad(format!("{more} bytes follow the Avro data: another schema wrote them"))),
        }
    }
}

fn written(fetched: Fetched) -> Result<Schema, String> {
    if fetched.kind != "AVRO" {
        return Err(format!("it is {}, and not Avro", fetched.kind));
    }
    parsed(&text(fetched))
}

#[cfg(test)]
mod tests;
