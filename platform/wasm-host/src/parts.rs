//! Rows in parts: where a try fails, the rows at fault are found by halving.

use std::ops::Range;
use std::time::Duration;

use braid_kernel::keyed::FailedRow;

use crate::guest::Failure;
use crate::plugin::Plugin;

/// How many times its time limit a plugin may spend on tries that fail, for one batch. One record that never ends is
/// found among 65,536 in 17 tries. After that, what fails is not halved any further, it fails as a whole; and after twice
/// that, what is left fails untried.
pub const FAILED_TRIES_TIME_FACTOR: u32 = 20;

/// A failed try that took less than this part of the time limit costs nothing of it: a record that traps at once is
/// always found, however many there are. (Three tries a record, so this bounds the batch as well.)
const CHEAP_TRY_DIVISOR: u32 = 100;

/// What a try came to.
pub(crate) enum Tried {
    Passed,
    /// Not tried: it would not fit into the plugin's memory.
    TooLarge,
    Failed(Failure),
}

/// Has a plugin try rows in parts of at most so many, in their order; gives those that failed, ascending.
pub(crate) fn in_parts<E>(
    plugin: &Plugin,
    rows: usize,
    part_max: usize,
    mut attempt: impl FnMut(Range<usize>) -> Result<Tried, E>,
) -> Result<Vec<FailedRow>, E> {
    let mut failed = Vec::new();
    let _log = plugin.mould().host.batch();
    let mut budget = Budget::new(plugin.mould().limits.time);
    let starts = (0..rows).step_by(part_max.max(1)).rev();
    // Ranges still to be done, the first one last. Of a range that is halved both halves are here at once.
    let mut ranges: Vec<Range<usize>> = starts.map(|start| start..rows.min(start + part_max)).collect();
    while let Some(range) = ranges.pop() {
        match attempt(range.clone())? {
            Tried::Passed => {}
            Tried::TooLarge => halve(range, &mut ranges),
            Tried::Failed(failure) if failure.worn && range.len() == 1 && !budget.is_spent() => {
                budget.spend(failure.spent);
                ranges.push(range);
            }
            Tried::Failed(failure) => {
                budget.spend(failure.spent);
                if range.len() > 1 && !budget.is_spent() {
                    halve(range, &mut ranges);
                } else {
                    fail(range, &failure, &mut failed);
                }
                if budget.is_spent_twice() {
                    let rest = ranges.drain(..).rev();
                    rest.for_each(|range| fail(range, &failure, &mut failed));
                }
            }
        }
    }
    plugin.count(rows, failed.len());
    if let Some(FailedRow { reason, .. }) = failed.first() {
        tracing::warn!(plugin = plugin.name(), rows = failed.len(), reason, "records failed");
    }
    Ok(failed)
}

fn halve(range: Range<usize>, ranges: &mut Vec<Range<usize>>) {
    let middle = range.start + range.len() / 2;
    ranges.push(middle..range.end);
    ranges.push(range.start..middle);
}

fn fail(range: Range<usize>, failure: &Failure, failed: &mut Vec<FailedRow>) {
    let reason = match range.len() {
        1 => failure.reason.clone(),
        rows => format!(
            "{rows} records failed together, the batch's time for finding out which is at fault was over: {}",
            failure.reason
        ),
    };
    failed.extend(range.map(|row| FailedRow { row, reason: reason.clone() }));
}

/// The time that failed tries take.
struct Budget {
    spent: Duration,
    limit: Duration,
    cheap: Duration,
}

impl Budget {
    fn new(time: Duration) -> Self {
        Self {
            spent: Duration::ZERO,
            limit: time.saturating_mul(FAILED_TRIES_TIME_FACTOR),
            cheap: time / CHEAP_TRY_DIVISOR,
        }
    }

    fn spend(&mut self, spent: Duration) {
        if spent > self.cheap {
            self.spent = self.spent.saturating_add(spent);
        }
    }

    fn is_spent(&self) -> bool {
        self.spent >= self.limit
    }

    fn is_spent_twice(&self) -> bool {
        self.spent >= self.limit.saturating_mul(2)
    }
}
