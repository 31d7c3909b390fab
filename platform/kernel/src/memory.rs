//! Memory adapters of the kernel's traits: for laws, for models, and for deployments that keep nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow_array::{Int64Array, RecordBatch};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};

use crate::error::{SourceError, StoreError};
use crate::flow::{Slice, Slices};
use crate::manifest::Segment;
use crate::offsets::{SourcePlan, SourceState};
use crate::rows::Rows;
use crate::traits::{Clock, Segments, Source, Store};
use crate::trigger::Limit;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a faulty step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It happens, and its reply is lost.
    ReplyLost,
    /// It does not happen, and nobody can tell.
    RequestLost,
    /// The process is gone: this step and all after it fail.
    Crash,
}

/// Bytes in memory, with faults on demand.
#[derive(Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<String, Bytes>>,
    faults: Mutex<BTreeMap<u64, Fault>>,
    steps: Mutex<u64>,
    down: Mutex<bool>,
}

impl MemoryStore {
    /// The writing step with this number, counted from now, meets a fault.
    pub fn fault_at(&self, step: u64, fault: Fault) {
        lock(&self.faults).insert(*lock(&self.steps) + step, fault);
    }

    /// A new process: what was written is there, and no fault is left.
    pub fn restart(&self) {
        lock(&self.faults).clear();
        *lock(&self.down) = false;
    }

    fn step(&self, name: &str, happen: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        let number = {
            let mut steps = lock(&self.steps);
            *steps += 1;
            *steps
        };
        let crashed = || StoreError::Failed { name: name.into(), reason: "crashed".into() };
        let unknown = |reason: &str| StoreError::Unknown { name: name.into(), reason: reason.into() };
        if *lock(&self.down) {
            return Err(crashed());
        }
        let fault = lock(&self.faults).remove(&number);
        match fault {
            None => happen(),
            Some(Fault::ReplyLost) => happen().and_then(|()| Err(unknown("the reply was lost"))),
            Some(Fault::RequestLost) => Err(unknown("the request was lost")),
            Some(Fault::Crash) => {
                *lock(&self.down) = true;
                Err(crashed())
            }
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, name: &str) -> Result<Bytes, StoreError> {
        lock(&self.objects).get(name).cloned().ok_or_else(|| StoreError::NotFound(name.into()))
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.step(name, || {
            lock(&self.objects).insert(name.into(), bytes);
            Ok(())
        })
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.step(name, || match lock(&self.objects).entry(name.into()) {
            std::collections::btree_map::Entry::Occupied(_) => Err(StoreError::Exists(name.into())),
            std::collections::btree_map::Entry::Vacant(free) => {
                free.insert(bytes);
                Ok(())
            }
        })
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        Ok(lock(&self.objects).keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.step(name, || {
            lock(&self.objects).remove(name);
            Ok(())
        })
    }
}

/// Segments that are never bytes.
#[derive(Default)]
pub struct MemorySegments(Mutex<BTreeMap<String, (Segment, Vec<RecordBatch>)>>);

#[async_trait]
impl Segments for MemorySegments {
    async fn write(&self, name: &str, batches: &[RecordBatch]) -> Result<Segment, StoreError> {
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let bytes = batches.iter().map(|batch| batch.get_array_memory_size() as u64).sum();
        let segment = Segment { name: name.into(), rows, bytes, crc: crc32fast::hash(name.as_bytes()) };
        lock(&self.0).insert(name.into(), (segment.clone(), batches.to_vec()));
        Ok(segment)
    }

    async fn read(&self, segment: &Segment) -> Result<Vec<RecordBatch>, StoreError> {
        match lock(&self.0).get(&segment.name) {
            None => Err(StoreError::NotFound(segment.name.clone())),
            Some((written, batches)) if written == segment => Ok(batches.clone()),
            Some(_) => Err(corrupt(segment)),
        }
    }
}

fn corrupt(segment: &Segment) -> StoreError {
    StoreError::Corrupt { name: segment.name.clone(), reason: "it is not what was written".into() }
}

/// A partition that holds everything from the start and gives so many rows at a time.
pub struct MemorySource {
    rows: RecordBatch,
    rows_per_epoch: Box<dyn FnMut() -> usize + Send>,
    /// Whether its rows come by themselves, and how many at a time.
    rows_per_slice: Option<usize>,
}

impl MemorySource {
    /// The partition's name.
    pub const PARTITION: &str = "0";

    /// All rows of the partition, and how many to plan each time.
    pub fn new(rows: RecordBatch, rows_per_epoch: impl FnMut() -> usize + Send + 'static) -> Self {
        Self { rows, rows_per_epoch: Box::new(rows_per_epoch), rows_per_slice: None }
    }

    /// One whose rows come by themselves, so many at a time.
    #[must_use]
    pub fn following(self, rows_per_slice: usize) -> Self {
        Self { rows_per_slice: Some(rows_per_slice.max(1)), ..self }
    }

    fn range(&self, start: i64, end: i64) -> Rows {
        let batch = self.rows.slice(start as usize, (end - start) as usize);
        Rows {
            batch,
            partition: Self::PARTITION.into(),
            offsets: Int64Array::from_iter_values(start..end),
            bad: vec![],
        }
    }
}

fn plan_of(start: i64, end: i64) -> SourcePlan {
    SourcePlan {
        start: [(MemorySource::PARTITION.to_string(), start)].into(),
        end: [(MemorySource::PARTITION.to_string(), end)].into(),
        ..SourcePlan::default()
    }
}

#[async_trait]
impl Source for MemorySource {
    async fn plan(&mut self, state: &SourceState, limit: &Limit) -> Result<Option<SourcePlan>, SourceError> {
        let start = state.offsets.get(Self::PARTITION).copied().unwrap_or(0);
        let there = self.rows.num_rows() as i64;
        let rows = i64::try_from(limit.rows((self.rows_per_epoch)() as u64)).unwrap_or(i64::MAX);
        let end = limit.end(Self::PARTITION, start, start.saturating_add(rows).min(there));
        Ok((end > start).then(|| plan_of(start, end)))
    }

    async fn read(&mut self, plan: &SourcePlan) -> Result<BoxStream<'static, Result<Rows, SourceError>>, SourceError> {
        let (start, end) = (plan.start[Self::PARTITION], plan.end[Self::PARTITION]);
        Ok(stream::iter([Ok(self.range(start, end))]).boxed())
    }

    async fn ack(&mut self, _: &SourceState) -> Result<(), SourceError> {
        Ok(())
    }

    async fn follow(&mut self, state: &SourceState) -> Result<Option<Slices>, SourceError> {
        let Some(rows_per_slice) = self.rows_per_slice else { return Ok(None) };
        let (first, there) = (state.offsets.get(Self::PARTITION).copied().unwrap_or(0), self.rows.num_rows() as i64);
        let slices: Vec<_> = (first..there)
            .step_by(rows_per_slice)
            .map(|start| (start, there.min(start + rows_per_slice as i64)))
            .map(|(start, end)| Ok(Slice { plan: plan_of(start, end), rows: vec![self.range(start, end)] }))
            .collect();
        // What comes then, comes later.
        Ok(Some(stream::iter(slices).chain(stream::pending()).boxed()))
    }

    fn joins(&self) -> bool {
        true
    }
}

/// A clock that moves only by sleeping, and at once.
#[derive(Default)]
pub struct MemoryClock(AtomicI64);

#[async_trait]
impl Clock for MemoryClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    async fn sleep(&self, duration: Duration) {
        self.0.fetch_add(duration.as_millis() as i64, Ordering::Relaxed);
    }
}
