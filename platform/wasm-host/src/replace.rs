//! One plugin in the place of another: whether it can be, what both do with the same rows, and how often each has failed.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use arrow::datatypes::DataType;
use braid_kernel::functions::{AggregateCode, ScalarCode, Summary};

use crate::canary::Canary;
use crate::guest::World;
use crate::plugin::{FunctionPlugin, Plugin};
use crate::scalar::Described;

/// What is known of a plugin at work.
#[derive(Default)]
pub(crate) struct Watched {
    /// What it said of arguments' types, where SQL calls it.
    pub(crate) answers: Described<DataType>,
    pub(crate) summaries: Described<Summary>,
    /// What runs beside it.
    canary: RwLock<Option<Arc<Canary>>>,
    rows: AtomicU64,
    failed: AtomicU64,
}

/// What a plugin has been asked since it was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows; of a plugin that takes rows away, epochs.
    pub rows: u64,
    /// Those on which it failed.
    pub failed: u64,
}

impl Tally {
    /// What came after another.
    pub fn since(self, before: Tally) -> Tally {
        Tally { rows: self.rows - before.rows, failed: self.failed - before.failed }
    }

    /// The part of rows on which it failed.
    pub fn share(self) -> f64 {
        self.failed as f64 / self.rows.max(1) as f64
    }
}

impl Plugin {
    /// From now on another plugin gets copies of so many rows that this one gets, in whatever place, until [`Self::alone`].
    pub fn try_beside(&self, other: Plugin, rows_max: u64) -> Arc<Canary> {
        let canary = Arc::new(Canary::new(other, rows_max));
        *self.watched().canary.write().unwrap_or_else(PoisonError::into_inner) = Some(canary.clone());
        canary
    }

    /// Nothing runs beside it any more.
    pub fn alone(&self) {
        *self.watched().canary.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What runs beside it and has not had enough.
    pub(crate) fn canary(&self) -> Option<Arc<Canary>> {
        let canary = self.watched().canary.read().unwrap_or_else(PoisonError::into_inner);
        canary.as_ref().filter(|canary| !canary.is_over()).cloned()
    }

    /// What it has been asked so far.
    pub fn tally(&self) -> Tally {
        Tally { rows: self.watched().rows.load(Relaxed), failed: self.watched().failed.load(Relaxed) }
    }

    pub(crate) fn count(&self, rows: usize, failed: usize) {
        self.watched().rows.fetch_add(rows as u64, Relaxed);
        self.watched().failed.fetch_add(failed as u64, Relaxed);
    }

    /// Why another cannot take its place, as far as can be said of the two alone: it is of another kind, or says something
    /// else of arguments that SQL calls this one with.
    pub fn unlike(&self, other: &Plugin) -> Vec<String> {
        let (old, new) = (self.mould().world, other.mould().world);
        if old != new {
            return vec![format!("`{}` {}, and the new one {}", self.name(), old.does(), new.does())];
        }
        let mut reasons = vec![];
        if let (Some(FunctionPlugin::Scalar(_)), Some(FunctionPlugin::Scalar(new))) =
            (self.function(), other.function())
        {
            for (arguments, answer) in self.watched().answers.known() {
                let of = types_text(&arguments);
                match new.describe(&arguments) {
                    Ok(said) if said == answer => {}
                    Ok(said) => reasons.push(format!("of {of} it answers {answer}, and the new one {said}")),
                    Err(reason) => {
                        reasons.push(format!("of {of} it answers {answer}, and the new one does not: {reason}"))
                    }
                }
            }
        }
        if let (Some(FunctionPlugin::Aggregate(_)), Some(FunctionPlugin::Aggregate(new))) =
            (self.function(), other.function())
        {
            for (arguments, summary) in self.watched().summaries.known() {
                let of = types_text(&arguments);
                let old = summary_text(&summary);
                match new.describe(&arguments) {
                    Ok(said) if said.answer == summary.answer && said.state == summary.state => {}
                    Ok(said) => reasons.push(format!("of {of} it {old}, and the new one {}", summary_text(&said))),
                    Err(reason) => reasons.push(format!("of {of} it {old}, and the new one does not: {reason}")),
                }
            }
        }
        reasons
    }

    /// The types of arguments that SQL calls it with, as far as it was asked about them.
    pub fn called_with(&self) -> Vec<Vec<DataType>> {
        let watched = self.watched();
        let answers = watched.answers.known().into_iter().map(|(arguments, _)| arguments);
        let summaries = watched.summaries.known().into_iter().map(|(arguments, _)| arguments);
        let mut all: Vec<Vec<DataType>> = answers.chain(summaries).collect();
        all.sort_by_key(|arguments| types_text(arguments));
        all
    }

    /// Whether it takes rows away.
    pub fn is_sink(&self) -> bool {
        self.mould().world == World::Sink
    }
}

fn types_text(arguments: &[DataType]) -> String {
    let types: Vec<String> = arguments.iter().map(DataType::to_string).collect();
    format!("({})", types.join(", "))
}

fn summary_text(summary: &Summary) -> String {
    let columns = summary.state.fields().iter().map(|field| format!("{}: {}", field.name(), field.data_type()));
    format!("answers {} and keeps ({})", summary.answer, columns.collect::<Vec<_>>().join(", "))
}
