//! A store in memory for this crate's tests, with replies that can be lost on order.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use braid_kernel::{Store, StoreError};
use bytes::Bytes;

/// What happens to the next creations, first in last out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is written, but the reply is lost.
    ReplyLost,
    /// It is not written, and the reply is lost.
    RequestLost,
    /// It is not written, and never will be.
    DiskFull,
}

#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    pub(crate) objects: Mutex<BTreeMap<String, Bytes>>,
    pub(crate) faults: Mutex<Vec<Fault>>,
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, name: &str) -> Result<Bytes, StoreError> {
        let objects = self.objects.lock().unwrap();
        objects.get(name).cloned().ok_or_else(|| StoreError::NotFound(name.into()))
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.objects.lock().unwrap().insert(name.into(), bytes);
        Ok(())
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        let fault = self.faults.lock().unwrap().pop();
        let mut objects = self.objects.lock().unwrap();
        if objects.contains_key(name) {
            return Err(StoreError::Exists(name.into()));
        }
        if matches!(fault, None | Some(Fault::ReplyLost)) {
            objects.insert(name.into(), bytes);
        }
        match fault {
            Some(Fault::DiskFull) => Err(StoreError::Failed { name: name.into(), reason: "the disk is full".into() }),
            None => Ok(()),
            Some(_) => Err(StoreError::Unknown { name: name.into(), reason: "the reply was lost".into() }),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let objects = self.objects.lock().unwrap();
        Ok(objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.objects.lock().unwrap().remove(name);
        Ok(())
    }
}
