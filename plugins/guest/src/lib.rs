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

pub mod aggregate;
mod batch;
mod build;
mod cell;
pub mod clock;
mod env;
pub mod http;
pub mod json;
pub mod log;
#[cfg(target_arch = "wasm32")]
mod panic;
pub mod random;
pub mod scalar;
mod sink;
mod stateful;
mod states;
mod values;
mod view;
#[doc(hidden)]
#[cfg(target_arch = "wasm32")]
pub mod worlds;

pub use aggregate::{Aggregate, States};
pub use batch::{Batch, Column, Field, Schema};
pub use braid_wire::Type;
pub use build::{FixedBuilder, VarBuilder};
pub use cell::{Cell, Kept, Row};
pub use env::env;
pub use scalar::Scalar;
pub use sink::{EachRow, Epoch, Foreach, OutputMode, Promise, Setting, Sink};
pub use stateful::{Changes, Context, Entries, Kind, Outcome, Program, State, Stateful, Turn, Variable, What, run};
pub use states::{ListState, MapState, ValueState};
pub use values::{Answer, Argument, Arguments};
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

/// Makes a function the plugin's one export: SQL calls it by the plugin's name.
///
/// Arguments are of `bool`, `i32`, `i64`, `f32`, `f64`, `&str`, `&[u8]`, or an `Option` of one; a null where there is no
/// `Option` makes the answer null. The answer is of such a type too, or a `Result` of one whose error is the reason why the row
/// has none.
///
/// ```
/// braid_guest::function! {
///     /// The greatest number that divides both.
///     fn gcd(a: i64, b: i64) -> i64 {
///         if b == 0 { a } else { gcd(b, a % b) }
///     }
/// }
/// assert_eq!(gcd(12, 18), 6);
/// ```
#[macro_export]
macro_rules! function {
    ($(#[$meta:meta])* fn $name:ident($($argument:ident: $type:ty),+ $(,)?) -> $answer:ty $body:block) => {
        $(#[$meta])*
        fn $name($($argument: $type),+) -> $answer $body

        const _: () = {
            struct Function;

            impl $crate::Scalar for Function {
                fn describe(arguments: &[$crate::Type]) -> Result<$crate::Type, String> {
                    $crate::scalar::described::<($($type,)+), $answer>(arguments)
                }

                fn call(arguments: &$crate::Batch) -> Result<$crate::Column, String> {
                    $crate::scalar::called(arguments, |($($argument,)+): ($($type,)+)| $name($($argument),+))
                }
            }

            $crate::scalar!(Function);
        };
    };
}

/// Makes a [`Scalar`] the plugin's one export. Outside WebAssembly it only checks that it is one.
#[macro_export]
macro_rules! scalar {
    ($scalar:ty) => {
        const _: fn(&$crate::Batch) -> Result<$crate::Column, String> = <$scalar as $crate::Scalar>::call;
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::worlds::scalar::Component<$scalar>;
    $crate::worlds::scalar::export_scalar!(Exported with_types_in $crate::worlds::scalar);
        };
    };
}

/// Makes an [`Aggregate`] the plugin's one export: SQL calls it by the plugin's name. The fields are the columns of a state.
/// Outside WebAssembly it only checks that it is one.
///
/// ```
/// use braid_guest::Aggregate;
///
/// /// The mean of whole numbers.
/// #[derive(Default)]
/// struct Mean {
///     sum: i64,
///     count: i64,
/// }
///
/// impl Aggregate for Mean {
///     type Arguments<'a> = (i64,);
///     type Answer = Option<f64>;
///
///     fn accumulate(&mut self, (value,): (i64,)) -> Result<(), String> {
///         self.merge(Self { sum: value, count: 1 })
///     }
///
///     fn merge(&mut self, other: Self) -> Result<(), String> {
///         self.sum = self.sum.checked_add(other.sum).ok_or("the sum is too large")?;
///         self.count += other.count;
///         Ok(())
///     }
///
///     fn finish(self) -> Option<f64> {
///         (self.count > 0).then(|| self.sum as f64 / self.count as f64)
///     }
/// }
///
/// braid_guest::aggregate!(Mean { sum: i64, count: i64 });
/// ```
#[macro_export]
macro_rules! aggregate {
    ($aggregate:ident { $($field:ident: $type:ty),+ $(,)? }) => {
        impl $crate::States for $aggregate {
            fn columns() -> Vec<$crate::Field> {
                let field = |name: &str, data_type| $crate::Field { name: name.into(), data_type };
                vec![$(field(stringify!($field), <$type as $crate::Answer>::TYPE)),+]
            }

            fn read(batch: &$crate::Batch) -> Result<Vec<Self>, String> {
                let views = <($($type,)+) as $crate::Arguments>::views(batch)?;
                let states = (0..batch.rows).map(|row| {
                    let ($($field,)+) = <($($type,)+) as $crate::Arguments>::get(&views, row).ok_or("a state has a null")?;
                    Ok(Self { $($field),+ })
                });
                states.collect()
            }

            fn write(states: Vec<Self>) -> Result<$crate::Batch, String> {
                let rows = states.len();
                $(let mut $field = <$type as $crate::Answer>::builder(rows);)+
                for state in states {
                    $($crate::Answer::put(state.$field, &mut $field)?;)+
                }
                let columns = vec![$(<$type as $crate::Answer>::finish($field, stringify!($field))),+];
                Ok($crate::Batch { rows, columns })
            }
        }

        const _: fn() -> Result<$crate::Batch, String> = $crate::aggregate::zero::<$aggregate>;
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::worlds::aggregate::Component<$aggregate>;
    $crate::worlds::aggregate::export_aggregate!(Exported with_types_in $crate::worlds::aggregate);
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
