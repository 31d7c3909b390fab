//! `braid state`: what operators remember, read from the store while it is or is not being written.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use braid_kernel::{Manifest, Merge, Segment, ledger};

use crate::cli::Output;
use crate::failure::Failure;
use crate::layers::open_store;
use crate::prepare::Prepared;
use crate::report::{print, written};

/// The states with their sizes.
pub async fn metadata(prepared: &Prepared, output: Output) -> Result<String, Failure> {
    let (store, _) = open_store(prepared)?;
    let manifest = written(prepared, ledger::load(&*store).await.map_err(Failure::runtime)?)?;
    let names: Vec<&str> = manifest.state().collect();
    if names.is_empty() && output == Output::Table {
        return Ok("no operator of this deployment remembers anything\n".into());
    }
    let total = |of: fn(&Segment) -> u64, base: bool| -> ArrayRef {
        let sum = |name: &&str| parts(&manifest, name, base).map(of).sum::<u64>();
        Arc::new(UInt64Array::from_iter_values(names.iter().map(sum)))
    };
    let epochs = |epoch: u64| -> ArrayRef { Arc::new(UInt64Array::from_value(epoch, names.len())) };
    let rows = RecordBatch::try_from_iter(vec![
        ("state", Arc::new(StringArray::from_iter_values(&names)) as ArrayRef),
        ("rows_in_base", total(|segment| segment.rows, true)),
        ("bytes_in_base", total(|segment| segment.bytes, true)),
        ("rows_in_changes", total(|segment| segment.rows, false)),
        ("bytes_in_changes", total(|segment| segment.bytes, false)),
        ("first_epoch_with_changes", epochs(manifest.horizon())),
        ("next_epoch", epochs(manifest.next)),
    ]);
    print(&[rows.map_err(Failure::runtime)?], output)
}

/// The rows of one state as of the last commit; or what one epoch changed.
pub async fn read(prepared: &Prepared, name: &str, epoch: Option<u64>, output: Output) -> Result<String, Failure> {
    let (store, segments) = open_store(prepared)?;
    let manifest = written(prepared, ledger::load(&*store).await.map_err(Failure::runtime)?)?;
    if !manifest.state().any(|state| state == name) {
        let known: Vec<&str> = manifest.state().collect();
        return Err(Failure::Environment(format!("there is no state `{name}`; there are {}", known.join(", "))));
    }
    let deltas = manifest.deltas(name).map_err(Failure::runtime)?;
    let wanted: Vec<&Segment> = match epoch {
        None => parts(&manifest, name, true).chain(parts(&manifest, name, false)).collect(),
        Some(epoch) => match deltas.iter().find(|delta| delta.epoch == epoch) {
            Some(delta) => delta.segments.iter().collect(),
            None => {
                let (from, to) = (manifest.horizon(), manifest.next);
                let message = format!(
                    "the changes of epoch {epoch} are not kept: those from {from} to below {to} are; \
                     earlier ones are in the base"
                );
                return Err(Failure::Environment(message));
            }
        },
    };
    let mut rows = vec![];
    for segment in wanted {
        rows.extend(segments.read(segment).await.map_err(Failure::runtime)?);
    }
    if epoch.is_none() {
        rows = prepared.engine.merge(name, &rows).map_err(Failure::runtime)?;
    }
    match rows.first().map(RecordBatch::schema) {
        None => Ok("no rows\n".into()),
        Some(schema) => print(&[for_people(&concat_batches(&schema, &rows).map_err(Failure::runtime)?)?], output),
    }
}

fn parts<'a>(manifest: &'a Manifest, name: &str, base: bool) -> Box<dyn Iterator<Item = &'a Segment> + 'a> {
    let table = manifest.tables.get(name);
    match base {
        true => Box::new(table.into_iter().flat_map(|table| &table.base)),
        false => Box::new(table.into_iter().flat_map(|table| &table.deltas).flat_map(|delta| &delta.segments)),
    }
}

/// The columns behind the values under names that say what they are.
fn for_people(rows: &RecordBatch) -> Result<RecordBatch, Failure> {
    let mut fields = vec![];
    let mut columns = vec![];
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        let (name, column) = match field.name().as_str() {
            "__at" => {
                let instant = DataType::Timestamp(TimeUnit::Microsecond, None);
                ("let_go_at", cast(column, &instant).map_err(Failure::runtime)?)
            }
            "__marked" => ("had_a_partner", column.clone()),
            "__gone" => ("removed", column.clone()),
            name => (name, column.clone()),
        };
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(Failure::runtime)
}
