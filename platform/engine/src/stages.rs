//! Takes an optimized plan apart at its stateful operators: joins of two streams, and aggregates below others. What is
//! left reads their rows from leaves.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality, ScalarValue};
use datafusion::datasource::provider_as_source;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::logical_plan::{Extension, Join, LogicalPlan, Projection};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlanBuilder, Operator as Sign};

use crate::compile::plan_lower;
use crate::event_time::{self, Kind, Time, Times};
use crate::groups::{Shape, WindowKey};
use crate::join::{JoinSpec, SideSpec, Until};
use crate::leaf::{LeafTable, nullable};
use crate::split::{Cut, Refusal, refuse};
use crate::stage::{Operator, Stage, StageInput, TimeColumn};
use crate::unique::{Forget, UniqueSpec};

/// What the leaf of a view's first stage is called. No input has such a name.
const LEAF_PREFIX: &str = "$";

type Outcome<T> = std::result::Result<T, Refusal>;

/// What is taken out of a plan.
pub struct Stages<'a> {
    /// The session that plans.
    pub session: &'a SessionState,
    view: &'a str,
    streams: &'a BTreeSet<String>,
    /// Event time of inputs, and of the leaves so far.
    pub times: Times,
    /// In the order in which they run.
    pub stages: Vec<Stage>,
}

impl<'a> Stages<'a> {
    /// Nothing is taken out yet.
    pub fn new(session: &'a SessionState, view: &'a str, streams: &'a BTreeSet<String>, times: Times) -> Self {
        Self { session, view, streams, times, stages: Vec::new() }
    }

