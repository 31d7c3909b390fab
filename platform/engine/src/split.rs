//! Where a view is cut: what may stand below its aggregate, the aggregate, and what may stand above.
//!
//! Before the optimizer runs, the one aggregate over a stream is put under a [`Cut`], which no rule moves anything
//! through: below it a plan runs per epoch, above it a plan runs on merged states.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchemaRef, DataFusionError, JoinType, Result, internal_err};
use datafusion::datasource::provider_as_source;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::logical_plan::{Aggregate, Distinct, Extension, Filter, LogicalPlan, Projection};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlanBuilder, UserDefinedLogicalNodeCore, col};

use crate::event_time::{self, Kind, Time, Times};
use crate::functions::Normalize;
use crate::groups::{Shape, WindowKey};
use crate::leaf::LeafTable;
use crate::session;
use crate::user_aggregate::UserAggregate;
use crate::window::{self, Spans};

/// Aggregates whose states merge exactly and whose answers do not depend on the order of rows.
const MERGEABLE: &[&str] = &[
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "approx_distinct",
    "bool_and",
    "bool_or",
    "bit_and",
    "bit_or",
    "bit_xor",
    "every",
    "any",
    "var_pop",
    "var_samp",
    "stddev_pop",
    "stddev",
    "skewness",
    "kurtosis",
    "covar_pop",
    "covar_samp",
    "corr",
    "regr_count",
    "regr_avgx",
    "regr_avgy",
    "regr_sxx",
    "regr_syy",
    "regr_sxy",
    "regr_slope",
    "regr_intercept",
    "regr_r2",
    "percentile",
    "percentile_disc",
    "percentile_approx",
    "median",
    "mode",
    "collect_set",
    "collect_list",
    "string_agg",
    "approx_top_k",
    "sum_distinct",
    "avg_distinct",
    "count_distinct",
    "min_by",
    "max_by",
];

/// The table that stands for merged states in the upper plan.
pub const STATES: &str = "__states";

/// Why a view cannot be kept up to date.
#[derive(Debug)]
pub struct Refusal {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// A word of the SQL text near it.
    pub near: Option<String>,
}

pub fn refuse<T>(near: Option<&str>, message: impl Into<String>, hint: &str) -> std::result::Result<T, Refusal> {
    Err(Refusal { message: message.into(), hint: Some(hint.to_owned()), near: near.map(str::to_owned) })
}

impl From<DataFusionError> for Refusal {
    fn from(error: DataFusionError) -> Self {
        Self { message: error.strip_backtrace(), hint: None, near: None }
    }
}

/// What flows out of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// The same rows at any time.
    Static,
    /// Rows of the epoch.
    Rows,
    /// Answers of an aggregate.
    Answers,
    /// Answers in an order, or the first of them.
    Ordered,
}

/// Whether the plan is an aggregate over a stream (true) or stateless (false); or why it is neither.
pub fn check(plan: &LogicalPlan, inputs: &BTreeSet<String>) -> std::result::Result<bool, Refusal> {
    match flow(plan, inputs)? {
        Flow::Static => refuse(
            None,
            "the view reads no source or stream, so it would never change",
            "read a source or stream, or ask for static tables with a query",
        ),
        Flow::Rows => Ok(false),
        Flow::Answers | Flow::Ordered => Ok(true),
    }
}

fn reads_stream(plan: &LogicalPlan, inputs: &BTreeSet<String>) -> bool {
    let mut found = false;
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found |= inputs.contains(scan.table_name.table());
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}

fn not_in_subquery(expr: &Expr) -> bool {
    let negated = |expr: &Expr| match expr {
        Expr::InSubquery(subquery) => subquery.negated,
        Expr::Not(inner) => matches!(&**inner, Expr::InSubquery(_)),
        _ => false,
    };
    expr.exists(|expr| Ok(negated(expr))).unwrap_or(false)
}

