//! One instance of a plugin: called under its limits, and worthless after its first failure.

use std::sync::Arc;
use std::time::Duration;

use braid_spec::model::PluginLimits;
use braid_wire::{AGGREGATE, Contract, KEYED, SCALAR, SINK, TRANSFORM};
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Func, InstancePre, Lift, Lower};
use wasmtime::{Store, StoreContextMut, UpdateDeadline};

use crate::fault::{failure, shortened};
use crate::host::Host;
use crate::http::{Outside, Request, Response, Session};
use crate::limits::{HANDLES_MAX, Limiter, Ticker, thread_time};
use crate::script::{Kind, Script};

/// A guest runs on the stack of the thread that called it; threads have two MiB, and the host needs some of it.
pub const STACK_BYTES_MAX: u64 = 1024 * 1024;

const NOT_GRANTED: &str = "no request was granted: write `grants: {http: [\"https://api.example.com\"]}`";

/// How much time a guest has, and by which limit.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limited {
    /// For a call.
    Time(Duration),
    /// To read a script.
    CompileTime(Duration),
}

/// What an instance carries.
pub(crate) struct Data {
    limiter: Limiter,
    /// The thread's processor time at which the guest is stopped, and by which limit.
    deadline: Duration,
    limited: Limited,
    timed_out: bool,
    /// It is an interpreter: what its own functions are called says nothing to who wrote the script.
    is_script: bool,
    /// Where it may reach something.
    session: Option<Session>,
    host: Arc<Host>,
}

impl Data {
    /// What it was granted.
    pub(crate) fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Whether it is an interpreter.
    pub(crate) fn is_script(&self) -> bool {
        self.is_script
    }

    /// Whether it was stopped.
    pub(crate) fn timed_out(&self) -> bool {
        self.timed_out
    }

    /// From now on it has so much time.
    pub(crate) fn begin(&mut self, limited: Limited) {
        let (Limited::Time(time) | Limited::CompileTime(time)) = limited;
        self.deadline = thread_time() + time;
        self.limited = limited;
    }

    /// What its time is bounded by.
    pub(crate) fn limited(&self) -> Limited {
        self.limited
    }

    /// What it asked for and was not given.
    pub(crate) fn denied(&self) -> Option<&str> {
        self.limiter.denied.as_deref()
    }

    /// Whether a request would be allowed.
    pub(crate) fn granted(&mut self, url: &str) -> Result<(), String> {
        self.session.as_ref().ok_or(NOT_GRANTED)?.granted(url)
    }

    /// Sends a guest's request. What that takes is not the guest's time.
    pub(crate) fn send(&mut self, request: Request) -> Result<Response, String> {
        let began = thread_time();
        let answer = self.session.as_mut().ok_or(NOT_GRANTED)?.send(request);
        self.deadline += thread_time().saturating_sub(began);
        answer
    }
}

/// What instances are made from.
pub(crate) struct Mould {
    pub(crate) pre: InstancePre<Data>,
    pub(crate) world: World,
    /// Those of [`World::functions`].
    pub(crate) functions: Vec<ComponentExportIndex>,
    pub(crate) limits: PluginLimits,
    /// Where it may reach something.
    pub(crate) outside: Option<Arc<Outside>>,
    pub(crate) host: Arc<Host>,
    pub(crate) ticker: Ticker,
    /// Where the component is an interpreter: what it is given.
    pub(crate) script: Option<Script>,
    /// The most rows of one call.
    pub(crate) rows_max: usize,
}

impl Mould {
    /// Whether an instance is of use after a failure: what a script throws leaves its interpreter whole.
    pub(crate) fn survives(&self, failure: &Failure) -> bool {
        self.script.is_some() && !failure.broke
    }
}

/// What a plugin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum World {
    /// Rows in, rows out.
    Transform,
    /// A function in SQL.
    Scalar,
    /// An aggregate in SQL.
    Aggregate,
    /// The same, with a memory for each key.
    Keyed,
    /// Rows that are taken away.
    Sink,
}

impl World {
    pub(crate) const ALL: [Self; 5] = [Self::Transform, Self::Scalar, Self::Aggregate, Self::Keyed, Self::Sink];

    /// What a plugin of this world exports.
    pub(crate) fn contract(self) -> Contract {
        match self {
            Self::Transform => TRANSFORM,
            Self::Scalar => SCALAR,
            Self::Aggregate => AGGREGATE,
            Self::Keyed => KEYED,
            Self::Sink => SINK,
        }
    }

    /// What is called: first what describes, then what works.
    pub(crate) fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Transform => &["describe", "apply"],
            Self::Scalar => &["describe", "call"],
            Self::Aggregate => &["describe", "accumulate", "zero", "merge", "finish"],
            Self::Keyed => &["describe", "run"],
            Self::Sink => &["describe", "process", "open", "close"],
        }
    }

    /// In words.
    pub(crate) fn does(self) -> &'static str {
        match self {
            Self::Transform => "gives rows out",
            Self::Scalar => "is a function",
            Self::Aggregate => "is an aggregate",
            Self::Keyed => "keeps state",
            Self::Sink => "takes rows away",
        }
    }

    /// Where a deployment has such plugins.
    pub(crate) fn stands(self) -> &'static str {
        match self {
            Self::Transform => "`apply`",
            Self::Scalar | Self::Aggregate => "SQL",
            Self::Keyed => "`transform_with_state`",
            Self::Sink => "a sink",
        }
    }

    pub(crate) fn work(self) -> &'static str {
        self.functions()[1]
    }
}

