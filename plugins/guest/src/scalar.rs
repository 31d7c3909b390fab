//! Functions in SQL.

use crate::values::{Answer, Arguments, wanted};
use crate::{Batch, Column, Type};

/// A function of values in SQL. [`function!`](crate::function) makes one of a plain `fn`.
pub trait Scalar {
    /// The type of the answer where the arguments are of these, or why they will not do. Asked when a deployment is planned.
    fn describe(arguments: &[Type]) -> Result<Type, String>;
    /// An answer for each row, or the reason why these rows have none. Arguments are columns in their order.
    fn call(arguments: &Batch) -> Result<Column, String>;
}

/// See [`Scalar::describe`], for arguments of Rust's types.
pub fn described<'a, A: Arguments<'a>, R: Answer>(given: &[Type]) -> Result<Type, String> {
    match A::take(given) {
        true => Ok(R::TYPE),
        false => Err(wanted(A::TYPES, given)),
    }
}

/// Calls a function row by row.
pub fn called<'a, A: Arguments<'a>, R: Answer>(
    arguments: &'a Batch,
    mut function: impl FnMut(A) -> R,
) -> Result<Column, String> {
    let views = A::views(arguments)?;
    if A::whole(&views) {
        return R::collect(arguments.rows, A::values(&views).map(function), "answer");
    }
    let mut answers = R::builder(arguments.rows);
    for row in 0..arguments.rows {
        match A::get(&views, row) {
            Some(values) => function(values).put(&mut answers)?,
            None => R::put_null(&mut answers),
        }
    }
    Ok(R::finish(answers, "answer"))
}
