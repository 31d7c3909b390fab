//! A plugin that takes rows away, at work: each epoch has an instance of its own.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use braid_kernel::SinkError;
use braid_spec::model::OutputMode;
use braid_wire::Type;
use wasmtime::component::{ComponentType, Lift, Lower};

use crate::applier::fits;
use crate::boundary::{BatchIn, WireSchema};
use crate::error::PluginError;
use crate::guest::{Failure, Guest};
use crate::lower::{Lowered, column_data, lower};
use crate::plugin::Plugin;

/// A plugin as one sink of a deployment.
#[derive(Clone)]
pub struct SinkPlugin(Arc<Described>);

struct Described {
    plugin: Plugin,
    setting: WireSetting,
    schema: SchemaRef,
    types: Vec<Type>,
    idempotent: bool,
}

// Made by what is derived.
#[derive(ComponentType, Lower, Debug, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
enum WireMode {
    #[component(name = "append")]
    Append,
    #[component(name = "update")]
    Update,
    #[component(name = "complete")]
    Complete,
}

#[derive(ComponentType, Lower, Debug, Clone)]
#[component(record)]
struct WireSetting {
    name: String,
    options: Vec<(String, String)>,
    input: WireSchema,
    #[component(name = "output-mode")]
    output_mode: WireMode,
}

#[derive(ComponentType, Lift, Debug)]
#[component(record)]
struct WirePromise {
    idempotent: bool,
}

#[derive(ComponentType, Lower, Debug, Clone, Copy)]
#[component(record)]
struct WireEpoch<'a> {
    number: u64,
    history: &'a str,
}

impl SinkPlugin {
    pub(crate) fn describe(
        plugin: &Plugin,
        name: &str,
        options: impl IntoIterator<Item = (String, String)>,
        input: &SchemaRef,
        mode: OutputMode,
    ) -> Result<Self, PluginError> {
        let fields = input.fields().iter().map(|field| Field::new(field.name(), spoken(field.data_type()), true));
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let setting = WireSetting {
            name: name.into(),
            options: options.into_iter().collect(),
            input: plugin.wire_schema(&schema)?,
            output_mode: match mode {
                OutputMode::Append => WireMode::Append,
                OutputMode::Update => WireMode::Update,
                OutputMode::Complete => WireMode::Complete,
            },
        };
        let mould = plugin.mould();
        let promise = Guest::start(mould).and_then(|mut guest| guest.describe(mould, (&setting,)));
        let WirePromise { idempotent } = promise.map_err(|failure| plugin.refused(failure.reason))?;
        let types = plugin.types(&schema)?;
        Ok(Self(Arc::new(Described { plugin: plugin.clone(), setting, schema, types, idempotent })))
    }

    /// Whether an epoch that comes again has the effect of one, as the plugin says.
    pub fn is_idempotent(&self) -> bool {
        self.0.idempotent
    }

    /// Hands an epoch's rows to the plugin. Blocks while it waits for others. An error of the plugin's own may pass; that it
    /// traps, passes a limit or asks for what was not granted does not.
    pub fn write(&self, history: &str, epoch: u64, rows: &[RecordBatch]) -> Result<(), SinkError> {
        let Described { plugin, setting, .. } = &*self.0;
        let fails = |reason: String| SinkError::Fatal(format!("plugin `{}`: {reason}", plugin.name()));
        let rows = self.joined(rows).map_err(fails)?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let mould = plugin.mould();
        let _log = mould.host.batch();
        let started = Guest::start(mould).inspect_err(|_| plugin.count(1, 1));
        let mut guest = started.map_err(|failure| fails(failure.reason))?;
        guest.may_send();
        let written = self.epoch(&mut guest, WireEpoch { number: epoch, history }, &rows, setting);
        plugin.count(1, usize::from(written.is_err()));
        let Err(failure) = written else { return Ok(()) };
        match guest.refused() {
            Some(refused) => Err(fails(refused)),
            None if failure.broke => Err(fails(failure.reason)),
            None => Err(SinkError::Retry(format!("plugin `{}`: {}", plugin.name(), failure.reason))),
        }
    }

    fn epoch(
        &self,
        guest: &mut Guest,
        epoch: WireEpoch<'_>,
        rows: &RecordBatch,
        setting: &WireSetting,
    ) -> Result<(), Failure> {
        let mould = self.0.plugin.mould();
        if !guest.call::<_, bool>("open", mould, (setting, epoch))? {
            return Ok(());
        }
        match self.process(guest, epoch.number, rows) {
            Ok(()) => guest.call("close", mould, (None::<&str>,)),
            Err(failure) => {
                if !failure.broke {
                    let _ = guest.call::<_, ()>("close", mould, (Some(failure.reason.as_str()),));
                }
                Err(failure)
            }
        }
    }

    /// All rows at once, or in halves where they would not fit into the plugin's memory.
    fn process(&self, guest: &mut Guest, epoch: u64, rows: &RecordBatch) -> Result<(), Failure> {
        let mould = self.0.plugin.mould();
        let data = column_data(rows);
        let lowered = lower(rows, &data, &self.0.types);
        let bytes = lowered.iter().map(Lowered::bytes).sum();
        let Some(count) = fits(rows.num_rows(), bytes, mould) else {
            let middle = rows.num_rows() / 2;
            self.process(guest, epoch, &rows.slice(0, middle))?;
            return self.process(guest, epoch, &rows.slice(middle, rows.num_rows() - middle));
        };
        let columns: Vec<_> = lowered.iter().map(Lowered::as_column).collect();
        guest.work(mould, (epoch, BatchIn { rows: count, columns: &columns }))
    }

    /// The rows as one batch of what the plugin was told of.
    fn joined(&self, rows: &[RecordBatch]) -> Result<RecordBatch, String> {
        let schema = &self.0.schema;
        let batches = rows.iter().filter(|batch| batch.num_rows() > 0).map(|batch| {
            let columns = batch.columns().iter().zip(schema.fields());
            let columns = columns.map(|(column, field)| cast(column, field.data_type())).collect::<Result<_, _>>()?;
            RecordBatch::try_new(schema.clone(), columns)
        });
        let batches = batches.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        concat_batches(schema, &batches).map_err(|error| format!("the rows of one epoch cannot be joined: {error}"))
    }
}

impl fmt::Debug for SinkPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SinkPlugin({:?} as {})", self.0.plugin, self.0.setting.name)
    }
}

/// The type under which values cross, where the contract has them by another name.
fn spoken(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Timestamp(TimeUnit::Millisecond, _) => DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Timestamp(_, _) => DataType::Timestamp(TimeUnit::Microsecond, None),
        other => other.clone(),
    }
}
