//! Plugins and every limit on them: the only room that knows wasmtime.
//!
//! A [`Plugin`] is a component that was read, checked and compiled. An [`Applier`] runs it on batches of one schema, in
//! one instance at a time; a trap, a limit or a wrong answer costs the instance and the record at fault, nothing else.
//!
//! What does not get in or out: a plugin imports nothing that the deployment does not grant (lines in the log, values that
//! are written there), so it can only compute; what it returns is checked before an Arrow array is made of it. A
//! [`SinkPlugin`] may have the time, randomness, and the host send requests to the origins that the deployment grants.

mod aggregate;
mod applier;
mod boundary;
mod cache;
mod canary;
mod checked;
mod compile;
mod compiler;
mod error;
mod fault;
mod grants;
mod guest;
mod host;
mod http;
mod inside;
mod inspect;
mod keyed;
mod lift;
mod limits;
mod lower;
mod parts;
mod plugin;
mod replace;
mod scalar;
mod script;
mod sink;

pub use applier::{Applied, Applier};
pub use braid_kernel::keyed::FailedRow;
pub use braid_wire::{ALL as CONTRACTS, CLOCK, ComponentizeError, Contract, ENV, HTTP, LOG, RANDOM, componentize};
pub use cache::CACHE_BYTES_MAX;
pub use canary::{Canary, Found, RECORD_BYTES_MAX, Seen};
pub use checked::{CHECKED_BYTES_MAX, Checked};
pub use compiler::{COMPILER_BYTES_MAX, compile_aside, compiler};
pub use error::PluginError;
pub use fault::REASON_BYTES_MAX;
pub use guest::STACK_BYTES_MAX;
pub use inside::{component_of, language_inside};
pub use inspect::{InsideScript, Inspection, grant, inspect, type_name};
pub use keyed::{KeyedPlugin, TURN_ROWS_MAX};
pub use lift::COLUMNS_MAX;
pub use limits::{TICK, thread_time};
pub use parts::FAILED_TRIES_TIME_FACTOR;
pub use plugin::{FunctionPlugin, Plugin};
pub use replace::Tally;
pub use script::{SCRIPT_ROWS_MAX, interpreter};
pub use sink::SinkPlugin;
