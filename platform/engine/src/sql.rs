//! SQL text before planning: parsed as Spark's dialect, names resolved without regard to case, Spark's short forms of
//! `window` written out, and errors given their place in the text.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, ObjectName, ObjectNamePart,
    OrderByKind, Query, Select, SelectItem, SetExpr, Statement as SqlStatement, TableAlias, TableFactor, Visit,
    VisitMut, Visitor, VisitorMut, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::SparkSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::catalog::CompileError;

/// Line and column, from 1.
pub type Position = (usize, usize);

/// Tables and their columns, as SQL may name them.
pub type Names = BTreeMap<String, Vec<String>>;

/// Functions that answer differently when asked again: a replay would contradict the first run.
const UNSTABLE: [&str; 11] = [
    "now",
    "current_date",
    "curdate",
    "current_time",
    "current_timestamp",
    "localtimestamp",
    "today",
    "rand",
    "random",
    "randn",
    "uuid",
];

/// One SELECT, ready to be planned.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// Who asks, for errors.
    pub view: String,
    /// The statement, with names resolved.
    pub statement: Statement,
    /// The tables that it reads.
    pub tables: Vec<String>,
    /// The same for all spellings of the same statement.
    pub text: String,
    places: Vec<(String, Position)>,
}

/// Parses one SELECT. `continuous` refuses what cannot be answered epoch by epoch.
pub fn parse(view: &str, sql: &str, names: &Names, continuous: bool) -> Result<Parsed, Vec<CompileError>> {
    let error = |position, message: String, hint: Option<String>| CompileError {
        view: view.to_owned(),
        position,
        message,
        hint,
    };
    let fail = |position, message: String, hint| Err(vec![error(position, message, hint)]);
    let statements = DFParserBuilder::new(sql)
        .with_dialect(&SparkSqlDialect {})
        .build()
        .and_then(|mut parser| parser.parse_statements());
    let mut statements = match statements {
        Ok(statements) => statements,
        Err(reason) => {
            let (message, position) = syntax(&reason);
            return fail(position, message, None);
        }
    };
    let (Some(Statement::Statement(mut statement)), true) = (statements.pop_front(), statements.is_empty()) else {
        return fail(None, "expected one SELECT".into(), None);
    };
    let SqlStatement::Query(query) = statement.as_mut() else {
        return fail(Some((1, 1)), "expected a SELECT".into(), None);
    };

    let mut survey = Survey::default();
    let _ = Visit::visit(query.as_ref(), &mut survey);
    let mut errors = Vec::new();
    let mut tables = BTreeSet::new();
    for (name, position) in &survey.relations {
        if survey.defined.iter().any(|defined| defined.eq_ignore_ascii_case(name)) {
            continue;
        }
        match names
            .keys()
            .find(|known| *known == name)
            .or_else(|| names.keys().find(|known| known.eq_ignore_ascii_case(name)))
        {
            Some(known) => {
                tables.insert(known.clone());
            }
            None => {
                errors.push(error(*position, format!("there is no table `{name}`"), did_you_mean(name, names.keys())))
            }
        }
    }
    if continuous {
        for (name, position) in &survey.windowed {
            errors.push(error(
                *position,
                format!("`{name}(…) OVER (…)` is not supported in a view: its answer depends on rows of other epochs"),
                Some("aggregate with GROUP BY, or ask with OVER in a query on the view".into()),
            ));
        }
        for (name, position) in &survey.functions {
            if UNSTABLE.contains(&name.to_lowercase().as_str()) {
                errors.push(error(
                    *position,
                    format!("`{name}` is not allowed in a view: it would answer differently when an epoch is replayed"),
                    Some("take the time from an event-time column".into()),
                ));
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }

    let columns = tables.iter().filter_map(|table| names.get(table)).flatten();
    let mut known: BTreeSet<String> = columns.cloned().collect();
    known.extend(tables.iter().cloned());
    known.extend(survey.defined.iter().cloned());
    let _ = VisitMut::visit(query.as_mut(), &mut Resolve { known: &known });
    if !known.contains("window") || survey.defined.contains("window") {
        let _ = VisitMut::visit(query.as_mut(), &mut SpellOutWindows);
    }
    Ok(Parsed {
        view: view.to_owned(),
        text: statement.to_string(),
        statement: Statement::Statement(statement),
        tables: tables.into_iter().collect(),
        places: survey
            .functions
            .into_iter()
            .chain(survey.identifiers)
            .filter_map(|(name, position)| Some((name, position?)))
            .collect(),
    })
}

/// What a statement names, before anything is changed.
#[derive(Default)]
struct Survey {
    relations: Vec<(String, Option<Position>)>,
    identifiers: Vec<(String, Option<Position>)>,
    functions: Vec<(String, Option<Position>)>,
    windowed: Vec<(String, Option<Position>)>,
    /// Names that the statement itself defines: aliases and common table expressions.
    defined: BTreeSet<String>,
}

fn position(span: Span) -> Option<Position> {
    let (line, column) = (span.start.line as usize, span.start.column as usize);
    (line > 0).then_some((line, column))
}

fn place(ident: &Ident) -> (String, Option<Position>) {
    (ident.value.clone(), position(ident.span))
}

fn last_ident(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(ObjectNamePart::as_ident)
}

impl Survey {
    fn define(&mut self, alias: &TableAlias) {
        self.defined.insert(alias.name.value.clone());
        self.defined.extend(alias.columns.iter().map(|column| column.name.value.clone()));
    }
}

impl Visitor for Survey {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.define(&table.alias);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                self.defined.insert(alias.value.clone());
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
                self.define(alias)
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let position = last_ident(relation).and_then(|ident| position(ident.span));
        let parts = relation.0.iter().filter_map(ObjectNamePart::as_ident);
        let parts: Vec<&str> = parts.map(|ident| ident.value.as_str()).collect();
        self.relations.push((parts.join("."), position));
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => {
                self.identifiers.push(place(ident));
                // CURRENT_DATE and its kin need no parentheses.
                if ident.quote_style.is_none() && UNSTABLE[1..6].contains(&ident.value.to_lowercase().as_str()) {
                    self.functions.push(place(ident));
                }
            }
            Expr::CompoundIdentifier(parts) => {
                self.identifiers.extend(parts.iter().rev().map(place));
            }
            Expr::Function(function) => {
                if let Some(ident) = last_ident(&function.name) {
                    self.functions.push(place(ident));
                    if function.over.is_some() {
                        self.windowed.push(place(ident));
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Gives names the spelling with which they are known.
struct Resolve<'a> {
    known: &'a BTreeSet<String>,
}

impl Resolve<'_> {
    fn ident(&self, ident: &mut Ident) {
        if self.known.contains(&ident.value) {
            return;
        }
        let mut matches = self.known.iter().filter(|known| known.eq_ignore_ascii_case(&ident.value));
        if let (Some(only), None) = (matches.next(), matches.next()) {
            ident.value = only.clone();
        }
    }
}

impl VisitorMut for Resolve<'_> {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        for part in &mut relation.0 {
            if let ObjectNamePart::Identifier(ident) = part {
                self.ident(ident);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => self.ident(ident),
            Expr::CompoundIdentifier(parts) => {
                let fields = parts.len();
                for (index, part) in parts.iter_mut().enumerate() {
                    self.ident(part);
                    let lower = part.value.to_lowercase();
                    if index + 1 == fields && (lower == "start" || lower == "end") && !self.known.contains(&part.value)
                    {
                        part.value = lower;
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// In Spark the column that `window(…)` makes is called `window`: `SELECT window.start … GROUP BY window(…)`.
struct SpellOutWindows;

fn is_window(function: &Function) -> bool {
    last_ident(&function.name).is_some_and(|ident| ident.value.eq_ignore_ascii_case("window"))
}

fn as_window_call(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Function(function) if is_window(function) => Some(expr),
        Expr::Nested(inner) => as_window_call(inner),
        _ => None,
    }
}

/// `get_field(call, 'field')`.
fn field_of(call: &Expr, field: &str) -> Option<Expr> {
    let text = format!("get_field(x, '{field}')");
    let mut expr =
        Parser::new(&SparkSqlDialect {}).try_with_sql(&text).and_then(|mut parser| parser.parse_expr()).ok()?;
    if let Expr::Function(Function { args: FunctionArguments::List(list), .. }) = &mut expr
        && let Some(first) = list.args.first_mut()
    {
        *first = FunctionArg::Unnamed(FunctionArgExpr::Expr(call.clone()));
    }
    Some(expr)
}

/// Whether the identifier is the name `window`.
fn names_window(ident: &Ident) -> bool {
    ident.value.eq_ignore_ascii_case("window")
}

fn spell_out(expr: &mut Expr, call: &Expr) {
    let _ = visit_expressions_mut(expr, |expr| {
        let written = match &*expr {
            Expr::Identifier(ident) if names_window(ident) => Some(call.clone()),
            Expr::CompoundIdentifier(parts) => match &parts[..] {
                [window, field] if names_window(window) => field_of(call, &field.value.to_lowercase()),
                _ => None,
            },
            _ => None,
        };
        if let Some(written) = written {
            *expr = written;
        }
        ControlFlow::<()>::Continue(())
    });
}

fn group_by_call(select: &Select) -> Option<Expr> {
    let GroupByExpr::Expressions(exprs, _) = &select.group_by else {
        return None;
    };
    exprs.iter().find_map(as_window_call).cloned()
}

impl VisitorMut for SpellOutWindows {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let SetExpr::Select(select) = query.body.as_ref() else {
            return ControlFlow::Continue(());
        };
        let Some(call) = group_by_call(select) else {
            return ControlFlow::Continue(());
        };
        let named = select
            .projection
            .iter()
            .any(|item| matches!(item, SelectItem::ExprWithAlias { alias, .. } if names_window(alias)));
        if let (false, Some(order)) = (named, &mut query.order_by)
            && let OrderByKind::Expressions(exprs) = &mut order.kind
        {
            for order in exprs {
                spell_out(&mut order.expr, &call);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let call = group_by_call(select);
        for item in &mut select.projection {
            let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
                continue;
            };
            let name = match expr {
                Expr::CompoundIdentifier(parts) => parts.last().cloned(),
                Expr::Identifier(_) | Expr::Function(_) => Some(Ident::new("window")),
                _ => None,
            };
            let before = expr.clone();
            if let Some(call) = &call {
                spell_out(expr, call);
            }
            let changed = *expr != before || as_window_call(expr).is_some();
            if let (true, SelectItem::UnnamedExpr(expr), Some(mut alias)) = (changed, &*item, name) {
                alias.value = alias.value.to_lowercase();
                // Only the window itself and its fields have a name; an expression over them has not.
                let whole = as_window_call(expr).is_some() || matches!(before, Expr::CompoundIdentifier(_));
                if whole {
                    *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
                }
            }
        }
        if let (Some(call), Some(having)) = (&call, &mut select.having) {
            spell_out(having, call);
        }
        ControlFlow::Continue(())
    }
}

impl Parsed {
    /// Where a name or function first stands in the text.
    pub fn find(&self, name: &str) -> Option<Position> {
        self.places.iter().find(|(place, _)| place.eq_ignore_ascii_case(name)).map(|(_, position)| *position)
    }

    /// An error at a place.
    pub fn error(&self, position: Option<Position>, message: impl Into<String>, hint: Option<String>) -> CompileError {
        CompileError { view: self.view.clone(), position, message: message.into(), hint }
    }

    /// What DataFusion says, for people.
    pub fn planning_error(&self, error: &DataFusionError) -> CompileError {
        let mut span = None;
        let mut root = error;
        loop {
            root = match root {
                DataFusionError::Diagnostic(diagnostic, inner) => {
                    span = span.or_else(|| {
                        let start = diagnostic.span.as_ref()?.start;
                        (start.line > 0).then_some((start.line as usize, start.column as usize))
                    });
                    inner
                }
                DataFusionError::Context(_, inner) => inner,
                DataFusionError::Collection(errors) if !errors.is_empty() => &errors[0],
                _ => break,
            };
        }
        if let DataFusionError::SchemaError(schema, _) = root {
            match schema.as_ref() {
                SchemaError::FieldNotFound { field, valid_fields } => {
                    let names: BTreeSet<String> = valid_fields.iter().map(|field| field.name.clone()).collect();
                    let hint = did_you_mean(&field.name, names.iter()).or_else(|| {
                        let names: Vec<&str> = names.iter().map(String::as_str).collect();
                        (!names.is_empty()).then(|| format!("there are {}", names.join(", ")))
                    });
                    let name = match &field.relation {
                        Some(relation) => format!("{relation}.{}", field.name),
                        None => field.name.clone(),
                    };
                    return self.error(self.find(&field.name).or(span), format!("there is no column `{name}`"), hint);
                }
                SchemaError::AmbiguousReference { field } => {
                    return self.error(
                        self.find(&field.name).or(span),
                        format!("the column `{}` is ambiguous", field.name),
                        Some("put the table's name or alias before it".into()),
                    );
                }
                _ => {}
            }
        }
        let text = root.strip_backtrace();
        let text = text
            .trim_start_matches("Error during planning: ")
            .trim_start_matches("Schema error: ")
            .trim_start_matches("This feature is not implemented: ")
            .trim_start_matches("Execution error: ");
        let (message, hint) = match text.split_once("\nDid you mean ") {
            Some((message, guess)) => (message, Some(format!("did you mean {}", guess.trim()))),
            None => (text, None),
        };
        // Messages quote the name they are about.
        let quoted = message.split(['\'', '`']).nth(1).and_then(|name| self.find(name));
        self.error(span.or(quoted), message.trim().to_owned(), hint)
    }
}

/// The parser's words, and the place that it puts into them.
fn syntax(error: &DataFusionError) -> (String, Option<Position>) {
    let text = match error.find_root() {
        DataFusionError::SQL(error, _) => match error.as_ref() {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.clone(),
            ParserError::RecursionLimitExceeded => "the statement is nested too deeply".into(),
        },
        other => other.strip_backtrace(),
    };
    let number = |text: &str| -> Option<usize> {
        let digits = text.trim_start().split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    };
    match text.rsplit_once(" at Line: ") {
        Some((message, place)) => {
            let line = number(place);
            let column = place.split_once("Column: ").and_then(|(_, column)| number(column));
            (message.to_owned(), line.zip(column))
        }
        None => (text, None),
    }
}

/// A hint that names the nearest of the known names, if one is near.
pub fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<String> {
    let lower = name.to_lowercase();
    let (distance, nearest) = known.map(|known| (edit_distance(&lower, &known.to_lowercase()), known)).min()?;
    (distance <= 1 + name.chars().count() / 4).then(|| format!("did you mean `{nearest}`?"))
}

/// How many letters must be changed, added or removed (V. I. Levenshtein, 1966).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replace = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
