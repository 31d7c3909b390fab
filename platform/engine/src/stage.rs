//! Stateful operators below a view's last part: each takes an epoch's rows, remembers what later epochs need, and
//! gives rows out that never change. What is behind a stage reads its rows from a leaf, as it would a source's.
//!
//! Two watermarks guide an epoch, as in Spark: rows at or before the one from before the epoch are too late; what the
//! one after it has passed is let go (and given out, where an operator waits for that).

use std::fmt;

use arrow::array::{Array, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::{cast, filter_record_batch, not};
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimestampMicrosecondType};
use braid_kernel::EpochStart;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::LogicalPlan;

use crate::event_time::Kind;
use crate::groups::{Aggregation, WindowKey};
use crate::join::{Join, JoinSpec};
use crate::keyed::{Failed, KeyedMachine, KeyedSpec, TimeMode};
use crate::leaf::Statics;
use crate::state::State;
use crate::store::{Store, without_ended};
use crate::unique::{Unique, UniqueSpec};
use crate::window::INSTANT;

/// One operator of a view.
#[derive(Debug)]
pub struct Stage {
    /// The table that its rows stand in, for what is behind it.
    pub leaf: String,
    /// What it does.
    pub operator: Operator,
    /// What runs before it, per epoch.
    pub inputs: Vec<StageInput>,
    /// The columns of its rows.
    pub schema: SchemaRef,
    /// What it remembers: names of tables.
    pub tables: Vec<String>,
    /// Changes when what it remembers would mean something else.
    pub definition: String,
}

/// One side of an operator.
#[derive(Debug)]
pub struct StageInput {
    /// What runs per epoch.
    pub plan: LogicalPlan,
    /// Which of its columns is event time, if one is.
    pub time: Option<TimeColumn>,
    /// Its columns.
    pub schema: SchemaRef,
}

/// A column of event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeColumn {
    /// Which column.
    pub index: usize,
    /// What it holds.
    pub kind: Kind,
    /// By how many microseconds its rows may be older than the watermark.
    pub lag: i64,
}

/// What an operator does.
#[derive(Debug)]
pub enum Operator {
    /// Lets the first row of each key pass.
    Unique(UniqueSpec),
    /// Joins rows of two streams.
    Join(Box<JoinSpec>),
    /// Runs user code with a memory for each key.
    Keyed(Box<KeyedSpec>),
    /// Gives out the groups of windows that have ended.
    Closing {
        aggregation: Box<Aggregation>,
        window: Option<WindowKey>,
        /// By how many microseconds rows may be older than the watermark.
        lag: i64,
    },
}

impl fmt::Display for Operator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unique(spec) => write!(formatter, "the first row of each key, forgotten {:?}", spec.forget),
            Self::Join(spec) => write!(
                formatter,
                "{} join of streams; left rows wait until {:?}, right rows until {:?}",
                spec.kind, spec.sides[0].until, spec.sides[1].until
            ),
            Self::Keyed(spec) => {
                write!(formatter, "plugin {} by key, timers by {:?}", spec.code.name(), spec.time_mode)
            }
            Self::Closing { .. } => formatter.write_str("groups of windows that have ended"),
        }
    }
}

impl Operator {
    /// By how many microseconds rows may be older than the watermark, where the operator itself looks for late ones.
    pub fn lag(&self) -> i64 {
        match self {
            Self::Closing { lag, .. } => *lag,
            _ => 0,
        }
    }
}

/// The instants, in microseconds, by which rows of an epoch are judged.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bounds {
    /// At or before it a row is too late.
    pub late: Option<i64>,
    /// At or before it everything is final.
    pub ended: Option<i64>,
}

impl Bounds {
    /// From watermarks in milliseconds.
    pub fn of_ms(late_before: Option<i64>, final_before: Option<i64>) -> Self {
        let micros = |ms: i64| ms.saturating_mul(1_000);
        Self { late: late_before.map(micros), ended: final_before.map(micros) }
    }

    /// For rows that may be older than the watermark.
    pub fn behind(self, lag: i64) -> Self {
        let back = |instant: i64| instant.saturating_sub(lag);
        Self { late: self.late.map(back), ended: self.ended.map(back) }
    }
}

/// An operator that runs.
#[derive(Debug)]
pub enum Machine {
    Unique(Unique),
    Join(Box<Join>),
    Keyed(Box<KeyedMachine>),
    Closing(Store),
}

impl Machine {
    /// One that remembers nothing.
    pub fn new(stage: &Stage) -> Result<Self> {
        Ok(match &stage.operator {
            Operator::Unique(spec) => Self::Unique(Unique::new(spec, &stage.inputs[0].schema)?),
            Operator::Join(spec) => Self::Join(Box::new(Join::new(spec)?)),
            Operator::Keyed(spec) => Self::Keyed(Box::new(KeyedMachine::new(spec, &stage.inputs[0].schema)?)),
            Operator::Closing { aggregation, .. } => Self::Closing(Store::new(aggregation, true)?),
        })
    }