fn flow(plan: &LogicalPlan, inputs: &BTreeSet<String>) -> std::result::Result<Flow, Refusal> {
    let mut subquery = false;
    plan.apply_subqueries(|subplan| {
        subquery |= reads_stream(subplan, inputs);
        Ok(TreeNodeRecursion::Continue)
    })?;
    if subquery {
        return refuse(
            None,
            "a subquery reads a source or stream: its answer would change for rows that were counted before",
            "only static tables can stand in a subquery",
        );
    }
    let below =
        plan.inputs().into_iter().map(|input| flow(input, inputs)).collect::<std::result::Result<Vec<_>, _>>()?;
    if let LogicalPlan::TableScan(scan) = plan {
        return Ok(match inputs.contains(scan.table_name.table()) {
            true => Flow::Rows,
            false => Flow::Static,
        });
    }
    if below.iter().all(|flow| *flow == Flow::Static) {
        return Ok(Flow::Static);
    }
    if plan.expressions().iter().any(not_in_subquery) {
        return refuse(
            None,
            "NOT IN keeps no row where the subquery has a null, so it cannot be decided row by row",
            "write NOT EXISTS (SELECT … WHERE …)",
        );
    }
    let passes = matches!(
        plan,
        LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Subquery(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
    );
    if !passes && below.contains(&Flow::Ordered) {
        return refuse(
            Some("ORDER"),
            "what is above ORDER BY or LIMIT would change with every epoch",
            "order and limit last, or in a query on the view",
        );
    }
    match plan {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Subquery(_) => Ok(below[0]),
        LogicalPlan::Unnest(_) => Ok(Flow::Rows),
        LogicalPlan::Union(_) => match below.contains(&Flow::Static) {
            false => Ok(Flow::Rows),
            true => refuse(
                Some("UNION"),
                "a UNION of a stream and a static table would repeat the table in every epoch",
                "make a source of the table's file",
            ),
        },
        LogicalPlan::Join(join) => check_join(join.join_type, below[0], below[1]).map(|()| Flow::Rows),
        LogicalPlan::Aggregate(aggregate) => {
            check_aggregate(aggregate)?;
            Ok(Flow::Answers)
        }
        LogicalPlan::Distinct(Distinct::All(_)) => Ok(Flow::Answers),
        LogicalPlan::Sort(_) | LogicalPlan::Limit(_) if below[0] != Flow::Rows => Ok(Flow::Ordered),
        LogicalPlan::Sort(_) => refuse(
            Some("ORDER"),
            "ORDER BY needs an aggregate: rows of a stream have no last one",
            "leave it out, and order in a query on the view",
        ),
        LogicalPlan::Limit(_) => refuse(
            Some("LIMIT"),
            "LIMIT needs an aggregate: it would pass other rows in each epoch",
            "leave it out, and limit in a query on the view",
        ),
        LogicalPlan::Window(_) => refuse(
            Some("OVER"),
            "functions with OVER depend on rows of other epochs",
            "aggregate with GROUP BY, or ask with OVER in a query on the view",
        ),
        other => {
            let text = other.display().to_string();
            let name = text.split([':', ' ']).next().unwrap_or("this");
            refuse(
                None,
                format!("{name} over a stream is not supported in a view"),
                "use projection, filter, join with a static table, and one aggregate",
            )
        }
    }
}

fn check_join(join_type: JoinType, left: Flow, right: Flow) -> std::result::Result<(), Refusal> {
    use JoinType::{Inner, Left, LeftAnti, LeftMark, LeftSemi, Right, RightAnti, RightMark, RightSemi};
    if left != Flow::Static && right != Flow::Static {
        return match join_type {
            Inner | Left | Right | JoinType::Full | LeftSemi => Ok(()),
            _ => refuse(
                Some("JOIN"),
                format!("a {join_type} join of two streams is not supported"),
                "use an inner, left, right, full or left semi join",
            ),
        };
    }
    let keeps_stream = match join_type {
        Inner => true,
        Left | LeftSemi | LeftAnti | LeftMark => left != Flow::Static,
        Right | RightSemi | RightAnti | RightMark => right != Flow::Static,
        JoinType::Full => false,
    };
    if keeps_stream {
        return Ok(());
    }
    refuse(
        Some("JOIN"),
        format!(
            "a {join_type} join that keeps the static table's rows is not supported: whether one has no partner is never final"
        ),
        "keep the stream's rows: stream LEFT JOIN table",
    )
}

fn check_aggregate(aggregate: &Aggregate) -> std::result::Result<(), Refusal> {
    if aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
        return refuse(
            Some("GROUP"),
            "ROLLUP, CUBE and GROUPING SETS are not supported in a view",
            "make a view of each grouping",
        );
    }
    for expr in &aggregate.aggr_expr {
        let Expr::AggregateFunction(function) = expr.clone().unalias() else {
            return refuse(None, format!("`{expr}` is not an aggregate"), "use count, sum, avg, min or max");
        };
        let name = function.func.name();
        let params = &function.params;
        if !MERGEABLE.contains(&name) && !UserAggregate::is(&function.func) {
            let reason = match name {
                "first_value" | "last_value" | "first" | "last" | "nth_value" => "depends on the order of rows",
                _ => "is not exact when partial results are merged",
            };
            return refuse(
                Some(name),
                format!("the aggregate `{name}` is not supported in a view: it {reason}"),
                "use count, sum, avg, min, max, count(DISTINCT …) or approx_count_distinct",
            );
        }
        if !params.order_by.is_empty() || params.null_treatment.is_some() {
            return refuse(
                Some(name),
                format!("`{name}` with ORDER BY or IGNORE NULLS is not supported in a view"),
                "leave it out",
            );
        }
        if params.distinct && !matches!(name, "count" | "min" | "max") {
            return refuse(
                Some(name),
                format!("`{name}(DISTINCT …)` is not supported in a view"),
                "only count(DISTINCT …) is",
            );
        }
    }
    Ok(())
}

