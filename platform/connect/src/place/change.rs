//! Files taken away once they were read: deleted, or moved below another folder.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use braid_kernel::SourceError;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};

use super::{Found, Place, Root, found_local};

impl Place {
    /// Whether files can be moved from here to there: within one file system or bucket.
    pub(crate) fn same_store(&self, other: &Self) -> bool {
        match (&self.root, &other.root) {
            (Root::Local(_), Root::Local(_)) => true,
            (Root::Remote { url: one, .. }, Root::Remote { url: other, .. }) => one == other,
            _ => false,
        }
    }

    /// Takes a file away, if it still is as it was listed: deletes it, or moves it below `archive` under its own whole
    /// path. One that is gone is no error: a process before us took it away. The error says why the file stays.
    pub(crate) async fn take_away(&self, file: &Found, archive: Option<&Place>) -> Result<(), String> {
        match &self.root {
            Root::Local(_) => {
                let (file, folder) = (file.clone(), archive.map(|place| place.root.clone()));
                let taken = tokio::task::spawn_blocking(move || match &folder {
                    Some(Root::Local(folder)) => take_local(&file, Some(folder)),
                    Some(Root::Remote { .. }) => Err("it cannot be moved into an object store".into()),
                    None => take_local(&file, None),
                });
                taken.await.map_err(|error| error.to_string())?
            }
            Root::Remote { store, url, .. } => {
                let key = file.path.strip_prefix(url.as_str()).unwrap_or(&file.path);
                let key = ObjectPath::parse(key).map_err(|error| error.to_string())?;
                let to = match archive.map(|place| &place.root) {
                    Some(Root::Remote { path, .. }) => Some(path.parts().chain(key.parts()).collect::<ObjectPath>()),
                    Some(Root::Local(_)) => return Err("it cannot be moved out of its object store".into()),
                    None => None,
                };
                take_remote(store, &key, file, to.as_ref()).await
            }
        }
    }
}

const CHANGED: &str = "it has changed since it was read";

fn take_local(file: &Found, archive: Option<&Path>) -> Result<(), String> {
    match found_local(file.path.clone().into()) {
        Ok(Some(now)) if now == *file => {}
        Ok(Some(_)) => return Err(CHANGED.into()),
        Ok(None) => return Ok(()),
        Err(SourceError::Retry(reason) | SourceError::Fatal(reason)) => return Err(reason),
        Err(error) => return Err(error.to_string()),
    }
    let taken = match archive {
        None => std::fs::remove_file(&file.path),
        Some(folder) => {
            let to = folder.join(file.path.trim_start_matches('/'));
            if to.exists() {
                return Err(format!("{} is there already", to.display()));
            }
            to.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::rename(&file.path, &to))
        }
    };
    match taken {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        taken => taken.map_err(|error| error.to_string()),
    }
}

async fn take_remote(
    store: &Arc<dyn ObjectStore>,
    key: &ObjectPath,
    file: &Found,
    to: Option<&ObjectPath>,
) -> Result<(), String> {
    let explain = |error: object_store::Error| error.to_string();
    let now = match store.head(key).await {
        Err(object_store::Error::NotFound { .. }) => return Ok(()),
        now => now.map_err(explain)?,
    };
    if (now.size, now.last_modified.timestamp_millis()) != (file.size, file.modified_ms) {
        return Err(CHANGED.into());
    }
    if let Some(to) = to {
        match store.head(to).await {
            // A process before us died between the copy and the deletion.
            Ok(there) if there.size == now.size && there.e_tag == now.e_tag => {}
            Ok(_) => return Err(format!("{to} is there already")),
            Err(object_store::Error::NotFound { .. }) => store.copy(key, to).await.map_err(explain)?,
            Err(error) => return Err(explain(error)),
        }
    }
    match store.delete(key).await {
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        deleted => deleted.map_err(explain),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[tokio::test]
    async fn a_local_file_goes_once_and_only_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("in");
        std::fs::create_dir(&inside).unwrap();
        for name in ["a", "b", "c"] {
            std::fs::write(inside.join(name), name).unwrap();
        }
        let place = Place::parse(inside.to_str().unwrap()).unwrap();
        let archive = Place::parse(dir.path().join("done").to_str().unwrap()).unwrap();
        let mut found = place.list().await.unwrap();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        place.take_away(&found[0], None).await.unwrap();
        place.take_away(&found[0], Some(&archive)).await.unwrap();
        place.take_away(&found[1], Some(&archive)).await.unwrap();
        place.take_away(&found[1], Some(&archive)).await.unwrap();
        let moved = dir.path().join("done").join(found[1].path.trim_start_matches('/'));
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "b");

        let later = SystemTime::now() + Duration::from_secs(60);
        std::fs::File::options().write(true).open(inside.join("c")).unwrap().set_modified(later).unwrap();
        assert_eq!(place.take_away(&found[2], None).await.unwrap_err(), CHANGED);
        // A name that comes again does not replace what was archived under it.
        std::fs::write(inside.join("b"), "new").unwrap();
        let again = place.list().await.unwrap().into_iter().find(|file| file.path.ends_with("/b")).unwrap();
        assert!(place.take_away(&again, Some(&archive)).await.unwrap_err().contains("there already"));
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "b");
    }

    #[tokio::test]
    async fn an_object_goes_too() {
        let store: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
        for key in ["in/a", "in/b", "in/c"] {
            store.put(&key.into(), key.to_owned().into()).await.unwrap();
        }
        let at = |path: &str| Place {
            root: Root::Remote { store: store.clone(), path: path.into(), url: "s3://bucket".into() },
            pattern: None,
        };
        let (place, archive) = (at("in"), at("done"));
        let mut found = place.list().await.unwrap();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        for _ in 0..2 {
            place.take_away(&found[0], None).await.unwrap();
            place.take_away(&found[1], Some(&archive)).await.unwrap();
        }
        store.put(&"in/c".into(), "another".into()).await.unwrap();
        assert_eq!(place.take_away(&found[2], Some(&archive)).await.unwrap_err(), CHANGED);
        let left: Vec<String> = place.list().await.unwrap().into_iter().map(|file| file.path).collect();
        assert_eq!(left, ["s3://bucket/in/c"]);
        assert_eq!(store.head(&"done/in/b".into()).await.unwrap().size, 4);
    }
}
