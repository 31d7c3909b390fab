//! SQL text before planning: parsed as Spark's dialect, bounded, and its errors given their place in the text.
//!
//! Names have no case, as in Spark: all are lower case inside. An answer's columns are spelled as the statement spells
//! them, or as they were declared.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use arrow::datatypes::Schema;
use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, Statement as SqlStatement, TableAlias,
    TableFactor, Visit, VisitMut, Visitor,
};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Span, Token, Tokenizer};

use crate::catalog::CompileError;
use crate::dialect::Spark;
use crate::generators::Generators;
use crate::rewrite::Words;
use crate::spelling::{Lower, SpellOutWindows, last_ident, spelled};
use crate::tokens::spelled_out;

/// Line and column, from 1.
pub type Position = (usize, usize);

/// Tables and their columns, as SQL may name them.
pub type Names = BTreeMap<String, Vec<String>>;

/// The longest statement, in bytes.
pub const SQL_BYTES_MAX: usize = 256 * 1024;
/// The most operators, conditions and set operations of a statement: each may nest the plan one level deeper, and
/// planning is recursive.
pub const SQL_OPERATORS_MAX: usize = 256;

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
    /// As it was written.
    pub sql: String,
    /// The statement without comments and needless white space.
    pub text: String,
    /// Per item of the outermost SELECT how it is spelled, if it has a name; empty where there is a `*`.
    spelled: Vec<Option<String>>,
    /// How names in lower case were declared.
    declared: BTreeMap<String, String>,
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
    if let Some((position, message)) = too_big(sql) {
        return fail(position, message, Some("make it smaller, e.g. IN (…) in place of many ORs".into()));
    }
    let mut statements = match statements(sql) {
        Ok(statements) => statements,
        Err(reason) => {
            let (message, position) = syntax(&reason);
            return fail(position, message, None);
        }
    };
    let (Some(mut statement), true) = (statements.pop(), statements.is_empty()) else {
        return fail(None, "expected one SELECT".into(), None);
    };
    let SqlStatement::Query(query) = &mut statement else {
        return fail(Some((1, 1)), "expected a SELECT".into(), None);
    };

    let mut survey = Survey::default();
    let _ = Visit::visit(query.as_ref(), &mut survey);
    let mut errors = Vec::new();
    let mut tables = BTreeSet::new();
    for (name, position) in &survey.relations {
        if survey.ctes.iter().any(|cte| cte.eq_ignore_ascii_case(name)) {
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

    let text = query.to_string();
    let columns = tables.iter().filter_map(|table| names.get(table)).flatten();
    let mut declared = BTreeMap::new();
    for name in survey.defined.iter().chain(columns.clone()) {
        declared.entry(name.to_lowercase()).or_insert_with(|| name.clone());
    }
    let _ = VisitMut::visit(query.as_mut(), &mut Generators::default());
    let spelled = spelled(query);
    let _ = VisitMut::visit(query.as_mut(), &mut Words);
    let _ = VisitMut::visit(query.as_mut(), &mut Lower);
    if !columns.clone().any(|column| column.eq_ignore_ascii_case("window")) {
        let _ = VisitMut::visit(query.as_mut(), &mut SpellOutWindows);
    }
    Ok(Parsed {
        view: view.to_owned(),
        sql: sql.to_owned(),
        text,
        spelled,
        declared,
        statement: Statement::Statement(Box::new(statement)),
        tables: tables.into_iter().collect(),
        places: words(sql),
    })
}

fn statements(sql: &str) -> Result<Vec<SqlStatement>, ParserError> {
    let tokens = Tokenizer::new(&Spark, sql).tokenize_with_location()?;
    Parser::new(&Spark).with_tokens_with_locations(spelled_out(sql, tokens)).parse_statements()
}

/// Where a statement goes beyond what is planned without harm.
pub(crate) fn too_big(sql: &str) -> Option<(Option<Position>, String)> {
    if sql.len() > SQL_BYTES_MAX {
        return Some((None, format!("the statement is longer than {SQL_BYTES_MAX} bytes")));
    }
    let tokens = Tokenizer::new(&Spark, sql).tokenize_with_location().ok()?;
    let flat = |token: &Token| match token {
        Token::Word(word) => !matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::UNION
                | Keyword::INTERSECT
                | Keyword::EXCEPT
                | Keyword::JOIN
                | Keyword::IS
                | Keyword::LIKE
                | Keyword::BETWEEN
                | Keyword::DIV
                | Keyword::WHEN
        ),
        Token::EOF
        | Token::Whitespace(_)
        | Token::Number(_, _)
        | Token::Comma
        | Token::Period
        | Token::LParen
        | Token::RParen
        | Token::SemiColon => true,
        token => matches!(token, Token::SingleQuotedString(_) | Token::DoubleQuotedString(_)),
    };
    let mut joints = tokens.iter().filter(|token| !flat(&token.token));
    let beyond = joints.nth(SQL_OPERATORS_MAX)?;
    Some((position(beyond.span), format!("the statement has more than {SQL_OPERATORS_MAX} operators")))
}

/// Every word of the text with its place.
fn words(sql: &str) -> Vec<(String, Position)> {
    let tokens = Tokenizer::new(&Spark, sql).tokenize_with_location().unwrap_or_default();
    tokens
        .into_iter()
        .filter_map(|token| match token.token {
            Token::Word(word) => Some((word.value, position(token.span)?)),
            _ => None,
        })
        .collect()
}

