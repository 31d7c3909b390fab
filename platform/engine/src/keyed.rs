//! User code with a memory for each key: `transformWithState`. The code runs elsewhere ([`braid_kernel::keyed`]); its
//! memory is here, one [`State`] for each variable and one for timers, so it is kept, undone and restored like any other.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use braid_kernel::JobError;
use braid_kernel::keyed::{Changes, Entries, Keyed, KeyedCode, Kind, Memory, Outcome, Turn, Variable, What};
use datafusion::common::{DataFusionError, Result, exec_err};

use crate::stage::Bounds;
use crate::state::{Kept, Key, State, batch, together};

/// What code runs, for which keys, and by which clock.
#[derive(Debug, Clone)]
pub struct KeyedSpec {
    /// The code.
    pub code: Arc<dyn KeyedCode>,
    /// The columns that make the key.
    pub keys: Vec<usize>,
    /// By which clock timers go.
    pub time_mode: TimeMode,
    /// The table of initial states, and which of its columns make the key.
    pub initial: Option<(String, Vec<usize>)>,
}

/// By which clock timers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeMode {
    /// There are none.
    None,
    /// The watermark.
    EventTime,
    /// The time at which epochs are planned.
    ProcessingTime,
}

/// A row on which the code failed.
#[derive(Debug, Clone)]
pub struct Failed {
    /// It.
    pub row: RecordBatch,
    /// What happened.
    pub reason: String,
}

/// Code, and what it remembers.
#[derive(Debug)]
pub struct KeyedMachine {
    running: Option<Box<dyn Keyed>>,
    /// Per variable, and then timers.
    states: Vec<State>,
    epoch: u64,
    now: Option<i64>,
    initial: Vec<RecordBatch>,
    failed: Vec<Failed>,
}

/// The rows of a turn in the order of their keys, while the code takes them.
struct Taking<'a> {
    spec: &'a KeyedSpec,
    states: &'a mut [State],
    what: What,
    now: Option<i64>,
    /// Each key once: its columns, and as bytes.
    keys: RecordBatch,
    bytes: Vec<Key>,
    /// Per row its key, ascending.
    of: Vec<u32>,
    rows: RecordBatch,
    /// The first key of the turn under way.
    under_way: u32,
    out: Vec<RecordBatch>,
}

/// The names of the tables: one for each variable, and one for timers if there are any.
pub fn tables(stream: &str, variables: &[Variable], time_mode: TimeMode) -> Vec<String> {
    let timers = (time_mode != TimeMode::None).then_some("timers");
    let names = variables.iter().map(|variable| variable.name.as_str()).chain(timers);
    names.map(|name| format!("{stream}.{name}")).collect()
}

impl KeyedMachine {
    /// One that remembers nothing.
    pub fn new(spec: &KeyedSpec, input: &SchemaRef) -> Result<Self> {
        let keys: Vec<FieldRef> = spec.keys.iter().map(|key| input.fields()[*key].clone()).collect();
        let with = |more: Option<FieldRef>| keys.iter().cloned().chain(more).collect::<Vec<_>>();
        let mut states = Vec::new();
        for variable in &spec.code.program().variables {
            let columns = variable.columns.fields();
            states.push(match variable.kind {
                Kind::Value => State::new(&keys, columns)?,
                Kind::List => State::new(&with(Some(field("index", DataType::Int64))), columns)?,
                Kind::Map => State::new(&with(Some(columns[0].clone())), &columns[1..])?,
            });
        }
        states.push(State::new(&with(Some(field("at", instant()))), &[])?);
        Ok(Self { running: None, states, epoch: 0, now: None, initial: Vec::new(), failed: Vec::new() })
    }

    /// Starts an epoch. `initial` are the rows of the table of initial states.
    pub fn begin(&mut self, epoch: u64, now: Option<i64>, initial: &[RecordBatch]) -> Result<()> {
        (self.epoch, self.now) = (epoch, now);
        self.failed.clear();
        self.initial = if epoch == 0 { initial.to_vec() } else { Vec::new() };
        self.states.iter_mut().try_for_each(|state| state.begin(epoch))
    }

