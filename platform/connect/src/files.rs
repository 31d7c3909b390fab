//! The files source: whatever appears in a folder, each file read once and whole.
//!
//! Files are ordered by modification time and name when they are planned, and the plan keeps that order, so that a
//! replay reads the same rows in the same order. A file is read to the size it had when it was planned: put files
//! there whole (write elsewhere and rename), as for any engine that reads folders.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use braid_kernel::{Offsets, Rows, Source, SourceError, SourcePlan, SourceState};
use braid_spec::model::{self, Format, OnBadRecord};
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::formats::parquet::{Wanted, read_file};
use crate::formats::records::{Stop, read_records};
use crate::formats::{Decoder, project};
use crate::place::{Found, Place};
use crate::pump::{Emit, pump};
use crate::{OpenSource, SourceContext};

/// The one partition of a plan: its offset counts files in the order in which they were planned.
const PARTITION: &str = "0";
/// Without a limit in the deployment, an epoch takes so many bytes for each row that it should hold.
const ROW_BYTES_GUESS: u64 = 256;
/// However many small files there are, an epoch takes at most so many: each costs a line in the manifest.
const FILES_PER_EPOCH_MAX: usize = 10_000;

/// What the manifest remembers of a file, under its path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// Its place in the order of all files.
    at: i64,
    size: u64,
    /// Milliseconds since the Unix epoch.
    modified: i64,
}

/// How files become rows.
#[derive(Clone)]
pub(crate) struct FileReader {
    pub(crate) place: Place,
    pub(crate) format: Format,
    pub(crate) schema: arrow::datatypes::SchemaRef,
    pub(crate) projection: Option<Vec<String>>,
    pub(crate) batch_rows: usize,
}

struct Files {
    options: model::Files,
    reader: FileReader,
    on_bad_record: OnBadRecord,
    epoch_bytes: u64,
}

pub(crate) fn open(
    options: &model::Files,
    spec: &model::Source,
    context: SourceContext,
) -> Result<OpenSource, SourceError> {
    let reader = FileReader {
        place: Place::parse(&options.path)?,
        format: spec.format.clone(),
        schema: spec.schema.clone(),
        projection: context.projection,
        batch_rows: context.batch_rows,
    };
    reader.decoder()?;
    let source: Box<dyn Source> = Box::new(Files {
        options: options.clone(),
        reader,
        on_bad_record: spec.on_bad_record,
        epoch_bytes: context.epoch_rows.saturating_mul(ROW_BYTES_GUESS),
    });
    Ok(source.into())
}

impl FileReader {
    /// The decoder of formats that are made of records; `None` for Parquet.
    fn decoder(&self) -> Result<Option<Decoder>, SourceError> {
        if self.format == Format::Parquet {
            return Ok(None);
        }
        Decoder::new(&self.format, &self.schema, self.projection.as_deref(), self.batch_rows).map(Some)
    }

    /// Reads files one after the other. Blocks; not for a thread of the runtime.
    pub(crate) fn read(&self, files: &[(String, u64)], runtime: &Handle, emit: Emit<'_>) -> Result<(), Stop> {
        let mut decoder = self.decoder()?;
        let projected = project(&self.schema, self.projection.as_deref());
        for (path, size) in files {
            let partition: Arc<str> = Arc::from(path.as_str());
            let content = self.place.open(path, *size, runtime)?;
            match &mut decoder {
                Some(decoder) => {
                    read_records(content.reader(*size)?.as_mut(), decoder, &partition, emit)?;
                }
                None => {
                    let wanted = Wanted { declared: &self.schema, projected: &projected, batch_rows: self.batch_rows };
                    read_file(content, *size, &wanted, &partition, emit)?;
                }
            }
        }
        Ok(())
    }
}

impl Files {
    /// The files that the next epoch takes, out of those not seen yet.
    fn choose(&self, mut new: Vec<Found>) -> Vec<Found> {
        if self.options.latest_first {
            new.sort_by(|a, b| b.modified_ms.cmp(&a.modified_ms).then_with(|| a.path.cmp(&b.path)));
        } else {
            new.sort_by(|a, b| a.modified_ms.cmp(&b.modified_ms).then_with(|| a.path.cmp(&b.path)));
        }
        let count = self.options.max_files_per_trigger.map_or(FILES_PER_EPOCH_MAX, |max| max as usize);
        new.truncate(count.min(FILES_PER_EPOCH_MAX));
        let unlimited = self.options.max_files_per_trigger.is_none();
        let bytes_max = self.options.max_bytes_per_trigger.or(unlimited.then_some(self.epoch_bytes));
        if let Some(bytes_max) = bytes_max {
            let mut bytes = 0u64;
            let within = new.iter().take_while(|file| {
                bytes = bytes.saturating_add(file.size);
                bytes <= bytes_max
            });
            // At least one, or nothing would ever move.
            let within = within.count().max(1);
            new.truncate(within);
        }
        new
    }
}

#[async_trait]
impl Source for Files {
    async fn plan(&mut self, state: &SourceState) -> Result<Option<SourcePlan>, SourceError> {
        let mut new = self.reader.place.list().await?;
        new.retain(|file| !state.notes.contains_key(&file.path));
        let there = new.len();
        let chosen = self.choose(new);
        let more = chosen.len() < there;
        if chosen.is_empty() {
            return Ok(None);
        }
        let start = state.offsets.get(PARTITION).copied().unwrap_or(0);
        let end = start + chosen.len() as i64;
        let notes = (start..).zip(chosen).map(|(at, file)| {
            let seen = Seen { at, size: file.size, modified: file.modified_ms };
            let note = serde_json::to_value(seen).map_err(|error| SourceError::Fatal(error.to_string()))?;
            Ok((file.path, note))
        });
        Ok(Some(SourcePlan {
            start: Offsets::from([(PARTITION.into(), start)]),
            end: Offsets::from([(PARTITION.into(), end)]),
            notes: notes.collect::<Result<BTreeMap<_, _>, SourceError>>()?,
            more,
        }))
    }

    async fn read(&mut self, plan: &SourcePlan) -> Result<BoxStream<'static, Result<Rows, SourceError>>, SourceError> {
        let mut files = plan
            .notes
            .iter()
            .map(|(path, note)| match Seen::deserialize(note) {
                Ok(seen) => Ok((seen.at, path.clone(), seen.size)),
                Err(error) => Err(SourceError::Fatal(format!("the plan's note of {path}: {error}"))),
            })
            .collect::<Result<Vec<_>, _>>()?;
        files.sort_unstable();
        let files: Vec<(String, u64)> = files.into_iter().map(|(_, path, size)| (path, size)).collect();
        let reader = self.reader.clone();
        let runtime = Handle::current();
        Ok(pump(self.on_bad_record, move |emit| reader.read(&files, &runtime, emit)))
    }

    async fn ack(&mut self, _state: &SourceState) -> Result<(), SourceError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