/// Why a guest did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// In the user's words.
    pub(crate) reason: String,
    /// Processor time spent on it.
    pub(crate) spent: Duration,
    /// It trapped or passed a limit, and is worth nothing any more; otherwise it said so itself.
    pub(crate) broke: bool,
    /// Its instance had worked before: one that has not may be kinder to a single row.
    pub(crate) worn: bool,
}

impl Failure {
    /// What a function returned is not what it must return.
    pub(crate) fn of(function: &str, reason: &str, began: Duration) -> Self {
        let spent = thread_time().saturating_sub(began);
        Self { reason: format!("{function}: {reason}"), spent, broke: true, worn: false }
    }

    /// It was in an instance that had worked before, or was not.
    pub(crate) fn in_worn(self, worn: bool) -> Self {
        Self { worn, ..self }
    }
}

/// An instance and its memory.
pub(crate) struct Guest {
    store: Store<Data>,
    functions: Vec<Func>,
    kind: Option<Kind>,
}

impl Guest {
    pub(crate) fn start(mould: &Mould) -> Result<Self, Failure> {
        let began = thread_time();
        let data = Data {
            limiter: Limiter::new(mould.limits, mould.script.is_some()),
            deadline: began + mould.limits.time,
            limited: Limited::Time(mould.limits.time),
            timed_out: false,
            is_script: mould.script.is_some(),
            session: mould.outside.clone().map(Session::new),
            host: Arc::clone(&mould.host),
        };
        let mut store = Store::new(mould.pre.engine(), data);
        store.limiter(|data| &mut data.limiter);
        store.epoch_deadline_callback(look_at_the_time);
        store.set_epoch_deadline(1);
        store.set_max_component_handles(HANDLES_MAX);
        store.set_hostcall_fuel(usize::try_from(mould.limits.output_bytes).unwrap_or(usize::MAX));
        let started = {
            let _ticking = mould.ticker.tick();
            mould.pre.instantiate(&mut store).and_then(|instance| {
                let script = mould.script.as_ref();
                let loaded = script.map(|script| script.load(&mut store, &instance, mould.limits)).transpose()?;
                Ok((instance, loaded.transpose()))
            })
        };
        let found = started.and_then(|(instance, loaded)| {
            let functions = mould.functions.iter().zip(mould.world.functions()).map(|(index, name)| {
                let found = instance.get_func(&mut store, *index);
                found.ok_or_else(|| wasmtime::Error::msg(format!("`{name}` is no function")))
            });
            Ok((functions.collect::<Result<Vec<_>, _>>()?, loaded))
        });
        match found {
            Ok((functions, Ok(kind))) => Ok(Self { store, functions, kind }),
            Ok((_, Err(reason))) => {
                let reason = shortened(&reason);
                Err(Failure { reason, spent: thread_time().saturating_sub(began), broke: false, worn: false })
            }
            Err(error) => Err(failure("start", &error, &mut store, mould.limits, began)),
        }
    }

    /// What the script that was loaded is, where one was.
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// An epoch is written: its requests may be sent.
    pub(crate) fn may_send(&mut self) {
        if let Some(session) = &mut self.store.data_mut().session {
            session.may_send = true;
        }
    }

    /// What the guest asked for and must not have.
    pub(crate) fn refused(&self) -> Option<String> {
        self.store.data().session.as_ref()?.refused.clone()
    }

    pub(crate) fn describe<I, O>(&mut self, mould: &Mould, input: I) -> Result<O, Failure>
    where
        I: ComponentNamedList + Lower,
        O: Lift,
    {
        let _log = mould.host.batch();
        self.call("describe", mould, input)
    }

    pub(crate) fn work<I, O>(&mut self, mould: &Mould, input: I) -> Result<O, Failure>
    where
        I: ComponentNamedList + Lower,
        O: Lift,
    {
        self.call(mould.world.work(), mould, input)
    }

    /// Calls a function of the plugin's world: all return a result whose error is text.
    pub(crate) fn call<I, O>(&mut self, name: &str, mould: &Mould, input: I) -> Result<O, Failure>
    where
        I: ComponentNamedList + Lower,
        O: Lift,
    {
        let began = thread_time();
        let place = mould.world.functions().iter().position(|function| *function == name);
        let Some(function) = place.map(|place| self.functions[place]) else {
            let reason = format!("bug: there is no function `{name}`");
            return Err(Failure { reason, spent: Duration::ZERO, broke: true, worn: false });
        };
        self.store.data_mut().begin(Limited::Time(mould.limits.time));
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
                broke: false,
                worn: false,
            }),
            Err(error) => Err(failure(name, &error, &mut self.store, mould.limits, began)),
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
