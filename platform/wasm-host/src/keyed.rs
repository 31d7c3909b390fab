//! A plugin with state at work: turns go over whole, with what is kept for their keys.

use std::sync::Arc;

use arrow::array::{ArrayData, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use braid_kernel::JobError;
use braid_kernel::keyed::{
    Changes, Entries, FailedRow, Keyed, KeyedCode, Kind, Memory, Outcome, Program, Turn, Variable, What,
};
use braid_wire::Type;
use wasmtime::component::{ComponentType, Lift, Lower};

use crate::applier::fits;
use crate::boundary::{BatchIn, BatchOut, ColumnIn, WireField, WireSchema};
use crate::canary::{Beside, Canary, Found, record};
use crate::error::PluginError;
use crate::guest::{Failure, Guest};
use crate::lift::{lift, lift_schema};
use crate::limits::thread_time;
use crate::lower::{Lowered, column_data, lower};
use crate::parts::{Tried, in_parts};
use crate::plugin::Plugin;

/// The most rows of one turn: what is kept for their keys goes with them.
pub const TURN_ROWS_MAX: usize = 8_192;

/// The most variables of one plugin.
const VARIABLES_MAX: usize = 64;

/// A plugin with state, and what it said of itself.
#[derive(Debug, Clone)]
pub struct KeyedPlugin(Arc<Described>);

#[derive(Debug)]
struct Described {
    plugin: Plugin,
    program: Program,
    wire: WireProgram,
    keys: Columns,
    input: Columns,
    initial: Option<Columns>,
    timers: Columns,
    variables: Vec<Columns>,
}

/// Columns as the plugin was told of them, and their types on the wire.
#[derive(Debug)]
struct Columns {
    schema: SchemaRef,
    types: Vec<Type>,
}

// Made by what is derived.
#[expect(dead_code)]
#[derive(ComponentType, Lift, Lower, Debug, Clone, Copy, PartialEq, Eq)]
#[component(enum)]
#[repr(u8)]
enum WireKind {
    #[component(name = "value")]
    Value,
    #[component(name = "list")]
    List,
    #[component(name = "map")]
    Map,
}

#[derive(ComponentType, Lift, Lower, Debug, Clone)]
#[component(record)]
struct WireVariable {
    name: String,
    kind: WireKind,
    columns: Vec<WireField>,
    #[component(name = "ttl-ms")]
    ttl_ms: Option<u64>,
}

#[derive(ComponentType, Lift, Lower, Debug, Clone)]
#[component(record)]
struct WireProgram {
    output: WireSchema,
    variables: Vec<WireVariable>,
}

#[derive(ComponentType, Lower, Debug, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
enum WireWhat {
    #[component(name = "initial-state")]
    InitialState,
    #[component(name = "input")]
    Input,
    #[component(name = "timers")]
    Timers,
}

#[derive(ComponentType, Lower, Debug, Clone, Copy)]
#[component(record)]
struct EntriesIn<'a> {
    keys: &'a [u32],
    rows: BatchIn<'a>,
}

#[derive(ComponentType, Lower, Debug, Clone, Copy)]
#[component(record)]
struct TurnIn<'a> {
    what: WireWhat,
    program: &'a WireProgram,
    keys: BatchIn<'a>,
    rows: EntriesIn<'a>,
    states: &'a [EntriesIn<'a>],
    now: Option<i64>,
}

#[derive(ComponentType, Lift, Debug)]
#[component(record)]
struct EntriesOut {
    keys: Vec<u32>,
    rows: BatchOut,
}

#[derive(ComponentType, Lift, Debug)]
#[component(record)]
struct ChangesOut {
    entries: EntriesOut,
    gone: Option<Vec<u8>>,
}

#[derive(ComponentType, Lift, Debug)]
#[component(record)]
struct OutcomeOut {
    rows: BatchOut,
    states: Vec<ChangesOut>,
    timers: ChangesOut,
}

