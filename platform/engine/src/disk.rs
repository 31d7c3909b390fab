//! Rows of a state on the local disk: one log-structured tree of rows by key, and one of keys by the time at which they
//! may be let go. There is no journal, since nothing here outlives the process. Trees are written and compacted by those
//! who change them, so that a disk that fails fails the epoch, and memory has a bound.

use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::common::{DataFusionError, Result};
use lsm_tree::compaction::Leveled;
use lsm_tree::config::PinningPolicy;
use lsm_tree::{AbstractTree, AnyTree, Cache, Config, Guard, SeqNo, SequenceNumberCounter};

use crate::memory::StateMemory;
use crate::rows::{Ending, Found};
use crate::state::{Kept, Key};

/// So many runs that may overlap are looked through for a key; more are merged.
const RUNS_MAX: usize = 4;
/// So often a tree is compacted after it was written, while there are too many runs.
const COMPACTIONS_MAX: usize = 16;
/// A file that is written in order is about so many times as large as one that was gathered.
const INGEST_GROWTH: u64 = 4;
/// A file is not made smaller when it is merged with others.
const FILE_BYTES_MIN: u64 = 1 << 20;
/// The longest key that a tree takes, with the time before it.
const KEY_BYTES_MAX: usize = 65_000;
/// What a key begins with in a tree, which has no empty keys.
const KEY_MARK: u8 = 0;

/// Rows on disk. See the module.
#[derive(Debug)]
pub struct OnDisk {
    rows: Tree,
    times: Tree,
    /// Before it nothing may be let go.
    first: i64,
    /// Behind it there are no rows.
    last: Option<Key>,
    memory: Arc<StateMemory>,
    disk_bytes: u64,
    /// A change was made by half.
    broken: bool,
    /// Removed when the trees in it are closed.
    _folder: Folder,
}

#[derive(Debug)]
struct Folder(PathBuf);

struct Tree {
    tree: AnyTree,
    seqno: SequenceNumberCounter,
}

impl std::fmt::Debug for Tree {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tree").field("bytes", &self.tree.disk_space()).finish()
    }
}

type TreeResult<T> = std::result::Result<T, lsm_tree::Error>;

impl Tree {
    fn open(folder: &Path, cache: Arc<Cache>) -> TreeResult<Self> {
        let seqno = SequenceNumberCounter::default();
        // Filters and indexes are read like any block, so that the cache's size bounds them too.
        let tree = Config::new(folder, seqno.clone(), SequenceNumberCounter::default())
            .use_cache(cache)
            .index_block_partitioning_policy(PinningPolicy::all(true))
            .filter_block_partitioning_policy(PinningPolicy::all(true))
            .index_block_pinning_policy(PinningPolicy::all(false))
            .filter_block_pinning_policy(PinningPolicy::all(false))
            .open()?;
        Ok(Self { tree, seqno })
    }

    fn get(&self, key: &[u8]) -> TreeResult<Option<lsm_tree::UserValue>> {
        self.tree.get(key, SeqNo::MAX)
    }

    fn insert(&self, key: &[u8], value: &[u8], unwritten_max: u64) -> TreeResult<bool> {
        let (_, unwritten) = self.tree.insert(key, value, self.seqno.next());
        self.write(unwritten, unwritten_max)
    }

    fn remove(&self, key: &[u8], unwritten_max: u64) -> TreeResult<bool> {
        let (_, unwritten) = self.tree.remove(key, self.seqno.next());
        self.write(unwritten, unwritten_max)
    }

    /// Writes what was gathered, if it is enough; says whether it did.
    fn write(&self, unwritten: u64, unwritten_max: u64) -> TreeResult<bool> {
        if unwritten < unwritten_max {
            return Ok(false);
        }
        let lock = self.tree.get_flush_lock();
        self.tree.rotate_memtable();
        self.tree.flush(&lock, self.seqno.get())?;
        drop(lock);
        self.compact(unwritten_max)?;
        Ok(true)
    }

    /// Puts keys that are not there, in any order, without values.
    fn ingest(&self, mut keys: Vec<Vec<u8>>, unwritten_max: u64) -> TreeResult<()> {
        if keys.is_empty() {
            return Ok(());
        }
        keys.sort_unstable();
        let mut ingestion = self.tree.ingestion()?;
        for key in keys {
            ingestion.write(key, Vec::new())?;
        }
        ingestion.finish()?;
        self.compact(unwritten_max)
    }

    fn compact(&self, unwritten_max: u64) -> TreeResult<()> {
        let strategy = Arc::new(Leveled::default().with_table_target_size(unwritten_max.max(FILE_BYTES_MIN)));
        for _ in 0..COMPACTIONS_MAX {
            self.tree.compact(strategy.clone(), self.seqno.get())?;
            if self.tree.l0_run_count() < RUNS_MAX {
                break;
            }
        }
        Ok(())
    }
}

