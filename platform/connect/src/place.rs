//! Places where files are: a local folder or one in an object store, behind one listing and one way to read.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use braid_kernel::SourceError;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt, ObjectStoreScheme};
use tokio::runtime::Handle;
use url::Url;

mod change;

/// A file, as it was when it was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Its absolute path, or its URL.
    pub(crate) path: String,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// Milliseconds since the Unix epoch.
    pub(crate) modified_ms: i64,
}

/// A folder, a file, or those files of a folder whose names match a pattern.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    root: Root,
    /// `*` and `?` in the last part of the path.
    pattern: Option<String>,
}

#[derive(Debug, Clone)]
enum Root {
    Local(PathBuf),
    /// `url` ends where the store's own paths begin.
    Remote {
        store: Arc<dyn ObjectStore>,
        path: ObjectPath,
        url: String,
    },
}

/// Opens the store of an object store URL, with the path in it and the URL up to that path. Credentials and endpoints
/// come from the environment, under the names that the clouds' own tools use (`AWS_ACCESS_KEY_ID`, …).
pub(crate) fn object_store(text: &str) -> Result<(Arc<dyn ObjectStore>, ObjectPath, String), String> {
    let explain = |error: &dyn std::fmt::Display| format!("{text}: {error}");
    let url = Url::parse(text).map_err(|error| explain(&error))?;
    let (scheme, path) = ObjectStoreScheme::parse(&url).map_err(|error| explain(&error))?;
    let store: Arc<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::AmazonS3 => {
            let builder = AmazonS3Builder::from_env().with_url(text);
            Arc::new(builder.build().map_err(|error| explain(&error))?)
        }
        ObjectStoreScheme::GoogleCloudStorage => {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(text);
            Arc::new(builder.build().map_err(|error| explain(&error))?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(text);
            Arc::new(builder.build().map_err(|error| explain(&error))?)
        }
        _ => return Err(format!("{text}: files are at a local path, s3://, gs:// or az://")),
    };
    let base = text.trim_end_matches('/').strip_suffix(path.as_ref()).unwrap_or(text);
    Ok((store, path, base.trim_end_matches('/').to_owned()))
}

/// The local path that a text names, if it names one: a bare path or `file://…`.
pub(crate) fn local_path(text: &str) -> Option<PathBuf> {
    let bare = text.strip_prefix("file://").or_else(|| (!text.contains("://")).then_some(text))?;
    // Absolute, so that a file is the same one from whatever directory Braid is started.
    Some(std::path::absolute(bare).unwrap_or_else(|_| PathBuf::from(bare)))
}

impl Place {
    /// Understands a local path or an object store URL, with a pattern in its last part or not.
    pub(crate) fn parse(text: &str) -> Result<Self, SourceError> {
        let (folder, last) = text.trim_end_matches('/').rsplit_once('/').unwrap_or((".", text));
        let (folder, pattern) = match last.contains(['*', '?']) {
            // The root itself is left empty by the cut.
            true => (if folder.is_empty() { "/" } else { folder }, Some(last.to_owned())),
            false => (text, None),
        };
        let root = match local_path(folder) {
            Some(path) => Root::Local(path),
            None => {
                let (store, path, url) = object_store(folder).map_err(SourceError::Fatal)?;
                Root::Remote { store, path, url }
            }
        };
        Ok(Self { root, pattern })
    }

    /// The files that are there now, in no order. Hidden ones (`.` and `_`) are left out, as are folders.
    pub(crate) async fn list(&self) -> Result<Vec<Found>, SourceError> {
        let files = match &self.root {
            Root::Local(path) => {
                let path = path.clone();
                tokio::task::spawn_blocking(move || list_local(&path))
                    .await
                    .map_err(|error| SourceError::Retry(format!("listing files: {error}")))??
            }
            Root::Remote { store, path, url } => list_remote(store.as_ref(), path, url).await?,
        };
        Ok(files.into_iter().filter(|file| self.wants(&file.path)).collect())
    }

    fn wants(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        !name.starts_with(['.', '_']) && self.pattern.as_deref().is_none_or(|p| matches(p.as_bytes(), name.as_bytes()))
    }

