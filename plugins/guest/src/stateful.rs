//! Plugins with a memory for each key: rows come one by one, with what is kept for their key.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use braid_wire::Type;

use crate::batch::{Batch, Field, Schema};
use crate::cell::{Cell, CellBuilder, Row};

/// What a stateful plugin gives out, and what it keeps for each key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The columns of its rows.
    pub output: Schema,
    /// What it keeps.
    pub variables: Vec<Variable>,
}

/// What is kept for each key under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// How many values it has.
    pub kind: Kind,
    /// For a map the type of its entries' names.
    pub entry: Option<Type>,
    /// The type of its values.
    pub value: Type,
    /// An entry is forgotten so long after it was last written.
    pub ttl: Option<Duration>,
}

/// How many values a variable has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// At most one.
    Value,
    /// Many, in order.
    List,
    /// Many, by name.
    Map,
}

impl Program {
    /// Gives rows of these columns out, and keeps nothing yet.
    pub fn new(output: impl IntoIterator<Item = (&'static str, Type)>) -> Self {
        let fields = output.into_iter().map(|(name, data_type)| Field { name: name.into(), data_type });
        Self { output: Schema { fields: fields.collect() }, variables: Vec::new() }
    }

    /// Keeps a variable for each key.
    pub fn keep(mut self, state: &impl State) -> Self {
        self.variables.push(state.variable());
        self
    }

    /// Keeps a variable whose entries are forgotten so long after they were last written.
    pub fn keep_for(mut self, state: &impl State, ttl: Duration) -> Self {
        self.variables.push(Variable { ttl: Some(ttl), ..state.variable() });
        self
    }
}

/// A [`crate::ValueState`], [`crate::ListState`] or [`crate::MapState`].
pub trait State {
    /// What it is to the host.
    fn variable(&self) -> Variable;
}

/// A stateful operator. What it does with a row depends on the row and on what is kept for its key, and on nothing else:
/// it must not show how rows are cut into epochs.
pub trait Stateful {
    /// What comes out and is kept where these columns go in; or why they will not do. Asked once, when a deployment is
    /// planned. `initial` is the table of initial states, if the deployment names one.
    fn describe(input: &Schema, keys: &[String], initial: Option<&Schema>) -> Result<Program, String>;

    /// Takes a row of the stream.
    fn on_row(row: Row<'_>, context: &mut Context<'_>) -> Result<(), String>;

    /// A timer of the key is over.
    fn on_timer(at: i64, context: &mut Context<'_>) -> Result<(), String> {
        let (_, _) = (at, context);
        Ok(())
    }

    /// Takes a row of the table of initial states, before any row of the stream.
    fn on_initial_state(row: Row<'_>, context: &mut Context<'_>) -> Result<(), String> {
        let (_, _) = (row, context);
        Err("takes no initial state".into())
    }
}

/// What a turn is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Initial states.
    InitialState,
    /// Rows of the stream.
    Input,
    /// Timers that are over.
    Timers,
}

/// Rows that belong to keys, in the keys' order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries {
    /// Per row its key.
    pub keys: Vec<u32>,
    /// The rows.
    pub rows: Batch,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// What it is about.
    pub what: What,
    /// What was described.
    pub program: Program,
    /// The keys, each once.
    pub keys: Batch,
    /// The rows.
    pub rows: Entries,
    /// Per variable what is kept.
    pub states: Vec<Entries>,
    /// The watermark, or the time at which the epoch was planned, in microseconds.
    pub now: Option<i64>,
}

/// What becomes of entries, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The entries.
    pub entries: Entries,
    /// Which of them are no more.
    pub gone: Vec<u8>,
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Rows.
    pub rows: Batch,
    /// Per variable what changed.
    pub states: Vec<Changes>,
    /// Timers that were set, or are gone.
    pub timers: Changes,
}

/// A key's state, the time, and the way out.
#[derive(Debug)]
pub struct Context<'t> {
    turn: &'t Turn,
    key: u32,
    rows: usize,
    columns: Vec<CellBuilder>,
    variables: Vec<(Loaded, Cursor<'t>)>,
    timers: ChangesBuilder,
}

/// What is kept for the key at hand under one name.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) values: Vec<Cell<'static>>,
    pub(crate) entries: BTreeMap<Cell<'static>, Cell<'static>>,
    /// For a list how many of its values are kept by the host already.
    pub(crate) kept: usize,
    /// Of a value and a list: whether it was set, or emptied.
    pub(crate) reset: bool,
    /// The names of a map's entries that changed.
    pub(crate) changed: BTreeSet<Cell<'static>>,
}

/// How far a variable's entries were read, and what changed so far.
#[derive(Debug)]
struct Cursor<'t> {
    name: &'t str,
    kind: Kind,
    entries: &'t Entries,
    next: usize,
    changes: ChangesBuilder,
}

#[derive(Debug)]
struct ChangesBuilder {
    keys: Vec<u32>,
    gone: Vec<u8>,
    columns: Vec<CellBuilder>,
}

impl ChangesBuilder {
    fn like(batch: &Batch) -> Self {
        let columns = batch.columns.iter().map(|column| CellBuilder::new(&column.name, column.data_type));
        Self { keys: Vec::new(), gone: Vec::new(), columns: columns.collect() }
    }

