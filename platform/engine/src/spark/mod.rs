//! Spark's functions that neither DataFusion nor its Spark crate has, or has otherwise than Spark.

pub mod casts;
mod collections;
mod columns;
mod dates;
mod digits;
mod json;
mod maps;
mod math;
mod number_text;
mod pattern;
mod regexes;
mod scalar;
mod schema_text;
mod sequence;
mod text;
mod values;

use std::sync::Arc;

use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{Expr, ScalarUDF};

pub use math::as_decimal as exact_digits;
pub use regexes::compile;
pub use scalar::is_text;
pub use values::{normal, rows_of};

/// All scalar functions; those of a name that others have too stand in for them.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    [
        text::FUNCTIONS,
        regexes::FUNCTIONS,
        number_text::FUNCTIONS,
        math::FUNCTIONS,
        dates::FUNCTIONS,
        collections::FUNCTIONS,
        sequence::FUNCTIONS,
        maps::FUNCTIONS,
        json::FUNCTIONS,
        casts::FUNCTIONS,
    ]
    .into_iter()
    .flatten()
    .map(scalar::udf)
    .collect()
}

/// A call of one of them.
pub fn function(name: &str, arguments: Vec<Expr>) -> Result<Expr> {
    match functions().into_iter().find(|function| function.name() == name) {
        Some(function) => Ok(function.call(arguments)),
        None => internal_err!("there is no function {name}"),
    }
}