    /// What it remembers.
    pub fn states(&mut self) -> Vec<&mut State> {
        self.states.iter_mut().collect()
    }

    /// The rows of this epoch on which the code failed.
    pub fn failed(&mut self) -> Vec<Failed> {
        std::mem::take(&mut self.failed)
    }

    /// When the first timer is over, in microseconds.
    pub fn first_timer(&self) -> Result<Option<i64>> {
        self.states.last().map_or(Ok(None), State::first_time)
    }

    /// Takes the rows of an epoch, then the timers that are over; gives rows out.
    pub fn run(&mut self, spec: &KeyedSpec, rows: Vec<RecordBatch>, bounds: Bounds) -> Result<Vec<RecordBatch>> {
        let (now, then) = match spec.time_mode {
            TimeMode::None => (None, None),
            TimeMode::EventTime => (bounds.late, bounds.ended),
            TimeMode::ProcessingTime => (self.now, self.now),
        };
        if let Some(now) = now {
            let (_, variables) =
                self.states.split_last_mut().ok_or_else(|| DataFusionError::Internal("no timers".into()))?;
            for state in variables {
                state.expire(now)?;
            }
        }
        let mut out = Vec::new();
        let initial = std::mem::take(&mut self.initial);
        if let (Some((_, keys)), Some(first)) = (&spec.initial, initial.first()) {
            let schema = first.schema();
            out.extend(self.take(spec, What::InitialState, keys, together(&schema, &initial)?, now)?);
        }
        if let Some(first) = rows.first() {
            let schema = first.schema();
            out.extend(self.take(spec, What::Input, &spec.keys, together(&schema, &rows)?, now)?);
        }
        if let (Some(then), Some(timers)) = (then, self.states.last_mut()) {
            let over = timers.expire(then)?;
            if !over.is_empty() {
                let columns = timers.decode_keys(over.iter().map(|(key, _)| key.as_ref()), over.len())?;
                let fields = columns.iter().enumerate().map(|(index, column)| {
                    let name = if index + 1 == columns.len() { "at".to_owned() } else { format!("key{index}") };
                    Field::new(name, column.data_type().clone(), true)
                });
                let rows = batch(&Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns, over.len())?;
                let keys: Vec<usize> = (0..spec.keys.len()).collect();
                out.extend(self.take(spec, What::Timers, &keys, rows, Some(then))?);
            }
        }
        Ok(out)
    }

    fn take(
        &mut self,
        spec: &KeyedSpec,
        what: What,
        keys: &[usize],
        rows: RecordBatch,
        now: Option<i64>,
    ) -> Result<Vec<RecordBatch>> {
        if rows.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let outside = |error: JobError| DataFusionError::External(Box::new(error));
        let running = match &mut self.running {
            Some(running) => running,
            None => self.running.insert(spec.code.start().map_err(outside)?),
        };
        let mut taking = Taking::new(spec, &mut self.states, what, keys, rows, now)?;
        let failed = running.run(taking.of.len(), &mut taking).map_err(outside)?;
        for braid_kernel::keyed::FailedRow { row, reason } in failed {
            self.failed.push(Failed { row: taking.rows.slice(row, 1), reason });
        }
        Ok(taking.out)
    }
}

