//! The walls: how much memory and how much time a guest may use.
//!
//! Time is the processor time of the thread that runs the guest, not the clock on the wall: a machine that is busy with
//! something else must not turn good records into failed ones. A guest cannot wait for anything, so the two differ only
//! where the machine makes them. A ticker wakes the guest every [`TICK`] to look at the time.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use braid_spec::model::PluginLimits;
use rustix::time::{ClockId, clock_gettime};
use wasmtime::{Engine, ResourceLimiter};

/// How often a running guest looks at the time: how much later than its limit it may be stopped.
pub const TICK: Duration = Duration::from_millis(1);

/// A component without imports is one core instance; what wraps it is a few more. There is one table for each.
const INSTANCES_MAX: usize = 16;
/// An interpreter has its libraries.
const INTERPRETER_INSTANCES_MAX: usize = 64;
/// No contract has resources: a component can make some only for itself.
pub(crate) const HANDLES_MAX: usize = 1_024;
/// What is measured is all of them together.
const MEMORIES_MAX: usize = 1;
/// An interpreter has one for its adapter too.
const INTERPRETER_MEMORIES_MAX: usize = 4;

/// Bounds what one instance may hold.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory_bytes_max: usize,
    table_elements_max: usize,
    memory_bytes: usize,
    /// Instances and tables, and memories.
    parts_max: (usize, usize),
    /// What was asked for when the answer was no, in words.
    pub(crate) denied: Option<String>,
}

impl Limiter {
    pub(crate) fn new(limits: PluginLimits, interpreter: bool) -> Self {
        let whole = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        Self {
            memory_bytes_max: whole(limits.memory_bytes),
            table_elements_max: whole(limits.table_elements),
            memory_bytes: 0,
            parts_max: match interpreter {
                true => (INTERPRETER_INSTANCES_MAX, INTERPRETER_MEMORIES_MAX),
                false => (INSTANCES_MAX, MEMORIES_MAX),
            },
            denied: None,
        }
    }

    fn deny(&mut self, reason: String) -> wasmtime::Error {
        let error = wasmtime::Error::msg(reason.clone());
        self.denied = Some(reason);
        error
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let desired = (self.memory_bytes - current).saturating_add(desired);
        if desired <= self.memory_bytes_max {
            self.memory_bytes = desired;
            return Ok(true);
        }
        let limit = self.memory_bytes_max;
        Err(self.deny(format!("asked for {desired} bytes of memory; its limit is {limit} (`memory`)")))
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired <= self.table_elements_max {
            return Ok(true);
        }
        let limit = self.table_elements_max;
        Err(self.deny(format!("asked for a table of {desired} elements; its limit is {limit} (`table`)")))
    }

    fn instances(&self) -> usize {
        self.parts_max.0
    }

    fn tables(&self) -> usize {
        self.parts_max.0
    }

    fn memories(&self) -> usize {
        self.parts_max.1
    }
}

/// The processor time this thread has used: of guests that it called too.
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Moves an engine's epoch on every [`TICK`] while somebody runs a guest of it; sleeps otherwise.
#[derive(Debug)]
pub(crate) struct Ticker(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    stopped: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticker {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::Builder::new().name("braid-wasm-tick".into()).spawn(move || {
            loop {
                let waiting = theirs.lock();
                let state = theirs
                    .changed
                    .wait_while(waiting, |state| state.running == 0 && !state.stopped)
                    .unwrap_or_else(PoisonError::into_inner);
                if state.stopped {
                    return;
                }
                drop(state);
                thread::sleep(TICK);
                engine.increment_epoch();
            }
        })?;
        Ok(Self(shared))
    }

    /// The ticker ticks as long as this is held.
    pub(crate) fn tick(&self) -> Ticking<'_> {
        self.0.lock().running += 1;
        self.0.changed.notify_all();
        Ticking(&self.0)
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.changed.notify_all();
    }
}

pub(crate) struct Ticking<'a>(&'a Shared);

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}
