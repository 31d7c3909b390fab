//! Between the generated types of the contract and the SDK's: every conversion moves, none copies.

use std::marker::PhantomData;
use std::time::Duration;

use crate::aggregate::{self as states, Aggregate, Summary};
use crate::scalar::Scalar;
use crate::sink::{Epoch, OutputMode, Promise, Setting, Sink};
use crate::stateful::{self, Changes, Entries, Kind, Outcome, Program, Stateful, Turn, Variable, What};
use crate::{Batch, Column, Field, Schema, Transform, Type};

/// What worlds with schemas share.
macro_rules! schemas {
    () => {
        pub fn schema_in(schema: wit::Schema) -> Schema {
            let fields = schema.fields.into_iter().map(field_in);
            Schema { fields: fields.collect() }
        }

        pub fn schema_out(schema: Schema) -> wit::Schema {
            let fields = schema.fields.into_iter().map(|field| field_out(field.name, field.data_type));
            wit::Schema { fields: fields.collect() }
        }

        pub fn field_in(field: wit::Field) -> Field {
            Field { name: field.name, data_type: type_in(field.data_type) }
        }

        pub fn field_out(name: String, data_type: Type) -> wit::Field {
            wit::Field { name, data_type: type_out(data_type) }
        }
    };
}

/// What all worlds share: each has types of its own for it.
macro_rules! shared {
    ($types:path) => {
        use $types as wit;

        pub fn batch_in(batch: wit::Batch) -> Batch {
            let columns = batch.columns.into_iter().map(|column| Column {
                name: column.name,
                data_type: type_in(column.data_type),
                validity: column.validity,
                offsets: column.offsets,
                values: column.values,
            });
            Batch { rows: batch.rows as usize, columns: columns.collect() }
        }

        pub fn batch_out(batch: Batch) -> wit::Batch {
            wit::Batch { rows: batch.rows as u32, columns: batch.columns.into_iter().map(column_out).collect() }
        }

        pub fn column_out(column: Column) -> wit::Column {
            wit::Column {
                name: column.name,
                data_type: type_out(column.data_type),
                validity: column.validity,
                offsets: column.offsets,
                values: column.values,
            }
        }

        fn type_in(data_type: wit::DataType) -> Type {
            match data_type {
                wit::DataType::Boolean => Type::Boolean,
                wit::DataType::Int32 => Type::Int32,
                wit::DataType::Int64 => Type::Int64,
                wit::DataType::Float32 => Type::Float32,
                wit::DataType::Float64 => Type::Float64,
                wit::DataType::Utf8 => Type::Utf8,
                wit::DataType::Binary => Type::Binary,
                wit::DataType::Date32 => Type::Date32,
                wit::DataType::TimestampMillis => Type::TimestampMillis,
                wit::DataType::TimestampMicros => Type::TimestampMicros,
                wit::DataType::Decimal128((precision, scale)) => Type::Decimal128 { precision, scale },
            }
        }

        fn type_out(data_type: Type) -> wit::DataType {
            match data_type {
                Type::Boolean => wit::DataType::Boolean,
                Type::Int32 => wit::DataType::Int32,
                Type::Int64 => wit::DataType::Int64,
                Type::Float32 => wit::DataType::Float32,
                Type::Float64 => wit::DataType::Float64,
                Type::Utf8 => wit::DataType::Utf8,
                Type::Binary => wit::DataType::Binary,
                Type::Date32 => wit::DataType::Date32,
                Type::TimestampMillis => wit::DataType::TimestampMillis,
                Type::TimestampMicros => wit::DataType::TimestampMicros,
                Type::Decimal128 { precision, scale } => wit::DataType::Decimal128((precision, scale)),
            }
        }
    };
}

/// What the deployment may grant: see [`crate::log`], [`crate::env`], [`crate::clock`] and [`crate::random`]. What is not
/// called is not imported.
pub mod host {
    wit_bindgen::generate!({
        path: "../wire/wit/host",
        world: "host",
    });

    pub use braid::host::{clock, env, log, random};
}

/// The world of a [`Transform`].
pub mod transform {
    use super::*;

    mod generated {
        wit_bindgen::generate!({
            path: "../wire/wit",
            world: "transform",
            pub_export_macro: true,
            export_macro_name: "export_transform",
            default_bindings_module: "$crate::worlds::transform",
        });
    }

    pub use generated::{export_transform, exports};
    shared!(exports::braid::plugin::transforms);
    schemas!();
    use exports::braid::plugin::transforms::Guest;

    /// A [`Transform`] as the contract's interface.
    pub struct Component<T>(PhantomData<T>);

    impl<T: Transform> Guest for Component<T> {
        fn describe(input: wit::Schema) -> Result<wit::Schema, String> {
            crate::panic::keep();
            T::describe(schema_in(input)).map(schema_out)
        }

        fn apply(input: wit::Batch) -> Result<wit::Batch, String> {
            crate::panic::keep();
            T::apply(batch_in(input)).map(batch_out)
        }
    }
}

