//! The idea of Braid, without the world: `view = base ⊕ deltas`.
//!
//! The base covers the epochs below the horizon; the deltas are exactly the epochs from there on. Layouts differ
//! only in who writes the base. This crate does no IO and reads no clock; adapters implement its [`traits`].

pub mod error;
pub mod failpoint;
pub mod ledger;
pub mod manifest;
pub mod offsets;
pub mod progress;
pub mod rows;
pub mod serve;
pub mod traits;

pub use error::{JobError, SinkError, SourceError, StoreError};
pub use manifest::{Manifest, Segment, TableKind};
pub use offsets::{Offsets, SourcePlan, SourceState};
pub use rows::{BadRecord, Rows};
pub use traits::{
    Clock, Contribution, EpochOutput, Ingest, Job, Merge, Segments, Sink, SinkReport, Source, Store,
};