impl KeyedPlugin {
    pub(crate) fn describe(
        plugin: &Plugin,
        input: &SchemaRef,
        keys: &[String],
        initial: Option<&SchemaRef>,
    ) -> Result<Self, PluginError> {
        let columns = |schema: SchemaRef| {
            let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
            let types = plugin.types(&schema)?;
            Ok::<_, PluginError>(Columns { types, schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())) })
        };
        let refused = |reason: String| plugin.refused(reason);
        let wire_input = plugin.wire_schema(input)?;
        let wire_initial = initial.map(|schema| plugin.wire_schema(schema)).transpose()?;
        let mould = plugin.mould();
        let wire: WireProgram = Guest::start(mould)
            .and_then(|mut guest| guest.describe(mould, (&wire_input, keys, wire_initial.as_ref())))
            .map_err(|failure| refused(failure.reason))?;
        let program = program(&wire).map_err(refused)?;
        let key_fields = keys.iter().map(|key| input.field_with_name(key).cloned());
        let key_fields: Vec<Field> =
            key_fields.collect::<Result<_, _>>().map_err(|error| refused(error.to_string()))?;
        let at = Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true);
        let variables = program.variables.iter().map(|variable| columns(variable.columns.clone()));
        Ok(Self(Arc::new(Described {
            variables: variables.collect::<Result<_, _>>()?,
            keys: columns(Arc::new(Schema::new(key_fields)))?,
            input: columns(input.clone())?,
            initial: initial.cloned().map(columns).transpose()?,
            timers: columns(Arc::new(Schema::new(vec![at])))?,
            plugin: plugin.clone(),
            program,
            wire,
        })))
    }
}

/// What the plugin said, checked.
fn program(wire: &WireProgram) -> Result<Program, String> {
    if wire.variables.len() > VARIABLES_MAX {
        return Err(format!("keeps {} variables; {VARIABLES_MAX} are possible", wire.variables.len()));
    }
    let mut variables: Vec<Variable> = Vec::new();
    for variable in &wire.variables {
        let name = variable.name.clone();
        let good = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !good || variables.iter().any(|other| other.name == name) {
            return Err(format!("the name of a variable, `{name}`, is there twice or not of letters, digits and `_`"));
        }
        let (kind, count) = match variable.kind {
            WireKind::Value => (Kind::Value, 1),
            WireKind::List => (Kind::List, 1),
            WireKind::Map => (Kind::Map, 2),
        };
        if variable.columns.len() != count {
            return Err(format!("`{name}` has {} columns, and must have {count}", variable.columns.len()));
        }
        let columns = lift_schema(WireSchema { fields: variable.columns.clone() })?;
        variables.push(Variable { name, kind, columns, ttl_ms: variable.ttl_ms });
    }
    Ok(Program { output: lift_schema(wire.output.clone())?, variables })
}

impl KeyedCode for KeyedPlugin {
    fn name(&self) -> &str {
        self.0.plugin.name()
    }

    fn program(&self) -> &Program {
        &self.0.program
    }

    fn start(&self) -> Result<Box<dyn Keyed>, JobError> {
        Ok(Box::new(Running::new(self.0.clone())))
    }
}

/// A plugin with state and one instance of it.
struct Running {
    described: Arc<Described>,
    /// Kept from turn to turn, thrown away with the first failure that it does not survive.
    guest: Option<Guest>,
    beside: Beside<Box<Running>>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Running({:?})", self.described.plugin)
    }
}

impl Keyed for Running {
    fn run(&mut self, rows: usize, memory: &mut dyn Memory) -> Result<Vec<FailedRow>, JobError> {
        let plugin = self.described.plugin.clone();
        in_parts(&plugin, rows, TURN_ROWS_MAX, |range| {
            let turn = memory.turn(range)?;
            let worn = self.guest.is_some();
            Ok::<_, JobError>(match self.attempt(&turn)? {
                Ok(Some(outcome)) => {
                    self.compare(&turn, &outcome)?;
                    memory.settle(outcome)?;
                    Tried::Passed
                }
                Ok(None) => Tried::TooLarge,
                Err(failure) => {
                    let survives = plugin.mould().survives(&failure);
                    if !survives {
                        self.guest = None;
                    }
                    Tried::Failed(failure.in_worn(worn && !survives))
                }
            })
        })
    }
}

