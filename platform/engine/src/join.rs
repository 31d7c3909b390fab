//! The join of two streams: each side's rows wait for partners of the other until the watermark says that none can come.
//!
//! The symmetric hash join of Spark's Structured Streaming, on keys that are ranges of one ordered state per side.
//! Rows of outer sides are given out with nulls when they are let go without having met a partner.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{filter_record_batch, take};
use arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::common::{JoinType, Result};
use datafusion::physical_expr::PhysicalExpr;

use crate::event_time::Kind;
use crate::functions::BATCH_ROWS;
use crate::stage::{Bounds, TimeColumn, instants, instants_of};
use crate::state::{Kept, Key, State, batch, together};

/// How many epochs' worth of row numbers fit below an epoch's.
const ROWS_BITS: u32 = 32;

/// What is joined, and how.
#[derive(Debug)]
pub struct JoinSpec {
    /// Inner, left, right, full, or left semi.
    pub kind: JoinType,
    /// Both sides.
    pub sides: [SideSpec; 2],
    /// What a pair must also fulfil, over the columns of both sides.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// The columns of both sides.
    pub pair_schema: SchemaRef,
    /// The columns of the answer.
    pub schema: SchemaRef,
}

/// One side of a join.
#[derive(Debug)]
pub struct SideSpec {
    /// Its columns.
    pub schema: SchemaRef,
    /// What must equal the other side's.
    pub on: Vec<Arc<dyn PhysicalExpr>>,
    /// The types of these.
    pub key_types: Vec<DataType>,
    /// When a row can have no partner any more.
    pub until: Until,
    /// By how many microseconds the other side's rows may be older than the watermark.
    pub lag: i64,
}

/// When a row can have no partner any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Never.
    Never,
    /// When the watermark has passed this key.
    Key(usize, Kind),
    /// When the watermark has passed this column by so many microseconds.
    Time(TimeColumn, i64),
}

/// Two sides that wait.
#[derive(Debug)]
pub struct Join {
    left: State,
    right: State,
    epoch: u64,
}

/// Rows of one side in this epoch.
struct Fresh {
    rows: RecordBatch,
    /// Their keys without a row's number; `None` where a key is null, which equals nothing.
    prefixes: Vec<Option<Key>>,
    keys: Vec<Key>,
    at: Vec<Option<i64>>,
}

impl SideSpec {
    fn state(&self) -> Result<State> {
        let key = |(index, of): (usize, &DataType)| Arc::new(Field::new(format!("k{index}"), of.clone(), true));
        let mut keys: Vec<FieldRef> = self.key_types.iter().enumerate().map(key).collect();
        keys.push(Arc::new(Field::new("number", DataType::Int64, false)));
        State::new(&keys, self.schema.fields())
    }

    fn fresh(&self, state: &State, rows: &[RecordBatch], epoch: u64) -> Result<Fresh> {
        let rows = together(&self.schema, rows)?;
        let count = rows.num_rows();
        let mut columns: Vec<ArrayRef> =
            self.on.iter().map(|expr| expr.evaluate(&rows)?.into_array(count)).collect::<Result<_>>()?;
        let known = |row: usize| columns.iter().all(|column| column.is_valid(row));
        let some: Vec<bool> = (0..count).map(known).collect();
        let prefixes = state.keys(&columns, count)?;
        let at = match self.until {
            Until::Never => vec![None; count],
            Until::Key(key, kind) => instants_of(&columns[key], kind)?.iter().collect(),
            Until::Time(time, more) => instants(&rows, time)?.iter().map(|at| Some(at?.saturating_add(more))).collect(),
        };
        let first = (epoch as i64) << ROWS_BITS;
        columns.push(Arc::new(Int64Array::from_iter_values(first..first + count as i64)));
        let keys = state.keys(&columns, count)?;
        let prefixes = prefixes.into_iter().zip(some).map(|(prefix, some)| some.then_some(prefix)).collect();
        Ok(Fresh { rows, prefixes, keys, at })
    }
}

impl JoinSpec {
    /// Whether this side's rows are given out also without a partner.
    fn outer(&self, side: usize) -> bool {
        match side {
            0 => matches!(self.kind, JoinType::Left | JoinType::Full),
            _ => matches!(self.kind, JoinType::Right | JoinType::Full),
        }
    }

    fn semi(&self) -> bool {
        self.kind == JoinType::LeftSemi
    }
}

impl Join {
    /// Nobody waits.
    pub fn new(spec: &JoinSpec) -> Result<Self> {
        Ok(Self { left: spec.sides[0].state()?, right: spec.sides[1].state()?, epoch: 0 })
    }

    /// Starts an epoch.
    pub fn begin(&mut self, epoch: u64) -> Result<()> {
        self.epoch = epoch;
        self.left.begin(epoch)?;
        self.right.begin(epoch)
    }

    /// Who waits, left and right.
    pub fn states(&mut self) -> Vec<&mut State> {
        vec![&mut self.left, &mut self.right]
    }

