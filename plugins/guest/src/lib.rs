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
#[cfg(target_arch = "wasm32")]
mod bindings;
mod build;
mod view;

pub use batch::{Batch, Column, Field, Schema};
#[doc(hidden)]
#[cfg(target_arch = "wasm32")]
pub use bindings::{Component, export_component, exports};
pub use braid_wire::Type;
pub use build::{FixedBuilder, VarBuilder};
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
            type Exported = $crate::Component<$transform>;
    $crate::export_component!(Exported with_types_in $crate);
        };
    };
}