    /// Starts an epoch: see [`State::begin`].
    pub fn begin(&mut self, stage: &Stage, start: EpochStart, statics: &Statics) -> Result<()> {
        let epoch = start.epoch;
        match self {
            Self::Unique(unique) => unique.state().begin(epoch),
            Self::Join(join) => join.begin(epoch),
            Self::Keyed(keyed) => {
                let initial = match &stage.operator {
                    Operator::Keyed(spec) => spec.initial.as_ref().and_then(|(table, _)| statics.0.get(table)),
                    _ => None,
                };
                let now = start.planned_at.saturating_mul(1_000);
                keyed.begin(epoch, Some(now), initial.map_or(&[], |rows| rows.as_slice()))
            }
            Self::Closing(store) => store.state().begin(epoch),
        }
    }

    /// Takes the epoch's rows of each input, of which none is late (states, in the case of groups); gives rows out.
    pub fn run(&mut self, stage: &Stage, inputs: Vec<Vec<RecordBatch>>, bounds: Bounds) -> Result<Vec<RecordBatch>> {
        match (self, &stage.operator) {
            (Self::Unique(unique), Operator::Unique(spec)) => {
                let first = unique.run(spec, inputs.concat(), bounds)?;
                first.into_iter().map(|batch| crate::leaf::conform(batch, &stage.schema)).collect()
            }
            (Self::Join(join), Operator::Join(spec)) => join.run(spec, inputs, bounds),
            (Self::Keyed(keyed), Operator::Keyed(spec)) => {
                let out = keyed.run(spec, inputs.concat(), bounds)?;
                out.into_iter().map(|batch| crate::leaf::conform(batch, &stage.schema)).collect()
            }
            (Self::Closing(store), Operator::Closing { aggregation, lag, .. }) => {
                let bounds = bounds.behind(*lag);
                let mut open = inputs.concat();
                if let Some(late) = bounds.late {
                    open = open.iter().map(|states| without_ended(aggregation, states, late)).collect::<Result<_>>()?;
                }
                store.merge(aggregation, &open)?;
                let Some(ended) = bounds.ended else {
                    return Ok(Vec::new());
                };
                let states = store.evict(aggregation, bounds.late, ended)?;
                if states.num_rows() == 0 {
                    return Ok(Vec::new());
                }
                Ok(vec![crate::leaf::conform(aggregation.answer(&states)?, &stage.schema)?])
            }
            _ => exec_err!("the operator is another than its stage's"),
        }
    }

    /// What the epoch changed, per table.
    pub fn deltas(&mut self, stage: &Stage) -> Result<Vec<(String, RecordBatch)>> {
        let mut deltas = Vec::new();
        for (table, state) in stage.tables.iter().zip(self.states()) {
            deltas.extend(state.delta()?.map(|delta| (table.clone(), delta)));
        }
        Ok(deltas)
    }

    /// The rows of this epoch on which user code failed.
    pub fn failed(&mut self) -> Vec<Failed> {
        match self {
            Self::Keyed(keyed) => keyed.failed(),
            _ => Vec::new(),
        }
    }

    /// When it has something to do even without rows, in milliseconds since the Unix epoch.
    pub fn wakes_at(&self, stage: &Stage) -> Result<Option<i64>> {
        match (self, &stage.operator) {
            (Self::Keyed(keyed), Operator::Keyed(spec)) if spec.time_mode == TimeMode::ProcessingTime => {
                Ok(keyed.first_timer()?.map(|at| at.saturating_add(999).div_euclid(1_000)))
            }
            _ => Ok(None),
        }
    }

    /// Its states, one per table.
    pub fn states(&mut self) -> Vec<&mut State> {
        match self {
            Self::Unique(unique) => vec![unique.state()],
            Self::Join(join) => join.states(),
            Self::Keyed(keyed) => keyed.states(),
            Self::Closing(store) => vec![store.state()],
        }
    }
}

/// The event time of each row, in microseconds: of windows their ends.
pub fn instants(rows: &RecordBatch, time: TimeColumn) -> Result<Int64Array> {
    instants_of(rows.column(time.index), time.kind)
}

/// The event time of each value, in microseconds: of windows their ends.
pub fn instants_of(column: &arrow::array::ArrayRef, kind: Kind) -> Result<Int64Array> {
    let column = match (kind, column.as_struct_opt()) {
        (Kind::Window(_), Some(windows)) => match windows.column_by_name("end") {
            Some(ends) => ends,
            None => return exec_err!("a window without an end"),
        },
        _ => column,
    };
    let micros = match column.data_type() {
        DataType::Timestamp(_, _) | DataType::Date32 => cast(column, &INSTANT)?,
        other => return exec_err!("event time is a timestamp, not {other}"),
    };
    let micros = micros.as_primitive::<TimestampMicrosecondType>().reinterpret_cast::<Int64Type>();
    Ok(match kind {
        Kind::Start(length) => micros.unary(|start| start.saturating_add(length)),
        _ => micros,
    })
}

/// Rows apart: those in time, and those at or before the bound.
pub fn late_apart(rows: &RecordBatch, time: TimeColumn, bounds: Bounds) -> Result<(RecordBatch, Option<RecordBatch>)> {
    let Some(bound) = bounds.behind(time.lag).late else {
        return Ok((rows.clone(), None));
    };
    let late: BooleanArray = instants(rows, time)?.iter().map(|at| Some(at.is_some_and(|at| at <= bound))).collect();
    if late.true_count() == 0 {
        return Ok((rows.clone(), None));
    }
    Ok((filter_record_batch(rows, &not(&late)?)?, Some(filter_record_batch(rows, &late)?)))
}
