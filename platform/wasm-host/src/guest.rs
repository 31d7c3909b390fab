//! One instance of a plugin: called under its limits, and worthless after its first failure.

use std::time::Duration;

use braid_spec::model::PluginLimits;
use braid_wire::{Contract, KEYED, TRANSFORM};
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Func, InstancePre, Lift, Lower};
use wasmtime::{Store, StoreContextMut, Trap, UpdateDeadline, WasmBacktrace};

use crate::limits::{Limiter, Ticker, thread_time};

/// How much of a guest's own error is kept.
pub const REASON_BYTES_MAX: usize = 1024;

/// A guest runs on the stack of the thread that called it; threads have two MiB, and the host needs some of it.
pub const STACK_BYTES_MAX: u64 = 1024 * 1024;

/// Crates whose functions only say that something failed, not where in the plugin.
const NOT_THE_PLUGIN: [&str; 7] = ["core::", "std::", "alloc::", "dlmalloc", "__rustc", "__rust_", "__rdl_"];

/// What an instance carries.
pub(crate) struct Data {
    limiter: Limiter,
    /// The thread's processor time at which the guest is stopped.
    deadline: Duration,
    timed_out: bool,
}

/// What instances are made from.
pub(crate) struct Mould {
    pub(crate) pre: InstancePre<Data>,
    pub(crate) world: World,
    pub(crate) describe: ComponentExportIndex,
    pub(crate) work: ComponentExportIndex,
    pub(crate) limits: PluginLimits,
    pub(crate) ticker: Ticker,
}

/// What a plugin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum World {
    /// Rows in, rows out.
    Transform,
    /// The same, with a memory for each key.
    Keyed,
}

impl World {
    pub(crate) const ALL: [Self; 2] = [Self::Transform, Self::Keyed];

    /// What a plugin of this world exports.
    pub(crate) fn contract(self) -> Contract {
        match self {
            Self::Transform => TRANSFORM,
            Self::Keyed => KEYED,
        }
    }

    /// The function that works; the other is `describe`.
    pub(crate) fn work(self) -> &'static str {
        match self {
            Self::Transform => "apply",
            Self::Keyed => "run",
        }
    }
}

/// Why a guest did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// In the user's words.
    pub(crate) reason: String,
    /// Processor time spent on it.
    pub(crate) spent: Duration,
}

/// An instance and its memory.
pub(crate) struct Guest {
    store: Store<Data>,
    describe: Func,
    work: Func,
}

impl Guest {
    pub(crate) fn start(mould: &Mould) -> Result<Self, Failure> {
        let began = thread_time();
        let data = Data {
            limiter: Limiter::new(mould.limits.memory_bytes),
            deadline: began + mould.limits.time,
            timed_out: false,
        };
        let mut store = Store::new(mould.pre.engine(), data);
        store.limiter(|data| &mut data.limiter);
        store.epoch_deadline_callback(look_at_the_time);
        store.set_epoch_deadline(1);
        store.set_hostcall_fuel(usize::try_from(mould.limits.output_bytes).unwrap_or(usize::MAX));
        let started = {
            let _ticking = mould.ticker.tick();
            mould.pre.instantiate(&mut store)
        };
        let found = started.and_then(|instance| {
            let mut function = |index, name: &str| {
                let found = instance.get_func(&mut store, index);
                found.ok_or_else(|| wasmtime::Error::msg(format!("`{name}` is no function")))
            };
            let describe = function(mould.describe, "describe")?;
            Ok((describe, function(mould.work, mould.world.work())?))
        });
        match found {
            Ok((describe, work)) => Ok(Self { store, describe, work }),
            Err(error) => Err(failure("start", &error, store.data(), mould.limits, began)),
        }
    }

    pub(crate) fn describe<I, O>(&mut self, mould: &Mould, input: I) -> Result<O, Failure>
    where
        I: ComponentNamedList + Lower,
        O: Lift,
    {
        self.call("describe", self.describe, mould, input)
    }

    pub(crate) fn work<I, O>(&mut self, mould: &Mould, input: I) -> Result<O, Failure>
    where
        I: ComponentNamedList + Lower,
        O: Lift,
    {
        self.call(mould.world.work(), self.work, mould, input)
    }

    /// Calls one of the two functions: both return a result whose error is text.
    fn call<I, O>(&mut self, name: &str, function: Func, mould: &Mould, input: I) -> Result<O, Failure>
    where
        I: ComponentNamedList + Lower,
        O: Lift,
    {
        let began = thread_time();
        self.store.data_mut().deadline = began + mould.limits.time;
        self.store.set_epoch_deadline(1);
        let outcome = {
            let _ticking = mould.ticker.tick();
            function
                .typed::<I, (Result<O, String>,)>(&self.store)
                .and_then(|function| function.call(&mut self.store, input))
        };
        match outcome {
            Ok((Ok(output),)) => Ok(output),
            Ok((Err(reason),)) => Err(Failure {
                reason: match reason.as_str() {
                    "" => format!("{name}: failed without a reason"),
                    reason => shortened(reason),
                },
                spent: thread_time().saturating_sub(began),
            }),
            Err(error) => Err(failure(name, &error, self.store.data(), mould.limits, began)),
        }
    }
}

fn look_at_the_time(mut store: StoreContextMut<'_, Data>) -> wasmtime::Result<UpdateDeadline> {
    let data = store.data_mut();
    if thread_time() < data.deadline {
        return Ok(UpdateDeadline::Continue(1));
    }
    data.timed_out = true;
    Ok(UpdateDeadline::Interrupt)
}

fn failure(function: &str, error: &wasmtime::Error, data: &Data, limits: PluginLimits, began: Duration) -> Failure {
    let what = if data.timed_out {
        format!("ran longer than its limit of {:?}", limits.time)
    } else if let Some(denied) = &data.limiter.denied {
        denied.clone()
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        match trap {
            Trap::StackOverflow => format!("used more than its {} bytes of stack", limits.stack_bytes),
            Trap::UnreachableCodeReached => "panicked, or reached what it held for unreachable".into(),
            other => other.to_string(),
        }
    } else {
        let cause = error.root_cause().to_string();
        if cause.contains("fuel") {
            format!("returned more than its limit of {} bytes", limits.output_bytes)
        } else {
            cause
        }
    };
    let place = error.downcast_ref::<WasmBacktrace>().and_then(place);
    let reason = match place {
        Some(place) => format!("{function}: {what} (in {place})"),
        None => format!("{function}: {what}"),
    };
    Failure { reason: shortened(&reason), spent: thread_time().saturating_sub(began) }
}

/// The innermost function of the plugin's own, by name.
fn place(backtrace: &WasmBacktrace) -> Option<String> {
    let frames = || backtrace.frames().iter().filter_map(|frame| frame.func_name());
    let names = || frames().map(|name| format!("{:#}", rustc_demangle::demangle(name)));
    let own = |name: &String| {
        let name = name.trim_start_matches('<');
        !NOT_THE_PLUGIN.iter().any(|prefix| name.starts_with(prefix))
    };
    names().find(own).or_else(|| names().next())
}

fn shortened(reason: &str) -> String {
    if reason.len() <= REASON_BYTES_MAX {
        return reason.to_owned();
    }
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    format!("{}…", &reason[..end])
}
