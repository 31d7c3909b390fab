//! `explode` and its kin, in SELECT and in LATERAL VIEW, as a table of its own below the SELECT.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, Ident, LateralView, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins,
    VisitorMut, visit_expressions_mut,
};
use datafusion::sql::sqlparser::parser::Parser;

use crate::dialect::Spark;
use crate::rewrite::{call, number, plain_arguments, text};
use crate::spelling::last_ident;

/// Puts generators below the SELECT in which they stand.
#[derive(Default)]
pub struct Generators {
    /// How many there were, for names.
    made: usize,
}

impl VisitorMut for Generators {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for view in std::mem::take(&mut select.lateral_views) {
            if let Some(refused) = self.lateral(select, view) {
                select.lateral_views.push(refused);
            }
        }
        self.items(select);
        ControlFlow::Continue(())
    }
}

/// A generator: a list whose items become rows, and the names of the columns that it makes.
struct Generator {
    rows: Rows,
    defaults: Vec<String>,
}

enum Rows {
    /// Each item of the list is a row of one column.
    Items(Expr),
    /// Each item is a struct, whose fields are columns.
    Fields(Expr),
    /// One row, whose columns are the items.
    Columns(Expr),
}

/// What the function makes, under so many names.
fn generator(function: &Function, names: usize, outer: bool) -> Option<Generator> {
    let name = last_ident(&function.name)?.value.to_lowercase();
    let mut arguments = plain_arguments(function)?;
    let base = name.strip_suffix("_outer").unwrap_or(&name);
    let outer = outer || base != name;
    let kept = |list: Expr| if outer { call("items_or_null", vec![list]) } else { list };
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    Some(match (base, arguments.len()) {
        ("explode", 1) => {
            let list = kept(call("map_or_array_items", arguments));
            match names {
                0 | 1 => Generator { rows: Rows::Items(list), defaults: named(&["col"]) },
                _ => Generator { rows: Rows::Fields(list), defaults: named(&["key", "value"]) },
            }
        }
        ("posexplode", 1) => {
            let defaults = if names == 3 { named(&["pos", "key", "value"]) } else { named(&["pos", "col"]) };
            Generator { rows: Rows::Fields(kept(call("list_entries", arguments))), defaults }
        }
        // Without names it is not known how many columns it makes.
        ("inline", 1) if names > 0 => {
            let defaults = (0..names).map(|index| format!("col{}", index + 1)).collect();
            Generator { rows: Rows::Fields(kept(arguments.remove(0))), defaults }
        }
        ("stack", 2..) => {
            let rows: usize = arguments.remove(0).to_string().parse().ok().filter(|rows| *rows > 0)?;
            let width = arguments.len().div_ceil(rows);
            let structs = arguments.chunks(width).map(|row| {
                let pairs = row.iter().enumerate().flat_map(|(index, one)| [text(&format!("col{index}")), one.clone()]);
                call("named_struct", pairs.collect())
            });
            let defaults = (0..width).map(|index| format!("col{index}")).collect();
            Generator { rows: Rows::Fields(call("array", structs.collect())), defaults }
        }
        ("json_tuple", 2..) => {
            let defaults = (0..arguments.len() - 1).map(|index| format!("c{index}")).collect();
            Generator { rows: Rows::Columns(call("json_tuple_values", arguments)), defaults }
        }
        _ => return None,
    })
}

impl Generators {
    /// Puts a LATERAL VIEW into FROM; gives it back where it is none that is known.
    fn lateral(&mut self, select: &mut Select, view: LateralView) -> Option<LateralView> {
        let Expr::Function(function) = &view.lateral_view else {
            return Some(view);
        };
        let Some(generator) = generator(function, view.lateral_col_alias.len(), view.outer) else {
            return Some(view);
        };
        let mut names: Vec<String> = view.lateral_col_alias.iter().map(|ident| ident.value.to_lowercase()).collect();
        if names.is_empty() {
            names = generator.defaults.clone();
        }
        self.below(select, generator, &names);
        // The view's name stands for nothing now.
        let own = last_ident(&view.lateral_view_name).map(|ident| ident.value.to_lowercase());
        let unqualified = |expr: &mut Expr| {
            if let Expr::CompoundIdentifier(parts) = expr
                && let [table, column] = &parts[..]
                && Some(table.value.to_lowercase()) == own
            {
                *expr = Expr::Identifier(column.clone());
            }
            ControlFlow::<()>::Continue(())
        };
        let _ = visit_expressions_mut(select, unqualified);
        None
    }

