//! Dead letters that are read again. `braid dlq replay` writes them into the store, and their source reads them as one
//! more partition: so they have offsets, are planned and committed with everything else, and are read once.
//!
//! An object `replay/<source>/<offset of its first letter>.json` is created, never overwritten. Of two commands that
//! replay at once one wins an offset; the other looks again, and does not write what is there by then. The objects are
//! kept: they are how a letter is known to have been replayed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use braid_kernel::ledger::{decode, encode};
use braid_kernel::{
    BadRecord, Limit, Rows, Slice, Slices, Source, SourceError, SourcePlan, SourceState, Store, StoreError,
};
use braid_spec::model::{self, Csv, Format, SourceKind};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::SourceContext;
use crate::formats::Decoder;
use crate::formats::records::Stop;
use crate::place::Place;
use crate::pump::{Emit, pump};

/// The partition that replayed letters are.
const PARTITION: &str = "replayed";
/// How often a source that runs looks for letters.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// About so many bytes of letters are one object.
const OBJECT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How often an object is tried whose fate is unknown.
const TRIES_MAX: u32 = 6;

/// A dead letter to be read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The epoch that met it.
    pub epoch: i64,
    /// Where it was.
    pub partition: String,
    /// Its offset there.
    pub offset: i64,
    /// Its bytes, or what somebody made of them.
    #[serde(with = "in_base64")]
    pub record: Vec<u8>,
    /// The header of its CSV file, if that has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
}

/// Which dead letter of its source it is: epoch, partition and offset.
pub type LetterId = (i64, String, i64);

impl Letter {
    /// Which one it is.
    pub fn id(&self) -> LetterId {
        (self.epoch, self.partition.clone(), self.offset)
    }
}

mod in_base64 {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use super::{BASE64, Engine};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text).map_err(de::Error::custom)
    }
}

fn prefix(source: &str) -> String {
    format!("replay/{source}/")
}

fn name(source: &str, first: i64) -> String {
    format!("{}{first:020}.json", prefix(source))
}

fn first_of(name: &str) -> Result<i64, StoreError> {
    let stem = name.rsplit('/').next().and_then(|file| file.strip_suffix(".json"));
    stem.and_then(|stem| stem.parse().ok())
        .ok_or_else(|| StoreError::Corrupt { name: name.into(), reason: "it does not belong here".into() })
}

async fn object(store: &dyn Store, name: &str) -> Result<Vec<Letter>, StoreError> {
    decode(name, &store.get(name).await?)
}

/// Which letters of a source were replayed, and the offset of the next one.
pub async fn replayed(store: &dyn Store, source: &str) -> Result<(BTreeSet<LetterId>, i64), StoreError> {
    let (mut ids, mut end) = (BTreeSet::new(), 0);
    for name in store.list(&prefix(source)).await? {
        let letters = object(store, &name).await?;
        end = first_of(&name)? + letters.len() as i64;
        ids.extend(letters.iter().map(Letter::id));
    }
    Ok((ids, end))
}

/// Lets a source read letters again, those left out that it was given before. Says how many there are; they are durable.
pub async fn replay(store: &dyn Store, source: &str, letters: Vec<Letter>) -> Result<usize, StoreError> {
    let mut count = 0;
    let mut tries = 0;
    loop {
        let (ids, end) = replayed(store, source).await?;
        let mut left = letters.iter().filter(|letter| !ids.contains(&letter.id()));
        let (mut bytes, mut group): (usize, Vec<&Letter>) = (0, vec![]);
        while bytes < OBJECT_BYTES_MAX
            && let Some(letter) = left.next()
        {
            bytes += letter.record.len();
            group.push(letter);
        }
        if group.is_empty() {
            return Ok(count);
        }
        let (name, body) = (name(source, end), encode(&group)?);
        match store.create(&name, body.clone()).await {
            Ok(()) => count += group.len(),
            // Whoever wrote it: the next look shows what is left.
            Err(StoreError::Exists(_)) => {}
            Err(StoreError::Unknown { .. }) if tries < TRIES_MAX => {
                tries += 1;
                if store.get(&name).await.is_ok_and(|there| there == body) {
                    count += group.len();
                }
            }
            Err(error) => return Err(error),
        }
    }
}

