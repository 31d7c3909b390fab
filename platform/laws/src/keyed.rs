//! A memory for each key that is only here: what a plugin with state is tried with.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use braid_kernel::JobError;
use braid_kernel::keyed::{Changes, Entries, FailedRow, Keyed, KeyedCode, Kind, Memory, Outcome as Came, Turn, What};
use braid_wasm_host::KeyedPlugin;

use crate::cell::{self, Cell, Row};
use crate::show;
use crate::subject::{Cut, Outcome};

/// A plugin with state, and an instance of it.
pub struct Remembering {
    code: KeyedPlugin,
    input: SchemaRef,
    keys: Vec<usize>,
    running: Option<Box<dyn Keyed>>,
}

/// What is remembered.
#[derive(Debug, Clone, Default)]
pub struct Remembered {
    /// Every key there was.
    keys: Vec<Row>,
    /// Per variable, by the key's number.
    entries: Vec<BTreeMap<usize, Vec<Entry>>>,
    /// By key and instant.
    timers: BTreeSet<(i64, usize)>,
}

#[derive(Debug, Clone)]
struct Entry {
    row: Row,
    /// When it is forgotten, in microseconds.
    ends: Option<i64>,
}

/// The times of an epoch, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// What the plugin is told of while it takes rows.
    pub before: Option<i64>,
    /// Timers at or before it are over when the rows were taken.
    pub then: Option<i64>,
}

impl Remembering {
    /// One that remembers nothing. `keys` are columns of `input`.
    pub fn new(code: KeyedPlugin, input: &SchemaRef, keys: &[String]) -> Result<Self, String> {
        let keys = keys.iter().map(|key| input.index_of(key).map_err(|error| error.to_string()));
        Ok(Self { keys: keys.collect::<Result<_, _>>()?, code, input: input.clone(), running: None })
    }

    /// The columns that go in.
    pub fn input(&self) -> &SchemaRef {
        &self.input
    }

    /// The columns that come out.
    pub fn output(&self) -> &SchemaRef {
        &self.code.program().output
    }

    /// What is kept for each key: its name, what it is, and its columns.
    pub fn remembers(&self) -> Vec<(String, String, Schema)> {
        let variables = self.code.program().variables.iter().map(|variable| {
            let kind = match variable.kind {
                Kind::Value => "value",
                Kind::List => "list",
                Kind::Map => "map",
            };
            (variable.name.clone(), kind.to_owned(), Schema::clone(&variable.columns))
        });
        variables.collect()
    }

    /// The columns that make the key.
    pub fn keys(&self) -> &[usize] {
        &self.keys
    }

    /// Takes another instance for what comes next.
    pub fn renew(&mut self) {
        self.running = None;
    }

    /// One epoch with these rows and nothing before; then all timers are over.
    pub fn alone(&mut self, rows: &RecordBatch, cut: Cut, fresh: bool) -> Result<Outcome, String> {
        let times = Times { before: None, then: Some(i64::MAX) };
        self.epoch(&mut Remembered::default(), rows, cut, fresh, times)
    }

