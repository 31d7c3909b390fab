//! The manifest on a store: a log of edits that grows by compare-and-set, with a snapshot now and then.
//!
//! Creating `manifest/edit/<sequence>.json` is the only durable moment of a change: of two writers that try, one
//! wins, and the other is fenced. Where a reply was lost the edit is tried again, and found to be ours or not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::error::StoreError;
use crate::failpoint;
use crate::manifest::{Broken, Change, Edit, Manifest, Open};
use crate::traits::{Clock, Store};

const EDITS: &str = "manifest/edit/";
const SNAPSHOTS: &str = "manifest/snapshot/";

/// A snapshot is written after so many edits: what a reader has to replay at most, twice over.
pub const EDITS_PER_SNAPSHOT: u64 = 128;
/// Edits are kept this long after a snapshot made them needless, so that a writer that slept is fenced by them.
pub const FENCE_MS: i64 = 60_000;
/// How often a step with an unknown outcome is tried again.
pub const TRIES_MAX: u32 = 10;
/// The longest wait between two tries.
pub const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Why the manifest could not be read or changed.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// Another process took over. This one must stop, and must not touch the world again.
    #[error("another process has taken over this deployment's store (writer {0}); this one stops")]
    Fenced(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log of edits does not fit together.
    #[error("{name}: {reason}")]
    Damaged { name: String, reason: String },
    /// A bug, or a store that somebody else changed.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The store was written by a newer version.
    #[error("the store has format {found}; this version reads up to {known}: use the newer version again")]
    TooNew { found: u32, known: u32 },
    /// What a view says was changed, and its rows would no longer be what the new text means.
    #[error("{}", incompatible(changed, added))]
    Incompatible { changed: Vec<String>, added: Vec<String> },
}

fn incompatible(changed: &[String], added: &[String]) -> String {
    let mut parts = vec![];
    if !changed.is_empty() {
        parts.push(format!("the definition of {} has changed", changed.join(", ")));
    }
    if !added.is_empty() {
        parts.push(format!("{} is new, and this store has no past for it", added.join(", ")));
    }
    format!(
        "{} since this store was written: name another `store:` to compute it from the start, or restore the definition",
        parts.join("; ")
    )
}

/// The one writer of a manifest.
pub struct Ledger {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    manifest: Arc<Manifest>,
    writer: String,
    touched_ms: i64,
    edits_since_snapshot: u64,
    first_edit: u64,
    snapshots: VecDeque<(u64, i64)>,
}

/// The newest manifest of a store; an empty one where there is none.
pub async fn load(store: &dyn Store) -> Result<Manifest, LedgerError> {
    loop {
        let newest = store.list(SNAPSHOTS).await?.pop();
        let mut manifest = match &newest {
            Some(name) => decode::<Manifest>(name, &store.get(name).await?)?,
            None => Manifest::default(),
        };
        if manifest.format > Manifest::FORMAT {
            return Err(LedgerError::TooNew { found: manifest.format, known: Manifest::FORMAT });
        }
        let first = edit_name(manifest.sequence + 1);
        let mut trimmed = false;
        for name in store.list(EDITS).await?.into_iter().filter(|name| *name >= first) {
            let expected = edit_name(manifest.sequence + 1);
            let bytes = match store.get(&name).await {
                // A writer trims edits that a newer snapshot holds: start again from that one.
                Err(StoreError::NotFound(_)) => {
                    trimmed = true;
                    break;
                }
                other => other?,
            };
            if name != expected {
                trimmed = newest.as_ref() != store.list(SNAPSHOTS).await?.last();
                if trimmed {
                    break;
                }
                return Err(LedgerError::Damaged { name, reason: format!("{expected} is missing before it") });
            }
            manifest.apply(&decode::<Edit>(&name, &bytes)?)?;
        }
        if !trimmed {
            return Ok(manifest);
        }
    }
}