/// The header of a CSV file in which a dead letter was found; `None` for records without one.
pub async fn header(spec: &model::Source, partition: &str) -> Result<Option<String>, SourceError> {
    let (SourceKind::Files(files), Format::Csv(Csv { header: true, .. })) = (&spec.from, &spec.format) else {
        return Ok(None);
    };
    let place = Place::parse(&files.path)?;
    let found = place.list().await?.into_iter().find(|file| file.path == partition);
    let found = found.ok_or_else(|| SourceError::DataLoss(format!("{partition} is gone, and its header with it")))?;
    let (runtime, size) = (Handle::current(), found.size.min(BadRecord::RAW_BYTES_MAX as u64));
    let bytes = tokio::task::spawn_blocking(move || -> Result<Vec<u8>, SourceError> {
        let mut bytes = vec![];
        let mut reader = place.open(&found.path, size, &runtime)?.reader(size)?;
        std::io::Read::read_to_end(&mut reader, &mut bytes).map_err(|error| SourceError::Retry(error.to_string()))?;
        Ok(bytes)
    });
    let bytes = bytes.await.map_err(|error| SourceError::Retry(error.to_string()))??;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default();
    Ok(Some(line.to_owned()))
}

/// Why letters of a source cannot be read again, if they cannot.
pub fn not_replayable(spec: &model::Source) -> Option<String> {
    match (&spec.from, &spec.format) {
        (_, Format::Parquet | Format::Raw | Format::Native) => {
            Some("its dead letters are no records of a format".to_owned())
        }
        (SourceKind::Files(_), Format::Avro(_)) => Some("its dead letters are parts of Avro files".to_owned()),
        (SourceKind::Kafka(kafka), _) if !kafka.metadata.is_empty() => {
            let columns: Vec<&str> = kafka.metadata.iter().map(|(name, _)| name.as_str()).collect();
            Some(format!("its rows have {}, and a dead letter keeps the value only", columns.join(", ")))
        }
        _ => None,
    }
}

/// A source, and its dead letters that are read again.
pub(crate) struct Replaying {
    inner: Box<dyn Source>,
    spec: model::Source,
    context: SourceContext,
    looked: Option<Instant>,
    /// The offset behind the last letter that was found.
    end: i64,
}

impl Replaying {
    pub(crate) fn new(inner: Box<dyn Source>, spec: &model::Source, context: SourceContext) -> Self {
        Self { inner, spec: spec.clone(), context, looked: None, end: 0 }
    }

    /// The letters from one on, if there are any, as a slice.
    async fn slice(&mut self, start: i64) -> Result<Option<Slice>, SourceError> {
        let state = SourceState { offsets: [(PARTITION.into(), start)].into(), ..SourceState::default() };
        match self.plan(&state, &Limit::default()).await? {
            Some(plan) => {
                let rows = self.read(&plan).await?.try_collect().await?;
                Ok(Some(Slice { plan, rows }))
            }
            None => Ok(None),
        }
    }

    /// Looks for letters, now and then.
    async fn look(&mut self) -> Result<(), SourceError> {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        let store = &*self.context.journal;
        if let Some(last) = store.list(&prefix(&self.context.name)).await.map_err(store_error)?.last() {
            let first = first_of(last).map_err(store_error)?;
            if first >= self.end {
                self.end = first + object(store, last).await.map_err(store_error)?.len() as i64;
            }
        }
        self.looked = Some(Instant::now());
        Ok(())
    }
}

fn store_error(error: StoreError) -> SourceError {
    match error {
        StoreError::Corrupt { .. } | StoreError::NotFound(_) => SourceError::DataLoss(error.to_string()),
        _ => SourceError::Retry(error.to_string()),
    }
}

#[async_trait]
impl Source for Replaying {
    async fn plan(&mut self, state: &SourceState, limit: &Limit) -> Result<Option<SourcePlan>, SourceError> {
        let (inner, start) = without(state);
        self.look().await?;
        let mut inner_limit = limit.clone();
        if let Some(until) = &mut inner_limit.until {
            Arc::make_mut(until).end.remove(PARTITION);
        }
        let planned = self.inner.plan(&inner, &inner_limit).await?;
        let start = start.unwrap_or(0);
        let rows = i64::try_from(limit.rows(self.context.epoch_rows)).unwrap_or(i64::MAX).max(1);
        let there = limit.end(PARTITION, start, self.end);
        let end = there.min(start.saturating_add(rows));
        if end <= start {
            return Ok(planned);
        }
        let mut plan = planned.unwrap_or_default();
        plan.start.insert(PARTITION.into(), start);
        plan.end.insert(PARTITION.into(), end);
        plan.more |= end < there;
        Ok(Some(plan))
    }