impl Running {
    fn new(described: Arc<Described>) -> Self {
        Self { described, guest: None, beside: Beside::default() }
    }

    /// Gives the turn to what runs beside it too; nothing of what it makes of it is kept.
    fn compare(&mut self, turn: &Turn, old: &Outcome) -> Result<(), JobError> {
        let described = &self.described;
        let beside = self.beside.of(&described.plugin, |canary| described.beside(canary));
        let Some((canary, running)) = beside else { return Ok(()) };
        let rows = &turn.rows.rows;
        let worn = running.guest.is_some();
        let _log = running.described.plugin.mould().host.batch();
        let mut tried = running.attempt(turn)?;
        if worn && tried.is_err() {
            // As for the plugin at work: what many rows before it left behind is not this turn's fault.
            running.guest = None;
            tried = running.attempt(turn)?;
        }
        match tried {
            Ok(None) => {}
            Ok(Some(new)) => {
                canary.note_failed(rows, &[], &[]);
                canary.compare_outputs(&old.rows, &new.rows);
                if old.rows == new.rows && (&old.states, &old.timers) != (&new.states, &new.timers) {
                    let reason = "what it remembers is other".into();
                    canary.note_differing(1, || Found { reason, record: record(rows, 0) });
                }
            }
            Err(failure) => {
                running.guest = None;
                // A turn is not taken apart for it: one record of it is at fault at least.
                let reason = match rows.num_rows() {
                    1 => failure.reason,
                    many => format!("{} (given {many} records at once, of which the first is shown)", failure.reason),
                };
                canary.note_failed(rows, &[], &[FailedRow { row: 0, reason }]);
            }
        }
        Ok(())
    }

    /// What came of a turn; nothing where it would not fit into the plugin's memory.
    fn attempt(&mut self, turn: &Turn) -> Result<Result<Option<Outcome>, Failure>, JobError> {
        let described = &*self.described;
        let (what, input) = match turn.what {
            What::InitialState => (WireWhat::InitialState, described.initial.as_ref().unwrap_or(&described.input)),
            What::Input => (WireWhat::Input, &described.input),
            What::Timers => (WireWhat::Timers, &described.timers),
        };
        let keys = Sent::new(&described.keys, &turn.keys)?;
        let rows = Sent::new(input, &turn.rows.rows)?;
        let states = described.variables.iter().zip(&turn.states);
        let states: Vec<Sent> =
            states.map(|(columns, state)| Sent::new(columns, &state.rows)).collect::<Result<_, _>>()?;
        let (keys, rows) = (keys.lower(&described.keys), rows.lower(input));
        let states: Vec<Vec<Lowered>> =
            states.iter().zip(&described.variables).map(|(state, columns)| state.lower(columns)).collect();
        let bytes = keys.iter().chain(&rows).chain(states.iter().flatten()).map(Lowered::bytes).sum();
        let mould = described.plugin.mould();
        if fits(turn.rows.keys.len(), bytes, mould).is_none() {
            return Ok(Ok(None));
        }
        let (keys, rows) = (as_columns(&keys), as_columns(&rows));
        let state_columns: Vec<Vec<ColumnIn>> = states.iter().map(|state| as_columns(state)).collect();
        let states: Vec<EntriesIn> = turn
            .states
            .iter()
            .zip(&state_columns)
            .map(|(entries, columns)| EntriesIn { keys: &entries.keys, rows: batch_in(&entries.rows, columns) })
            .collect();
        let turn_in = TurnIn {
            what,
            program: &described.wire,
            keys: batch_in(&turn.keys, &keys),
            rows: EntriesIn { keys: &turn.rows.keys, rows: batch_in(&turn.rows.rows, &rows) },
            states: &states,
            now: turn.now,
        };
        let guest = match &mut self.guest {
            Some(guest) => guest,
            None => match Guest::start(mould) {
                Ok(guest) => self.guest.insert(guest),
                Err(failure) => return Ok(Err(failure)),
            },
        };
        let began = thread_time();
        let outcome = match guest.work::<_, OutcomeOut>(mould, (turn_in,)) {
            Ok(outcome) => outcome,
            Err(failure) => return Ok(Err(failure)),
        };
        let key_count = turn.keys.num_rows();
        Ok(described.outcome(outcome, key_count).map(Some).map_err(|reason| Failure::of("run", &reason, began)))
    }
}