    /// Takes the rows of an epoch, then the timers that are over.
    pub fn epoch(
        &mut self,
        remembered: &mut Remembered,
        rows: &RecordBatch,
        cut: Cut,
        fresh: bool,
        times: Times,
    ) -> Result<Outcome, String> {
        let mut out = vec![RecordBatch::new_empty(self.output().clone())];
        let variables = self.code.program().variables.len();
        remembered.entries.resize_with(variables, BTreeMap::new);
        remembered.forget(times.before);
        let key_rows = cell::rows(&rows.project(&self.keys).map_err(|error| error.to_string())?);
        let numbers = key_rows.into_iter().map(|key| remembered.number(key)).collect();
        let failed = self.take(remembered, What::Input, (rows, numbers), cut, fresh, times.before, &mut out)?;
        let over = remembered.over(times.then);
        let instants: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(over.iter().map(|(at, _)| *at)));
        let at = Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true);
        let timers = RecordBatch::try_new(Arc::new(Schema::new(vec![at])), vec![instants]);
        let timers = timers.map_err(|error| error.to_string())?;
        let numbers = over.iter().map(|(_, key)| *key).collect();
        let cut = if cut == Cut::Whole { cut } else { Cut::Rows };
        let late = self.take(remembered, What::Timers, (&timers, numbers), cut, fresh, times.then, &mut out)?;
        let rows = concat_batches(self.output(), &out).map_err(|error| error.to_string())?;
        let mut kept = remembered.lines(&self.code);
        kept.extend(late.into_iter().map(|failed| format!("a timer failed: {}", failed.reason)));
        Ok(Outcome { rows, failed, kept })
    }

    /// Hands rows over in the order of their keys; gives those that failed, by their numbers here.
    #[expect(clippy::too_many_arguments, reason = "an epoch's rows and its timers go the same way")]
    fn take(
        &mut self,
        remembered: &mut Remembered,
        what: What,
        (rows, of): (&RecordBatch, Vec<usize>),
        cut: Cut,
        fresh: bool,
        now: Option<i64>,
        out: &mut Vec<RecordBatch>,
    ) -> Result<Vec<FailedRow>, String> {
        let first = |key: &usize| of.iter().position(|other| other == key);
        let mut order: Vec<usize> = (0..of.len()).collect();
        order.sort_by_key(|row| (first(&of[*row]), *row));
        let sorted = UInt32Array::from_iter_values(order.iter().map(|row| *row as u32));
        let rows = take_record_batch(rows, &sorted).map_err(|error| error.to_string())?;
        let of: Vec<usize> = order.iter().map(|row| of[*row]).collect();
        let names: Vec<Field> = self.keys.iter().map(|key| self.input.field(*key).clone()).collect();
        let mut taking = Taking {
            code: &self.code,
            names: Arc::new(Schema::new(names)),
            remembered,
            what,
            rows: &rows,
            of: &of,
            base: 0,
            under_way: Vec::new(),
            now,
            out,
        };
        let mut failed = Vec::new();
        for part in cut.parts(rows.num_rows()).into_iter().filter(|part| !part.is_empty()) {
            if fresh {
                self.running = None;
            }
            let running = match &mut self.running {
                Some(running) => running,
                None => self.running.insert(self.code.start().map_err(|error| error.to_string())?),
            };
            taking.base = part.start;
            let of_part = running.run(part.len(), &mut taking).map_err(|error| error.to_string())?;
            let row = |row: usize| order[part.start + row];
            failed.extend(of_part.into_iter().map(|f| FailedRow { row: row(f.row), reason: f.reason }));
        }
        failed.sort_by_key(|failed| failed.row);
        Ok(failed)
    }
}

impl Remembered {
    fn number(&mut self, key: Row) -> usize {
        self.keys.iter().position(|known| *known == key).unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len() - 1
        })
    }

    fn forget(&mut self, now: Option<i64>) {
        let Some(now) = now else { return };
        for entries in self.entries.iter_mut().flat_map(BTreeMap::values_mut) {
            entries.retain(|entry| entry.ends.is_none_or(|ends| ends > now));
        }
    }

    /// Takes the timers that are over.
    fn over(&mut self, then: Option<i64>) -> Vec<(i64, usize)> {
        let Some(then) = then else { return Vec::new() };
        let over: Vec<_> = self.timers.iter().copied().take_while(|(at, _)| *at <= then).collect();
        self.timers.retain(|timer| !over.contains(timer));
        over
    }

    /// What is kept for some keys.
    fn entries(&self, variable: usize, columns: &SchemaRef, keys: &[usize]) -> Result<Entries, String> {
        let (mut of, mut rows) = (Vec::new(), Vec::new());
        for (local, key) in keys.iter().enumerate() {
            for entry in self.entries[variable].get(key).into_iter().flatten() {
                of.push(local as u32);
                rows.push(entry.row.clone());
            }
        }
        Ok(Entries { keys: of, rows: cell::batch(columns, &rows)? })
    }

    fn change(&mut self, variable: usize, kind: Kind, keys: &[usize], changes: &Changes, ends: Option<i64>) {
        let rows = cell::rows(&changes.entries.rows);
        for (number, (key, row)) in changes.entries.keys.iter().zip(rows).enumerate() {
            let entries = self.entries[variable].entry(keys[*key as usize]).or_default();
            let gone = changes.gone.as_ref().is_some_and(|gone| gone[number]);
            match kind {
                Kind::Value => entries.clear(),
                Kind::List if gone => entries.clear(),
                Kind::List => {}
                Kind::Map => entries.retain(|entry| entry.row[0] != row[0]),
            }
            if !gone {
                entries.push(Entry { row, ends });
            }
        }
    }

    /// A line for each key and variable.
    fn lines(&self, code: &KeyedPlugin) -> Vec<String> {
        let mut lines = Vec::new();
        for (entries, variable) in self.entries.iter().zip(&code.program().variables) {
            for (key, entries) in entries.iter().filter(|(_, entries)| !entries.is_empty()) {
                let rows: Vec<Row> = entries.iter().map(|entry| entry.row.clone()).collect();
                let mut rows =
                    cell::batch(&variable.columns, &rows).map_or_else(|error| vec![error], |r| show::lines(&r));
                if variable.kind == Kind::Map {
                    rows.sort();
                }
                lines.push(format!("`{}` of {}: {}", variable.name, self.key(*key), rows.join("; ")));
            }
        }
        lines.extend(self.timers.iter().map(|(at, key)| format!("a timer of {} at {at} µs", self.key(*key))));
        lines
    }

    fn key(&self, number: usize) -> String {
        let cells = self.keys[number].iter().map(|cell| match cell {
            Cell::Null => "null".to_owned(),
            Cell::Boolean(value) => value.to_string(),
            Cell::Whole(value) => value.to_string(),
            Cell::Number(value) => value.to_string(),
            Cell::Text(value) => format!("{value:?}"),
            Cell::Bytes(value) => format!("{value:?}"),
        });
        cells.collect::<Vec<_>>().join(", ")
    }
}

