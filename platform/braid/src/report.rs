//! Commands that look and change nothing: `plan`, `query`, `status`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, UInt64Array};
use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use braid_kernel::manifest::Swapped;
use braid_kernel::serve::Snapshot;
use braid_kernel::time::rfc3339;
use braid_kernel::{Manifest, Segment, TableKind, ledger};
use braid_serve::render;
use braid_spec::model::{BaseBy, CleanSource, End, Kafka, LogKeep, SinkKind, SourceKind, Start, TextFiles};
use serde_json::json;

use crate::cli::Output;
use crate::continuous;
use crate::failure::Failure;
use crate::layers::{open_store, reader};
use crate::prepare::Prepared;
use crate::restarts::Seen;

/// So much of a plugin's digest is shown to people.
const DIGEST_SHOWN: usize = 12;

/// Answers SQL as of one commit of the store, whether or not something is writing it.
pub async fn query(prepared: &Prepared, sql: &str, output: Output) -> Result<String, Failure> {
    let (store, segments) = open_store(prepared)?;
    let manifest = written(prepared, ledger::load(&*store).await.map_err(Failure::runtime)?)?;
    let snapshot = Snapshot { manifest: Arc::new(manifest), ..Snapshot::default() };
    let (schema, rows) = reader(prepared, segments).sql(&snapshot, sql).await.map_err(Failure::runtime)?;
    let rows = if rows.is_empty() { vec![RecordBatch::new_empty(schema)] } else { rows };
    print(&rows, output)
}

/// How far the layers have come.
pub async fn status(prepared: &Prepared, output: Output) -> Result<String, Failure> {
    let (store, _) = open_store(prepared)?;
    let manifest = written(prepared, ledger::load(&*store).await.map_err(Failure::runtime)?)?;
    if output == Output::Json {
        return serde_json::to_string_pretty(&json!({
            "deployment": manifest.deployment,
            "layout": manifest.layout,
            "sequence": manifest.sequence,
            "epochs": manifest.next,
            "planned": manifest.planned.is_some(),
            "base": manifest.base,
            "watermark": manifest.watermark.map(rfc3339),
            "committedAt": rfc3339(manifest.committed_at_ms),
            "sources": manifest.sources.iter().map(|(name, state)| (name.clone(), json!({
                "offsets": state.offsets,
                "rows": manifest.counts.rows.get(name),
                "bad": manifest.counts.bad.get(name).unwrap_or(&0),
                "watermark": state.watermark.map(rfc3339),
            }))).collect::<serde_json::Map<_, _>>(),
            "tables": table_rows(&manifest).into_iter().map(|(name, (base, deltas))| (name, json!({
                "baseRows": base, "deltaRows": deltas,
            }))).collect::<serde_json::Map<_, _>>(),
            "late": manifest.counts.late,
            "swaps": manifest.swaps,
        }))
        .map_err(Failure::runtime);
    }
    let mut text = format!(
        "{} · layout {} · {} epochs, the last at {}\n",
        manifest.deployment,
        manifest.layout,
        manifest.next,
        rfc3339(manifest.committed_at_ms)
    );
    match &manifest.base {
        Some(base) => text.push_str(&format!(
            "base: generation {}, covers epochs below {}, written at {}\n",
            base.generation,
            base.horizon,
            rfc3339(base.at_ms)
        )),
        None => text.push_str("base: none yet\n"),
    }
    manifest.swaps.iter().for_each(|swap| text.push_str(&swapped(swap)));
    let sources: Vec<_> = manifest.sources.iter().collect();
    let counted = |counts: &BTreeMap<String, u64>| -> ArrayRef {
        let count = |(name, _): &(&String, _)| counts.get(*name).copied().unwrap_or_default();
        Arc::new(UInt64Array::from_iter_values(sources.iter().map(count)))
    };
    text.push_str(&table(vec![
        ("source", Arc::new(StringArray::from_iter_values(sources.iter().map(|(name, _)| name)))),
        ("rows", counted(&manifest.counts.rows)),
        ("bad", counted(&manifest.counts.bad)),
        ("watermark", Arc::new(StringArray::from_iter(sources.iter().map(|(_, state)| state.watermark.map(rfc3339))))),
    ])?);
    let tables = table_rows(&manifest);
    text.push_str(&table(vec![
        ("table", Arc::new(StringArray::from_iter_values(tables.keys()))),
        ("rows in base", Arc::new(UInt64Array::from_iter_values(tables.values().map(|rows| rows.0)))),
        ("rows in deltas", Arc::new(UInt64Array::from_iter_values(tables.values().map(|rows| rows.1)))),
    ])?);
    Ok(text)
}

/// A line about a swap.
pub fn swapped(Swapped { epoch, plugin, from, to, at_ms }: &Swapped) -> String {
    let short = |digest: &str| digest.chars().take(DIGEST_SHOWN).collect::<String>();
    let (from, to, at) = (short(from), short(to), rfc3339(*at_ms));
    format!("plugin {plugin}: {to} from epoch {epoch} on, {from} before; swapped at {at}\n")
}

