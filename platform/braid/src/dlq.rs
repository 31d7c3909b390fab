//! `braid dlq`: dead letters are looked at, and read again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Int64Type};
use braid_connect::replay::{Letter, LetterId, header, not_replayable, replay, replayed};
use braid_kernel::serve::Snapshot;
use braid_kernel::{BadRecord, Store, ledger};
use braid_spec::model::Deployment;
use serde::Deserialize;
use serde_json::json;

use crate::cli::{Chosen, Output};
use crate::failure::Failure;
use crate::layers::{open_store, reader};
use crate::prepare::Prepared;
use crate::report::{print, written};

/// What the reason of a plugin's failure begins with.
const PLUGIN: &str = "plugin `";
/// So many reasons are shown of letters that are left out.
const REASONS_SHOWN_MAX: usize = 10;

/// A dead letter as it stands in a list, perhaps mended.
#[derive(Debug, Deserialize)]
struct Mended {
    epoch: i64,
    source: String,
    partition: String,
    offset: i64,
    record: String,
}

/// The dead letters, with whether each was replayed.
pub async fn list(prepared: &Prepared, chosen: &Chosen, output: Output) -> Result<String, Failure> {
    let (store, found) = find(prepared, chosen).await?;
    let sources: BTreeSet<&str> = found.column(1).as_string::<i32>().iter().flatten().collect();
    let mut ids: BTreeMap<&str, BTreeSet<LetterId>> = BTreeMap::new();
    for source in sources {
        ids.insert(source, replayed(&*store, source).await.map_err(Failure::runtime)?.0);
    }
    let again: BooleanArray =
        (0..found.num_rows()).map(|row| Some(ids[text(&found, 1, row)].contains(&id(&found, row)))).collect();
    let column = |at: usize| found.column(at).clone();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("epoch", column(0)),
        ("source", column(1)),
        ("partition", column(2)),
        ("offset", column(3)),
        ("replayed", Arc::new(again)),
        ("reason", column(4)),
        ("record", column(5)),
    ];
    print(&[RecordBatch::try_from_iter(columns).map_err(Failure::runtime)?], output)
}

/// Gives the chosen letters back to their sources, each once: their next epoch reads them.
pub async fn again(
    prepared: &Prepared,
    chosen: &Chosen,
    mended: Option<&Path>,
    output: Output,
) -> Result<String, Failure> {
    let mended = mended.map(read_mended).transpose()?;
    let (store, found) = find(prepared, chosen).await?;
    let (mut letters, mut left_out): (BTreeMap<&str, Vec<Letter>>, Vec<String>) = Default::default();
    let mut matched = 0;
    for row in 0..found.num_rows() {
        let source = text(&found, 1, row);
        let (epoch, partition, offset) = id(&found, row);
        let text_of_it = match &mended {
            Some(mended) => match mended.get(&(source.to_owned(), (epoch, partition.clone(), offset))) {
                Some(record) => {
                    matched += 1;
                    Some(record.clone())
                }
                None => continue,
            },
            None => None,
        };
        let bytes = found.column(6).as_binary::<i32>();
        let original = if bytes.is_valid(row) { bytes.value(row) } else { text(&found, 5, row).as_bytes() };
        let cut = original.len() >= BadRecord::RAW_BYTES_MAX && text_of_it.is_none();
        let spec = prepared.deployment.sources.get(source);
        let obstacle = if text(&found, 4, row).starts_with(PLUGIN) {
            Some("a plugin failed on its row, which other views may have counted".to_owned())
        } else if cut {
            Some("only its beginning was kept".to_owned())
        } else {
            spec.map_or_else(|| Some("its source is no longer in the deployment".to_owned()), not_replayable)
        };
        let read_header = match (obstacle, spec) {
            (None, Some(spec)) => header(spec, &partition).await.map_err(|error| error.to_string()),
            (obstacle, _) => Err(obstacle.unwrap_or_default()),
        };
        match read_header {
            Ok(header) => {
                let record = text_of_it.map_or_else(|| original.to_vec(), String::into_bytes);
                let letter = Letter { epoch, partition, offset, record, header };
                letters.entry(source).or_default().push(letter);
            }
            Err(reason) => left_out.push(format!("{source}, epoch {epoch}, {partition}:{offset}: {reason}")),
        }
    }
    if let Some(unknown) = mended.as_ref().map(BTreeMap::len).and_then(|all| all.checked_sub(matched))
        && unknown > 0
    {
        left_out.push(format!("{unknown} in the file are no dead letters that were chosen"));
    }
    let mut counts = BTreeMap::new();
    let mut before = 0;
    for (source, letters) in letters {
        let all = letters.len();
        let count = replay(&*store, source, letters).await.map_err(Failure::runtime)?;
        before += all - count;
        counts.insert(source, count);
    }
    let more = found.num_rows() == chosen.limit;
    if output == Output::Json {
        let said = json!({"replayed": counts, "replayedBefore": before, "leftOut": left_out, "maybeMore": more});
        return Ok(format!("{said}\n"));
    }
    let mut said = String::new();
    for (source, count) in &counts {
        said.push_str(&format!("{source}: {count} records are read again by the next epoch\n"));
    }
    if before > 0 {
        said.push_str(&format!("{before} were replayed before\n"));
    }
    for reason in left_out.iter().take(REASONS_SHOWN_MAX) {
        said.push_str(&format!("left out: {reason}\n"));
    }
    if left_out.len() > REASONS_SHOWN_MAX {
        said.push_str(&format!("left out: {} more\n", left_out.len() - REASONS_SHOWN_MAX));
    }
    if more {
        said.push_str(&format!(
            "there may be more than {}: say another `--limit`, or do it again with `--where`\n",
            chosen.limit
        ));
    }
    if said.is_empty() {
        said.push_str("no dead letter was chosen\n");
    }
    Ok(said)
}