/// Marks the aggregate, with group keys as the engine keeps them: panes for windows, one NaN and one zero.
/// Also drops rows without event time where `window` stands outside of an aggregate, as Spark does.
pub fn mark(plan: LogicalPlan, inputs: &BTreeSet<String>, times: &Times) -> Result<LogicalPlan> {
    plan.transform_up(|node| match node {
        LogicalPlan::Distinct(Distinct::All(input)) if reads_stream(&input, inputs) => {
            let keys = input.schema().columns().into_iter().map(Expr::Column).collect();
            cut(&Aggregate::try_new(input, keys, vec![])?, times).map(Transformed::yes)
        }
        LogicalPlan::Aggregate(aggregate) if reads_stream(&aggregate.input, inputs) => {
            cut(&aggregate, times).map(Transformed::yes)
        }
        LogicalPlan::Projection(projection) if reads_stream(&projection.input, inputs) => {
            let mut instants: Vec<Expr> = Vec::new();
            for expr in &projection.expr {
                expr.apply(|expr| {
                    if let Some(call) = window::parse_call(expr) {
                        let (instant, spans) = call?;
                        if !spans.tumbling() {
                            return datafusion::common::plan_err!(
                                "a sliding window needs a GROUP BY: each row is in several of them"
                            );
                        }
                        let instant = window::instant_of(instant, projection.input.schema())?;
                        if !instants.contains(&instant) {
                            instants.push(instant);
                        }
                    }
                    Ok(TreeNodeRecursion::Continue)
                })?;
            }
            let Some(known) = instants.into_iter().map(Expr::is_not_null).reduce(Expr::and) else {
                return Ok(Transformed::no(LogicalPlan::Projection(projection)));
            };
            let input = LogicalPlan::Filter(Filter::try_new(known, projection.input)?);
            let projection = Projection::try_new(projection.expr, Arc::new(input))?;
            Ok(Transformed::yes(LogicalPlan::Projection(projection)))
        }
        other => Ok(Transformed::no(other)),
    })
    .map(|transformed| transformed.data)
}