    /// The plan without its operators, except for the last aggregate if nothing but projections, filters, order and
    /// limits are above it (`last`).
    pub async fn extract(&mut self, plan: LogicalPlan, last: bool) -> Outcome<LogicalPlan> {
        let passes = matches!(
            plan,
            LogicalPlan::Projection(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::SubqueryAlias(_)
                | LogicalPlan::Sort(_)
                | LogicalPlan::Limit(_)
        );
        let mut inputs = Vec::new();
        for input in plan.inputs() {
            inputs.push(Box::pin(self.extract(input.clone(), last && passes)).await?);
        }
        let plan = match inputs.is_empty() {
            true => plan,
            false => plan.with_new_exprs(plan.expressions(), inputs)?,
        };
        match &plan {
            LogicalPlan::Join(join) if self.is_stream(&join.left) && self.is_stream(&join.right) => {
                let join = join.clone();
                self.join(&plan, &join).await
            }
            LogicalPlan::Extension(Extension { node }) if !last => match node.as_any().downcast_ref::<Cut>() {
                Some(cut) => {
                    let cut = cut.clone();
                    self.aggregate(&plan, &cut).await
                }
                None => Ok(plan),
            },
            _ => Ok(plan),
        }
    }

    /// Whether a plan's rows come epoch by epoch.
    fn is_stream(&self, plan: &LogicalPlan) -> bool {
        let mut found = false;
        let _ = plan.apply(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                let table = scan.table_name.table();
                found |= self.streams.contains(table) || table.starts_with(LEAF_PREFIX);
            }
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        });
        found
    }

    fn time_columns(&self, plan: &LogicalPlan) -> Vec<(Column, TimeColumn)> {
        let columns = plan.schema().columns().into_iter().enumerate();
        columns
            .filter_map(|(index, column)| {
                let Time { kind, lag, .. } = event_time::of_column(plan, &column, &self.times)?;
                Some((column, TimeColumn { index, kind, lag }))
            })
            .collect()
    }

    fn input(&self, plan: &LogicalPlan) -> StageInput {
        let schema = nullable(plan.schema().as_arrow());
        StageInput { time: self.time_columns(plan).first().map(|(_, time)| *time), plan: plan.clone(), schema }
    }

    /// Puts a leaf in the place of a node.
    fn replace(
        &mut self,
        node: &LogicalPlan,
        what: &[&str],
        operator: Operator,
        inputs: Vec<StageInput>,
        lags: impl Fn(usize) -> i64,
    ) -> Outcome<LogicalPlan> {
        let number = self.stages.len();
        let leaf = format!("{LEAF_PREFIX}{number}");
        let fields = node.schema().fields().iter().enumerate();
        let fields: Vec<_> =
            fields.map(|(index, field)| field.as_ref().clone().with_name(format!("c{index}"))).collect();
        let schema = nullable(&Schema::new(fields));
        let times = node.schema().columns().into_iter().enumerate().filter_map(|(index, column)| {
            let time = event_time::of_column(node, &column, &self.times)?;
            Some((format!("c{index}"), Time { lag: time.lag.max(lags(index)), ..time }))
        });
        let times = times.collect();
        self.times.insert(leaf.clone(), times);
        let table = Arc::new(LeafTable::new(&leaf, schema.clone()));
        let scan = LogicalPlanBuilder::scan(leaf.as_str(), provider_as_source(table), None)?.build()?;
        let exprs = node.schema().iter().enumerate().map(|(index, (qualifier, field))| {
            let column = Expr::Column(Column::new(Some(leaf.as_str()), format!("c{index}")));
            column.alias_qualified(qualifier.cloned(), field.name())
        });
        let plan = LogicalPlan::Projection(Projection::try_new(exprs.collect(), Arc::new(scan))?);
        let tables = what.iter().map(|what| format!("{}.{number}-{what}", self.view)).collect();
        // What an operator means is said by the view's text; the columns that it keeps by its plans.
        let plans = inputs.iter().map(|input| input.plan.display_indent().to_string());
        let definition = plans.collect::<Vec<_>>().join("\n");
        self.stages.push(Stage { leaf, operator, inputs, schema, tables, definition });
        Ok(plan)
    }

    /// An aggregate below others gives its groups out when they are final.
    async fn aggregate(&mut self, node: &LogicalPlan, cut: &Cut) -> Outcome<LogicalPlan> {
        let LogicalPlan::Aggregate(aggregate) = cut.input.as_ref() else {
            return refuse(None, "bug: an aggregate was moved", "please report it");
        };
        let times = self.time_columns(node);
        if aggregate.aggr_expr.is_empty() && !matches!(cut.window, Some(WindowKey { shape: Shape::Session, .. })) {
            // Only keys: the first row of each says all. Panes and starts stand for windows here.
            let keys: Vec<_> = aggregate.group_expr.clone();
            let rows = LogicalPlanBuilder::from(aggregate.input.as_ref().clone()).project(keys)?.build()?;
            if cut.window.is_none_or(|window| matches!(window.shape, Shape::Spans(spans) if spans.tumbling())) {
                let forget = times.first().map_or(Forget::Never, |(_, time)| Forget::AtItsTime(*time));
                let input = StageInput { time: times.first().map(|(_, time)| *time), ..self.input(&rows) };
                let spec = UniqueSpec { keys: (0..input.schema.fields().len()).collect(), forget };
                return self.replace(node, &["seen"], Operator::Unique(spec), vec![input], |_| 0);
            }
        }
        let closes = cut.window.filter(|window| times.iter().any(|(_, time)| time.index == window.index));
        if closes.is_none() {
            return refuse(
                Some("GROUP"),
                "an aggregate below another must give out its groups when they are final, and nothing says when that is",
                "group the inner one by window(…) or session_window(…) of a column with a watermark",
            );
        }
        let (_, aggregation, schema) = plan_lower(self.session, &cut.input, true, cut.window).await?;
        let Some((aggregation, _)) = aggregation else {
            return refuse(None, "bug: an aggregate was not planned", "please report it");
        };
        let lag = self.time_columns(&aggregate.input).iter().map(|(_, time)| time.lag).max().unwrap_or(0);
        let operator = Operator::Closing { aggregation: Box::new(aggregation), window: cut.window, lag };
        // Late rows are found by the windows that they would be in.
        let input = StageInput { plan: cut.input.as_ref().clone(), time: None, schema };
        self.replace(node, &["groups"], operator, vec![input], move |_| lag)
    }

    async fn join(&mut self, node: &LogicalPlan, join: &Join) -> Outcome<LogicalPlan> {
        if join.null_equality == NullEquality::NullEqualsNull {
            return refuse(Some("JOIN"), "a join of streams in which null equals null is not supported", "use =");
        }
        let mut on = join.on.clone();
        let mut rest: Vec<Expr> = Vec::new();
        for part in join.filter.iter().flat_map(split_conjunction) {
            match equality(part, join.left.schema(), join.right.schema()) {
                Some(pair) => on.push(pair),
                None => rest.push(part.clone()),
            }
        }
        if on.is_empty() {
            return refuse(
                Some("JOIN"),
                "a join of two streams needs an equality: each row would meet every row of the other side",
                "join ON a.key = b.key AND …",
            );
        }
        let (left_times, right_times) = (self.time_columns(&join.left), self.time_columns(&join.right));
        let range = Range::of(&rest, &left_times, &right_times);
        let by_key = on.iter().enumerate().find_map(|(index, (left, right))| {
            let left = event_time::of_expr(&join.left, left, &self.times);
            let time = left.or_else(|| event_time::of_expr(&join.right, right, &self.times))?;
            Some(Until::Key(index, time.kind))
        });
        let lag = |times: &[(Column, TimeColumn)]| times.iter().map(|(_, time)| time.lag).max().unwrap_or(0);
        let has_times = !left_times.is_empty() && !right_times.is_empty();
        let until = |bound: Option<(TimeColumn, i64)>| match (by_key, bound) {
            _ if !has_times => Until::Never,
            (Some(until), _) => until,
            (None, Some((time, more))) => Until::Time(time, more),
            (None, None) => Until::Never,
        };
        let untils = [until(range.left), until(range.right)];
        let must_end: &[usize] = match join.join_type {
            JoinType::Left | JoinType::LeftSemi => &[0],
            JoinType::Right => &[1],
            JoinType::Full => &[0, 1],
            _ => &[],
        };
        if must_end.iter().any(|side| untils[*side] == Until::Never) {
            return refuse(
                Some("JOIN"),
                format!(
                    "a {} join of two streams gives a row out when no partner can come any more, and nothing says when that is",
                    join.join_type
                ),
                "declare a watermark on both sides, and join on windows or with a range of time: \
                 b.ts BETWEEN a.ts AND a.ts + INTERVAL 1 HOUR",
            );
        }
        let pair_schema = join.left.schema().join(join.right.schema())?;
        let filter = match conjunction(rest) {
            Some(filter) => Some(self.session.create_physical_expr(filter, &pair_schema)?),
            None => None,
        };
        let side =
            |plan: &LogicalPlan, exprs: Vec<&Expr>, until, other: &[(Column, TimeColumn)]| -> Outcome<SideSpec> {
                let mut spec = SideSpec {
                    schema: nullable(plan.schema().as_arrow()),
                    on: vec![],
                    key_types: vec![],
                    until,
                    lag: lag(other),
                };
                for expr in exprs {
                    spec.key_types.push(expr.get_type(plan.schema())?);
                    spec.on.push(self.session.create_physical_expr(expr.clone(), plan.schema())?);
                }
                Ok(spec)
            };
        let sides = [
            side(&join.left, on.iter().map(|(left, _)| left).collect(), untils[0], &right_times)?,
            side(&join.right, on.iter().map(|(_, right)| right).collect(), untils[1], &left_times)?,
        ];
        let spec = JoinSpec {
            kind: join.join_type,
            sides,
            filter,
            pair_schema: nullable(pair_schema.as_arrow()),
            schema: numbered(node.schema()),
        };
        let inputs = vec![self.input(&join.left), self.input(&join.right)];
        let left_columns = join.left.schema().fields().len();
        // A row that waited is given out as old as its range of time allows, or as the start of its window.
        let waits = |until: Until| match until {
            Until::Time(_, more) => more.max(0),
            Until::Key(_, Kind::Window(Some(length)) | Kind::Start(length)) => length,
            _ => 0,
        };
        let lags = [waits(untils[0]) + lag(&right_times), waits(untils[1]) + lag(&left_times)];
        let operator = Operator::Join(Box::new(spec));
        self.replace(node, &["left", "right"], operator, inputs, move |column| {
            lags[usize::from(column >= left_columns)]
        })
    }
}