/// The rows of a turn in the order of their keys, while the plugin takes them.
struct Taking<'a> {
    code: &'a KeyedPlugin,
    names: SchemaRef,
    remembered: &'a mut Remembered,
    what: What,
    rows: &'a RecordBatch,
    /// Per row its key's number.
    of: &'a [usize],
    /// Where the part under way begins.
    base: usize,
    /// The keys of the turn under way.
    under_way: Vec<usize>,
    now: Option<i64>,
    out: &'a mut Vec<RecordBatch>,
}

impl Memory for Taking<'_> {
    fn turn(&mut self, rows: Range<usize>) -> Result<Turn, JobError> {
        let rows = self.base + rows.start..self.base + rows.end;
        let of = &self.of[rows.clone()];
        self.under_way = of.to_vec();
        self.under_way.dedup();
        let local = |key: &usize| self.under_way.iter().position(|other| other == key).unwrap_or_default() as u32;
        let keys: Vec<Row> = self.under_way.iter().map(|key| self.remembered.keys[*key].clone()).collect();
        let variables = self.code.program().variables.iter().enumerate();
        let states =
            variables.map(|(number, variable)| self.remembered.entries(number, &variable.columns, &self.under_way));
        Ok(Turn {
            what: self.what,
            keys: cell::batch(&self.names, &keys).map_err(JobError::Bug)?,
            rows: Entries { keys: of.iter().map(local).collect(), rows: self.rows.slice(rows.start, rows.len()) },
            states: states.collect::<Result<_, _>>().map_err(JobError::Bug)?,
            now: self.now,
        })
    }

    fn settle(&mut self, came: Came) -> Result<(), JobError> {
        let variables = &self.code.program().variables;
        for (number, (changes, variable)) in came.states.iter().zip(variables).enumerate() {
            let ttl = variable.ttl_ms.and_then(|ttl| i64::try_from(ttl).ok()).map(|ttl| ttl.saturating_mul(1_000));
            let ends = ttl.zip(self.now).map(|(ttl, now)| now.saturating_add(ttl));
            self.remembered.change(number, variable.kind, &self.under_way, changes, ends);
        }
        let timers = &came.timers;
        let instants = timers.entries.rows.column(0);
        let instants = instants.as_primitive::<TimestampMicrosecondType>();
        for (row, key) in timers.entries.keys.iter().enumerate().filter(|(row, _)| instants.is_valid(*row)) {
            let timer = (instants.value(row), self.under_way[*key as usize]);
            match timers.gone.as_ref().is_some_and(|gone| gone[row]) {
                true => self.remembered.timers.remove(&timer),
                false => self.remembered.timers.insert(timer),
            };
        }
        self.out.push(came.rows);
        Ok(())
    }
}
