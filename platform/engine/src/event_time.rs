//! Which columns of a plan are event time: those that are a source's watermark column, unchanged or cut into windows.

use std::collections::BTreeMap;

use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::groups::{Shape, WindowKey};
use crate::split::Cut;

/// A column that the watermark says something about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Time {
    /// The source or stream that it comes from.
    pub input: String,
    /// The column there.
    pub column: String,
    /// What became of it.
    pub kind: Kind,
    /// By how many microseconds its rows may be older than the watermark without being late: a join gives out rows
    /// that waited for their partners.
    pub lag: i64,
}

/// What an event-time column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An instant: as late as it says.
    Instant,
    /// A window's start; the window is so many microseconds long.
    Start(i64),
    /// A window as a struct; so many microseconds long, if all are the same.
    Window(Option<i64>),
}

/// The event-time columns of tables, by table and column in lower case.
pub type Times = BTreeMap<String, BTreeMap<String, Time>>;

/// What event time a column of a plan is.
pub fn of_column(plan: &LogicalPlan, column: &Column, times: &Times) -> Option<Time> {
    let index = plan.schema().maybe_index_of_column(column)?;
    match plan {
        LogicalPlan::TableScan(scan) => times.get(scan.table_name.table())?.get(&column.name).cloned(),
        LogicalPlan::Projection(projection) => of_expr(&projection.input, &projection.expr[index], times),
        LogicalPlan::Aggregate(aggregate) => of_expr(&aggregate.input, aggregate.group_expr.get(index)?, times),
        LogicalPlan::SubqueryAlias(_) => {
            let input = *plan.inputs().first()?;
            of_column(input, &input.schema().columns()[index], times)
        }
        // Every input of a union has to have it.
        LogicalPlan::Union(union) => {
            let mut found = union.inputs.iter().map(|input| of_column(input, &input.schema().columns()[index], times));
            let first = found.next()??;
            found.all(|other| other.is_some_and(|other| other.kind == first.kind)).then_some(first)
        }
        LogicalPlan::Extension(extension) => {
            let input = *plan.inputs().first()?;
            let time = of_column(input, input.schema().columns().get(index)?, times)?;
            // Behind the cut, panes are the windows that they are parts of.
            let window = extension.node.as_any().downcast_ref::<Cut>().and_then(|cut| cut.window);
            match window {
                Some(WindowKey { index: key, shape: Shape::Spans(spans) }) if key == index => {
                    Some(Time { kind: Kind::Start(spans.duration), ..time })
                }
                _ => Some(time),
            }
        }
        _ => {
            let input = plan.inputs().into_iter().find(|input| input.schema().has_column(column))?;
            of_column(input, column, times)
        }
    }
}

/// What event time an expression over a plan's rows is.
pub fn of_expr(plan: &LogicalPlan, expr: &Expr, times: &Times) -> Option<Time> {
    match expr {
        Expr::Alias(alias) => of_expr(plan, &alias.expr, times),
        Expr::Column(column) => of_column(plan, column, times),
        Expr::Cast(cast) if cast.field.data_type().is_temporal() => of_expr(plan, &cast.expr, times),
        Expr::ScalarFunction(function) => {
            let time = of_expr(plan, function.args.first()?, times)?;
            let length = || match function.args.get(1) {
                Some(Expr::Literal(ScalarValue::Int64(length), _)) => *length,
                _ => None,
            };
            let kind = match (function.func.name(), time.kind) {
                ("window", Kind::Instant | Kind::Window(_)) => {
                    Kind::Window(crate::window::parse_call(expr)?.ok().map(|(_, spans)| spans.duration))
                }
                ("window_pane", Kind::Instant) => Kind::Start(length()?),
                ("window_struct", Kind::Start(_)) => Kind::Window(length()),
                ("window_start", Kind::Window(Some(length))) => Kind::Start(length),
                ("window_time", Kind::Window(_)) | ("session_start", Kind::Instant) => Kind::Instant,
                ("session_struct", Kind::Instant) => Kind::Window(None),
                _ => return None,
            };
            Some(Time { kind, ..time })
        }
        _ => None,
    }
}
