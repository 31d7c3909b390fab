//! A folder that a sink writes files into, locally or in an object store. A file is there whole or not at all, and a
//! file of the same name takes its place.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use braid_kernel::SinkError;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::place::{local_path, object_store};

/// What an unfinished file's name begins with: hidden from every reader.
const UNFINISHED_PREFIX: &str = ".part-";
/// What it ends with.
const UNFINISHED_SUFFIX: &str = ".tmp";

/// Where files go.
pub(crate) struct Folder {
    root: Root,
    /// Whether what an earlier run left unfinished was removed.
    tidy: bool,
}

enum Root {
    Local(PathBuf),
    Remote { store: Arc<dyn ObjectStore>, path: ObjectPath },
}

impl Folder {
    /// The folder at a local path or an object store URL.
    pub(crate) fn open(path: &str) -> Result<Self, SinkError> {
        let root = match local_path(path) {
            Some(path) => Root::Local(path),
            None => {
                let (store, path, _) = object_store(path).map_err(SinkError::Fatal)?;
                Root::Remote { store, path }
            }
        };
        Ok(Self { root, tidy: false })
    }

    /// The folder at a path of an object store.
    #[cfg(test)]
    pub(crate) fn remote(store: Arc<dyn ObjectStore>, path: ObjectPath) -> Self {
        Self { root: Root::Remote { store, path }, tidy: false }
    }

    /// Writes a file; `name` may have folders before it. The bytes are made on a thread of their own.
    pub(crate) async fn write(
        &mut self,
        name: String,
        encode: impl FnOnce() -> Result<Vec<u8>, SinkError> + Send + 'static,
    ) -> Result<(), SinkError> {
        let panicked = |error| SinkError::Fatal(format!("bug: writing a file panicked: {error}"));
        match &self.root {
            Root::Local(folder) => {
                let (folder, tidy) = (folder.clone(), !std::mem::replace(&mut self.tidy, true));
                let written = tokio::task::spawn_blocking(move || {
                    if tidy {
                        remove_unfinished(&folder)?;
                    }
                    write_file(&folder.join(name), &encode()?)
                });
                written.await.map_err(panicked)?
            }
            Root::Remote { store, path } => {
                let encoded = tokio::task::spawn_blocking(encode).await.map_err(panicked)??;
                let key = name.split('/').fold(path.clone(), |path, part| path.join(part));
                store.put(&key, encoded.into()).await.map(drop).map_err(|error| match error {
                    object_store::Error::PermissionDenied { .. }
                    | object_store::Error::Unauthenticated { .. }
                    | object_store::Error::NotFound { .. }
                    | object_store::Error::NotImplemented { .. } => SinkError::Fatal(error.to_string()),
                    other => SinkError::Retry(other.to_string()),
                })
            }
        }
    }
}

/// Writes a file that is there whole or not at all, and stays.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), SinkError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = folder.join(format!(".{name}{UNFINISHED_SUFFIX}"));
    let write = || {
        std::fs::create_dir_all(folder)?;
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error: std::io::Error| local_error(folder, &error))
}

/// Removes what a run that died left unfinished.
fn remove_unfinished(folder: &Path) -> Result<(), SinkError> {
    let entries = match folder.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(local_error(folder, &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| local_error(folder, &error))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(UNFINISHED_PREFIX) && name.ends_with(UNFINISHED_SUFFIX) {
            std::fs::remove_file(entry.path()).map_err(|error| local_error(folder, &error))?;
        }
    }
    Ok(())
}

fn local_error(folder: &Path, error: &std::io::Error) -> SinkError {
    use std::io::ErrorKind::{NotADirectory, PermissionDenied, ReadOnlyFilesystem};
    let text = format!("{}: {error}", folder.display());
    match error.kind() {
        PermissionDenied | NotADirectory | ReadOnlyFilesystem => SinkError::Fatal(text),
        _ => SinkError::Retry(text),
    }
}
