//! What a plugin promises, tried: laws on generated rows with the smallest counter-example, and an author's fixtures.
//!
//! It runs plugins as the host runs them: for an author (`braid plugin`), and before a deployment starts or takes another
//! plugin. While it runs, nothing of this is there.

mod algebra;
mod cell;
mod fixtures;
mod generate;
mod keyed;
mod law;
mod laws;
mod random;
mod rows;
mod show;
mod sql;
mod states;
mod subject;

pub use cell::Row;
pub use fixtures::{Ended, Tested, test};
pub use generate::Generator;
pub use keyed::Remembering;
pub use law::{Counter, Settings, Verdict};
pub use laws::{check, promised};
pub use rows::{examples, from_json};
pub use show::{Shown, difference};
pub use sql::{Adding, Calling};
pub use states::continues;
pub use subject::Subject;
