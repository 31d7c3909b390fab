//! Incremental SQL over Arrow: views become deltas per epoch, deltas merge, merged state becomes answers.
//!
//! A view is planned once. Its plan is cut at its one aggregate: what stands below runs per epoch and ends in partial
//! states (the delta), what stands above runs on merged states (the answer). Only this crate plans with DataFusion.

mod arithmetic;
mod best_by;
mod catalog;
mod compile;
mod deep;
mod dialect;
mod disk;
mod engine;
mod event_time;
mod exact_sum;
mod expression;
mod extreme;
mod functions;
mod gates;
mod generators;
mod grouped;
mod groups;
mod job;
mod join;
mod keyed;
mod leaf;
mod memory;
mod moments;
mod multiset;
mod multiset_answers;
mod output;
mod pipeline;
mod plans;
mod reader;
mod rewrite;
mod rows;
mod session;
mod sliding;
mod spark;
mod spelling;
mod split;
mod split_text;
mod sql;
mod stage;
mod stages;
mod state;
mod state_merge;
mod store;
mod sum;
mod tokens;
mod ungrouped;
mod unique;
mod upper;
mod user;
mod user_aggregate;
mod window;

pub use catalog::{
    Catalog, CompileError, DropDuplicates, EventTime, Gate, Input, OutputMode, ReadError, StaticInput,
    TransformWithState, ViewInfo,
};
pub use engine::Engine;
pub use expression::{Expression, Expressions};
pub use job::{EngineJob, EpochResult, LATE_ROWS_MAX};
pub use keyed::{Failed, TimeMode};
pub use memory::{StateMemory, StateUsage};
pub use output::{Output, Seed};
pub use reader::{LiveRows, Reader, SEGMENT_CACHE_BYTES_MAX};
pub use user::{Code, Function, Unanswered};

#[cfg(test)]
mod tests;
