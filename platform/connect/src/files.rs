//! The files source: whatever appears in a folder, each file read once and whole.
//!
//! Files are ordered by modification time and name when they are planned, and the plan keeps that order, so that a
//! replay reads the same rows in the same order. A file is read to the size it had when it was planned: put files
//! there whole (write elsewhere and rename), as for any engine that reads folders.
//!
//! The manifest remembers which files were read, but not for ever: once all that was there has been read, those that
//! are older than the newest by `max_file_age` are forgotten, and from then on no file as old is taken.

mod clean;

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use braid_kernel::{Limit, Offsets, Rows, Source, SourceError, SourcePlan, SourceState, Take};
use braid_spec::model::{self, Format, OnBadRecord};
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::runtime::Handle;

use clean::Cleaner;

use crate::formats::avro::container;
use crate::formats::parquet::{Wanted, read_file};
use crate::formats::records::{Stop, read_records};
use crate::formats::{Decoder, project};
use crate::place::{Found, Place};
use crate::pump::{Emit, pump};
use crate::{OpenSource, SourceContext};

/// The one partition of a plan: its offset counts files in the order in which they were planned.
const PARTITION: &str = "0";
/// The note that says before which time, in milliseconds since the Unix epoch, files are too old to be taken. (The
/// other notes are under paths, and a path has a slash.)
const TOO_OLD_BEFORE: &str = "too_old_before_ms";
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
    name: String,
    options: model::Files,
    reader: FileReader,
    on_bad_record: OnBadRecord,
    epoch_rows: u64,
    /// About how long a row is: guessed, until some were read.
    row_bytes: Arc<AtomicU64>,
    cleaner: Cleaner,
    /// What was read last, and up to which offset: to be cleaned when that is committed.
    read: Option<(i64, Vec<Found>)>,
    /// The files that were too old when this process last looked.
    too_old: Option<BTreeSet<String>>,
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
        projection: context.projection.clone(),
        batch_rows: context.batch_rows,
    };
    reader.decoder()?;
    let source: Box<dyn Source> = Box::new(Files {
        name: context.name.clone(),
        options: options.clone(),
        cleaner: Cleaner::new(&context.name, &reader.place, &options.clean_source)?,
        read: None,
        too_old: None,
        reader,
        on_bad_record: spec.on_bad_record,
        epoch_rows: context.epoch_rows,
        row_bytes: Arc::new(AtomicU64::new(ROW_BYTES_GUESS)),
    });
    Ok(source.into())
}

