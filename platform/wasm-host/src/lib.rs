//! Plugins and every limit on them: the only room that knows wasmtime.
//!
//! A [`Plugin`] is a component that was read, checked and compiled. An [`Applier`] runs it on batches of one schema, in
//! one instance at a time; a trap, a limit or a wrong answer costs the instance and the record at fault, nothing else.
//!
//! What does not get in or out: a plugin imports nothing (no clock, no randomness, no files, no network), so it can only
//! compute; what it returns is checked before an Arrow array is made of it. A [`SinkPlugin`] may have the host send
//! requests to the origins that the deployment grants, and to no others.

mod aggregate;
mod applier;
mod boundary;
mod compile;
mod error;
mod guest;
mod http;
mod keyed;
mod lift;
mod limits;
mod lower;
mod parts;
mod plugin;
mod scalar;
mod sink;

pub use applier::{Applied, Applier};
pub use braid_kernel::keyed::FailedRow;
pub use braid_wire::{ComponentizeError, componentize};
pub use compile::COMPILE_TIME_MAX;
pub use error::PluginError;
pub use guest::{REASON_BYTES_MAX, STACK_BYTES_MAX};
pub use keyed::{KeyedPlugin, TURN_ROWS_MAX};
pub use lift::COLUMNS_MAX;
pub use limits::TICK;
pub use parts::FAILED_TRIES_TIME_FACTOR;
pub use plugin::{FunctionPlugin, Plugin};
pub use sink::SinkPlugin;