    fn push(&mut self, key: u32, gone: bool, cells: &[&Cell<'_>]) -> Result<(), String> {
        self.keys.push(key);
        self.gone.push(u8::from(gone));
        self.columns.iter_mut().zip(cells).try_for_each(|(column, cell)| column.push(cell))
    }

    fn finish(self) -> Changes {
        let rows = self.keys.len();
        let columns = self.columns.into_iter().map(CellBuilder::finish).collect();
        Changes { entries: Entries { keys: self.keys, rows: Batch { rows, columns } }, gone: self.gone }
    }
}

impl<'t> Context<'t> {
    /// The key's columns.
    pub fn key(&self) -> Row<'t> {
        Row::new(&self.turn.keys, self.key as usize)
    }

    /// The watermark, or the time at which the epoch was planned, in microseconds; `None` before the first watermark, and
    /// where the deployment says `time_mode: none`. Timers at or before it are over when the epoch ends.
    pub fn now(&self) -> Option<i64> {
        self.turn.now
    }

    /// Gives a row out: a cell for each column that was described.
    pub fn emit(&mut self, cells: &[Cell<'_>]) -> Result<(), String> {
        if cells.len() != self.columns.len() {
            return Err(format!("gave out a row of {} cells, and had described {}", cells.len(), self.columns.len()));
        }
        self.rows += 1;
        self.columns.iter_mut().zip(cells).try_for_each(|(column, cell)| column.push(cell))
    }

    /// [`Stateful::on_timer`] is called once when time has reached this instant, in microseconds.
    pub fn set_timer(&mut self, at: i64) -> Result<(), String> {
        self.timers.push(self.key, false, &[&Cell::Int64(at)])
    }

    /// Takes a timer back.
    pub fn delete_timer(&mut self, at: i64) -> Result<(), String> {
        self.timers.push(self.key, true, &[&Cell::Int64(at)])
    }

    /// What is kept for the key at hand.
    pub(crate) fn loaded(&mut self, name: &str, kind: Kind) -> Result<&mut Loaded, String> {
        let found = self.variables.iter_mut().find(|(_, cursor)| cursor.name == name && cursor.kind == kind);
        found.map(|(loaded, _)| loaded).ok_or_else(|| format!("`describe` did not keep `{name}`"))
    }

    fn begin(&mut self, key: u32) {
        self.key = key;
        for (loaded, cursor) in &mut self.variables {
            *loaded = cursor.load(key);
        }
    }

    fn end(&mut self) -> Result<(), String> {
        self.variables.iter_mut().try_for_each(|(loaded, cursor)| cursor.store(self.key, loaded))
    }
}

impl Cursor<'_> {
    fn load(&mut self, key: u32) -> Loaded {
        let mut loaded = Loaded::default();
        let Entries { keys, rows } = self.entries;
        while keys.get(self.next).is_some_and(|at| *at <= key) {
            let row = self.next;
            self.next += 1;
            if keys[row] < key {
                continue;
            }
            let cell = |column: usize| Cell::read(rows.rows, &rows.columns[column], row).into_owned();
            match self.kind {
                Kind::Map => {
                    loaded.entries.insert(cell(0), cell(1));
                }
                Kind::Value | Kind::List => loaded.values.push(cell(0)),
            }
        }
        loaded.kept = loaded.values.len();
        loaded
    }

    fn store(&mut self, key: u32, loaded: &Loaded) -> Result<(), String> {
        match self.kind {
            Kind::Value if loaded.reset => match loaded.values.first() {
                Some(value) => self.changes.push(key, false, &[value])?,
                None => self.changes.push(key, true, &[&Cell::Null])?,
            },
            Kind::Value => {}
            Kind::List => {
                if loaded.reset {
                    self.changes.push(key, true, &[&Cell::Null])?;
                }
                for value in &loaded.values[loaded.kept..] {
                    self.changes.push(key, false, &[value])?;
                }
            }
            Kind::Map => {
                for name in &loaded.changed {
                    let value = loaded.entries.get(name);
                    self.changes.push(key, value.is_none(), &[name, value.unwrap_or(&Cell::Null)])?;
                }
            }
        }
        Ok(())
    }
}

/// Takes a turn, row by row.
pub fn run<T: Stateful>(turn: &Turn) -> Result<Outcome, String> {
    let variables = turn.program.variables.iter().zip(&turn.states).map(|(variable, entries)| {
        let changes = ChangesBuilder::like(&entries.rows);
        (Loaded::default(), Cursor { name: &variable.name, kind: variable.kind, entries, next: 0, changes })
    });
    let timers = ChangesBuilder {
        keys: Vec::new(),
        gone: Vec::new(),
        columns: vec![CellBuilder::new("at", Type::TimestampMicros)],
    };
    let columns = turn.program.output.fields.iter().map(|field| CellBuilder::new(&field.name, field.data_type));
    let mut context =
        Context { turn, key: 0, rows: 0, columns: columns.collect(), variables: variables.collect(), timers };
    let Entries { keys, rows } = &turn.rows;
    let mut at_hand = None;
    for (number, key) in keys.iter().enumerate() {
        if at_hand != Some(*key) {
            if at_hand.is_some() {
                context.end()?;
            }
            context.begin(*key);
            at_hand = Some(*key);
        }
        let row = Row::new(rows, number);
        match turn.what {
            What::InitialState => T::on_initial_state(row, &mut context)?,
            What::Input => T::on_row(row, &mut context)?,
            What::Timers => T::on_timer(row.int64("at")?.unwrap_or_default(), &mut context)?,
        }
    }
    if at_hand.is_some() {
        context.end()?;
    }
    let Context { rows, columns, variables, timers, .. } = context;
    Ok(Outcome {
        rows: Batch { rows, columns: columns.into_iter().map(CellBuilder::finish).collect() },
        states: variables.into_iter().map(|(_, cursor)| cursor.changes.finish()).collect(),
        timers: timers.finish(),
    })
}