impl<'a> Taking<'a> {
    fn new(
        spec: &'a KeyedSpec,
        states: &'a mut [State],
        what: What,
        keys: &[usize],
        rows: RecordBatch,
        now: Option<i64>,
    ) -> Result<Self> {
        let columns: Vec<ArrayRef> = keys.iter().map(|key| rows.column(*key).clone()).collect();
        // Every state's key begins with these columns, so each gives the same bytes.
        let all = states[0].keys(&columns, rows.num_rows())?;
        let mut numbers: HashMap<&Key, u32> = HashMap::new();
        let (mut firsts, mut of): (Vec<u32>, Vec<(u32, u32)>) = (Vec::new(), Vec::with_capacity(all.len()));
        for (row, key) in all.iter().enumerate() {
            let next = firsts.len() as u32;
            let number = *numbers.entry(key).or_insert(next);
            if number == next {
                firsts.push(row as u32);
            }
            of.push((number, row as u32));
        }
        of.sort_unstable();
        let order = UInt32Array::from_iter_values(of.iter().map(|(_, row)| *row));
        let bytes = firsts.iter().map(|row| all[*row as usize].clone()).collect();
        let keys = take_record_batch(&rows.project(keys)?, &UInt32Array::from(firsts))?;
        let mut rows = take_record_batch(&rows, &order)?;
        if what == What::Timers {
            rows = rows.project(&[rows.num_columns() - 1])?;
        }
        let of = of.into_iter().map(|(number, _)| number).collect();
        Ok(Self { spec, states, what, now, keys, bytes, of, rows, under_way: 0, out: Vec::new() })
    }

    fn entries(&self, variable: usize, keys: Range<u32>) -> Result<Entries> {
        let (state, declared) = (&self.states[variable], &self.spec.code.program().variables[variable]);
        let (mut of, mut names, mut values) = (Vec::new(), Vec::<Key>::new(), Vec::<Cow<'_, Kept>>::new());
        for number in keys.clone() {
            let key: &[u8] = &self.bytes[number as usize];
            match declared.kind {
                Kind::Value => {
                    if let Some(kept) = state.get(key)? {
                        of.push(number - keys.start);
                        values.push(kept);
                    }
                }
                Kind::List | Kind::Map => {
                    for found in state.prefix(key) {
                        let (name, kept) = found?;
                        of.push(number - keys.start);
                        names.push(name);
                        values.push(Cow::Owned(kept));
                    }
                }
            }
        }
        let count = of.len();
        let mut columns = Vec::new();
        if declared.kind == Kind::Map {
            columns.extend(state.decode_keys(names.iter().map(Key::as_ref), count)?.pop());
        }
        columns.extend(state.decode_values(values.iter().map(|kept| kept.value.as_ref()))?);
        Ok(Entries { keys: of, rows: batch(&declared.columns, columns, count)? })
    }
}

impl Memory for Taking<'_> {
    fn turn(&mut self, rows: Range<usize>) -> std::result::Result<Turn, JobError> {
        let bug = |error: DataFusionError| JobError::Bug(error.strip_backtrace());
        let (Some(first), Some(last)) = (self.of.get(rows.start), self.of.get(rows.end - 1)) else {
            return Err(JobError::Bug(format!("a turn of the rows {rows:?}")));
        };
        let keys = *first..*last + 1;
        self.under_way = keys.start;
        let states = 0..self.states.len() - 1;
        let states = states.map(|variable| self.entries(variable, keys.clone())).collect::<Result<_>>().map_err(bug)?;
        Ok(Turn {
            what: self.what,
            keys: self.keys.slice(keys.start as usize, keys.len()),
            rows: Entries {
                keys: self.of[rows.clone()].iter().map(|key| key - keys.start).collect(),
                rows: self.rows.slice(rows.start, rows.len()),
            },
            states,
            now: self.now,
        })
    }

    fn settle(&mut self, outcome: Outcome) -> std::result::Result<(), JobError> {
        let bug = |error: DataFusionError| JobError::Bug(error.strip_backtrace());
        for (variable, changes) in outcome.states.iter().enumerate() {
            self.change(variable, changes).map_err(bug)?;
        }
        self.set_timers(&outcome.timers).map_err(bug)?;
        if outcome.rows.num_rows() > 0 {
            self.out.push(outcome.rows);
        }
        Ok(())
    }
}

