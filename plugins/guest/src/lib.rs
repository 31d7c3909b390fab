//! Braid plugins in Rust: implement [`Transform`], name it in [`transform!`], build with `plugins/build`.
//!
//! ```
//! use braid_guest::{Batch, Schema, Transform};
//!
//! /// Keeps the rows whose `amount` is above zero.
//! struct Positive;
//!
//! impl Transform for Positive {
//!     fn describe(input: Schema) -> Result<Schema, String> {
//!         input.require("amount", braid_guest::Type::Float64)?;
//!         Ok(input)
//!     }
//!
//!     fn apply(batch: Batch) -> Result<Batch, String> {
//!         let keep: Vec<bool> = batch.float64("amount")?.iter().map(|a| a > Some(0.0)).collect();
//!         Ok(batch.filter(&keep))
//!     }
//! }
//!
//! braid_guest::transform!(Positive);
//! ```
//!
//! Columns are Arrow's layout in plain bytes; views give them types without a copy. The same code runs in
//! `cargo test` on the author's machine.

mod batch;
mod build;
mod cell;
pub mod http;
pub mod json;
mod sink;
mod stateful;
mod states;
mod view;
#[doc(hidden)]
#[cfg(target_arch = "wasm32")]
pub mod worlds;

pub use batch::{Batch, Column, Field, Schema};
pub use braid_wire::Type;
pub use build::{FixedBuilder, VarBuilder};
pub use cell::{Cell, Kept, Row};
pub use sink::{EachRow, Epoch, Foreach, OutputMode, Promise, Setting, Sink};
pub use stateful::{Changes, Context, Entries, Kind, Outcome, Program, State, Stateful, Turn, Variable, What, run};
pub use states::{ListState, MapState, ValueState};
pub use view::{Bits, Fixed, Value, Var};

/// A transformation of rows. It is a function of single rows: it gives the same rows however they are cut into
/// batches, and keeps nothing from one call to the next.
pub trait Transform {
    /// Which columns come out where these go in, or why these will not do. Asked once, when a deployment is planned.
    fn describe(input: Schema) -> Result<Schema, String>;
    /// Takes rows of the described input, gives rows of the described output, or the reason why these rows fail.
    fn apply(batch: Batch) -> Result<Batch, String>;
}

/// Makes a [`Transform`] the plugin's one export. Outside WebAssembly it only checks that it is one.
#[macro_export]
macro_rules! transform {
    ($transform:ty) => {
        const _: fn($crate::Batch) -> Result<$crate::Batch, String> = <$transform as $crate::Transform>::apply;
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::worlds::transform::Component<$transform>;
    $crate::worlds::transform::export_transform!(Exported with_types_in $crate::worlds::transform);
        };
    };
}

/// Makes a [`Stateful`] the plugin's one export. Outside WebAssembly it only checks that it is one.
#[macro_export]
macro_rules! stateful {
    ($stateful:ty) => {
        const _: fn(&$crate::Turn) -> Result<$crate::Outcome, String> = $crate::run::<$stateful>;
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::worlds::keyed::Component<$stateful>;
    $crate::worlds::keyed::export_stateful!(Exported with_types_in $crate::worlds::keyed);
        };
    };
}

/// Makes a [`Sink`] the plugin's one export. Outside WebAssembly it only checks that it is one.
#[macro_export]
macro_rules! sink {
    ($sink:ty) => {
        const _: fn(&$crate::Setting) -> Result<$crate::Promise, String> = <$sink as $crate::Sink>::describe;
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::worlds::sink::Component<$sink>;
    $crate::worlds::sink::export_sink!(Exported with_types_in $crate::worlds::sink);
        };
    };
}

/// Makes a [`Foreach`] the plugin's one export. Outside WebAssembly it only checks that it is one.
#[macro_export]
macro_rules! foreach {
    ($foreach:ty) => {
        $crate::sink!($crate::EachRow<$foreach>);
    };
}
