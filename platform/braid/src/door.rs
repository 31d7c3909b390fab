//! Where records come in, whoever takes them. One start of a query follows another within the process, and an old one's way
//! into a journal must not be used beside a new one's: records wait at the door meanwhile.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use braid_kernel::{Ingest, SourceError};
use bytes::Bytes;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

/// A door to the source that is behind it now.
#[derive(Clone)]
struct Door(Arc<RwLock<Arc<dyn Ingest>>>);

#[async_trait]
impl Ingest for Door {
    async fn append(&self, body: Bytes) -> Result<Range<i64>, SourceError> {
        self.0.read().await.append(body).await
    }
}

/// The doors of a query, by source.
#[derive(Default)]
pub struct Doors(BTreeMap<String, Door>);

/// All doors, shut: what had come in has been taken. They open when this is dropped.
pub struct Shut(BTreeMap<String, OwnedRwLockWriteGuard<Arc<dyn Ingest>>>);

impl Doors {
    /// Shuts the doors.
    pub async fn shut(&self) -> Shut {
        let mut shut = BTreeMap::new();
        for (name, door) in &self.0 {
            shut.insert(name.clone(), door.0.clone().write_owned().await);
        }
        Shut(shut)
    }

    /// Opens the doors to a new start's sources, and puts them where the sources were.
    pub fn open(&mut self, ingest: &mut BTreeMap<String, Arc<dyn Ingest>>, mut shut: Shut) {
        for (name, behind) in ingest {
            let door = match (self.0.get(name), shut.0.get_mut(name)) {
                (Some(door), Some(shut)) => {
                    **shut = behind.clone();
                    door.clone()
                }
                _ => Door(Arc::new(RwLock::new(behind.clone()))),
            };
            self.0.insert(name.clone(), door.clone());
            *behind = Arc::new(door);
        }
    }
}
