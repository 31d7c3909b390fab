//! Physical plans that one job leaves to the next: where many short jobs of one engine follow one another, planning would
//! be most of their work.

use std::sync::{Arc, Mutex, PoisonError};

use crate::leaf::Statics;
use crate::pipeline::Pipeline;

/// So many jobs' plans are kept: more do not run at once.
const KEPT_MAX: usize = 64;

/// Plans that no job uses at present.
#[derive(Debug, Default)]
pub struct Plans(Mutex<Vec<Planned>>);

/// The plans of a job's chains, in its order: those before operators, and the last one.
pub type Chains = Vec<(Vec<Vec<Pipeline>>, Option<Pipeline>)>;

#[derive(Debug)]
struct Planned {
    /// Their rows are part of plans.
    statics: Arc<Statics>,
    chains: Chains,
}

impl Plans {
    /// Plans over these static tables, if a job left some.
    pub fn take(&self, statics: &Arc<Statics>) -> Option<Chains> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|planned| Arc::ptr_eq(&planned.statics, statics))?;
        Some(kept.swap_remove(at).chains)
    }

    /// Leaves plans, in which nothing runs, to another job.
    pub fn leave(&self, statics: Arc<Statics>, chains: Chains) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT_MAX {
            kept.remove(0);
        }
        kept.push(Planned { statics, chains });
    }
}