/// The world of a [`Scalar`].
pub mod scalar {
    use super::*;

    mod generated {
        wit_bindgen::generate!({
            path: "../wire/wit/scalar",
            world: "scalar",
            pub_export_macro: true,
            export_macro_name: "export_scalar",
            default_bindings_module: "$crate::worlds::scalar",
        });
    }

    pub use generated::{export_scalar, exports};
    shared!(exports::braid::scalar::scalars);

    /// A [`Scalar`] as the contract's interface.
    pub struct Component<T>(PhantomData<T>);

    impl<T: Scalar> wit::Guest for Component<T> {
        fn describe(arguments: Vec<wit::DataType>) -> Result<wit::DataType, String> {
            crate::panic::keep();
            let arguments: Vec<Type> = arguments.into_iter().map(type_in).collect();
            T::describe(&arguments).map(type_out)
        }

        fn call(arguments: wit::Batch) -> Result<wit::Column, String> {
            crate::panic::keep();
            T::call(&batch_in(arguments)).map(column_out)
        }
    }
}

/// The world of an [`Aggregate`].
pub mod aggregate {
    use super::*;

    mod generated {
        wit_bindgen::generate!({
            path: "../wire/wit/aggregate",
            world: "aggregate",
            pub_export_macro: true,
            export_macro_name: "export_aggregate",
            default_bindings_module: "$crate::worlds::aggregate",
        });
    }

    pub use generated::{export_aggregate, exports};
    shared!(exports::braid::aggregate::aggregates);
    schemas!();

    /// An [`Aggregate`] as the contract's interface.
    pub struct Component<T>(PhantomData<T>);

    impl<T: Aggregate> wit::Guest for Component<T> {
        fn describe(arguments: Vec<wit::DataType>) -> Result<wit::Program, String> {
            crate::panic::keep();
            let arguments: Vec<Type> = arguments.into_iter().map(type_in).collect();
            let Summary { answer, state } = states::described::<T>(&arguments)?;
            Ok(wit::Program { output: type_out(answer), state: schema_out(state) })
        }

        fn zero(_: Vec<wit::DataType>) -> Result<wit::Batch, String> {
            crate::panic::keep();
            states::zero::<T>().map(batch_out)
        }

        fn accumulate(states: wit::Batch, groups: Vec<u32>, rows: wit::Batch) -> Result<wit::Batch, String> {
            crate::panic::keep();
            states::accumulated::<T>(&batch_in(states), &groups, &batch_in(rows)).map(batch_out)
        }

        fn merge(states: wit::Batch, groups: Vec<u32>, others: wit::Batch) -> Result<wit::Batch, String> {
            crate::panic::keep();
            states::merged::<T>(&batch_in(states), &groups, &batch_in(others)).map(batch_out)
        }

        fn finish(_: Vec<wit::DataType>, states: wit::Batch) -> Result<wit::Column, String> {
            crate::panic::keep();
            states::finished::<T>(&batch_in(states)).map(column_out)
        }
    }
}

/// The world of a [`Stateful`].
pub mod keyed {
    use super::*;

    mod generated {
        wit_bindgen::generate!({
            path: "../wire/wit/keyed",
            world: "stateful",
            pub_export_macro: true,
            export_macro_name: "export_stateful",
            default_bindings_module: "$crate::worlds::keyed",
        });
    }

    pub use generated::{export_stateful, exports};
    shared!(exports::braid::keyed::keyed);
    schemas!();

    /// A [`Stateful`] as the contract's interface.
    pub struct Component<T>(PhantomData<T>);

    impl<T: Stateful> wit::Guest for Component<T> {
        fn describe(
            input: wit::Schema,
            keys: Vec<String>,
            initial: Option<wit::Schema>,
        ) -> Result<wit::Program, String> {
            crate::panic::keep();
            let initial = initial.map(schema_in);
            T::describe(&schema_in(input), &keys, initial.as_ref()).map(program_out)
        }

        fn run(turn: wit::Turn) -> Result<wit::Outcome, String> {
            crate::panic::keep();
            let outcome = stateful::run::<T>(&turn_in(turn))?;
            Ok(outcome_out(outcome))
        }
    }

    fn program_out(program: Program) -> wit::Program {
        let variables = program.variables.into_iter().map(|variable| wit::Variable {
            columns: (variable.entry.map(|entry| field_out("entry".into(), entry)).into_iter())
                .chain([field_out("value".into(), variable.value)])
                .collect(),
            kind: match variable.kind {
                Kind::Value => wit::Kind::Value,
                Kind::List => wit::Kind::List,
                Kind::Map => wit::Kind::Map,
            },
            ttl_ms: variable.ttl.map(|ttl: Duration| ttl.as_millis() as u64),
            name: variable.name,
        });
        wit::Program { output: schema_out(program.output), variables: variables.collect() }
    }