    /// Takes generators out of the SELECT's items, where they make several columns or have a name of Spark's.
    fn items(&mut self, select: &mut Select) {
        let mut index = 0;
        while index < select.projection.len() {
            let (expr, aliases) = match &select.projection[index] {
                SelectItem::UnnamedExpr(expr) => (expr.clone(), Vec::new()),
                SelectItem::ExprWithAlias { expr, alias } => (expr.clone(), vec![alias.clone()]),
                SelectItem::ExprWithAliases { expr, aliases } => (expr.clone(), aliases.clone()),
                _ => {
                    index += 1;
                    continue;
                }
            };
            let found = match &expr {
                Expr::Function(function) => generator(function, aliases.len(), false),
                _ => None,
            };
            let Some(found) = found else {
                index += 1;
                continue;
            };
            let names: Vec<Ident> = match aliases.is_empty() {
                true => found.defaults.iter().map(Ident::new).collect(),
                false => aliases,
            };
            self.made += 1;
            let inner: Vec<String> = (0..names.len()).map(|column| format!("__made_{}_{column}", self.made)).collect();
            self.below(select, found, &inner);
            let items = inner
                .iter()
                .zip(names)
                .map(|(inner, alias)| SelectItem::ExprWithAlias { expr: Expr::Identifier(Ident::new(inner)), alias });
            let items: Vec<SelectItem> = items.collect();
            let count = items.len();
            select.projection.splice(index..=index, items);
            index += count;
        }
    }

    /// Makes FROM a table that has the generator's columns too.
    fn below(&mut self, select: &mut Select, generator: Generator, names: &[String]) {
        self.made += 1;
        let whole = format!("__made_{}", self.made);
        let alias = alias_of(&select.from);
        let field = |index: usize| call("field_at", vec![Expr::Identifier(Ident::new(&whole)), number(index)]);
        let (list, columns) = match generator.rows {
            Rows::Items(list) => {
                let from = std::mem::take(&mut select.from);
                let item = call("unnest", vec![list]);
                let named = names.first().cloned().unwrap_or_else(|| "col".into());
                select.from = derived(from, vec![(item, named)], None, alias);
                return;
            }
            Rows::Fields(list) => (call("unnest", vec![list]), names.len()),
            Rows::Columns(list) => (list, names.len()),
        };
        let from = std::mem::take(&mut select.from);
        let inner = derived(from, vec![(list, whole.clone())], None, alias.clone());
        let columns = (0..columns).map(|index| (field(index), names[index].clone())).collect();
        select.from = derived(inner, columns, Some(&whole), alias);
    }
}

/// The name under which the columns of FROM are known, if there is one for all.
fn alias_of(from: &[TableWithJoins]) -> Option<Ident> {
    let [TableWithJoins { relation, joins }] = from else {
        return None;
    };
    if !joins.is_empty() {
        return None;
    }
    match relation {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(alias.name.clone())
        }
        TableFactor::Table { name, .. } => last_ident(name).cloned(),
        _ => None,
    }
}

/// `FROM (SELECT *, columns FROM from) AS alias`, without the column that is left out.
fn derived(
    from: Vec<TableWithJoins>,
    columns: Vec<(Expr, String)>,
    without: Option<&str>,
    alias: Option<Ident>,
) -> Vec<TableWithJoins> {
    let star = match without {
        Some(column) => format!("* EXCEPT ({column})"),
        None => "*".into(),
    };
    let query =
        Parser::new(&Spark).try_with_sql(&format!("SELECT {star} FROM x")).and_then(|mut parser| parser.parse_query());
    let Ok(mut query) = query else {
        return from;
    };
    fill(&mut query, from, columns);
    let alias = alias.map(|name| TableAlias { explicit: true, name, columns: Vec::new(), at: None });
    let relation = TableFactor::Derived { lateral: false, subquery: query, alias, sample: None };
    vec![TableWithJoins { relation, joins: Vec::new() }]
}

fn fill(query: &mut Query, from: Vec<TableWithJoins>, columns: Vec<(Expr, String)>) {
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.from = from;
        select.projection.extend(
            columns.into_iter().map(|(expr, name)| SelectItem::ExprWithAlias { expr, alias: Ident::new(name) }),
        );
    }
}
