//! Where the rows of a state are kept: in memory, or on the local disk.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, RangeBounds};

use datafusion::common::Result;

use crate::disk::OnDisk;
use crate::state::{Kept, Key};

/// What a row in memory takes beside its bytes: its place in the tree, the counts and the lengths of both allocations.
const ROW_BYTES: u64 = 152;
/// What an instant at which it may be let go takes beside that.
const AT_BYTES: u64 = 40;

/// Rows, in order.
pub type Found<'a> = Box<dyn DoubleEndedIterator<Item = Result<(Key, Kept)>> + 'a>;
/// Keys that may be let go, by instant.
pub type Ending<'a> = Box<dyn Iterator<Item = Result<(i64, Vec<Key>)>> + 'a>;

/// Rows by key.
#[derive(Debug)]
pub enum Rows {
    Memory(InMemory),
    Disk(Box<OnDisk>),
}

/// Rows in memory.
#[derive(Debug, Default)]
pub struct InMemory {
    rows: BTreeMap<Key, Kept>,
    times: BTreeMap<i64, BTreeSet<Key>>,
    bytes: u64,
}

impl Rows {
    /// Bytes of rows in memory.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Memory(memory) => memory.bytes,
            Self::Disk(_) => 0,
        }
    }

    pub fn get(&self, key: &[u8]) -> Result<Option<Cow<'_, Kept>>> {
        match self {
            Self::Memory(memory) => Ok(memory.rows.get(key).map(Cow::Borrowed)),
            Self::Disk(disk) => Ok(disk.get(key)?.map(Cow::Owned)),
        }
    }

    /// The rows of a range of keys.
    pub fn range(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Found<'_> {
        match self {
            Self::Memory(memory) => {
                let rows = memory.rows.range::<[u8], _>((from, to));
                Box::new(rows.map(|(key, kept)| Ok((key.clone(), kept.clone()))))
            }
            Self::Disk(disk) => disk.range(from, to),
        }
    }

    /// The keys that may be let go at the instants of a range.
    pub fn by_time(&self, instants: impl RangeBounds<i64>) -> Ending<'_> {
        match self {
            Self::Memory(memory) => {
                let times = memory.times.range(instants);
                Box::new(times.map(|(at, keys)| Ok((*at, keys.iter().cloned().collect()))))
            }
            Self::Disk(disk) => disk.by_time(instants),
        }
    }

    /// Puts or removes a row; gives what was there.
    pub fn set(&mut self, key: &Key, kept: Option<Kept>) -> Result<Option<Kept>> {
        match self {
            Self::Memory(memory) => Ok(memory.set(key, kept)),
            Self::Disk(disk) => {
                let old = disk.get(key)?;
                disk.set(key, kept, old.as_ref())?;
                Ok(old)
            }
        }
    }

    /// Puts a row under a key that is not there.
    pub fn add(&mut self, key: &Key, kept: Kept) -> Result<()> {
        match self {
            Self::Memory(memory) => drop(memory.set(key, Some(kept))),
            Self::Disk(disk) => disk.set(key, Some(kept), None)?,
        }
        Ok(())
    }
}

impl InMemory {
    fn set(&mut self, key: &Key, kept: Option<Kept>) -> Option<Kept> {
        let at = kept.as_ref().and_then(|kept| kept.at);
        self.bytes += kept.as_ref().map_or(0, |kept| bytes(key, kept));
        let old = match kept {
            Some(kept) => self.rows.insert(key.clone(), kept),
            None => self.rows.remove(key),
        };
        self.bytes -= old.as_ref().map_or(0, |old| bytes(key, old));
        let old_at = old.as_ref().and_then(|old| old.at);
        if at == old_at {
            return old;
        }
        if let Some(at) = at {
            self.times.entry(at).or_default().insert(key.clone());
        }
        if let Some(at) = old_at
            && let Entry::Occupied(mut keys) = self.times.entry(at)
        {
            keys.get_mut().remove(key);
            if keys.get().is_empty() {
                keys.remove();
            }
        }
        old
    }

    /// All rows, in order.
    pub fn into_rows(self) -> impl Iterator<Item = (Key, Kept)> {
        self.rows.into_iter()
    }
}

fn bytes(key: &Key, kept: &Kept) -> u64 {
    let at = if kept.at.is_some() { AT_BYTES } else { 0 };
    key.len() as u64 + kept.value.len() as u64 + ROW_BYTES + at
}
