//! A local directory as a store. Every write is on the disk, name and all, before it returns.
//!
//! `object_store` writes local files too, but syncs neither a file nor its directory: after a loss of power its
//! newest objects may be empty or gone. A write here is a temporary file, synced, then given its name in one step
//! (`rename`, or `link` where the name must be free), then the directory synced: two syncs in all.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use braid_kernel::{Store, StoreError};
use bytes::Bytes;
use uuid::Uuid;

/// Where files are written before they get their names: a folder of the store that no name may begin with.
const TEMPORARY: &str = ".tmp";
/// What a writer that was killed left in [`TEMPORARY`] is removed at the first opening after this long.
const TEMPORARY_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// A directory as a store.
#[derive(Clone)]
pub(crate) struct LocalStore {
    root: Arc<Path>,
    /// Directories whose own entries are known to be on the disk.
    durable: Arc<Mutex<HashSet<PathBuf>>>,
}

#[derive(Clone, Copy)]
enum Over {
    /// Whatever has the name is replaced.
    Anything,
    /// The name must be free.
    Nothing,
}

impl LocalStore {
    /// Makes the directory if need be.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        let root = std::path::absolute(root)?;
        create_directory(&root)?;
        let temporary = root.join(TEMPORARY);
        create_directory(&temporary)?;
        remove_old(&temporary)?;
        let durable = HashSet::from([root.clone()]);
        Ok(Self { root: root.into(), durable: Arc::new(Mutex::new(durable)) })
    }

    fn path(&self, name: &str) -> Result<PathBuf, StoreError> {
        let reserved = name.split('/').next() == Some(TEMPORARY);
        if reserved || !is_name(name) {
            return Err(StoreError::Failed {
                name: name.to_owned(),
                reason: format!(
                    "not a name for an object: parts between single `/`, none of them `.` or `..`, the first not `{TEMPORARY}`"
                ),
            });
        }
        Ok(self.root.join(name))
    }

    fn read(&self, name: &str) -> Result<Bytes, StoreError> {
        match fs::read(self.path(name)?) {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) if is_absent(&error) => Err(StoreError::NotFound(name.to_owned())),
            Err(error) => Err(failed(name, "read", &error)),
        }
    }

    fn write(&self, name: &str, bytes: &[u8], over: Over) -> Result<(), StoreError> {
        let target = self.path(name)?;
        let directory = target.parent().expect("a name is below the root").to_owned();
        let staged =
            Staged::write(&self.root, bytes).map_err(|error| failed(name, "write a temporary file for it", &error))?;
        self.ensure(&directory).map_err(|error| failed(name, "make its directory", &error))?;
        let named = match over {
            Over::Anything => fs::rename(&staged.path, &target),
            Over::Nothing => fs::hard_link(&staged.path, &target),
        };
        match named {
            Ok(()) => {}
            Err(error) if matches!(over, Over::Nothing) && error.kind() == ErrorKind::AlreadyExists => {
                return Err(StoreError::Exists(name.to_owned()));
            }
            Err(error) => return Err(failed(name, "name the file", &error)),
        }
        // From here on a reader can see it, but it may not survive a loss of power.
        sync(&directory).map_err(|error| StoreError::Unknown {
            name: name.to_owned(),
            reason: format!("cannot sync its directory: {error}"),
        })
    }

    /// Makes a directory and its parents up to the root, and their entries durable. Another process, or one that
    /// died, may have made a directory without syncing it yet: so each is synced once by this store, made or found.
    fn ensure(&self, directory: &Path) -> io::Result<()> {
        let durable = || self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if durable().contains(directory) {
            return Ok(());
        }
        let parent = directory.parent().expect("the root is always known");
        self.ensure(parent)?;
        match fs::create_dir(directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => sync(parent)?,
        }
        durable().insert(directory.to_owned());
        Ok(())
    }

    fn walk(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        let start = prefix.strip_suffix('/').unwrap_or(prefix);
        let mut folders =
            vec![(start.to_owned(), if start.is_empty() { self.root.to_path_buf() } else { self.path(start)? })];
        while let Some((folder, path)) = folders.pop() {
            let unreadable = |error: io::Error| failed(&format!("{folder}/"), "list", &error);
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(unreadable(error)),
            };
            for entry in entries {
                let entry = entry.map_err(unreadable)?;
                // What is not UTF-8, or no file, was not written here.
                let Ok(part) = entry.file_name().into_string() else {
                    continue;
                };
                let name = if folder.is_empty() { part } else { format!("{folder}/{part}") };
                let kind = entry.file_type().map_err(unreadable)?;
                if kind.is_dir() && name != TEMPORARY {
                    folders.push((name, entry.path()));
                } else if kind.is_file() {
                    names.push(name);
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        match fs::remove_file(self.path(name)?) {
            Err(error) if !is_absent(&error) => Err(failed(name, "remove", &error)),
            _ => Ok(()),
        }
    }

    /// Runs blocking file work away from the runtime's own threads.
    async fn blocking<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&Self, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (store, owned) = (self.clone(), name.to_owned());
        tokio::task::spawn_blocking(move || work(&store, &owned))
            .await
            .unwrap_or_else(|error| Err(StoreError::Unknown { name: name.to_owned(), reason: error.to_string() }))
    }
}