    /// Opens the first `size` bytes of a listed file. Blocks; not for a thread of the runtime.
    pub(crate) fn open(&self, path: &str, size: u64, runtime: &Handle) -> Result<Content, SourceError> {
        match &self.root {
            Root::Local(_) => {
                let file = File::open(path).map_err(|error| local_error(path, &error))?;
                let length = file.metadata().map_err(|error| local_error(path, &error))?.len();
                if length < size {
                    return Err(shrunk(path, size, length));
                }
                Ok(Content::Local(file))
            }
            Root::Remote { store, url, .. } => {
                let key = path.strip_prefix(url.as_str()).unwrap_or(path);
                let key = ObjectPath::parse(key).map_err(|error| SourceError::Fatal(error.to_string()))?;
                let length = runtime.block_on(store.head(&key)).map_err(remote_error)?.size;
                if length < size {
                    return Err(shrunk(path, size, length));
                }
                Ok(Content::Remote { store: store.clone(), key, size, runtime: runtime.clone() })
            }
        }
    }
}

/// An open file.
pub(crate) enum Content {
    Local(File),
    Remote { store: Arc<dyn ObjectStore>, key: ObjectPath, size: u64, runtime: Handle },
}

impl Content {
    /// Its bytes in order.
    pub(crate) fn reader(self, size: u64) -> Result<Box<dyn Read>, SourceError> {
        match self {
            Self::Local(file) => Ok(Box::new(file.take(size))),
            Self::Remote { size: 0, .. } => Ok(Box::new(std::io::empty())),
            Self::Remote { store, key, size, runtime } => {
                let options = GetOptions { range: Some((0..size).into()), ..GetOptions::default() };
                let found = runtime.block_on(store.get_opts(&key, options)).map_err(remote_error)?;
                Ok(Box::new(RemoteReader { runtime, stream: found.into_stream(), current: Bytes::new() }))
            }
        }
    }

    /// All its bytes at once.
    pub(crate) fn whole(self) -> Result<Bytes, SourceError> {
        match self {
            Self::Local(mut file) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).map_err(|error| SourceError::Retry(error.to_string()))?;
                Ok(bytes.into())
            }
            Self::Remote { store, key, runtime, .. } => {
                runtime.block_on(async { store.get(&key).await?.bytes().await }).map_err(remote_error)
            }
        }
    }
}

struct RemoteReader {
    runtime: Handle,
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    current: Bytes,
}

impl Read for RemoteReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.current.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                Some(bytes) => self.current = bytes.map_err(std::io::Error::other)?,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

fn list_local(path: &Path) -> Result<Vec<Found>, SourceError> {
    let error = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => SourceError::Fatal(format!("{} does not exist", path.display())),
        _ => SourceError::Retry(format!("{}: {error}", path.display())),
    };
    if path.metadata().map_err(error)?.is_file() {
        return Ok(found_local(path.to_owned())?.into_iter().collect());
    }
    let mut files = Vec::new();
    for entry in path.read_dir().map_err(error)? {
        files.extend(found_local(entry.map_err(error)?.path())?);
    }
    Ok(files)
}

/// A file; `None` where it is none, or has just vanished.
fn found_local(path: PathBuf) -> Result<Option<Found>, SourceError> {
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SourceError::Retry(format!("{}: {error}", path.display()))),
    };
    if !metadata.is_file() {
        return Ok(None);
    }
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let path = path.into_os_string().into_string();
    let path = path.map_err(|name| SourceError::Fatal(format!("{} is not UTF-8", name.display())))?;
    Ok(Some(Found {
        path,
        size: metadata.len(),
        modified_ms: modified.map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
    }))
}

async fn list_remote(store: &dyn ObjectStore, path: &ObjectPath, url: &str) -> Result<Vec<Found>, SourceError> {
    let found = |meta: object_store::ObjectMeta| Found {
        path: format!("{url}/{}", meta.location),
        size: meta.size,
        modified_ms: meta.last_modified.timestamp_millis(),
    };
    // A prefix is a folder for the listing; the object of that very name is asked for.
    if !path.is_root()
        && let Ok(meta) = store.head(path).await
    {
        return Ok(vec![found(meta)]);
    }
    let depth = path.parts().count() + 1;
    let all: Vec<_> = store.list(Some(path)).try_collect().await.map_err(remote_error)?;
    Ok(all.into_iter().filter(|meta| meta.location.parts().count() == depth).map(found).collect())
}

fn shrunk(path: &str, planned: u64, now: u64) -> SourceError {
    SourceError::DataLoss(format!("{path} had {planned} bytes when it was planned and has {now} now"))
}

