//! The idea of Braid, without the world: `view = base ⊕ deltas`.
//!
//! The base covers the epochs below the horizon; the deltas are exactly the epochs from there on. Layouts differ
//! only in who writes the base. This crate does no IO and reads no clock; adapters implement its [`traits`].

pub mod base;
pub mod delivery;
pub mod error;
pub mod failed;
pub mod failpoint;
pub mod flow;
pub mod fold;
pub mod functions;
mod intake;
pub mod keyed;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod laws_flow;
pub mod laws_store;
#[cfg(test)]
mod laws_swap;
pub mod ledger;
pub mod log;
pub mod manifest;
pub mod memory;
pub mod notices;
pub mod offsets;
pub mod pressure;
pub mod progress;
pub mod rows;
pub mod serve;
pub mod speed;
pub mod time;
pub mod traits;
pub mod trigger;

pub use error::{JobError, SinkError, SourceError, StoreError};
pub use flow::{Slice, Slices};
pub use manifest::{Manifest, Segment, TableKind};
pub use offsets::{Offsets, SourcePlan, SourceState};
pub use rows::{BadRecord, Rows};
pub use traits::{
    Clock, Contribution, EpochOutput, EpochStart, Front, Ingest, Job, Merge, Segments, Sink, SinkReport, Source, Store,
    Tables,
};
pub use trigger::{Limit, Take, Trigger};