fn numbered(schema: &DFSchema) -> SchemaRef {
    let fields = schema.fields().iter().enumerate();
    let fields: Vec<_> = fields.map(|(index, field)| field.as_ref().clone().with_name(format!("c{index}"))).collect();
    nullable(&Schema::new(fields))
}

/// An equality between the sides, as left and right.
fn equality(expr: &Expr, left: &DFSchema, right: &DFSchema) -> Option<(Expr, Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left: a, op: Sign::Eq, right: b }) = expr else {
        return None;
    };
    let of = |expr: &Expr, schema: &DFSchema| {
        let columns = expr.column_refs();
        !columns.is_empty() && columns.iter().all(|column| schema.has_column(column))
    };
    if of(a, left) && of(b, right) {
        return Some((a.as_ref().clone(), b.as_ref().clone()));
    }
    (of(b, left) && of(a, right)).then(|| (b.as_ref().clone(), a.as_ref().clone()))
}

/// What a join's condition says of the time between partners: by how much the watermark must have passed a row of each
/// side until it can have no partner any more.
#[derive(Default)]
struct Range {
    left: Option<(TimeColumn, i64)>,
    right: Option<(TimeColumn, i64)>,
}

impl Range {
    fn of(conditions: &[Expr], left: &[(Column, TimeColumn)], right: &[(Column, TimeColumn)]) -> Self {
        let mut range = Self::default();
        let find = |times: &[(Column, TimeColumn)], column: &Column| {
            let found = times.iter().find(|(known, time)| known == column && time.kind == Kind::Instant);
            found.map(|(_, time)| *time)
        };
        // left + a <= right + b: so a right row's partner is at most b - a after it, and a left row's has no such bound.
        let mut at_most = |small: &Expr, great: &Expr| {
            let (Some((small, a)), Some((great, b))) = (shifted(small), shifted(great)) else {
                return;
            };
            let more = b.saturating_sub(a);
            let least = |bound: &mut Option<(TimeColumn, i64)>, time| {
                if bound.is_none_or(|(_, known)| more < known) {
                    *bound = Some((time, more));
                }
            };
            if let (Some(_), Some(time)) = (find(left, &small), find(right, &great)) {
                least(&mut range.right, time);
            } else if let (Some(_), Some(time)) = (find(right, &small), find(left, &great)) {
                least(&mut range.left, time);
            }
        };
        for condition in conditions {
            match condition {
                Expr::BinaryExpr(BinaryExpr { left, op: Sign::Lt | Sign::LtEq, right }) => at_most(left, right),
                Expr::BinaryExpr(BinaryExpr { left, op: Sign::Gt | Sign::GtEq, right }) => at_most(right, left),
                Expr::Between(between) if !between.negated => {
                    at_most(&between.low, &between.expr);
                    at_most(&between.expr, &between.high);
                }
                _ => {}
            }
        }
        range
    }
}

