//! A store's URL, and the store behind it.

use std::path::Path;
use std::sync::Arc;

use braid_kernel::Store;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreScheme};
use thiserror::Error;
use url::Url;

use crate::cloud::{self, CloudStore};
use crate::local::LocalStore;

/// Why a store's URL did not open.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It names no kind of store.
    #[error(
        "`{0}` is no store: write file://./folder, file:///folder, s3://bucket/folder, gs://bucket/folder, az://container/folder or memory://"
    )]
    Scheme(String),
    /// The directory cannot be made or read.
    #[error("cannot open the directory {path}: {source}")]
    Directory { path: String, source: std::io::Error },
    /// The bucket's address or its settings in the environment are wrong.
    #[error("cannot open {store}: {reason}")]
    Bucket { store: String, reason: String },
}

/// Opens the store behind a URL.
///
/// - `file://./relative`, `file:///absolute`: a directory, made if need be. What follows `file://` is the path as it is.
/// - `s3://bucket/folder`, `gs://bucket/folder`, `az://container/folder`: rights and settings from the environment, as
///   `object_store` names them (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, `AWS_ALLOW_HTTP`, `GOOGLE_…`, `AZURE_…`). The bucket
///   must exist; whether it does is only known at the first use.
/// - `memory://`: new and empty at each call.
pub fn open(url: &str) -> Result<Arc<dyn Store>, OpenError> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(OpenError::Scheme(url.to_owned()));
    };
    let objects: Arc<dyn ObjectStore> = match scheme {
        "file" if !rest.is_empty() => {
            let store = LocalStore::open(Path::new(rest))
                .map_err(|source| OpenError::Directory { path: rest.to_owned(), source })?;
            return Ok(Arc::new(store));
        }
        "memory" => Arc::new(InMemory::new()),
        "s3" | "s3a" => {
            let builder = AmazonS3Builder::from_env().with_url(url).with_retry(cloud::retry());
            Arc::new(builder.build().map_err(|error| bucket(url, &error))?)
        }
        "gs" => {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(url).with_retry(cloud::retry());
            Arc::new(builder.build().map_err(|error| bucket(url, &error))?)
        }
        "az" | "abfs" | "abfss" => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(url).with_retry(cloud::retry());
            Arc::new(builder.build().map_err(|error| bucket(url, &error))?)
        }
        _ => return Err(OpenError::Scheme(without_user(url))),
    };
    let parsed = Url::parse(url).map_err(|error| bucket(url, &error))?;
    let (_, folder) = ObjectStoreScheme::parse(&parsed).map_err(|error| bucket(url, &error))?;
    Ok(Arc::new(CloudStore::new(objects, folder)))
}

fn bucket(url: &str, error: &dyn std::error::Error) -> OpenError {
    OpenError::Bucket { store: without_user(url), reason: error.to_string() }
}

/// The URL without what may be a secret: messages end up in logs.
fn without_user(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let rest = rest.split('?').next().unwrap_or_default();
            format!("{scheme}://{}", rest.rsplit('@').next().unwrap_or_default())
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[tokio::test]
    async fn a_file_url_is_a_directory_that_is_made() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let url = format!("file://{}/a b/store", directory.path().display());
        let store = open(&url).expect("opens");
        store.put("x/y", Bytes::from_static(b"1")).await.expect("put");
        let on_disk = directory.path().join("a b/store/x/y");
        assert_eq!(std::fs::read(on_disk).expect("a file"), b"1");
    }

    #[tokio::test]
    async fn each_memory_url_is_a_new_store() {
        let one = open("memory://").expect("opens");
        one.put("x", Bytes::new()).await.expect("put");
        assert!(open("memory://").expect("opens").get("x").await.is_err());
    }

    #[test]
    fn a_bad_url_says_what_to_write() {
        for url in ["data", "file://", "ftp://host/x", "://", "s3:/x"] {
            let error = open(url).err().unwrap_or_else(|| panic!("{url} opened"));
            assert!(error.to_string().contains("write file://./folder"), "{error}");
        }
        let error = open("ftp://user:password@host/x?key=secret").err().expect("no store");
        assert!(!error.to_string().contains("password") && !error.to_string().contains("secret"), "{error}");
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = open(&format!("file://{}/x", file.path().display())).err().expect("no directory");
        assert!(matches!(error, OpenError::Directory { .. }), "{error}");
    }
}