    fn program_in(program: wit::Program) -> Program {
        let variables = program.variables.into_iter().map(|variable| {
            let mut types = variable.columns.into_iter().map(|column| field_in(column).data_type).rev();
            Variable {
                name: variable.name,
                kind: match variable.kind {
                    wit::Kind::Value => Kind::Value,
                    wit::Kind::List => Kind::List,
                    wit::Kind::Map => Kind::Map,
                },
                value: types.next().unwrap_or(Type::Boolean),
                entry: types.next(),
                ttl: variable.ttl_ms.map(Duration::from_millis),
            }
        });
        Program { output: schema_in(program.output), variables: variables.collect() }
    }

    fn turn_in(turn: wit::Turn) -> Turn {
        Turn {
            what: match turn.what {
                wit::What::InitialState => What::InitialState,
                wit::What::Input => What::Input,
                wit::What::Timers => What::Timers,
            },
            program: program_in(turn.program),
            keys: batch_in(turn.keys),
            rows: entries_in(turn.rows),
            states: turn.states.into_iter().map(entries_in).collect(),
            now: turn.now,
        }
    }

    fn entries_in(entries: wit::Entries) -> Entries {
        Entries { keys: entries.keys, rows: batch_in(entries.rows) }
    }

    fn outcome_out(outcome: Outcome) -> wit::Outcome {
        wit::Outcome {
            rows: batch_out(outcome.rows),
            states: outcome.states.into_iter().map(changes_out).collect(),
            timers: changes_out(outcome.timers),
        }
    }

    fn changes_out(changes: Changes) -> wit::Changes {
        let Changes { entries, gone } = changes;
        wit::Changes {
            entries: wit::Entries { keys: entries.keys, rows: batch_out(entries.rows) },
            gone: gone.contains(&1).then_some(gone),
        }
    }
}

/// The world of a [`Sink`].
pub mod sink {
    use std::cell::RefCell;

    use super::*;
    use crate::http::Response;

    mod generated {
        wit_bindgen::generate!({
            path: "../wire/wit/sink",
            world: "sink",
            pub_export_macro: true,
            export_macro_name: "export_sink",
            default_bindings_module: "$crate::worlds::sink",
        });
    }

    use generated::braid::sink::http;
    pub use generated::{export_sink, exports};
    shared!(exports::braid::sink::sinks);
    schemas!();

    /// A [`Sink`] of whatever type.
    trait Open {
        fn process(&mut self, epoch: u64, rows: Batch) -> Result<(), String>;
        fn close(self: Box<Self>, error: Option<&str>) -> Result<(), String>;
    }

    impl<T: Sink> Open for T {
        fn process(&mut self, epoch: u64, rows: Batch) -> Result<(), String> {
            Sink::process(self, epoch, rows)
        }

        fn close(self: Box<Self>, error: Option<&str>) -> Result<(), String> {
            Sink::close(*self, error)
        }
    }

    thread_local! {
        /// Of the epoch at hand.
        static OPEN: RefCell<Option<Box<dyn Open>>> = const { RefCell::new(None) };
    }

    const NOT_OPEN: &str = "there is no open epoch";

    /// A [`Sink`] as the contract's interface.
    pub struct Component<T>(PhantomData<T>);

    impl<T: Sink> wit::Guest for Component<T> {
        fn describe(setting: wit::Setting) -> Result<wit::Promise, String> {
            crate::panic::keep();
            let Promise { idempotent } = T::describe(&setting_in(setting))?;
            Ok(wit::Promise { idempotent })
        }

        fn open(setting: wit::Setting, epoch: wit::Epoch) -> Result<bool, String> {
            crate::panic::keep();
            let epoch = Epoch { number: epoch.number, history: epoch.history };
            let open = T::open(&setting_in(setting), &epoch)?;
            Ok(OPEN.with_borrow_mut(|place| {
                *place = open.map(|open| Box::new(open) as Box<dyn Open>);
                place.is_some()
            }))
        }

        fn process(epoch: u64, rows: wit::Batch) -> Result<(), String> {
            OPEN.with_borrow_mut(|open| open.as_mut().ok_or(NOT_OPEN)?.process(epoch, batch_in(rows)))
        }

        fn close(error: Option<String>) -> Result<(), String> {
            OPEN.take().ok_or(NOT_OPEN)?.close(error.as_deref())
        }
    }

    fn setting_in(setting: wit::Setting) -> Setting {
        Setting {
            name: setting.name,
            options: setting.options,
            input: schema_in(setting.input),
            output_mode: match setting.output_mode {
                wit::OutputMode::Append => OutputMode::Append,
                wit::OutputMode::Update => OutputMode::Update,
                wit::OutputMode::Complete => OutputMode::Complete,
            },
        }
    }

    /// See [`crate::http::granted`].
    pub fn granted(url: &str) -> Result<(), String> {
        http::granted(url)
    }

    /// See [`crate::http::Request::send`].
    pub fn send(
        method: String,
        url: String,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Result<Response, String> {
        let http::Response { status, headers, body } = http::send(&http::Request { method, url, headers, body })?;
        Ok(Response { status, headers, body })
    }
}
