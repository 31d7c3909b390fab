//! The expressions in the steps of pipelines, each checked by itself, so that a mistake is found where it was made.

use braid_engine::{Expression, Expressions, Function};
use braid_spec::model::{self, Deployment, Role};
use braid_spec::{Diagnostics, SourceMap};

/// Notes expressions that are none, or are not what their step needs. Gives the views that have any.
pub fn check(deployment: &Deployment, functions: &[Function], map: &SourceMap, mistakes: &mut Diagnostics) {
    let pipelines = deployment.views.values().filter_map(|view| view.pipeline.as_ref());
    let mut pipelines = pipelines.filter(|steps| !steps.is_empty()).peekable();
    if pipelines.peek().is_none() {
        return;
    }
    // What cannot be registered is a mistake of its own.
    let expressions = Expressions::with(functions).unwrap_or_default();
    let before = mistakes.list.len();
    for pipeline in pipelines {
        let mut wrong = |path: &str, place: Option<(usize, usize)>, message: String, hint: Option<String>| {
            let place = place.map(|(line, column)| (line as u64, column as u64));
            mistakes.list.push(map.diagnostic(path, place, message, hint));
        };
        let mut made: Vec<usize> = Vec::new();
        for one in pipeline {
            match expressions.read(&one.sql) {
                Ok(found) => {
                    if found.generator.is_some() {
                        made.push(one.step);
                    }
                    if let Some((message, place, hint)) = misplaced(one, &found) {
                        wrong(&one.path, place, message, Some(hint));
                    }
                }
                Err((message, place)) => {
                    // One mistake of a step is enough.
                    made.push(one.step);
                    wrong(&one.path, place, format!("this is no SQL expression: {message}"), None);
                }
            }
        }
        for (number, one) in pipeline.iter().enumerate().filter(|(_, one)| one.role == Role::Values) {
            if !made.contains(&one.step) && pipeline[..number].iter().all(|other| other.step != one.step) {
                let message = "a flat_map makes many rows of one, and nothing in this one does".to_owned();
                let hint = "write a generator such as `explode(…)` around what is an array, or `map`".to_owned();
                wrong(&one.path, None, message, Some(hint));
            }
        }
    }
    mistakes.list[before..].sort_by_key(|mistake| (mistake.line, mistake.column));
}

type Misplaced = (String, Option<(usize, usize)>, String);

/// What does not belong into such a step.
fn misplaced(one: &model::Expression, found: &Expression) -> Option<Misplaced> {
    match (one.role, &found.aggregate, &found.generator) {
        (Role::Value | Role::Values, Some((name, place)), _) => Some((
            format!("the aggregate `{name}` makes one row of many, and `{}` looks at one row", one.operation),
            *place,
            "put it into `reduce` or `reduce_by_key`".to_owned(),
        )),
        (Role::Value | Role::Aggregate, _, Some((name, place))) => Some((
            format!("`{name}` makes many rows of one, and `{}` does not", one.operation),
            *place,
            "put it into a `flat_map` before".to_owned(),
        )),
        (Role::Aggregate, None, _) => Some((
            format!("`{}` makes one row of many, and this is no aggregate", one.operation),
            None,
            format!(
                "write for instance `sum({0})` or `max({0})`; a column that rows are grouped by is a `key`",
                short(&one.sql)
            ),
        )),
        _ => None,
    }
}

/// An expression that is short enough to be repeated.
fn short(sql: &str) -> &str {
    if sql.len() <= 20 && !sql.contains('\n') { sql.trim() } else { "…" }
}