impl Described {
    /// The same for another plugin.
    fn beside(&self, canary: &Canary) -> Result<Box<Running>, String> {
        let keys: Vec<String> = self.keys.schema.fields().iter().map(|field| field.name().clone()).collect();
        let initial = self.initial.as_ref().map(|columns| &columns.schema);
        let described = KeyedPlugin::describe(canary.plugin(), &self.input.schema, &keys, initial);
        described.map(|plugin| Box::new(Running::new(plugin.0))).map_err(|error| error.to_string())
    }

    /// What the plugin returned, of which nothing is believed.
    fn outcome(&self, outcome: OutcomeOut, keys: usize) -> Result<Outcome, String> {
        if outcome.states.len() != self.variables.len() {
            return Err(format!("returned {} variables, and keeps {}", outcome.states.len(), self.variables.len()));
        }
        let states = outcome.states.into_iter().zip(&self.variables);
        Ok(Outcome {
            rows: lift(outcome.rows, &self.program.output)?,
            states: states.map(|(state, columns)| changes(state, &columns.schema, keys)).collect::<Result<_, _>>()?,
            timers: changes(outcome.timers, &self.timers.schema, keys)?,
        })
    }
}

fn changes(changes: ChangesOut, schema: &SchemaRef, keys: usize) -> Result<Changes, String> {
    let ChangesOut { entries, gone } = changes;
    let rows = lift(entries.rows, schema)?;
    if entries.keys.len() != rows.num_rows() || gone.as_ref().is_some_and(|gone| gone.len() != rows.num_rows()) {
        return Err(format!("returned {} entries and not a key and a mark for each", rows.num_rows()));
    }
    if let Some(key) = entries.keys.iter().find(|key| **key as usize >= keys) {
        return Err(format!("returned an entry of the key {key}, and there are {keys}"));
    }
    let gone = gone.map(|gone| gone.into_iter().map(|mark| mark != 0).collect());
    Ok(Changes { entries: Entries { keys: entries.keys, rows }, gone })
}

/// A batch under the names that the plugin knows, on its way.
struct Sent {
    batch: RecordBatch,
    data: Vec<ArrayData>,
}

impl Sent {
    fn new(columns: &Columns, batch: &RecordBatch) -> Result<Self, JobError> {
        // What stands behind the columns that it knows is not the plugin's.
        let batch = batch.columns()[..columns.schema.fields().len()].to_vec();
        let batch =
            RecordBatch::try_new(columns.schema.clone(), batch).map_err(|error| JobError::Bug(error.to_string()))?;
        Ok(Self { data: column_data(&batch), batch })
    }

    fn lower(&self, columns: &Columns) -> Vec<Lowered<'_>> {
        lower(&self.batch, &self.data, &columns.types)
    }
}

fn as_columns<'a>(lowered: &'a [Lowered<'_>]) -> Vec<ColumnIn<'a>> {
    lowered.iter().map(Lowered::as_column).collect()
}

fn batch_in<'a>(batch: &RecordBatch, columns: &'a [ColumnIn<'a>]) -> BatchIn<'a> {
    BatchIn { rows: batch.num_rows() as u32, columns }
}