pub fn written(prepared: &Prepared, manifest: Manifest) -> Result<Manifest, Failure> {
    match manifest.sequence {
        0 => Err(Failure::Environment(format!(
            "the store {} is empty: run `braid up` or `braid run` on this deployment first",
            prepared.deployment.store
        ))),
        _ => Ok(manifest),
    }
}

/// What will run, before it runs.
pub fn plan(prepared: &Prepared, seen: &Seen, output: Output) -> Result<String, Failure> {
    let deployment = &prepared.deployment;
    let layout = &deployment.layout;
    let log = match layout.log {
        LogKeep::Forever => "every source's raw rows are kept as Parquet under log/: they are stored a second time",
        LogKeep::UntilFolded => "no raw log; journals of sources that cannot replay are cut once an epoch is committed",
    };
    let base = match layout.base {
        BaseBy::Recompute => format!("computed anew from the raw log every {:?}", layout.base_every),
        BaseBy::Fold => format!("the deltas are merged into it every {:?}", layout.base_every),
    };
    let views: Vec<_> = prepared.engine.views().values().collect();
    if output == Output::Json {
        return serde_json::to_string_pretty(&json!({
            "deployment": deployment.name,
            "layout": layout.name,
            "store": deployment.store,
            "speed": {"epochEveryMs": layout.epoch_every.as_millis() as u64, "epochRows": layout.epoch_rows},
            "log": log,
            "base": base,
            "views": views.iter().map(|view| json!({
                "name": view.name,
                "state": state(view.kind),
                "remembers": view.states,
                "keys": view.keys,
                "reads": view.inputs,
                "columns": view.schema.fields().iter()
                    .map(|field| json!({"name": field.name(), "type": field.data_type().to_string()}))
                    .collect::<Vec<_>>(),
                "plan": prepared.engine.explain(&view.name),
            })).collect::<Vec<_>>(),
            "sinks": deployment.sinks.keys().collect::<Vec<_>>(),
            "trigger": deployment.trigger.to_string(),
            "changes": seen.json(),
            "swaps": seen.swaps(),
        }))
        .map_err(Failure::runtime);
    }
    let mut text = format!("{} · layout {} · store {}\n\n", deployment.name, layout.name, deployment.store);
    text.push_str(&format!("speed layer   an epoch every {:?} or {} rows\n", layout.epoch_every, layout.epoch_rows));
    text.push_str(&format!("raw log       {log}\nbase          {base}\n"));
    let http = deployment.serving.http.as_deref().unwrap_or("none");
    text.push_str(&format!("serving       http {http}\n"));
    text.push_str(&format!("trigger       {}\n\nsources\n", deployment.trigger));
    for (name, source) in &deployment.sources {
        let from = match &source.from {
            SourceKind::Files(files) => match &files.clean_source {
                CleanSource::Off => format!("files {}", files.path),
                CleanSource::Archive(folder) => format!("files {}, moved below {folder} once read", files.path),
                CleanSource::Delete => format!("files {}, deleted once read", files.path),
            },
            SourceKind::Kafka(kafka) => format!("kafka {}, {}", kafka.topics, limits(kafka)),
            SourceKind::Socket(socket) => format!("socket {}:{}, through the journal", socket.host, socket.port),
            SourceKind::Http(_) => format!("POST /v1/sources/{name}/records, through the journal"),
            SourceKind::Rate(rate) => format!("{} generated rows a second", rate.rows_per_second),
            SourceKind::RateMicroBatch(rate) => format!("{} generated rows an epoch", rate.rows_per_batch),
        };
        let columns: Vec<_> = source.schema.fields().iter().map(|field| field.name().as_str()).collect();
        text.push_str(&format!("  {name:<20} {from}: {}\n", columns.join(", ")));
    }
    for stream in &deployment.streams {
        let plugins = if stream.apply.is_empty() { "as they are".into() } else { stream.apply.join(", then ") };
        let prefix = format!("{}.", stream.name);
        let states = prepared.engine.states();
        let states: Vec<&str> = states.keys().filter(|name| name.starts_with(&prefix)).map(String::as_str).collect();
        let then = match (&stream.drop_duplicates, &stream.transform_with_state) {
            (Some(_), _) => ", the first of equal rows".to_owned(),
            (None, Some(keyed)) => format!(", then {} by {}", keyed.plugin, keyed.key.join(" and ")),
            (None, None) => String::new(),
        };
        let remembers = match states.as_slice() {
            [] => String::new(),
            states => format!(" (remembers {})", states.join(", ")),
        };
        text.push_str(&format!("  {:<20} {}, {plugins}{then}{remembers}\n", stream.name, stream.from.join(" and ")));
    }
    text.push_str("\nviews\n");
    for view in views {
        let reads: Vec<_> = view.inputs.keys().chain(&view.statics).map(String::as_str).collect();
        text.push_str(&format!("  {:<20} from {}; {}\n", view.name, reads.join(", "), state(view.kind)));
        for line in prepared.engine.explain(&view.name).lines() {
            text.push_str(&format!("      {line}\n"));
        }
    }
    if !deployment.sinks.is_empty() {
        text.push_str("\nsinks\n");
    }
    for (name, sink) in &deployment.sinks {
        let to = match &sink.to {
            SinkKind::Console { .. } | SinkKind::Pprint { .. } => "console".into(),
            SinkKind::Parquet { path } => format!("Parquet files in {path}"),
            SinkKind::Text(TextFiles::Folder { path }) => format!("text files in {path}"),
            SinkKind::Text(TextFiles::PerEpoch { prefix, suffix }) => {
                format!(
                    "text files in {}",
                    suffix.as_ref().map_or(format!("{prefix}-*"), |suffix| format!("{prefix}-*.{suffix}"))
                )
            }
            SinkKind::Kafka { topic, .. } => format!("kafka {topic}"),
            SinkKind::Memory => "memory".into(),
            SinkKind::Plugin { plugin, .. } => format!("the plugin {plugin}"),
        };
        let when = continuous::when(deployment, sink);
        text.push_str(&format!("  {name:<20} {:?} of {} to {to}{when}\n", sink.output_mode, sink.from));
    }
    text.push_str(&seen.text());
    Ok(text)
}

