//! What outlives a process of a test: a store in memory in which it can die, a clock, and what sinks were given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use braid_connect::Output;
use braid_kernel::{Segment, Segments, SinkError, Store, StoreError};
use braid_spec::model::OutputMode;
use bytes::Bytes;

use super::typed::shown;

/// Where a process dies: before a durable step, or after it, without having learnt that it was done. Steps count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crash {
    pub step: u64,
    pub done: bool,
}

/// A store whose writing steps are counted.
pub struct Steps {
    inner: Arc<dyn Store>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: u64,
    crash: Option<Crash>,
    down: bool,
    /// What was about to be written at the crash.
    died_at: Option<String>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Steps {
    /// An empty store.
    pub fn new(inner: Arc<dyn Store>, crash: Option<Crash>) -> Self {
        Self { inner, state: Mutex::new(State { crash, ..State::default() }) }
    }

    /// Whether the process is dead; then the next one begins.
    pub fn restart(&self) -> bool {
        std::mem::take(&mut lock(&self.state).down)
    }

    /// How many steps were taken.
    pub fn taken(&self) -> u64 {
        lock(&self.state).taken
    }

    /// Of what the process died, if it did.
    pub fn died_at(&self) -> Option<String> {
        lock(&self.state).died_at.clone()
    }

    fn alive(&self, name: &str) -> Result<(), StoreError> {
        match lock(&self.state).down {
            true => Err(dead(name)),
            false => Ok(()),
        }
    }

    async fn step(&self, name: &str, write: impl Future<Output = Result<(), StoreError>>) -> Result<(), StoreError> {
        self.alive(name)?;
        let crash = {
            let mut state = lock(&self.state);
            state.taken += 1;
            let taken = state.taken;
            state.crash.take_if(|crash| crash.step == taken)
        };
        let Some(crash) = crash else { return write.await };
        if crash.done {
            write.await?;
        }
        let mut state = lock(&self.state);
        (state.down, state.died_at) = (true, Some(name.to_owned()));
        Err(dead(name))
    }
}

fn dead(name: &str) -> StoreError {
    StoreError::Failed { name: name.into(), reason: "the process is dead".into() }
}

#[async_trait]
impl Store for Steps {
    async fn get(&self, name: &str) -> Result<Bytes, StoreError> {
        self.alive(name)?;
        self.inner.get(name).await
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.step(name, self.inner.put(name, bytes)).await
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.step(name, self.inner.create(name, bytes)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.alive(prefix)?;
        self.inner.list(prefix).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.step(name, self.inner.delete(name)).await
    }
}

/// Segments whose rows are held beside their names. To encode and decode them is most of the work of a small epoch, and
/// a crash only decides which names there are.
pub struct Held {
    steps: Arc<Steps>,
    rows: Mutex<BTreeMap<String, (Segment, Vec<RecordBatch>)>>,
}

impl Held {
    pub fn new(steps: Arc<Steps>) -> Self {
        Self { steps, rows: Mutex::default() }
    }
}

#[async_trait]
impl Segments for Held {
    async fn write(&self, name: &str, batches: &[RecordBatch]) -> Result<Segment, StoreError> {
        self.steps.put(name, Bytes::from_static(b"rows")).await?;
        let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let segment = Segment { name: name.into(), rows, bytes: rows, crc: 0 };
        lock(&self.rows).insert(name.into(), (segment.clone(), batches.to_vec()));
        Ok(segment)
    }

    async fn read(&self, segment: &Segment) -> Result<Vec<RecordBatch>, StoreError> {
        self.steps.get(&segment.name).await?;
        match lock(&self.rows).get(&segment.name) {
            Some((written, batches)) if written == segment => Ok(batches.clone()),
            _ => Err(StoreError::Corrupt { name: segment.name.clone(), reason: "it is not what was written".into() }),
        }
    }
}

/// What a sink was given, epoch by epoch.
#[derive(Debug, Default)]
pub struct Kept {
    epochs: Mutex<BTreeMap<u64, Vec<RecordBatch>>>,
    /// An epoch that came again with other rows.
    differs: Mutex<Option<u64>>,
}

impl Kept {
    /// The epoch that came again with other rows, if one did.
    pub fn differs(&self) -> Option<u64> {
        *lock(&self.differs)
    }

    /// The rows that a sink has in the end: in append mode all, in complete mode the last answer, and in update mode the
    /// last row of each key.
    pub fn rows(&self, mode: OutputMode, keyed: Option<&[String]>, columns: &[String]) -> Vec<Vec<String>> {
        let epochs = lock(&self.epochs);
        let filled: Vec<&Vec<RecordBatch>> = epochs.values().filter(|rows| !rows.is_empty()).collect();
        match (mode, keyed) {
            (OutputMode::Complete, _) => filled.last().map_or_else(Vec::new, |rows| shown(rows, columns)),
            (OutputMode::Update, Some(keys)) => {
                let mut last = BTreeMap::new();
                for rows in filled {
                    last.extend(shown(rows, keys).into_iter().zip(shown(rows, columns)));
                }
                last.into_values().collect()
            }
            _ => filled.iter().flat_map(|rows| shown(rows, columns)).collect(),
        }
    }
}

/// The write side of such a sink.
pub struct Keeper(pub Arc<Kept>);

#[async_trait]
impl Output for Keeper {
    async fn write(&mut self, epoch: u64, rows: &[RecordBatch]) -> Result<(), SinkError> {
        let Kept { epochs, differs } = &*self.0;
        let rows = rows.to_vec();
        let mut epochs = lock(epochs);
        if let Some(before) = epochs.get(&epoch)
            && whole(before) != whole(&rows)
        {
            lock(differs).get_or_insert(epoch);
        }
        epochs.insert(epoch, rows);
        Ok(())
    }
}

/// All columns of rows, in an order of their own.
fn whole(rows: &[RecordBatch]) -> Vec<Vec<String>> {
    let columns = rows.first().map(|batch| batch.schema().fields().iter().map(|field| field.name().clone()).collect());
    let mut rows = shown(rows, &columns.unwrap_or_else(Vec::new));
    rows.sort();
    rows
}
