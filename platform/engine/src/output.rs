//! What a sink writes of a view, by output mode, with Spark's rules of which query and mode go together.

use std::sync::Arc;

use arrow::array::RecordBatch;
use braid_kernel::JobError;
use datafusion::common::Result as PlanResult;

use crate::catalog::OutputMode;
use crate::compile::{Keyed, View};
use crate::engine::job_error;
use crate::groups::Shape;
use crate::memory::StateMemory;
use crate::stage::Bounds;
use crate::store::{Store, without_ended};

/// What states are those of, that a sink is given at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seed {
    /// The base, in which each key is once.
    Base,
    /// Deltas since.
    Deltas,
}

/// The rows for one sink: keeps the merged state per key where the mode needs it.
#[derive(Debug)]
pub struct Output {
    view: Arc<View>,
    mode: OutputMode,
    /// Of an aggregate: its states.
    store: Option<Store>,
    /// Whether a watermark closes the view's windows.
    closes: bool,
}

impl Output {
    pub(crate) fn new(view: Arc<View>, mode: OutputMode, memory: &Arc<StateMemory>) -> Result<Self, String> {
        let name = &view.info.name;
        let closes = view.info.event_time.is_some();
        let Some(keyed) = &view.keyed else {
            if mode == OutputMode::Complete {
                return Err(format!(
                    "view `{name}` has no aggregate, and output_mode complete would keep all its rows for ever: use append"
                ));
            }
            return Ok(Self { view, mode, store: None, closes });
        };
        if keyed.upper.ordered && mode != OutputMode::Complete {
            return Err(format!(
                "view `{name}` has ORDER BY or LIMIT, which need all rows at once: use output_mode complete, or leave them out"
            ));
        }
        if mode == OutputMode::Append && !closes {
            let missing = match view.info.window {
                true => "the source of its window's timestamp has no watermark on that column: declare one",
                false => "it has no window of event time: group by window(…) of a column with a watermark",
            };
            return Err(format!(
                "view `{name}` is an aggregate, and output_mode append writes a row when it can no longer change, \
                 but {missing}, or use output_mode update or complete"
            ));
        }
        if keyed.aggregation.window.is_some_and(|window| window.shape == Shape::Session) && mode == OutputMode::Update {
            return Err(format!(
                "view `{name}` has session windows, and output_mode update cannot take back a session that grew into \
                 another: use append or complete"
            ));
        }
        let mut store = Store::new(&keyed.aggregation, closes && mode != OutputMode::Complete)
            .map_err(|error| error.strip_backtrace())?;
        store.state().within(memory);
        Ok(Self { view, mode, store: Some(store), closes })
    }

    /// Takes the view's states as of the start: those of the base, then those of deltas, in any number of parts. Windows
    /// that ended at or before `final_before_ms` were written before and are left out, where the mode evicts them.
    pub fn seed(&mut self, of: Seed, state: &[RecordBatch], final_before_ms: Option<i64>) -> Result<(), JobError> {
        let (Some(keyed), Some(store)) = (&self.view.keyed, &mut self.store) else {
            return Ok(());
        };
        let evicts = self.closes && self.mode != OutputMode::Complete;
        let ended = Bounds::of_ms(None, final_before_ms.filter(|_| evicts)).behind(self.view.info.lag).ended;
        open(keyed, state, ended)
            .and_then(|state| match of {
                Seed::Base => store.load(&keyed.aggregation, &state),
                Seed::Deltas => store.merge(&keyed.aggregation, &state).map(|_| store.state().settle()),
            })
            .map_err(|error| job_error(&self.view.info.name, &error))
    }

    /// How many keys are kept.
    pub fn keys(&self) -> usize {
        self.store.as_ref().map_or(0, Store::len)
    }

    /// Takes one epoch's delta; gives the rows to write, in the view's answer schema. Complete mode gives all rows, in one
    /// batch without rows if there are none, and no batch where the epoch changed nothing.
    pub async fn apply(
        &mut self,
        delta: &[RecordBatch],
        late_before_ms: Option<i64>,
        final_before_ms: Option<i64>,
    ) -> Result<Vec<RecordBatch>, JobError> {
        let view = self.view.clone();
        let (Some(keyed), Some(store)) = (&view.keyed, &mut self.store) else {
            return Ok(delta.iter().filter(|batch| batch.num_rows() > 0).cloned().collect());
        };
        let closes = self.closes && self.mode != OutputMode::Complete;
        let bounds = match closes {
            true => Bounds::of_ms(late_before_ms, final_before_ms).behind(view.info.lag),
            false => Bounds::default(),
        };
        apply(keyed, store, self.mode, delta, bounds).await.map_err(|error| job_error(&view.info.name, &error))
    }
}

/// States without the windows that ended.
fn open(keyed: &Keyed, states: &[RecordBatch], ended: Option<i64>) -> PlanResult<Vec<RecordBatch>> {
    match ended {
        Some(ended) => states.iter().map(|batch| without_ended(&keyed.aggregation, batch, ended)).collect(),
        None => Ok(states.to_vec()),
    }
}

async fn apply(
    keyed: &Keyed,
    store: &mut Store,
    mode: OutputMode,
    delta: &[RecordBatch],
    bounds: Bounds,
) -> PlanResult<Vec<RecordBatch>> {
    let aggregation = &keyed.aggregation;
    let changed = store.merge(aggregation, &open(keyed, delta, bounds.late)?)?;
    let changes = changed.num_rows() > 0;
    let states = match mode {
        OutputMode::Update => {
            let changed = store.windows_of(aggregation, changed)?;
            bounds.ended.into_iter().try_for_each(|ended| store.forget(ended))?;
            match bounds.late {
                Some(late) => without_ended(aggregation, &changed, late)?,
                None => changed,
            }
        }
        OutputMode::Append => match bounds.ended {
            Some(ended) => store.evict(aggregation, bounds.late, ended)?,
            None => RecordBatch::new_empty(aggregation.delta_schema.clone()),
        },
        OutputMode::Complete if changes => store.all(aggregation)?,
        OutputMode::Complete => changed,
    };
    store.state().settle();
    if states.num_rows() == 0 {
        return Ok(Vec::new());
    }
    let mut rows = keyed.upper.run(&aggregation.answer(&states)?).await?;
    if mode == OutputMode::Complete && rows.is_empty() {
        rows.push(RecordBatch::new_empty(keyed.upper.schema.clone()));
    }
    Ok(rows)
}