impl OnDisk {
    /// No rows.
    pub fn new(memory: &Arc<StateMemory>) -> Result<Self> {
        let failed = |error: &dyn std::fmt::Display| outside(memory, &error);
        let (folder, cache) = memory.folder().map_err(|error| failed(&error))?;
        let folder = Folder(folder);
        let open = |name: &str| Tree::open(&folder.0.join(name), cache.clone()).map_err(|error| failed(&plain(error)));
        let (rows, times) = (open("rows")?, open("times")?);
        memory.trees(2);
        let (memory, last) = (memory.clone(), None);
        Ok(Self { rows, times, first: i64::MAX, last, memory, disk_bytes: 0, broken: false, _folder: folder })
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<Kept>> {
        self.whole()?;
        let found = self.rows.get(&stored(key)).map_err(|error| outside(&self.memory, &plain(error)))?;
        Ok(found.map(|found| kept(&found)))
    }

    pub fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Found<'_> {
        if let Err(error) = self.whole() {
            return Box::new(std::iter::once(Err(error)));
        }
        let (from, to) = (from.map(stored), to.map(stored));
        let rows = self.rows.tree.range::<Vec<u8>, _>((from, to), SeqNo::MAX, None);
        Box::new(rows.map(|row| {
            let (key, value) = row.into_inner().map_err(|error| outside(&self.memory, &plain(error)))?;
            Ok((Key::from(&key[1..]), kept(&value)))
        }))
    }