/// A column and the microseconds that are added to it.
fn shifted(expr: &Expr) -> Option<(Column, i64)> {
    match expr {
        Expr::Column(column) => Some((column.clone(), 0)),
        Expr::Alias(alias) => shifted(&alias.expr),
        Expr::Cast(cast) if cast.field.data_type().is_temporal() => shifted(&cast.expr),
        Expr::BinaryExpr(BinaryExpr { left, op: Sign::Plus, right }) => match (shifted(left), micros(right)) {
            (Some((column, shift)), Some(more)) => Some((column, shift.checked_add(more)?)),
            _ => {
                let (column, shift) = shifted(right)?;
                Some((column, shift.checked_add(micros(left)?)?))
            }
        },
        Expr::BinaryExpr(BinaryExpr { left, op: Sign::Minus, right }) => {
            let (column, shift) = shifted(left)?;
            Some((column, shift.checked_sub(micros(right)?)?))
        }
        _ => None,
    }
}

/// A constant interval.
fn micros(expr: &Expr) -> Option<i64> {
    let Expr::Literal(value, _) = expr else {
        return None;
    };
    let days = |days: i32| i64::from(days).checked_mul(86_400_000_000);
    match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months == 0 => {
            days(interval.days)?.checked_add(interval.nanoseconds / 1_000)
        }
        ScalarValue::IntervalDayTime(Some(interval)) => {
            days(interval.days)?.checked_add(i64::from(interval.milliseconds).checked_mul(1_000)?)
        }
        ScalarValue::DurationSecond(Some(seconds)) => seconds.checked_mul(1_000_000),
        ScalarValue::DurationMillisecond(Some(millis)) => millis.checked_mul(1_000),
        ScalarValue::DurationMicrosecond(Some(micros)) => Some(*micros),
        ScalarValue::DurationNanosecond(Some(nanos)) => Some(nanos / 1_000),
        _ => None,
    }
}