/// The chosen dead letters as one batch: epoch, source, partition, offset, reason, record, bytes.
async fn find(prepared: &Prepared, chosen: &Chosen) -> Result<(Arc<dyn Store>, RecordBatch), Failure> {
    let mut conditions = vec![];
    if let Some(source) = &chosen.source {
        known(&prepared.deployment, source)?;
        conditions.push(format!("source = '{source}'"));
    }
    conditions.extend(chosen.filter.as_ref().map(|filter| format!("({filter})")));
    let filter = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
    let sql = format!(
        "SELECT epoch, source, partition, `offset`, reason, record, bytes FROM dead_letters {filter} \
         ORDER BY epoch, source, partition, `offset` LIMIT {}",
        chosen.limit
    );
    let (store, segments) = open_store(prepared)?;
    let manifest = written(prepared, ledger::load(&*store).await.map_err(Failure::runtime)?)?;
    let snapshot = Snapshot { manifest: Arc::new(manifest), ..Snapshot::default() };
    let (schema, rows) = reader(prepared, segments).sql(&snapshot, &sql).await.map_err(Failure::runtime)?;
    let found = concat_batches(&schema, &rows).map_err(Failure::runtime)?;
    let types = [
        DataType::Int64,
        DataType::Utf8,
        DataType::Utf8,
        DataType::Int64,
        DataType::Utf8,
        DataType::Utf8,
        DataType::Binary,
    ];
    let columns = found.columns().iter().zip(types).zip(schema.fields());
    let columns = columns.map(|((column, wanted), field)| Ok((field.name().clone(), cast(column, &wanted)?)));
    let columns = columns.collect::<Result<Vec<_>, arrow::error::ArrowError>>().map_err(Failure::runtime)?;
    Ok((store, RecordBatch::try_from_iter(columns).map_err(Failure::runtime)?))
}

fn known(deployment: &Deployment, source: &str) -> Result<(), Failure> {
    if deployment.sources.contains_key(source) {
        return Ok(());
    }
    let known: Vec<_> = deployment.sources.keys().map(|name| format!("`{name}`")).collect();
    Err(Failure::Invalid(format!("error: there is no source `{source}`\n  = expected: one of {}", known.join(", "))))
}

fn text(batch: &RecordBatch, column: usize, row: usize) -> &str {
    batch.column(column).as_string::<i32>().value(row)
}

fn id(batch: &RecordBatch, row: usize) -> LetterId {
    let number = |column: usize| batch.column(column).as_primitive::<Int64Type>().value(row);
    (number(0), text(batch, 2, row).to_owned(), number(3))
}

/// What somebody made of a list of dead letters.
fn read_mended(path: &Path) -> Result<BTreeMap<(String, LetterId), String>, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::Invalid(format!(
            "error: {}: {error}\n  = expected: what `braid dlq list --output json` prints, with other records",
            path.display()
        ))
    };
    let bytes = std::fs::read(path).map_err(|error| wrong(&error))?;
    let list: Vec<Mended> = serde_json::from_slice(&bytes).map_err(|error| wrong(&error))?;
    let named = list.into_iter().map(|mended| {
        let Mended { epoch, source, partition, offset, record } = mended;
        ((source, (epoch, partition, offset)), record)
    });
    Ok(named.collect())
}