fn cut(aggregate: &Aggregate, times: &Times) -> Result<LogicalPlan> {
    let input_schema = aggregate.input.schema();
    let mut keys = Vec::new();
    let mut window_key: Option<WindowKey> = None;
    let mut session_end = None;
    let is_float = |expr: &Expr| -> Result<bool> { Ok(expr.get_type(input_schema)?.is_floating()) };
    for (index, expr) in aggregate.group_expr.iter().enumerate() {
        let plain = expr.clone().unalias();
        if let Some(call) = window::parse_call(&plain) {
            let (instant, spans) = call?;
            if window_key.is_some() {
                return datafusion::common::plan_err!("a view can have one window in its GROUP BY");
            }
            window_key = Some(WindowKey { index, shape: Shape::Spans(spans) });
            keys.push(window::pane_of(instant, spans, input_schema)?);
        } else if let Some(call) = session::parse_call(&plain) {
            let (instant, gap) = call?;
            if window_key.is_some() {
                return datafusion::common::plan_err!("a view can have one window in its GROUP BY");
            }
            window_key = Some(WindowKey { index, shape: Shape::Session });
            keys.push(session::start_of(instant.clone(), gap.clone()));
            session_end = Some(max(session::end_of(instant, gap)));
        } else if window_key.is_none()
            && let Some(Time { kind: Kind::Window(Some(duration)), .. }) =
                event_time::of_expr(&aggregate.input, &plain, times)
        {
            // A window of an aggregate below: its start says all.
            let spans = Spans { duration, slide: duration, offset: 0 };
            window_key = Some(WindowKey { index, shape: Shape::Spans(spans) });
            keys.push(window::start_of(plain));
        } else if is_float(&plain)? {
            keys.push(Normalize::call(plain));
        } else {
            keys.push(expr.clone());
        }
    }
    let functions = aggregate
        .aggr_expr
        .iter()
        .map(|expr| {
            let normal = expr.clone().transform_up(|expr| match expr {
                Expr::AggregateFunction(mut function) if function.params.distinct => {
                    for argument in &mut function.params.args {
                        if is_float(argument)? {
                            *argument = Normalize::call(argument.clone());
                        }
                    }
                    Ok(Transformed::yes(Expr::AggregateFunction(function)))
                }
                other => Ok(Transformed::no(other)),
            })?;
            Ok(normal.data)
        })
        .chain(session_end.map(Ok))
        .collect::<Result<Vec<_>>>()?;
    let kept = Arc::new(LogicalPlan::Aggregate(Aggregate::try_new(aggregate.input.clone(), keys, functions)?));
    let names = aggregate.schema.iter();
    let fields = kept.schema().columns();
    let end = fields.last().cloned();
    // The names above stay what they were.
    let exprs = names
        .zip(fields)
        .enumerate()
        .map(|(index, ((qualifier, field), kept))| {
            let value = match window_key {
                Some(WindowKey { index: key, shape }) if key == index => match (shape, &end) {
                    (Shape::Session, Some(end)) => session::session_from(Expr::Column(kept), Expr::Column(end.clone())),
                    (Shape::Spans(spans), _) => window::window_from(Expr::Column(kept), spans.duration),
                    _ => Expr::Column(kept),
                },
                // A second name for the same column would be ambiguous.
                _ if kept.relation.as_ref() == qualifier && kept.name == *field.name() => return Expr::Column(kept),
                _ => Expr::Column(kept),
            };
            value.alias_qualified(qualifier.cloned(), field.name())
        })
        .collect::<Vec<_>>();
    let node = Cut { input: kept.clone(), schema: kept.schema().clone(), window: window_key };
    let cut = LogicalPlan::Extension(Extension { node: Arc::new(node) });
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(cut))?))
}

/// The line between what runs per epoch and what runs on merged states.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cut {
    /// The aggregate.
    pub input: Arc<LogicalPlan>,
    schema: DFSchemaRef,
    /// The window among its keys.
    pub window: Option<WindowKey>,
}

impl PartialOrd for Cut {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for Cut {
    fn name(&self) -> &str {
        "Cut"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "Cut: states are merged here")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Some(input) = inputs.into_iter().next() else {
            return internal_err!("a cut has one input");
        };
        Ok(Self { schema: input.schema().clone(), input: Arc::new(input), window: self.window })
    }
}

/// Aggregates right below their cuts again: the optimizer puts a projection between them where two are found to be one.
pub fn lift(plan: LogicalPlan) -> Result<LogicalPlan> {
    let lifted = plan.transform_up(|node| {
        let LogicalPlan::Extension(extension) = &node else { return Ok(Transformed::no(node)) };
        let Some(cut) = extension.node.as_any().downcast_ref::<Cut>() else { return Ok(Transformed::no(node)) };
        let LogicalPlan::Projection(projection) = cut.input.as_ref() else { return Ok(Transformed::no(node)) };
        let below = projection.input.clone();
        let below = Cut { schema: below.schema().clone(), input: below, window: cut.window };
        let below = LogicalPlan::Extension(Extension { node: Arc::new(below) });
        let (exprs, schema) = (projection.expr.clone(), projection.schema.clone());
        let projection = Projection::try_new_with_schema(exprs, Arc::new(below), schema)?;
        Ok(Transformed::yes(LogicalPlan::Projection(projection)))
    });
    lifted.map(|transformed| transformed.data)
}

