//! Removes objects that no manifest names and none will: what a fold replaced, and what a crash left half done.
//!
//! A running writer puts objects before it names them. So only those are judged that the manifest has passed:
//! deltas and log segments of epochs that are committed, bases up to the published generation, log indexes up to the
//! horizon. An epoch or a generation, once passed, is never written again by a writer that can still commit.

use std::collections::BTreeSet;

use braid_kernel::ledger::decode;
use braid_kernel::manifest::LogIndex;
use braid_kernel::{Manifest, Segment, Store, StoreError};

/// How many log indexes one collection reads, newest first. Older parts of the log were judged by earlier ones.
pub const LOG_INDEXES_MAX: usize = 64;
/// How many objects are removed at once.
pub const REMOVALS_AT_ONCE: usize = 8;

/// What a collection found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Objects that a manifest names.
    pub named: usize,
    /// Objects that a writer may yet name, or a part of the log that was not looked at.
    pub spared: usize,
    /// Objects whose names Braid does not give. They stay.
    pub strange: Vec<String>,
    /// What was removed, by name.
    pub removed: Vec<String>,
}

/// Removes what neither `manifest` nor a `pinned` one names, of all that `manifest` has passed.
///
/// `manifest` is a committed one; that it may have been overtaken meanwhile does no harm. `pinned` are older ones that
/// readers may still hold: their segments stay. On an error some objects may be removed already; calling again
/// goes on.
pub async fn collect(store: &dyn Store, manifest: &Manifest, pinned: &[&Manifest]) -> Result<GcReport, StoreError> {
    let mut names = BTreeSet::new();
    for manifest in pinned.iter().copied().chain([manifest]) {
        names.extend(segments(manifest).map(|segment| segment.name.clone()));
    }
    let log_from = log_names(store, manifest, &mut names).await?;
    let generation = manifest.base.as_ref().map_or(0, |base| base.generation);
    let horizon = manifest.base.as_ref().map_or(0, |base| base.horizon);

    let mut found = store.list("tables/").await?;
    found.extend(store.list("log/").await?);
    let mut report = GcReport::default();
    for name in found {
        if names.contains(&name) {
            report.named += 1;
            continue;
        }
        let passed = match Place::of(&name) {
            None => {
                report.strange.push(name);
                continue;
            }
            Some(Place::Delta { epoch }) => epoch < manifest.next,
            Some(Place::Base { generation: of }) => of <= generation,
            Some(Place::Log { epoch }) => (log_from..manifest.next).contains(&epoch),
            Some(Place::LogIndex { end }) => log_from < end && end <= horizon,
        };
        if passed {
            report.removed.push(name);
        } else {
            report.spared += 1;
        }
    }
    for names in report.removed.chunks(REMOVALS_AT_ONCE) {
        braid_kernel::failpoint!("gc::delete::before");
        futures::future::try_join_all(names.iter().map(|name| store.delete(name))).await?;
        braid_kernel::failpoint!("gc::delete::after");
    }
    Ok(report)
}

/// What a name says about its object.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// `tables/<table>/delta/<epoch>-….parquet`
    Delta { epoch: u64 },
    /// `tables/<table>/base/<generation>-….parquet`
    Base { generation: u64 },
    /// `log/<source>/<epoch>-….parquet`
    Log { epoch: u64 },
    /// `log/index/<exclusive end of its epochs>-….json`
    LogIndex { end: u64 },
}

impl Place {
    fn of(name: &str) -> Option<Self> {
        let (folder, file) = name.rsplit_once('/')?;
        let (stem, extension) = file.rsplit_once('.')?;
        let digits = stem.split('-').next()?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let number: u64 = digits.parse().ok()?;
        match (extension, folder.split('/').collect::<Vec<_>>().as_slice()) {
            ("parquet", ["tables", _, "delta"]) => Some(Self::Delta { epoch: number }),
            ("parquet", ["tables", _, "base"]) => Some(Self::Base { generation: number }),
            ("parquet", ["log", _]) => Some(Self::Log { epoch: number }),
            ("json", ["log", "index"]) => Some(Self::LogIndex { end: number }),
            _ => None,
        }
    }
}

/// The segments that a manifest itself names.
fn segments(manifest: &Manifest) -> impl Iterator<Item = &Segment> {
    let tables = manifest.tables.values();
    let tables =
        tables.flat_map(|table| table.base.iter().chain(table.deltas.iter().flat_map(|delta| &delta.segments)));
    let log = &manifest.log;
    let seed = log.seed.values().flatten();
    let tail = log.tail.iter().flat_map(|epoch| epoch.segments.values().flatten());
    tables.chain(seed).chain(tail).chain(&log.index).chain(&log.archive)
}

/// Adds what the log's indexes name. Returns the first epoch from which on all names of the log are then known.
async fn log_names(store: &dyn Store, manifest: &Manifest, names: &mut BTreeSet<String>) -> Result<u64, StoreError> {
    let log = &manifest.log;
    // Below the log that is being kept there is either nothing, or older logs that are kept unread.
    let first = if log.archive.is_empty() { 0 } else { log.from.unwrap_or(manifest.next) };
    let mut next = log.index.clone();
    let mut known = log.tail.first().map_or(manifest.next, |epoch| epoch.epoch);
    for _ in 0..LOG_INDEXES_MAX {
        let Some(segment) = next else {
            return Ok(first);
        };
        let index: LogIndex = decode(&segment.name, &store.get(&segment.name).await?)?;
        for epoch in &index.epochs {
            known = known.min(epoch.epoch);
            names.extend(epoch.segments.values().flatten().map(|segment| segment.name.clone()));
        }
        names.insert(segment.name);
        next = index.previous;
    }
    Ok(if next.is_none() { first } else { known.max(first) })
}

#[cfg(test)]
#[path = "collect_tests.rs"]
mod tests;
