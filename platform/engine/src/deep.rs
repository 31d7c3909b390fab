//! A stack deep enough to plan on: the planner recurses over a statement, and tokio's threads have small stacks.

use std::panic::resume_unwind;
use std::thread::{Builder, scope};

/// Enough for a statement of [`crate::sql::SQL_OPERATORS_MAX`] operators in an unoptimized build. Only what is touched
/// is ever backed by memory.
pub const PLANNING_STACK_BYTES: usize = 128 * 1024 * 1024;

/// Runs planning to its end on a deep stack. The future must not wait for anything but itself.
pub fn on_deep_stack<T: Send, F: Future<Output = T>>(plan: impl FnOnce() -> F + Send) -> std::io::Result<T> {
    scope(|scope| {
        let thread = Builder::new()
            .name("plan".into())
            .stack_size(PLANNING_STACK_BYTES)
            .spawn_scoped(scope, || futures::executor::block_on(plan()))?;
        thread.join().or_else(|panic| resume_unwind(panic))
    })
}
