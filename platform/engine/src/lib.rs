//! Incremental SQL over Arrow: views become deltas per epoch, deltas merge, merged state becomes answers.
//!
//! A view is planned once. Its plan is cut at its one aggregate: what stands below runs per epoch and ends in partial
//! states (the delta), what stands above runs on merged states (the answer). Only this crate plans with DataFusion.

mod arithmetic;
mod catalog;
mod compile;
mod deep;
mod dialect;
mod engine;
mod exact_sum;
mod extreme;
mod functions;
mod groups;
mod job;
mod leaf;
mod output;
mod reader;
mod spelling;
mod split;
mod split_text;
mod sql;
mod store;
mod sum;
mod ungrouped;
mod upper;
mod window;

pub use catalog::{Catalog, CompileError, EventTime, Input, OutputMode, ReadError, StaticInput, ViewInfo};
pub use engine::Engine;
pub use job::{EngineJob, EpochResult, LATE_ROWS_MAX};
pub use output::Output;
pub use reader::{LiveRows, Reader, SEGMENT_CACHE_BYTES_MAX};

#[cfg(test)]
mod tests;
