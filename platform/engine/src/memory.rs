//! The memory that all states of a process share, and the place on the local disk for what is beyond it.
//!
//! Half of the bound is for rows in memory. When all states together hold more, those with at least their share move
//! to disk, and stay there; the other half is theirs: blocks that were read, and rows that are still to be written.
//! Nothing on disk outlives the process: states are restored from the store.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use braid_kernel::JobError;
use lsm_tree::Cache;
use uuid::Uuid;

/// What folders of processes are called, in the directory for states.
const FOLDER_PREFIX: &str = "braid-state-";
/// A folder whose file of this name is locked is in use.
const LOCK: &str = "lock";
/// The part of the bound that is for blocks that were read.
const CACHE_PART: u64 = 8;
/// Not less is kept of what was read.
const CACHE_BYTES_MIN: u64 = 64 << 10;
/// The part of the bound for rows that are still to be written. A tree of them takes several times what they count.
const UNWRITTEN_PART: u64 = 12;
/// Not less is gathered before it is written.
const UNWRITTEN_BYTES_MIN: u64 = if cfg!(test) { 1 << 10 } else { 64 << 10 };
/// Not more is gathered before it is written.
const UNWRITTEN_BYTES_MAX: u64 = 32 << 20;

/// What all states share. See the module.
#[derive(Debug)]
pub struct StateMemory {
    bytes: u64,
    directory: PathBuf,
    states: AtomicU64,
    /// Bytes of rows in memory.
    rows_bytes: AtomicU64,
    rows: AtomicU64,
    trees: AtomicU64,
    disk_bytes: AtomicU64,
    open: Mutex<Option<Open>>,
}

/// The folder of this process.
struct Open {
    folder: PathBuf,
    cache: Arc<Cache>,
    states: u64,
    /// Locked for as long as the folder is in use.
    _lock: File,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Open").field("folder", &self.folder).finish()
    }
}

/// What states take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateUsage {
    /// Keys of all states.
    pub rows: u64,
    /// Bytes of rows in memory, and of what is in memory for those on disk.
    pub memory_bytes: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
}

impl StateMemory {
    /// So many bytes, and beyond them this directory.
    pub fn new(bytes: u64, directory: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            bytes,
            directory,
            states: AtomicU64::new(0),
            rows_bytes: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            trees: AtomicU64::new(0),
            disk_bytes: AtomicU64::new(0),
            open: Mutex::new(None),
        })
    }

    /// No bound.
    pub fn unbounded() -> Arc<Self> {
        Self::new(u64::MAX, std::env::temp_dir())
    }

    /// Removes what processes left that were killed.
    pub fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.directory) else {
            return;
        };
        for folder in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(FOLDER_PREFIX)) {
            let folder = folder.path();
            let Ok(lock) = File::open(folder.join(LOCK)) else {
                continue;
            };
            if lock.try_lock().is_ok()
                && let Err(error) = fs::remove_dir_all(&folder)
            {
                tracing::warn!(folder = %folder.display(), %error, "what a process left of its states cannot be removed");
            }
        }
    }

    /// Makes the folder of this process, so that a directory in which there can be none is known early.
    pub fn prepare(&self) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        self.opened(&mut open).map(|_| ())
    }

    /// Where states that do not fit into memory go.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What states take now.
    pub fn usage(&self) -> StateUsage {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = open.as_ref().map_or(0, |open| open.cache.size());
        StateUsage {
            rows: self.rows.load(Relaxed),
            memory_bytes: self.rows_bytes.load(Relaxed) + cached,
            disk_bytes: self.disk_bytes.load(Relaxed),
        }
    }

    /// A folder for one state, and the cache of all.
    pub(crate) fn folder(&self) -> io::Result<(PathBuf, Arc<Cache>)> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self.opened(&mut open)?;
        open.states += 1;
        let folder = open.folder.join(open.states.to_string());
        fs::create_dir_all(&folder)?;
        Ok((folder, open.cache.clone()))
    }

    fn opened<'a>(&self, open: &'a mut Option<Open>) -> io::Result<&'a mut Open> {
        // Somebody may have removed it.
        if let Some(stale) = open.take_if(|open| !open.folder.join(LOCK).exists()) {
            drop(stale);
        }
        if let Some(open) = open {
            return Ok(open);
        }
        let folder = self.directory.join(format!("{FOLDER_PREFIX}{}", Uuid::new_v4()));
        fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join(LOCK))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::Error::other("another process sweeps it up"),
        })?;
        let cache = Arc::new(Cache::with_capacity_bytes((self.bytes / CACHE_PART).max(CACHE_BYTES_MIN)));
        Ok(open.insert(Open { folder, cache, states: 0, _lock: lock }))
    }

    /// What one tree on disk may hold in memory before it is written.
    pub(crate) fn unwritten_bytes_max(&self) -> u64 {
        let part = self.bytes / UNWRITTEN_PART / self.trees.load(Relaxed).max(1);
        part.clamp(UNWRITTEN_BYTES_MIN, UNWRITTEN_BYTES_MAX)
    }

    /// Says that there are more or fewer trees on disk.
    pub(crate) fn trees(&self, more: i64) {
        self.trees.fetch_add(more as u64, Relaxed);
    }

    /// Says that more or less is on disk.
    pub(crate) fn on_disk(&self, before: u64, now: u64) {
        self.disk_bytes.fetch_add(now.wrapping_sub(before), Relaxed);
    }

    /// What went wrong with the local disk.
    pub(crate) fn failed(&self, reason: &impl std::fmt::Display) -> JobError {
        let directory = self.directory.display();
        JobError::StateDisk(format!(
            "state does not fit into `state.memory`, and the directory {directory} does not take it: {reason}; \
             make room there, name another `state.directory`, or raise `state.memory`"
        ))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // What cannot be removed now is swept up at the next start.
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// One state's part in the memory of all.
#[derive(Debug)]
pub struct Share {
    memory: Arc<StateMemory>,
    bytes: u64,
    rows: u64,
}

impl Share {
    /// Of a state without rows.
    pub fn new(memory: Arc<StateMemory>) -> Self {
        memory.states.fetch_add(1, Relaxed);
        Self { memory, bytes: 0, rows: 0 }
    }

    /// What all share.
    pub fn memory(&self) -> &Arc<StateMemory> {
        &self.memory
    }

    /// Says how many rows there are now, and how many bytes of them are in memory.
    pub fn now(&mut self, rows: u64, bytes: u64) {
        self.memory.rows.fetch_add(rows.wrapping_sub(self.rows), Relaxed);
        self.memory.rows_bytes.fetch_add(bytes.wrapping_sub(self.bytes), Relaxed);
        (self.rows, self.bytes) = (rows, bytes);
    }

    /// Whether this state is one of those that have to move to disk. There is one whenever there is too much: one of
    /// them has at least as much as they have on average.
    pub fn too_much(&self) -> bool {
        let all = self.memory.rows_bytes.load(Relaxed);
        all > self.memory.bytes / 2 && self.bytes > 0 && self.bytes >= all / self.memory.states.load(Relaxed).max(1)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.now(0, 0);
        self.memory.states.fetch_sub(1, Relaxed);
    }
}