    /// Takes the epoch's rows of both sides; gives the pairs, and the rows that remain alone.
    pub fn run(&mut self, spec: &JoinSpec, inputs: Vec<Vec<RecordBatch>>, bounds: Bounds) -> Result<Vec<RecordBatch>> {
        let [left_rows, right_rows] = &inputs[..] else {
            return datafusion::common::internal_err!("a join has two sides");
        };
        let mut left = spec.sides[0].fresh(&self.left, left_rows, self.epoch)?;
        let right = spec.sides[1].fresh(&self.right, right_rows, self.epoch)?;
        let mut out = Vec::new();
        // New right rows meet old left rows; then all right rows meet new left rows.
        let right_marks = meet(spec, 1, &right, &mut self.left, &mut out)?;
        keep(spec, 1, &mut self.right, &right, &right_marks)?;
        let left_marks = meet(spec, 0, &left, &mut self.right, &mut out)?;
        if spec.semi() {
            let first = BooleanArray::from(left_marks.clone());
            let rows = filter_record_batch(&left.rows, &first)?;
            if rows.num_rows() > 0 {
                out.push(crate::leaf::conform(rows, &spec.schema)?);
            }
            // Its answer is given: it waits no longer.
            for (prefix, matched) in left.prefixes.iter_mut().zip(&left_marks) {
                if *matched {
                    *prefix = None;
                }
            }
        }
        keep(spec, 0, &mut self.left, &left, &left_marks)?;
        for (side, state) in [&mut self.left, &mut self.right].into_iter().enumerate() {
            let Some(ended) = bounds.behind(spec.sides[side].lag).ended else {
                continue;
            };
            let mut gone = state.expire(ended)?;
            if spec.outer(side) {
                gone.retain(|(_, kept)| !kept.marked);
                for part in gone.chunks(BATCH_ROWS) {
                    out.push(alone(spec, side, state, part)?);
                }
            }
        }
        Ok(out)
    }
}

/// Puts new rows where later ones find them.
fn keep(spec: &JoinSpec, side: usize, state: &mut State, fresh: &Fresh, marks: &[bool]) -> Result<()> {
    let values = state.values(fresh.rows.columns(), fresh.rows.num_rows())?;
    for (row, value) in values.into_iter().enumerate() {
        // What can have no partner only waits to be given out alone.
        if fresh.prefixes[row].is_some() || spec.outer(side) {
            let marked = marks[row] && spec.outer(side);
            state.put(&fresh.keys[row], Kept { value, at: fresh.at[row], marked })?;
        }
    }
    Ok(())
}

/// Pairs of new rows of `side` with those that wait on the other; gives which new rows found one.
fn meet(
    spec: &JoinSpec,
    side: usize,
    fresh: &Fresh,
    others: &mut State,
    out: &mut Vec<RecordBatch>,
) -> Result<Vec<bool>> {
    let mut marks = vec![false; fresh.rows.num_rows()];
    if others.len() == 0 {
        return Ok(marks);
    }
    let mut pairs: Vec<(u32, Key, Kept)> = Vec::new();
    for (row, prefix) in fresh.prefixes.iter().enumerate() {
        if let Some(prefix) = prefix {
            for found in others.prefix(prefix) {
                let (key, kept) = found?;
                pairs.push((row as u32, key, kept));
            }
        }
        if pairs.len() >= BATCH_ROWS || (row + 1 == fresh.prefixes.len() && !pairs.is_empty()) {
            pair(spec, side, fresh, others, &pairs, &mut marks, out)?;
            pairs.clear();
        }
    }
    Ok(marks)
}

fn pair(
    spec: &JoinSpec,
    side: usize,
    fresh: &Fresh,
    others: &mut State,
    pairs: &[(u32, Key, Kept)],
    marks: &mut [bool],
    out: &mut Vec<RecordBatch>,
) -> Result<()> {
    let index = UInt32Array::from_iter_values(pairs.iter().map(|(row, _, _)| *row));
    let mine: Vec<ArrayRef> =
        fresh.rows.columns().iter().map(|column| take(column, &index, None)).collect::<std::result::Result<_, _>>()?;
    let theirs = others.decode_values(pairs.iter().map(|(_, _, kept)| kept.value.as_ref()))?;
    let columns = if side == 0 { [mine, theirs] } else { [theirs, mine] };
    let both = batch(&spec.pair_schema, columns.concat(), pairs.len())?;
    let fits = match &spec.filter {
        Some(filter) => {
            let fits = filter.evaluate(&both)?.into_array(pairs.len())?;
            let fits = fits.as_boolean();
            (0..pairs.len()).map(|row| fits.is_valid(row) && fits.value(row)).collect()
        }
        None => vec![true; pairs.len()],
    };
    let other_is_outer = spec.outer(1 - side);
    let mut given: Vec<bool> = fits.clone();
    for (number, (row, key, kept)) in pairs.iter().enumerate() {
        if !fits[number] {
            continue;
        }
        marks[*row as usize] = true;
        if other_is_outer && !kept.marked && others.get(key)?.is_some_and(|kept| !kept.marked) {
            others.put(key, Kept { marked: true, ..kept.clone() })?;
        }
        if spec.semi() {
            // Only once: a left row that waits is given out by its first partner, and a new one by the caller.
            given[number] = side == 1 && others.get(key)?.is_some();
            if given[number] {
                others.remove(key)?;
            }
        }
    }
    let answer = match spec.semi() {
        true => both.project(&(0..spec.schema.fields().len()).collect::<Vec<_>>())?,
        false => both,
    };
    let rows = filter_record_batch(&answer, &BooleanArray::from(given))?;
    if rows.num_rows() > 0 {
        out.push(crate::leaf::conform(rows, &spec.schema)?);
    }
    Ok(())
}

/// Rows that found no partner, with nulls in its place.
fn alone(spec: &JoinSpec, side: usize, state: &State, rows: &[(Key, Kept)]) -> Result<RecordBatch> {
    let mine = state.decode_values(rows.iter().map(|(_, kept)| kept.value.as_ref()))?;
    let other = spec.sides[1 - side].schema.fields();
    let nulls: Vec<ArrayRef> = other.iter().map(|field| new_null_array(field.data_type(), rows.len())).collect();
    let columns = if side == 0 { [mine, nulls] } else { [nulls, mine] };
    batch(&spec.schema, columns.concat(), rows.len())
}