fn local_error(path: &str, error: &std::io::Error) -> SourceError {
    match error.kind() {
        ErrorKind::NotFound => SourceError::DataLoss(format!("{path} is gone")),
        ErrorKind::PermissionDenied => SourceError::Fatal(format!("{path}: {error}")),
        _ => SourceError::Retry(format!("{path}: {error}")),
    }
}

fn remote_error(error: object_store::Error) -> SourceError {
    match error {
        object_store::Error::NotFound { path, .. } => SourceError::DataLoss(format!("{path} is gone")),
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. }
        | object_store::Error::NotImplemented { .. }
        | object_store::Error::InvalidPath { .. } => SourceError::Fatal(error.to_string()),
        other => SourceError::Retry(other.to_string()),
    }
}

/// Whether a name matches a pattern of `*` (any text) and `?` (any one byte).
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    // Where the last star was, and the name from where it may take one byte more.
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, n) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.tmp", false),
            ("a?c*", "abc", true),
            ("a?c*", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[tokio::test]
    async fn a_folder_a_file_and_a_pattern() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.csv", "b.csv", "c.json", ".hidden", "_started"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        std::fs::create_dir(dir.path().join("sub.csv")).unwrap();
        let root = dir.path().display();
        for (text, expected) in [
            (format!("{root}"), vec!["a.csv", "b.csv", "c.json"]),
            (format!("{root}/"), vec!["a.csv", "b.csv", "c.json"]),
            (format!("file://{root}/*.csv"), vec!["a.csv", "b.csv"]),
            (format!("{root}/c.json"), vec!["c.json"]),
            (format!("{root}/*.xml"), vec![]),
        ] {
            let mut found = Place::parse(&text).unwrap().list().await.unwrap();
            found.sort_by(|a, b| a.path.cmp(&b.path));
            let expected: Vec<String> = expected.iter().map(|name| format!("{root}/{name}")).collect();
            assert_eq!(found.iter().map(|f| f.path.clone()).collect::<Vec<_>>(), expected, "{text}");
            assert!(found.iter().all(|f| f.size as usize == f.path.len() - format!("{root}/").len()));
        }
        let missing = Place::parse(&format!("{root}/none")).unwrap().list().await;
        assert!(matches!(missing, Err(SourceError::Fatal(reason)) if reason.contains("does not exist")));
    }

    #[test]
    fn urls_are_cut_where_the_stores_own_paths_begin() {
        for (text, path, base) in [
            ("s3://bucket/in/2024", "in/2024", "s3://bucket"),
            ("s3://bucket/", "", "s3://bucket"),
            ("s3://bucket", "", "s3://bucket"),
            ("az://container/in", "in", "az://container"),
        ] {
            // Azure wants to know whose container it is; nothing else is needed to build a client.
            match object_store(text) {
                Ok((_, found, url)) => assert_eq!((found.as_ref(), url.as_str()), (path, base), "{text}"),
                Err(reason) => assert!(text.starts_with("az"), "{reason}"),
            }
        }
        for wrong in ["ftp://host/in", "memory://in", "://"] {
            assert!(object_store(wrong).unwrap_err().starts_with(wrong));
        }
    }

    #[tokio::test]
    async fn an_object_store_is_a_place_too() {
        let store: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
        for key in ["in/a.txt", "in/b.txt", "in/deep/c.txt", "other/d.txt"] {
            store.put(&key.into(), format!("content of {key}").into()).await.unwrap();
        }
        let root = Root::Remote { store, path: "in".into(), url: "s3://bucket".into() };
        let place = Place { root, pattern: Some("*.txt".into()) };
        let mut found = place.list().await.unwrap();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        assert_eq!(
            found.iter().map(|f| &f.path[..]).collect::<Vec<_>>(),
            ["s3://bucket/in/a.txt", "s3://bucket/in/b.txt"]
        );
        let read = tokio::task::spawn_blocking(move || {
            let runtime = Handle::current();
            let mut text = String::new();
            let content = place.open("s3://bucket/in/b.txt", 10, &runtime).unwrap();
            content.reader(10).unwrap().read_to_string(&mut text).unwrap();
            let gone = place.open("s3://bucket/in/x.txt", 1, &runtime).err();
            let shrunk = place.open("s3://bucket/in/a.txt", 1000, &runtime).err();
            (text, gone, shrunk)
        });
        let (text, gone, shrunk) = read.await.unwrap();
        assert_eq!(text, "content of");
        assert!(matches!(gone, Some(SourceError::DataLoss(_))));
        assert!(matches!(shrunk, Some(SourceError::DataLoss(_))));
    }
}
