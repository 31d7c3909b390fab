//! Spark's short forms written out before planning: names without case, `expr.field`, `explode`, and the column that
//! `window(…)` makes.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, ObjectName,
    ObjectNamePart, OrderByKind, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor, VisitorMut,
    visit_expressions_mut,
};
use datafusion::sql::sqlparser::parser::Parser;

use crate::dialect::Spark;

/// The most fields of fields.
const FIELD_DEPTH_MAX: usize = 16;

/// The name proper of a qualified name.
pub fn last_ident(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(ObjectNamePart::as_ident)
}

/// How the outermost SELECT spells its columns.
pub fn spelled(query: &Query) -> Vec<Option<String>> {
    let mut body = query.body.as_ref();
    // The first SELECT of a UNION names its columns.
    while let SetExpr::SetOperation { left, .. } = body {
        body = left;
    }
    let SetExpr::Select(select) = body else {
        return Vec::new();
    };
    let name = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(Some(alias.value.clone())),
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(Some(ident.value.clone())),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => Some(parts.last().map(|part| part.value.clone())),
        SelectItem::UnnamedExpr(_) => Some(None),
        _ => None,
    };
    select.projection.iter().map(name).collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// Makes quoted names lower case (the planner does so with the others), and `expr.field` a function call.
pub struct Lower;

fn lower(ident: &mut Ident) {
    if ident.quote_style.is_some() {
        ident.value = ident.value.to_lowercase();
    }
}

fn lower_alias(alias: &mut TableAlias) {
    lower(&mut alias.name);
    alias.columns.iter_mut().for_each(|column| lower(&mut column.name));
}

impl VisitorMut for Lower {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for table in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            lower_alias(&mut table.alias);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                lower(alias);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
                lower_alias(alias);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        for part in &mut relation.0 {
            if let ObjectNamePart::Identifier(ident) = part {
                lower(ident);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => lower(ident),
            Expr::CompoundIdentifier(parts) => parts.iter_mut().for_each(lower),
            Expr::CompoundFieldAccess { root, access_chain } if access_chain.len() <= FIELD_DEPTH_MAX => {
                let fields = access_chain.iter().map(|access| match access {
                    AccessExpr::Dot(Expr::Identifier(field)) => Some(field.value.to_lowercase()),
                    _ => None,
                });
                let nested = fields.collect::<Option<Vec<_>>>().and_then(|fields| {
                    fields.iter().try_fold(root.as_ref().clone(), |inner, field| field_of(&inner, field))
                });
                if let Some(nested) = nested {
                    *expr = nested;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// In Spark the column that `window(…)` makes is called `window`: `SELECT window.start … GROUP BY window(…)`.
pub struct SpellOutWindows;

fn is_called(function: &Function, name: &str) -> bool {
    last_ident(&function.name).is_some_and(|ident| ident.value.eq_ignore_ascii_case(name))
}

fn as_window_call(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Function(function) if is_called(function, "window") => Some(expr),
        Expr::Nested(inner) => as_window_call(inner),
        _ => None,
    }
}

/// `get_field(call, 'field')`.
fn field_of(call: &Expr, field: &str) -> Option<Expr> {
    let text = format!("get_field(x, '{field}')");
    let mut expr = Parser::new(&Spark).try_with_sql(&text).and_then(|mut parser| parser.parse_expr()).ok()?;
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