impl FileReader {
    /// The decoder of formats that are made of lines; `None` for Parquet and Avro.
    fn decoder(&self) -> Result<Option<Decoder>, SourceError> {
        if matches!(self.format, Format::Parquet | Format::Avro(_)) {
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
            match (&mut decoder, &self.format) {
                (Some(decoder), _) => {
                    read_records(content.reader(*size)?.as_mut(), decoder, &partition, emit)?;
                }
                (None, Format::Avro(format)) => {
                    let (declared, projected, batch_rows) = (&self.schema, &projected, self.batch_rows);
                    let wanted = container::Wanted { format, declared, projected, batch_rows };
                    let mut reader = BufReader::new(content.reader(*size)?);
                    container::read_file(&mut reader, &wanted, &partition, emit)?;
                }
                (None, _) => {
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
    fn choose(&self, mut new: Vec<Found>, take: Take) -> Vec<Found> {
        if self.options.latest_first {
            new.sort_by(|a, b| b.modified_ms.cmp(&a.modified_ms).then_with(|| a.path.cmp(&b.path)));
        } else {
            new.sort_by(|a, b| a.modified_ms.cmp(&b.modified_ms).then_with(|| a.path.cmp(&b.path)));
        }
        if take == Take::All {
            return new;
        }
        let count = self.options.max_files_per_trigger.map_or(FILES_PER_EPOCH_MAX, |max| max as usize);
        new.truncate(count.min(FILES_PER_EPOCH_MAX));
        let unlimited = self.options.max_files_per_trigger.is_none();
        let guessed = self.epoch_rows.saturating_mul(ROW_BYTES_GUESS);
        let mut bytes_max = self.options.max_bytes_per_trigger.or(unlimited.then_some(guessed));
        if let Take::Rows(rows) = take {
            let bytes = rows.saturating_mul(self.row_bytes.load(Ordering::Relaxed));
            bytes_max = Some(bytes_max.map_or(bytes, |usual| usual.min(bytes)));
        }
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

    /// The listed files that no committed epoch has read and that are not too old. Those that one has read and that
    /// still stand there, because a process died before it cleaned them, are cleaned now.
    async fn new_files(&mut self, state: &SourceState) -> Result<Vec<Found>, SourceError> {
        let too_old_before = state.notes.get(TOO_OLD_BEFORE).and_then(Value::as_i64).unwrap_or(i64::MIN);
        let (mut new, mut read, mut too_old) = (vec![], vec![], BTreeSet::new());
        for file in self.reader.place.list().await? {
            match state.notes.get(&file.path) {
                Some(note) => read.extend(seen(&file.path, note)?.is(&file).then_some(file)),
                None if file.modified_ms < too_old_before => drop(too_old.insert(file.path)),
                None => new.push(file),
            }
        }
        self.cleaner.clean(read).await;
        // What was there before this process may have been read before it was forgotten.
        if let Some(before) = &self.too_old {
            for path in too_old.difference(before) {
                tracing::warn!("source `{}` leaves out {path}: it is older than `max_file_age`", self.name);
            }
        }
        self.too_old = Some(too_old);
        Ok(new)
    }

    /// Forgets files that are too old, once all that was there is read: notes to remove, and from when on files count.
    fn forget(&self, state: &SourceState, notes: &mut BTreeMap<String, Value>) -> Result<(), SourceError> {
        let limited = self.options.max_files_per_trigger.or(self.options.max_bytes_per_trigger).is_some();
        if self.options.latest_first && limited {
            return Ok(());
        }
        let known = || state.notes.iter().filter(|(path, _)| *path != TOO_OLD_BEFORE);
        let mut newest = i64::MIN;
        for (path, note) in known() {
            newest = newest.max(seen(path, note)?.modified);
        }
        for (path, note) in notes.iter() {
            newest = newest.max(seen(path, note)?.modified);
        }
        let age = i64::try_from(self.options.max_file_age.as_millis()).unwrap_or(i64::MAX);
        let before = newest.saturating_sub(age);
        if state.notes.get(TOO_OLD_BEFORE).and_then(Value::as_i64).is_none_or(|past| past < before) {
            for (path, note) in known() {
                if seen(path, note)?.modified < before {
                    notes.insert(path.clone(), Value::Null);
                }
            }
            notes.insert(TOO_OLD_BEFORE.into(), before.into());
        }
        Ok(())
    }
}

impl Seen {
    /// Whether a listed file is the one that was read.
    fn is(&self, file: &Found) -> bool {
        (self.size, self.modified) == (file.size, file.modified_ms)
    }
}

fn seen(path: &str, note: &Value) -> Result<Seen, SourceError> {
    Seen::deserialize(note).map_err(|error| SourceError::Fatal(format!("the note of {path}: {error}")))
}

#[async_trait]
impl Source for Files {
    async fn plan(&mut self, state: &SourceState, limit: &Limit) -> Result<Option<SourcePlan>, SourceError> {
        let mut new = self.new_files(state).await?;
        let all = new.len();
        if let Some(until) = &limit.until {
            new.retain(|file| until.notes.contains_key(&file.path));
        }
        let there = new.len();
        let chosen = self.choose(new, limit.take);
        let more = chosen.len() < there;
        if chosen.is_empty() {
            return Ok(None);
        }
        let start = state.offsets.get(PARTITION).copied().unwrap_or(0);
        let end = start + chosen.len() as i64;
        let mut notes = BTreeMap::new();
        for (at, file) in (start..).zip(chosen) {
            let seen = Seen { at, size: file.size, modified: file.modified_ms };
            let note = serde_json::to_value(seen).map_err(|error| SourceError::Fatal(error.to_string()))?;
            notes.insert(file.path, note);
        }
        if notes.len() == all {
            self.forget(state, &mut notes)?;
        }
        Ok(Some(SourcePlan {
            start: Offsets::from([(PARTITION.into(), start)]),
            end: Offsets::from([(PARTITION.into(), end)]),
            notes,
            more,
        }))
    }

    async fn read(&mut self, plan: &SourcePlan) -> Result<BoxStream<'static, Result<Rows, SourceError>>, SourceError> {
        let mut files = vec![];
        for (path, note) in plan.notes.iter().filter(|(path, note)| *path != TOO_OLD_BEFORE && !note.is_null()) {
            let Seen { at, size, modified } = seen(path, note)?;
            files.push((at, Found { path: path.clone(), size, modified_ms: modified }));
        }
        files.sort_unstable_by_key(|(at, _)| *at);
        let files: Vec<Found> = files.into_iter().map(|(_, file)| file).collect();
        let in_order: Vec<(String, u64)> = files.iter().map(|file| (file.path.clone(), file.size)).collect();
        self.read = plan.end.get(PARTITION).map(|end| (*end, files));
        let reader = self.reader.clone();
        let runtime = Handle::current();
        let row_bytes = self.row_bytes.clone();
        Ok(pump(self.on_bad_record, move |emit| {
            let mut rows = 0;
            reader.read(&in_order, &runtime, &mut |batch| {
                rows += batch.batch.num_rows() as u64;
                emit(batch)
            })?;
            if let Some(bytes) = in_order.iter().map(|(_, size)| size).sum::<u64>().checked_div(rows) {
                row_bytes.store(bytes.max(1), Ordering::Relaxed);
            }
            Ok(())
        }))
    }

    async fn ack(&mut self, state: &SourceState) -> Result<(), SourceError> {
        let committed = state.offsets.get(PARTITION).copied().unwrap_or(0);
        if let Some((_, files)) = self.read.take_if(|(end, _)| *end <= committed) {
            self.cleaner.clean(files).await;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