/// Where a Kafka source begins and ends.
fn limits(kafka: &Kafka) -> String {
    let start = match &kafka.start {
        Start::Earliest => "from the earliest record".to_owned(),
        Start::Latest => "from the latest record".to_owned(),
        Start::Offsets(_) => "from given offsets".to_owned(),
        Start::Time(time) => format!("from {}", rfc3339(*time)),
        Start::Times(_) => "from given times".to_owned(),
    };
    let end = match &kafka.end {
        None => String::new(),
        Some(End::Latest) => " to the latest".to_owned(),
        Some(End::Offsets(_)) => " to given offsets".to_owned(),
        Some(End::Time(time)) => format!(" to {}", rfc3339(*time)),
        Some(End::Times(_)) => " to given times".to_owned(),
    };
    start + &end
}

fn state(kind: TableKind) -> &'static str {
    match kind {
        TableKind::Keyed => "state: partial aggregates, one row per key",
        TableKind::State => "remembered by an operator",
        TableKind::Append | TableKind::Ledger => "state: none, its rows accumulate",
    }
}

fn table(columns: Vec<(&str, ArrayRef)>) -> Result<String, Failure> {
    let rows = RecordBatch::try_from_iter(columns).map_err(Failure::runtime)?;
    if rows.num_rows() == 0 {
        return Ok(String::new());
    }
    print(&[rows], Output::Table)
}

/// Rows as a table for people, or as JSON or CSV for programs.
pub fn print(rows: &[RecordBatch], output: Output) -> Result<String, Failure> {
    match output {
        Output::Table => Ok(format!("{}\n", pretty_format_batches(rows).map_err(Failure::runtime)?)),
        // The same words as over HTTP.
        Output::Json | Output::Csv => {
            let Some(first) = rows.first() else { return Ok(String::new()) };
            let rows = concat_batches(&first.schema(), rows).map_err(Failure::runtime)?;
            let bytes = match output {
                Output::Json => render::json_array(&rows).map(|mut array| {
                    array.push(b'\n');
                    array
                }),
                _ => render::csv(&rows),
            };
            String::from_utf8(bytes.map_err(Failure::runtime)?).map_err(Failure::runtime)
        }
    }
}

/// For the closing line of `braid run`.
pub fn closing(manifest: &Manifest, output: Output) -> String {
    let rows: u64 = manifest.counts.rows.values().sum();
    let bad: u64 = manifest.counts.bad.values().sum();
    if output == Output::Json {
        let base = manifest.base.as_ref().map(|base| base.generation);
        return format!("{}\n", json!({"rows": rows, "bad": bad, "epochs": manifest.next, "baseGeneration": base}));
    }
    let bad = if bad > 0 { format!(", {} bad records (braid dlq list)", bad) } else { String::new() };
    format!("caught up: {} rows in {} epochs{bad}\n", crate::screen::grouped(rows), manifest.next)
}

/// Per table: rows in its base and rows in its deltas.
fn table_rows(manifest: &Manifest) -> BTreeMap<String, (u64, u64)> {
    let rows = |segments: &mut dyn Iterator<Item = &Segment>| segments.map(|segment| segment.rows).sum();
    manifest
        .tables
        .iter()
        .map(|(name, table)| {
            let base = rows(&mut table.base.iter());
            let deltas = rows(&mut table.deltas.iter().flat_map(|delta| &delta.segments));
            (name.clone(), (base, deltas))
        })
        .collect()
}