impl Ledger {
    /// Takes over a store as its only writer: a writer before us is fenced at its next step.
    /// `writer` must be a name that nobody had before.
    pub async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        writer: String,
        open: Open,
    ) -> Result<Self, LedgerError> {
        loop {
            let manifest = load(&*store).await?;
            compatible(&manifest, &open)?;
            let first_edit = match store.list(EDITS).await?.first() {
                Some(name) => sequence_of(name)?,
                None => manifest.sequence + 1,
            };
            let mut ledger = Self {
                touched_ms: clock.now_ms(),
                edits_since_snapshot: manifest.sequence.saturating_sub(first_edit),
                store: store.clone(),
                clock: clock.clone(),
                manifest: Arc::new(manifest),
                writer: writer.clone(),
                first_edit,
                snapshots: VecDeque::new(),
            };
            match ledger.commit(Change::Open(open.clone())).await {
                // The writer before us committed between our look and our step: look again.
                Err(LedgerError::Fenced(other)) => {
                    tracing::debug!(other, "taking over a store that is being written")
                }
                Err(error) => return Err(error),
                Ok(()) => return Ok(ledger),
            }
        }
    }

    /// The manifest as of the last commit.
    pub fn manifest(&self) -> Arc<Manifest> {
        self.manifest.clone()
    }

    /// The store beneath.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// This writer's name.
    pub fn writer(&self) -> &str {
        &self.writer
    }

    /// Makes a change durable. When it returns an error other than [`LedgerError::Fenced`], the change may still be
    /// found after a restart; it is never found half.
    pub async fn commit(&mut self, change: Change) -> Result<(), LedgerError> {
        let edit = Edit { writer: self.writer.clone(), change };
        let mut next = Manifest::clone(&self.manifest);
        next.apply(&edit)?;
        let name = edit_name(next.sequence);
        let bytes = encode(&edit)?;
        failpoint!("manifest::create::before");
        if let Some(ours) = self.create(&name, bytes).await? {
            Arc::make_mut(&mut self.manifest).apply(&ours)?;
            let reason = "an earlier step of this writer turned out to have happened".into();
            return Err(StoreError::Unknown { name, reason }.into());
        }
        failpoint!("manifest::create::after");
        if self.clock.now_ms() - self.touched_ms > FENCE_MS / 2 {
            self.still_ours(next.sequence).await?;
        }
        self.touched_ms = self.clock.now_ms();
        self.manifest = Arc::new(next);
        self.edits_since_snapshot += 1;
        if self.edits_since_snapshot >= EDITS_PER_SNAPSHOT {
            self.snapshot().await?;
        }
        Ok(())
    }

    /// Creates the edit, whatever becomes of replies. Where an earlier edit of ours stands in its place, which was
    /// given up with an unknown outcome, that one is returned.
    async fn create(&self, name: &str, bytes: Bytes) -> Result<Option<Edit>, LedgerError> {
        let mut backoff = Duration::from_millis(20);
        for attempt in 1.. {
            match self.store.create(name, bytes.clone()).await {
                Ok(()) => break,
                Err(StoreError::Exists(_)) => {
                    let there = retry(&*self.clock, || self.store.get(name)).await?;
                    if there == bytes {
                        break;
                    }
                    let edit = decode::<Edit>(name, &there)?;
                    return if edit.writer == self.writer {
                        Ok(Some(edit))
                    } else {
                        Err(LedgerError::Fenced(edit.writer))
                    };
                }
                Err(error @ StoreError::Unknown { .. }) if attempt < TRIES_MAX => {
                    tracing::warn!(%error, attempt, "trying the commit again");
                    self.clock.sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// After a long silence: a writer that overtook us may have trimmed the edit that would have fenced us.
    async fn still_ours(&self, sequence: u64) -> Result<(), LedgerError> {
        match self.store.list(SNAPSHOTS).await?.last() {
            Some(newest) if sequence_of(newest)? >= sequence => {
                let manifest = decode::<Manifest>(newest, &self.store.get(newest).await?)?;
                Err(LedgerError::Fenced(manifest.writer))
            }
            _ => Ok(()),
        }
    }

    async fn snapshot(&mut self) -> Result<(), LedgerError> {
        let sequence = self.manifest.sequence;
        let bytes = encode(&*self.manifest)?;
        failpoint!("manifest::snapshot::before");
        let name = format!("{SNAPSHOTS}{sequence:020}.json");
        retry(&*self.clock, || self.store.put(&name, bytes.clone())).await?;
        failpoint!("manifest::snapshot::after");
        self.edits_since_snapshot = 0;
        let now = self.clock.now_ms();
        self.snapshots.push_back((sequence, now));
        while self.snapshots.len() > 1 && now - self.snapshots[0].1 > FENCE_MS {
            let Some((old, _)) = self.snapshots.pop_front() else {
                break;
            };
            failpoint!("manifest::trim::before");
            for edit in self.first_edit..=old {
                self.store.delete(&edit_name(edit)).await?;
            }
            self.first_edit = old + 1;
            for name in self.store.list(SNAPSHOTS).await? {
                if sequence_of(&name)? < old {
                    self.store.delete(&name).await?;
                }
            }
        }
        Ok(())
    }
}

/// Tries again what has an unknown outcome and can be repeated.
pub async fn retry<T, F, Fut>(clock: &dyn Clock, mut step: F) -> Result<T, StoreError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, StoreError>>,
{
    let mut backoff = Duration::from_millis(20);
    for attempt in 1.. {
        match step().await {
            Err(error @ StoreError::Unknown { .. }) if attempt < TRIES_MAX => {
                tracing::warn!(%error, attempt, "trying again");
                clock.sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
            }
            other => return other,
        }
    }
    unreachable!("the last attempt returns")
}

fn compatible(manifest: &Manifest, open: &Open) -> Result<(), LedgerError> {
    let mut changed = vec![];
    let mut added = vec![];
    for (table, definition) in &open.definitions {
        match manifest.definitions.get(table) {
            Some(before) if before != definition => changed.push(table.clone()),
            None if manifest.next > 0 => added.push(table.clone()),
            _ => {}
        }
    }
    match changed.is_empty() && added.is_empty() {
        true => Ok(()),
        false => Err(LedgerError::Incompatible { changed, added }),
    }
}

fn edit_name(sequence: u64) -> String {
    format!("{EDITS}{sequence:020}.json")
}

fn sequence_of(name: &str) -> Result<u64, LedgerError> {
    let stem = name.rsplit('/').next().and_then(|file| file.strip_suffix(".json"));
    stem.and_then(|stem| stem.parse().ok())
        .ok_or_else(|| LedgerError::Damaged { name: name.into(), reason: "not a name of the manifest".into() })
}

/// Durable JSON ends in its own CRC-32, so that a flipped bit is an error and not another manifest.
pub fn encode<T: serde::Serialize>(value: &T) -> Result<Bytes, StoreError> {
    let mut bytes = serde_json::to_vec(value)
        .map_err(|error| StoreError::Failed { name: "manifest".into(), reason: error.to_string() })?;
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(format!("\n{crc:08x}\n").as_bytes());
    Ok(bytes.into())
}

/// Reads what [`encode`] wrote.
pub fn decode<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, StoreError> {
    let corrupt = |reason: String| StoreError::Corrupt { name: name.into(), reason };
    let (body, tail) =
        bytes.len().checked_sub(10).map(|at| bytes.split_at(at)).ok_or_else(|| corrupt("it is too short".into()))?;
    if tail != format!("\n{:08x}\n", crc32fast::hash(body)).as_bytes() {
        return Err(corrupt("its checksum does not fit".into()));
    }
    serde_json::from_slice(body).map_err(|error| corrupt(error.to_string()))
}
