//! A bucket as a store: S3, Google Cloud Storage, Azure, or `object_store`'s own memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use braid_kernel::{Store, StoreError};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, Error, ObjectStore, ObjectStoreExt, PutMode, RetryConfig, WriteMultipart};

use crate::local::is_name;

/// A request is tried again at most so often (server errors, throttling, connections that break)...
const RETRIES_MAX: usize = 10;
/// ...and for so long; the waits between grow from a tenth of a second, with jitter.
const RETRY_TIME_MAX: Duration = Duration::from_secs(60);
/// The longest wait between two tries.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);
/// A longer object is uploaded in parts.
const WHOLE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The size of such a part.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// How many parts of an object are on their way at once.
const PARTS_AT_ONCE: usize = 4;

/// How often and how long a failed request is tried again.
pub(crate) fn retry() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig { max_backoff: RETRY_WAIT_MAX, ..BackoffConfig::default() },
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_TIME_MAX,
    }
}

/// A folder of a bucket as a store.
pub(crate) struct CloudStore {
    objects: PrefixStore<Arc<dyn ObjectStore>>,
}

impl CloudStore {
    pub(crate) fn new(objects: Arc<dyn ObjectStore>, folder: Path) -> Self {
        Self { objects: PrefixStore::new(objects, folder) }
    }

    async fn put_parts(&self, path: &Path, mut bytes: Bytes) -> Result<(), Error> {
        let mut upload = WriteMultipart::new_with_chunk_size(self.objects.put_multipart(path).await?, PART_BYTES);
        while !bytes.is_empty() {
            if let Err(error) = upload.wait_for_capacity(PARTS_AT_ONCE).await {
                // The parts stay in the bucket if this fails too, but they never become an object.
                let _ = upload.abort().await;
                return Err(error);
            }
            upload.put(bytes.split_to(PART_BYTES.min(bytes.len())));
        }
        upload.finish().await.map(drop)
    }
}

#[async_trait]
impl Store for CloudStore {
    async fn get(&self, name: &str) -> Result<Bytes, StoreError> {
        let path = path(name)?;
        let read = async { self.objects.get(&path).await?.bytes().await };
        read.await.map_err(|error| match error {
            Error::NotFound { .. } => StoreError::NotFound(name.to_owned()),
            error => store_error(name, &error),
        })
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        let path = path(name)?;
        let written = if bytes.len() > WHOLE_BYTES_MAX {
            self.put_parts(&path, bytes).await
        } else {
            self.objects.put(&path, bytes.into()).await.map(drop)
        };
        written.map_err(|error| store_error(name, &error))
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        let path = path(name)?;
        let created = self.objects.put_opts(&path, bytes.into(), PutMode::Create.into()).await;
        created.map(drop).map_err(|error| store_error(name, &error))
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let folder = match prefix.strip_suffix('/').unwrap_or(prefix) {
            "" => None,
            folder => Some(path(folder)?),
        };
        let found = self.objects.list(folder.as_ref());
        let names: Result<Vec<String>, Error> =
            found.map(|meta| meta.map(|meta| meta.location.to_string())).try_collect().await;
        let mut names = names.map_err(|error| store_error(prefix, &error))?;
        names.sort_unstable();
        Ok(names)
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        match self.objects.delete(&path(name)?).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(store_error(name, &error)),
        }
    }
}

fn path(name: &str) -> Result<Path, StoreError> {
    let refused = |reason: String| StoreError::Failed { name: name.to_owned(), reason };
    if !is_name(name) {
        let reason = "not a name for an object: parts between single `/`, none of them `.` or `..`";
        return Err(refused(reason.to_owned()));
    }
    Path::parse(name).map_err(|error| refused(error.to_string()))
}

/// What the caller can do. In doubt the outcome is unknown: to look again costs little, to be wrong costs rows.
fn store_error(name: &str, error: &Error) -> StoreError {
    let name = name.to_owned();
    let reason = error.to_string();
    // S3 says 409 while another write to the name is under way: neither need have succeeded yet.
    let contested = reason.contains("ConditionalRequestConflict");
    match error {
        Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. } if !contested => {
            StoreError::Exists(name)
        }
        // A write is told so where the bucket does not exist.
        Error::NotFound { .. }
        | Error::InvalidPath { .. }
        | Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::UnknownConfigurationKey { .. } => StoreError::Failed { name, reason },
        Error::Generic { .. } if is_refusal(&reason) => StoreError::Failed { name, reason },
        _ => StoreError::Unknown { name, reason },
    }
}

/// Whether the server answered that it will not do this: a 3xx or a 4xx that is not about time or load.
/// `object_store` keeps the status to itself; it is only in the message.
fn is_refusal(message: &str) -> bool {
    const BEFORE_STATUS: &str = "non-2xx status code: ";
    if message.contains("Received redirect without LOCATION") {
        return true;
    }
    let status = message.split_once(BEFORE_STATUS).and_then(|(_, rest)| rest.get(..3));
    let Some(status) = status.and_then(|digits| digits.parse::<u16>().ok()) else {
        return false;
    };
    (300..500).contains(&status) && !matches!(status, 408 | 409 | 425 | 429)
}

#[cfg(test)]
#[path = "cloud_tests.rs"]
mod tests;