    pub fn by_time(&self, instants: impl RangeBounds<i64>) -> Ending<'_> {
        // What was let go leaves marks behind: nothing is before the first that was put since.
        let from = match instants.start_bound() {
            Bound::Included(from) => Bound::Included(timed(self.first.max(*from), &[])),
            Bound::Excluded(from) => Bound::Included(timed(self.first.max(from.saturating_add(1)), &[])),
            Bound::Unbounded => Bound::Included(timed(self.first, &[])),
        };
        let to = match instants.end_bound() {
            Bound::Included(&i64::MAX) | Bound::Unbounded => Bound::Unbounded,
            Bound::Included(to) => Bound::Excluded(timed(to + 1, &[])),
            Bound::Excluded(to) => Bound::Excluded(timed(*to, &[])),
        };
        if let (Bound::Included(from), Bound::Excluded(to)) = (&from, &to)
            && from >= to
        {
            return Box::new(std::iter::empty());
        }
        let times = self.times.tree.range::<Vec<u8>, _>((from, to), SeqNo::MAX, None);
        let mut times = times.map(|row| row.key().map(|key| untimed(&key))).peekable();
        Box::new(std::iter::from_fn(move || {
            let (at, key) = match times.next()? {
                Ok(first) => first,
                Err(error) => return Some(Err(outside(&self.memory, &plain(error)))),
            };
            let mut keys = vec![key];
            while let Some(Ok((_, key))) = times.next_if(|next| next.as_ref().is_ok_and(|(other, _)| *other == at)) {
                keys.push(key);
            }
            Some(Ok((at, keys)))
        }))
    }

    /// Puts or removes a row where another is.
    pub fn set(&mut self, key: &Key, kept: Option<Kept>, old: Option<&Kept>) -> Result<()> {
        self.whole()?;
        if key.len() > KEY_BYTES_MAX {
            let reason = format!("a key of {} bytes is longer than {KEY_BYTES_MAX}, the longest there", key.len());
            return Err(outside(&self.memory, &reason));
        }
        let max = self.memory.unwritten_bytes_max();
        let (at, old_at) = (kept.as_ref().and_then(|kept| kept.at), old.and_then(|old| old.at));
        let change = || -> TreeResult<bool> {
            let mut written = match &kept {
                Some(kept) => self.rows.insert(&stored(key), &bytes(kept), max)?,
                None => self.rows.remove(&stored(key), max)?,
            };
            if at != old_at {
                if let Some(at) = old_at {
                    written |= self.times.remove(&timed(at, key), max)?;
                }
                if let Some(at) = at {
                    written |= self.times.insert(&timed(at, key), &[], max)?;
                }
            }
            Ok(written)
        };
        match change() {
            Ok(written) => {
                self.first = self.first.min(at.unwrap_or(i64::MAX));
                if self.last.as_ref().is_none_or(|last| last < key) && kept.is_some() {
                    self.last = Some(key.clone());
                }
                if written {
                    self.measure();
                }
                Ok(())
            }
            Err(error) => {
                self.broken = true;
                Err(outside(&self.memory, &plain(error)))
            }
        }
    }

    /// Says that nothing at or before an instant is left.
    pub fn let_go(&mut self, instant: i64) {
        self.first = self.first.max(instant.saturating_add(1));
    }

    /// Whether rows from this key on could be written in order behind all others.
    pub fn ends_before(&self, key: &Key) -> bool {
        self.last.as_ref().is_none_or(|last| last < key)
    }

    /// Takes rows of keys that are not there, which ascend.
    pub fn extend(&mut self, rows: impl IntoIterator<Item = (Key, Kept)>) -> Result<u64> {
        self.whole()?;
        self.broken = true;
        let count = self.ingest(rows)?;
        self.broken = false;
        self.measure();
        Ok(count)
    }

    fn ingest(&mut self, rows: impl IntoIterator<Item = (Key, Kept)>) -> Result<u64> {
        let memory = self.memory.clone();
        let failed = |error: lsm_tree::Error| outside(&memory, &plain(error));
        let max = memory.unwritten_bytes_max();
        let (mut rows, mut count) = (rows.into_iter().peekable(), 0);
        while rows.peek().is_some() {
            // A writer remembers each key of a file for its filter: files must end.
            let (mut ingestion, mut written) = (self.rows.tree.ingestion().map_err(failed)?, 0);
            let (mut times, mut gathered) = (vec![], 0);
            while written < max.saturating_mul(INGEST_GROWTH)
                && let Some((key, kept)) = rows.next()
            {
                if key.len() > KEY_BYTES_MAX {
                    let reason =
                        format!("a key of {} bytes is longer than {KEY_BYTES_MAX}, the longest there", key.len());
                    return Err(outside(&memory, &reason));
                }
                let value = bytes(&kept);
                written += (key.len() + value.len()) as u64;
                ingestion.write(stored(&key), value).map_err(failed)?;
                if let Some(at) = kept.at {
                    let time = timed(at, &key);
                    gathered += (time.len() + size_of_val(&time)) as u64;
                    times.push(time);
                    self.first = self.first.min(at);
                    if gathered > max {
                        self.times.ingest(std::mem::take(&mut times), max).map_err(failed)?;
                        gathered = 0;
                    }
                }
                count += 1;
                self.last = self.last.take().max(Some(key));
            }
            ingestion.finish().map_err(failed)?;
            self.rows.compact(max).map_err(failed)?;
            self.times.ingest(times, max).map_err(failed)?;
        }
        Ok(count)
    }

    fn measure(&mut self) {
        let now = self.rows.tree.disk_space() + self.times.tree.disk_space();
        self.memory.on_disk(std::mem::replace(&mut self.disk_bytes, now), now);
    }

    fn whole(&self) -> Result<()> {
        match self.broken {
            true => Err(outside(&self.memory, &"a change failed before")),
            false => Ok(()),
        }
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        self.memory.trees(-2);
        self.memory.on_disk(self.disk_bytes, 0);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn outside(memory: &StateMemory, reason: &impl std::fmt::Display) -> DataFusionError {
    DataFusionError::External(Box::new(memory.failed(reason)))
}

/// What the system said, where it said it.
fn plain(error: lsm_tree::Error) -> String {
    match error {
        lsm_tree::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn stored(key: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(key.len() + 1);
    stored.push(KEY_MARK);
    stored.extend_from_slice(key);
    stored
}

/// An instant before a key, in the order of instants.
fn timed(at: i64, key: &[u8]) -> Vec<u8> {
    let mut timed = ((at as u64) ^ (1 << 63)).to_be_bytes().to_vec();
    timed.extend_from_slice(key);
    timed
}

fn untimed(timed: &[u8]) -> (i64, Key) {
    let (at, key) = timed.split_at(8);
    let at = at.iter().fold(0u64, |at, byte| at << 8 | u64::from(*byte));
    ((at ^ (1 << 63)) as i64, Key::from(key))
}

/// Whether it is marked and has a time, the time, and the value.
fn bytes(kept: &Kept) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(kept.value.len() + 9);
    bytes.push(u8::from(kept.marked) | u8::from(kept.at.is_some()) << 1);
    bytes.extend(kept.at.into_iter().flat_map(i64::to_be_bytes));
    bytes.extend_from_slice(&kept.value);
    bytes
}

fn kept(bytes: &[u8]) -> Kept {
    let (notes, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let (at, value) = match notes & 2 != 0 {
        true => {
            let (at, value) = rest.split_at(8.min(rest.len()));
            (Some(at.iter().fold(0i64, |at, byte| at << 8 | i64::from(*byte))), value)
        }
        false => (None, rest),
    };
    Kept { value: value.into(), at, marked: notes & 1 != 0 }
}
