//! One SQL expression by itself: whether it is one, and whether it makes one value of a row, many, or one of many rows.
//!
//! Steps of a pipeline are checked so before they become a statement: what is wrong in one must not be found elsewhere.

use std::ops::ControlFlow;

use datafusion::execution::session_state::SessionState;
use datafusion::sql::sqlparser::ast::{Expr, Visit, VisitMut, Visitor};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::dialect::Spark;
use crate::functions::session;
use crate::rewrite::Words;
use crate::spelling::last_ident;
use crate::sql::{Position, place, position, syntax, too_big};
use crate::tokens::spelled_out;
use crate::user::Function;

/// Functions that make many rows of one, but for `_outer`.
const GENERATORS: [&str; 6] = ["explode", "posexplode", "inline", "stack", "json_tuple", "unnest"];

/// What an expression has in it: names of functions, and where they stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expression {
    /// The first aggregate.
    pub aggregate: Option<(String, Option<Position>)>,
    /// The first generator.
    pub generator: Option<(String, Option<Position>)>,
}

/// Reads expressions.
pub struct Expressions {
    session: SessionState,
}

impl Default for Expressions {
    fn default() -> Self {
        Self { session: session() }
    }
}

impl Expressions {
    /// That know the user's functions.
    pub fn with(functions: &[Function]) -> datafusion::common::Result<Self> {
        let mut expressions = Self::default();
        functions.iter().try_for_each(|function| function.register(&mut expressions.session))?;
        Ok(expressions)
    }

    /// Reads one. The error is a message and a place in the text.
    pub fn read(&self, sql: &str) -> Result<Expression, (String, Option<Position>)> {
        if let Some((position, message)) = too_big(sql) {
            return Err((message, position));
        }
        let expr = parse(sql).map_err(|error| syntax(&error))?;
        let mut found = Found { session: &self.session, found: Expression::default() };
        let _ = Visit::visit(&expr, &mut found);
        Ok(found.found)
    }
}

fn parse(sql: &str) -> Result<Expr, ParserError> {
    let tokens = Tokenizer::new(&Spark, sql).tokenize_with_location()?;
    let mut parser = Parser::new(&Spark).with_tokens_with_locations(spelled_out(sql, tokens));
    let expr = parser.parse_expr()?;
    match parser.peek_token().token {
        Token::EOF => Ok(expr),
        _ => parser.expected("the end of the expression", parser.peek_token()),
    }
}

struct Found<'a> {
    session: &'a SessionState,
    found: Expression,
}

impl Visitor for Found<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let Some(ident) = last_ident(&function.name) else { return ControlFlow::Continue(()) };
        let name = ident.value.to_lowercase();
        if GENERATORS.contains(&name.strip_suffix("_outer").unwrap_or(&name)) {
            self.found.generator.get_or_insert_with(|| (name.clone(), position(ident.span)));
        }
        // Some of Spark's aggregates are written out as others.
        let mut written = expr.clone();
        let _ = VisitMut::visit(&mut written, &mut Words);
        let aggregates = self.session.aggregate_functions();
        let aggregate = matches!(&written, Expr::Function(function)
            if last_ident(&function.name).is_some_and(|name| aggregates.contains_key(&name.value.to_lowercase())));
        if aggregate && function.over.is_none() {
            self.found.aggregate.get_or_insert_with(|| place(ident));
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_and_generators_are_known_wherever_they_stand() {
        let expressions = Expressions::default();
        let found = |sql: &str| expressions.read(sql).unwrap();
        let name = |found: Option<(String, Option<Position>)>| found.map(|(name, _)| name);
        for (sql, aggregate) in [
            ("1 + sum(n)", Some("sum")),
            ("coalesce(max_by(a, b), 0)", Some("max_by")),
            ("count_if(a > 1)", Some("count_if")),
            ("count(*)", Some("count")),
            ("lower(word)", None),
            ("filter(items, x -> x > 1)", None),
        ] {
            assert_eq!(name(found(sql).aggregate).as_deref(), aggregate, "{sql}");
        }
        assert_eq!(name(found("explode_outer(split(a, ' '))").generator).as_deref(), Some("explode_outer"));
        assert_eq!(found("1 + sum(n)").aggregate, Some(("sum".into(), Some((1, 5)))));
    }

    #[test]
    fn what_is_no_expression_says_where() {
        let expressions = Expressions::default();
        for (sql, place) in [("lower(word", None), ("a b", Some((1, 3))), ("a) OR (b", Some((1, 2))), ("", None)] {
            let (message, position) = expressions.read(sql).unwrap_err();
            assert!(place.is_none() || position == place, "{sql}: {message} {position:?}");
        }
    }
}