/// What a statement names, before anything is changed.
#[derive(Default)]
struct Survey {
    relations: Vec<(String, Option<Position>)>,
    functions: Vec<(String, Option<Position>)>,
    windowed: Vec<(String, Option<Position>)>,
    /// Names that the statement itself defines: aliases and common table expressions.
    defined: BTreeSet<String>,
    /// Of these, the ones that stand for a table: a column's alias may well be named as a table that is read.
    ctes: BTreeSet<String>,
}

pub(crate) fn position(span: Span) -> Option<Position> {
    let (line, column) = (span.start.line as usize, span.start.column as usize);
    (line > 0).then_some((line, column))
}

pub(crate) fn place(ident: &Ident) -> (String, Option<Position>) {
    (ident.value.clone(), position(ident.span))
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
            self.ctes.insert(table.alias.name.value.clone());
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
            // CURRENT_DATE and its kin need no parentheses.
            Expr::Identifier(ident)
                if ident.quote_style.is_none() && UNSTABLE[1..6].contains(&ident.value.to_lowercase().as_str()) =>
            {
                self.functions.push(place(ident));
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

impl Parsed {
    /// Gives an answer's columns their spelling.
    pub fn spell(&self, schema: &Schema) -> Schema {
        let fields = schema.fields().iter().enumerate().map(|(index, field)| {
            let spelled = match self.spelled.get(index) {
                Some(spelled) if self.spelled.len() == schema.fields().len() => spelled.as_ref(),
                _ => self.declared.get(field.name()),
            };
            match spelled {
                Some(spelled) if spelled.to_lowercase() == *field.name() => field.as_ref().clone().with_name(spelled),
                _ => field.as_ref().clone(),
            }
        });
        Schema::new(fields.collect::<Vec<_>>())
    }

    /// Where a name or function first stands in the text.
    pub fn find(&self, name: &str) -> Option<Position> {
        self.places.iter().find(|(place, _)| place.eq_ignore_ascii_case(name)).map(|(_, position)| *position)
    }

    /// Where a name stands that an error is about, which names the place where it, or its table, is read.
    fn find_from(&self, read: Option<Position>, name: &str) -> Option<Position> {
        let Some(read) = read else { return self.find(name) };
        let mut from = self.places.iter().filter(|(_, position)| *position >= read);
        from.find(|(place, _)| place.eq_ignore_ascii_case(name)).map(|(_, position)| *position).or(Some(read))
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
                    return self.error(self.find_from(span, &field.name), format!("there is no column `{name}`"), hint);
                }
                SchemaError::AmbiguousReference { field } => {
                    return self.error(
                        self.find_from(span, &field.name),
                        format!("the column `{}` is ambiguous", field.name),
                        Some("put the table's name or alias before it".into()),
                    );
                }
                _ => {}
            }
        }
        let text = root.strip_backtrace();
        let (message, hint) = for_people(&text);
        // Messages quote the name they are about.
        let quoted = message.split(['\'', '`']).nth(1).and_then(|name| self.find(name));
        let about_window = || {
            let about = message.contains("window") || message.contains("interval");
            about.then(|| self.find("window")).flatten()
        };
        let first_word = || message.split(' ').next().filter(|word| word.len() > 1).and_then(|word| self.find(word));
        self.error(span.or(quoted).or_else(about_window).or_else(first_word), message, hint)
    }
}

/// DataFusion's words without their prefixes, and those about columns in ours; with a hint.
fn for_people(text: &str) -> (String, Option<String>) {
    let text = text.split_once("failed with: ").map_or(text, |(_, reason)| reason);
    let text = ["Error during planning: ", "Schema error: ", "This feature is not implemented: ", "Execution error: "]
        .iter()
        .fold(text, |text, prefix| text.trim_start_matches(prefix));
    let text = text.split_once(" No function matches").map_or(text, |(reason, _)| reason);
    let quoted = || text.split('"').nth(1).map(|name| name.rsplit('.').next().unwrap_or(name));
    if let (true, Some(column)) = (text.starts_with("Column in "), quoted()) {
        let message = format!("the column `{column}` is neither in the GROUP BY nor in an aggregate");
        return (message, Some(format!("group by it, or write max({column})")));
    }
    if let (true, Some(column)) = (text.starts_with("Projections require unique"), quoted()) {
        return repeated_column(column);
    }
    match text.split_once("\nDid you mean ") {
        Some((message, guess)) => {
            // DataFusion names the nearest function, however far away it is.
            let written = message.split('\'').nth(1).unwrap_or_default();
            let guess = guess.trim().trim_matches(['\'', '?']).to_owned();
            (message.trim().trim_end_matches('.').to_owned(), did_you_mean(written, [guess].iter()))
        }
        None => (text.trim().trim_end_matches('.').to_owned(), None),
    }
}

/// Two columns of one name: what is said about them.
pub fn repeated_column(name: &str) -> (String, Option<String>) {
    (format!("two columns of the answer are called `{name}`"), Some("give one another name with AS".into()))
}

/// The parser's words, and the place that it puts into them.
pub(crate) fn syntax(error: &ParserError) -> (String, Option<Position>) {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.clone(),
        ParserError::RecursionLimitExceeded => "the statement is nested too deeply".into(),
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