#[async_trait]
impl Store for LocalStore {
    async fn get(&self, name: &str) -> Result<Bytes, StoreError> {
        self.blocking(name, Self::read).await
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.blocking(name, move |store, name| store.write(name, &bytes, Over::Anything)).await
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.blocking(name, move |store, name| store.write(name, &bytes, Over::Nothing)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.blocking(prefix, Self::walk).await
    }

    /// Not synced: an object that comes back after a loss of power is one that nobody names.
    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.blocking(name, Self::remove).await
    }
}

/// A synced file without its final name. Its temporary name goes away with it; after a rename it is gone already.
struct Staged {
    path: PathBuf,
}

impl Staged {
    fn write(root: &Path, bytes: &[u8]) -> io::Result<Self> {
        let staged = Self { path: root.join(TEMPORARY).join(Uuid::new_v4().to_string()) };
        let mut file = OpenOptions::new().write(true).create_new(true).open(&staged.path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(staged)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(path = %self.path.display(), %error, "cannot remove a temporary file");
            }
            _ => {}
        }
    }
}

/// Whether a name has parts between single slashes, none of which means a place relative to another.
pub(crate) fn is_name(name: &str) -> bool {
    name.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains(|c: char| c.is_ascii_control()))
}

fn create_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(_) if path.is_dir() => return Ok(()),
        Err(error) => match path.parent() {
            Some(parent) if error.kind() == ErrorKind::NotFound => {
                create_directory(parent)?;
                fs::create_dir(path)?;
            }
            _ => return Err(error),
        },
    }
    path.parent().map_or(Ok(()), sync)
}

fn remove_old(temporary: &Path) -> io::Result<()> {
    for entry in fs::read_dir(temporary)? {
        let entry = entry?;
        // Another process may be removing the same: what cannot be seen or removed is left.
        let age = entry.metadata().and_then(|data| data.modified()).ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > TEMPORARY_KEPT) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// No object has this name: nothing is there, or a folder, or a file where the name wants a folder.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory)
}

fn failed(name: &str, verb: &str, error: &io::Error) -> StoreError {
    StoreError::Failed { name: name.to_owned(), reason: format!("cannot {verb}: {error}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, LocalStore) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = LocalStore::open(&directory.path().join("new/store")).expect("opens");
        (directory, store)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn keeps_the_laws() {
        let (_directory, store) = store();
        braid_kernel::laws_store::store_laws(&store).await;
        let left = fs::read_dir(store.root.join(TEMPORARY)).expect("listed").count();
        assert_eq!(left, 0, "temporary files were left");
    }

    #[tokio::test]
    async fn refuses_every_name_that_is_not_below_its_root() {
        let (directory, store) = store();
        fs::write(directory.path().join("secret"), "secret").expect("written");
        let absolute = directory.path().join("secret");
        let names = [
            "",
            "/",
            "../../secret",
            "..",
            ".",
            "a/../../../secret",
            "a//b",
            "a/",
            "/a",
            "./a",
            "a\0b",
            ".tmp/x",
            ".tmp",
            absolute.to_str().expect("UTF-8"),
        ];
        for name in names {
            let outcomes = [
                store.get(name).await.map(drop),
                store.put(name, Bytes::from_static(b"x")).await,
                store.create(name, Bytes::from_static(b"x")).await,
                store.delete(name).await,
            ];
            for outcome in outcomes {
                assert!(
                    matches!(&outcome, Err(StoreError::Failed { name: found, .. }) if found == name),
                    "{name:?}: {outcome:?}"
                );
            }
        }
        assert!(store.list("../").await.is_err());
        assert_eq!(fs::read(absolute).expect("still there"), b"secret");
    }

    #[tokio::test]
    async fn a_folder_is_no_object() {
        let (_directory, store) = store();
        store.put("a/b", Bytes::from_static(b"x")).await.expect("put");
        assert!(matches!(store.get("a").await, Err(StoreError::NotFound(_))));
        assert!(matches!(store.get("a/b/c").await, Err(StoreError::NotFound(_))));
        store.delete("a").await.expect("nothing to delete");
        store.delete("a/b/c").await.expect("nothing to delete");
        assert!(matches!(store.put("a", Bytes::new()).await, Err(StoreError::Failed { .. })));
        assert!(matches!(store.put("a/b/c", Bytes::new()).await, Err(StoreError::Failed { .. })));
        assert_eq!(store.get("a/b").await.expect("get"), "x");
        assert_eq!(store.list("").await.expect("list"), ["a/b"]);
    }

    #[tokio::test]
    async fn two_stores_of_one_directory_see_each_other() {
        let (_directory, one) = store();
        let other = LocalStore::open(&one.root).expect("opens again");
        one.create("x/1", Bytes::from_static(b"one")).await.expect("free");
        assert!(matches!(other.create("x/1", Bytes::new()).await, Err(StoreError::Exists(_))));
        other.put("x/1", Bytes::from_static(b"other")).await.expect("put");
        assert_eq!(one.get("x/1").await.expect("get"), "other");
    }

    #[test]
    fn opening_removes_what_a_killed_writer_left_long_ago() {
        let (_directory, store) = store();
        let old = store.root.join(TEMPORARY).join("old");
        let new = store.root.join(TEMPORARY).join("new");
        File::create(&new).expect("created");
        let file = File::create(&old).expect("created");
        let long_ago = std::time::SystemTime::now() - 2 * TEMPORARY_KEPT;
        file.set_modified(long_ago).expect("dated");
        LocalStore::open(&store.root).expect("opens again");
        assert!(!old.exists());
        assert!(new.exists());
    }
}