/// An optimized plan in its two parts.
pub struct Split {
    /// The aggregate and what is below it.
    pub lower: LogicalPlan,
    /// What is above, over the table [`STATES`].
    pub upper: LogicalPlan,
    /// The window among the keys.
    pub window: Option<WindowKey>,
    /// Per answer column the group key that it is, if it is one.
    pub keys: Vec<Option<usize>>,
    /// Whether the upper part orders or limits.
    pub ordered: bool,
}

/// Takes an optimized plan apart at its cut.
pub fn split(plan: LogicalPlan) -> Result<Split> {
    let mut found = None;
    let mut ordered = false;
    let upper = plan
        .transform_down(|node| match node {
            LogicalPlan::Extension(extension) => {
                let Some(cut) = extension.node.as_any().downcast_ref::<Cut>() else {
                    return internal_err!("an unknown plan node: {}", extension.node.name());
                };
                let leaf = states_leaf(cut)?;
                found = Some((cut.input.as_ref().clone(), cut.window));
                Ok(Transformed::new(leaf, true, TreeNodeRecursion::Stop))
            }
            other => {
                ordered |= matches!(other, LogicalPlan::Sort(_) | LogicalPlan::Limit(_));
                Ok(Transformed::no(other))
            }
        })?
        .data;
    let Some((lower, window)) = found else {
        return internal_err!("the aggregate was lost");
    };
    let LogicalPlan::Aggregate(aggregate) = &lower else {
        return internal_err!("the aggregate was moved: {}", lower.display());
    };
    let groups = aggregate.group_expr.len();
    let keys =
        (0..upper.schema().fields().len()).map(|column| key_of(&upper, column).filter(|key| *key < groups)).collect();
    Ok(Split { lower, upper, window, keys, ordered })
}

/// A scan of states, under the names of the cut.
fn states_leaf(cut: &Cut) -> Result<LogicalPlan> {
    let fields = cut.schema.fields().iter().enumerate();
    let plain: Vec<_> = fields.map(|(index, field)| field.as_ref().clone().with_name(format!("c{index}"))).collect();
    let table = LeafTable::new(STATES, Arc::new(Schema::new(plain)));
    let scan = LogicalPlanBuilder::scan(STATES, provider_as_source(Arc::new(table)), None)?.build()?;
    let exprs = cut
        .schema
        .iter()
        .enumerate()
        .map(|(index, (qualifier, field))| {
            col(format!("{STATES}.c{index}")).alias_qualified(qualifier.cloned(), field.name())
        })
        .collect();
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(scan))?))
}

/// The states' column that an answer's column is, unchanged (or as a window).
fn key_of(plan: &LogicalPlan, column: usize) -> Option<usize> {
    match plan {
        LogicalPlan::TableScan(_) => Some(column),
        LogicalPlan::Projection(projection) => {
            let mut expr = projection.expr[column].clone().unalias();
            if let Expr::ScalarFunction(function) = &expr
                && matches!(function.func.name(), "window_struct" | "session_struct")
            {
                expr = function.args[0].clone();
            }
            match expr {
                Expr::Column(column) => {
                    key_of(&projection.input, projection.input.schema().maybe_index_of_column(&column)?)
                }
                _ => None,
            }
        }
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::SubqueryAlias(_) => {
            key_of(plan.inputs().first()?, column)
        }
        _ => None,
    }
}

/// Every table scan with the columns that it reads.
pub fn scans(plan: &LogicalPlan) -> Result<Vec<(String, BTreeSet<String>)>> {
    let mut found = Vec::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let columns = scan.projected_schema.fields().iter();
            let columns = columns.map(|field| field.name().clone()).collect();
            found.push((scan.table_name.table().to_owned(), columns));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}