impl Taking<'_> {
    /// The key columns of entries, and one more.
    fn names(&self, entries: &Entries, more: Option<&ArrayRef>) -> Result<Vec<ArrayRef>> {
        let start = self.under_way;
        let numbers = UInt32Array::from_iter_values(entries.keys.iter().map(|key| start + key));
        let mut columns = take_record_batch(&self.keys, &numbers)?.columns().to_vec();
        columns.extend(more.cloned());
        Ok(columns)
    }

    fn change(&mut self, variable: usize, changes: &Changes) -> Result<()> {
        let declared = &self.spec.code.program().variables[variable];
        let Changes { entries, gone } = changes;
        let count = entries.keys.len();
        if count == 0 {
            return Ok(());
        }
        let is_gone = |row: usize| gone.as_ref().is_some_and(|gone| gone[row]);
        let columns = entries.rows.columns();
        let (names, values) = match declared.kind {
            Kind::Map => (self.names(entries, Some(&columns[0]))?, &columns[1..]),
            Kind::Value => (self.names(entries, None)?, columns),
            Kind::List => {
                let mut next: HashMap<u32, i64> = HashMap::new();
                let mut indexes = Vec::with_capacity(count);
                for (row, key) in entries.keys.iter().enumerate() {
                    let free = match next.get(key) {
                        Some(free) => *free,
                        None => self.list_end(variable, *key)?,
                    };
                    let free = if is_gone(row) { 0 } else { free };
                    indexes.push(free);
                    next.insert(*key, free + i64::from(!is_gone(row)));
                }
                let indexes: ArrayRef = Arc::new(Int64Array::from(indexes));
                (self.names(entries, Some(&indexes))?, columns)
            }
        };
        let expires = declared.ttl_ms.zip(self.now);
        let at =
            expires.map(|(ttl, now)| now.saturating_add(i64::try_from(ttl).unwrap_or(i64::MAX).saturating_mul(1_000)));
        let start = self.under_way;
        let state = &mut self.states[variable];
        let (keys, values) = (state.keys(&names, count)?, state.values(values, count)?);
        for (row, (key, value)) in keys.iter().zip(values).enumerate() {
            match (is_gone(row), declared.kind) {
                (false, _) => state.put(key, Kept { value, at, marked: false })?,
                (true, Kind::List) => {
                    let prefix = &self.bytes[(start + entries.keys[row]) as usize];
                    let all: Vec<(Key, Kept)> = state.prefix(prefix).collect::<Result<_>>()?;
                    all.iter().try_for_each(|(key, _)| state.remove(key))?;
                }
                (true, _) => state.remove(key)?,
            }
        }
        Ok(())
    }

    /// The index behind the last value of a list.
    fn list_end(&self, variable: usize, key: u32) -> Result<i64> {
        let start = self.under_way;
        let state = &self.states[variable];
        let Some((last, _)) = state.prefix(&self.bytes[(start + key) as usize]).next_back().transpose()? else {
            return Ok(0);
        };
        match state.decode_keys([last.as_ref()], 1)?.last() {
            Some(index) => Ok(index.as_primitive::<Int64Type>().value(0) + 1),
            None => exec_err!("a list without an index"),
        }
    }

    fn set_timers(&mut self, changes: &Changes) -> Result<()> {
        let Changes { entries, gone } = changes;
        let count = entries.keys.len();
        if count == 0 {
            return Ok(());
        }
        if self.spec.time_mode == TimeMode::None {
            return exec_err!("a timer was set, and the stream has `time_mode: none`");
        }
        let instants = entries.rows.column(0);
        let names = self.names(entries, Some(instants))?;
        let instants = instants.as_primitive::<TimestampMicrosecondType>();
        let Some(timers) = self.states.last_mut() else {
            return Ok(());
        };
        for (row, key) in timers.keys(&names, count)?.iter().enumerate() {
            match gone.as_ref().is_some_and(|gone| gone[row]) || instants.is_null(row) {
                true => timers.remove(key)?,
                false => {
                    let at = Some(instants.value(row));
                    timers.put(key, Kept { value: Box::default(), at, marked: false })?;
                }
            }
        }
        Ok(())
    }
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

fn field(name: &str, data_type: DataType) -> FieldRef {
    Arc::new(Field::new(name, data_type, true))
}