    async fn read(&mut self, plan: &SourcePlan) -> Result<BoxStream<'static, Result<Rows, SourceError>>, SourceError> {
        let mut inner = plan.clone();
        let (start, end) = (inner.start.remove(PARTITION), inner.end.remove(PARTITION));
        let (Some(start), Some(end)) = (start, end) else { return self.inner.read(plan).await };
        if let Some(reason) = not_replayable(&self.spec) {
            return Err(SourceError::Fatal(format!("dead letters cannot be read again: {reason}")));
        }
        let first = match inner.end.is_empty() {
            true => futures::stream::empty().boxed(),
            false => self.inner.read(&inner).await?,
        };
        let store = self.context.journal.clone();
        let names = store.list(&prefix(&self.context.name)).await.map_err(store_error)?;
        let (spec, context, runtime) = (self.spec.clone(), self.context.clone(), Handle::current());
        let replayed = pump(self.spec.on_bad_record, move |emit| {
            let mut reading = Reading { spec: &spec, context: &context, decoder: None };
            for name in names {
                let begins = first_of(&name).map_err(store_error)?;
                if begins >= end {
                    break;
                }
                let letters = runtime.block_on(object(&*store, &name)).map_err(store_error)?;
                for (offset, letter) in (begins..end).zip(letters).filter(|(offset, _)| *offset >= start) {
                    reading.letter(offset, &letter, emit)?;
                }
            }
            reading.flush(emit)
        });
        Ok(first.chain(replayed).boxed())
    }

    async fn ack(&mut self, state: &SourceState) -> Result<(), SourceError> {
        self.inner.ack(&without(state).0).await
    }

    async fn follow(&mut self, state: &SourceState) -> Result<Option<Slices>, SourceError> {
        let (inner, start) = without(state);
        let Some(slices) = self.inner.follow(&inner).await? else { return Ok(None) };
        // Letters are looked for beside it, by a source that has nothing else.
        let letters = Self::new(Box::new(Nothing), &self.spec, self.context.clone());
        let letters = futures::stream::unfold((letters, start.unwrap_or(0)), |(mut letters, start)| async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                match letters.slice(start).await {
                    Ok(None) => {}
                    Ok(Some(slice)) => {
                        let end = slice.plan.end.get(PARTITION).copied().unwrap_or(start);
                        return Some((Ok(slice), (letters, end)));
                    }
                    Err(error) => return Some((Err(error), (letters, start))),
                }
            }
        });
        Ok(Some(futures::stream::select(slices, letters).boxed()))
    }

    fn joins(&self) -> bool {
        self.inner.joins()
    }
}

/// A source that has nothing.
struct Nothing;

#[async_trait]
impl Source for Nothing {
    async fn plan(&mut self, _: &SourceState, _: &Limit) -> Result<Option<SourcePlan>, SourceError> {
        Ok(None)
    }

    async fn read(&mut self, _: &SourcePlan) -> Result<BoxStream<'static, Result<Rows, SourceError>>, SourceError> {
        Ok(futures::stream::empty().boxed())
    }

    async fn ack(&mut self, _: &SourceState) -> Result<(), SourceError> {
        Ok(())
    }
}

/// The state without the letters', and how far they were read.
fn without(state: &SourceState) -> (SourceState, Option<i64>) {
    let mut inner = state.clone();
    let read = inner.offsets.remove(PARTITION);
    (inner, read)
}

/// Letters on their way to rows.
struct Reading<'a> {
    spec: &'a model::Source,
    context: &'a SourceContext,
    /// For records with a header or without.
    decoder: Option<(bool, Decoder)>,
}

impl Reading<'_> {
    fn letter(&mut self, offset: i64, letter: &Letter, emit: Emit<'_>) -> Result<(), Stop> {
        let headed = letter.header.is_some();
        if self.decoder.as_ref().is_none_or(|(of, _)| headed || *of != headed) {
            self.flush(emit)?;
            let mut format = self.spec.format.clone();
            if let Format::Csv(csv) = &mut format {
                csv.header = headed;
            }
            let SourceContext { projection, batch_rows, .. } = self.context;
            let mut decoder = Decoder::new(&format, &self.spec.schema, projection.as_deref(), *batch_rows)?;
            // A header stands in the line before.
            decoder.start(Arc::from(PARTITION), offset - i64::from(headed));
            self.decoder = Some((headed, decoder));
        }
        let Some((_, decoder)) = &mut self.decoder else { return Ok(()) };
        match &letter.header {
            Some(header) => {
                let bytes = [header.as_bytes(), b"\n", &letter.record].concat();
                decoder.block(&bytes, true);
            }
            None => decoder.record(offset, &letter.record),
        }
        match decoder.full() {
            true => self.flush(emit),
            false => Ok(()),
        }
    }

    fn flush(&mut self, emit: Emit<'_>) -> Result<(), Stop> {
        match &mut self.decoder {
            Some((_, decoder)) => decoder.take()?.map_or(Ok(()), emit),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
