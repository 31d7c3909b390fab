//! From a catalog to compiled views: every error of every view at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use braid_kernel::TableKind;
use datafusion::catalog::TableProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::common::{Result, TableReference, internal_err};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateInputMode};
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::{ExecutionPlan, displayable};
use datafusion::prelude::SessionContext;

use crate::catalog::{Catalog, CompileError, ViewInfo};
use crate::engine::conform_by_name;
use crate::event_time::{self, Kind, Time, Times};
use crate::functions::session;
use crate::gates;
use crate::groups::{Aggregation, Inputs, WindowKey};
use crate::leaf::{LeafTable, StaticTable, Statics, leaves, lowered, nullable};
use crate::split::{self, Refusal};
use crate::sql::{self, Names, Parsed};
use crate::stage::{Machine, Stage};
use crate::stages::Stages;
use crate::upper::Upper;
use crate::user;

/// Counts changes of what states mean. A change of it is a change of every view's definition.
const STATE_VERSION: u32 = 3;

/// A compiled view.
#[derive(Debug)]
pub struct View {
    /// What others see of it.
    pub info: ViewInfo,
    /// What runs per epoch: an aggregate, or the whole of a stateless view.
    pub lower: LogicalPlan,
    /// Of an aggregate view: how states merge and answer.
    pub keyed: Option<Keyed>,
    /// The stateful operators below, in the order in which they run.
    pub stages: Vec<Stage>,
    /// Plans and state, for people.
    pub explain: String,
}

/// The aggregate of a view and what is above it.
#[derive(Debug)]
pub struct Keyed {
    /// How states merge.
    pub aggregation: Aggregation,
    /// From answers of keys to the view's rows.
    pub upper: Upper,
    /// Per answer column the group key that it is, if it is one.
    pub keys: Vec<Option<usize>>,
}

/// What `compile` makes.
pub struct Compiled {
    /// The views by name.
    pub views: BTreeMap<String, Arc<View>>,
    /// Per input the operator that its rows pass before any view reads them.
    pub gates: BTreeMap<String, Arc<Stage>>,
    /// The session with all tables, for planning again.
    pub session: SessionState,
    /// The static tables' columns.
    pub static_schemas: BTreeMap<String, SchemaRef>,
    /// Their first rows.
    pub statics: Statics,
}

/// Compiles every view.
pub async fn compile(catalog: Catalog) -> std::result::Result<Compiled, Vec<CompileError>> {
    let mut errors = check_inputs(&catalog);
    let mut statics = Statics::default();
    for (name, table) in &catalog.statics {
        let schema = lowered(&nullable(&table.schema));
        let rows = table.batches.iter().map(|batch| conform_by_name(batch, &schema));
        match rows.collect::<std::result::Result<Vec<_>, _>>() {
            Ok(rows) => {
                statics.0.insert(name.clone(), Arc::new(rows));
            }
            Err(message) => {
                errors.push(CompileError { view: name.clone(), position: None, message, hint: None });
            }
        }
    }
    let mut state = session();
    register_functions(&catalog, &mut state, &mut errors);
    state.config_mut().set_extension(Arc::new(statics.clone()));
    let context = SessionContext::new_with_state(state);
    let mut names = Names::new();
    let mut static_schemas = BTreeMap::new();
    let tables = catalog.inputs.iter().map(|(name, input)| (name, &input.schema, true));
    let tables = tables.chain(catalog.statics.iter().map(|(name, table)| (name, &table.schema, false)));
    for (name, schema, is_input) in tables {
        names.insert(name.clone(), schema.fields().iter().map(|field| field.name().clone()).collect());
        let table: Arc<dyn TableProvider> = if is_input {
            Arc::new(LeafTable::new(name, lowered(&nullable(schema))))
        } else {
            static_schemas.insert(name.clone(), nullable(schema));
            Arc::new(StaticTable::new(name, lowered(&nullable(schema))))
        };
        register(&context, name, table, &mut errors);
    }

    let mut views: BTreeMap<String, Arc<View>> = BTreeMap::new();
    let mut failed: BTreeSet<String> = errors.iter().map(|error| error.view.clone()).collect();
    let mut pending: Vec<(&String, &String)> = catalog.views.iter().collect();
    while !pending.is_empty() {
        let before = pending.len();
        let mut next = Vec::new();
        for (name, text) in pending {
            // Columns of views that come later are unknown yet, their names are not.
            let mut known = names.clone();
            for view in catalog.views.keys().filter(|view| *view != name) {
                known.entry(view.clone()).or_default();
            }
            let outcome = match sql::parse(name, text, &known, true) {
                Err(errors) => Err(errors),
                Ok(parsed) => {
                    let waits = parsed.tables.iter().any(|table| {
                        catalog.views.contains_key(table) && !views.contains_key(table) && !failed.contains(table)
                    });
                    if waits {
                        next.push((name, text));
                        continue;
                    }
                    compile_view(&context, &catalog, &views, &failed, parsed).await.map_err(|error| vec![error])
                }
            };
            match outcome {
                Ok((view, raw)) => {
                    let columns = view.info.schema.fields().iter().map(|field| field.name().clone());
                    names.insert(name.clone(), columns.collect());
                    let table = Arc::new(ViewTable::new(raw, Some(text.clone())));
                    register(&context, name, table, &mut errors);
                    views.insert(name.clone(), Arc::new(view));
                }
                Err(found) => {
                    failed.insert(name.clone());
                    errors.extend(found);
                }
            }
        }
        if next.len() == before {
            for (name, _) in &next {
                errors.push(CompileError {
                    view: (*name).clone(),
                    position: None,
                    message: "the view reads itself, by way of other views".into(),
                    hint: None,
                });
            }
            break;
        }
        pending = next;
    }
    let mut gates = BTreeMap::new();
    for (name, input) in &catalog.inputs {
        match input.gate.as_ref().map(|gate| gates::compile(name, input, gate, &catalog.statics)) {
            Some(Ok(stage)) => {
                gates.insert(name.clone(), Arc::new(stage));
            }
            Some(Err(error)) => errors.push(error),
            None => {}
        }
    }
    if errors.is_empty() {
        Ok(Compiled { views, gates, session: context.state(), static_schemas, statics })
    } else {
        Err(errors)
    }
}

/// Functions of the user's by names that are free.
fn register_functions(catalog: &Catalog, state: &mut SessionState, errors: &mut Vec<CompileError>) {
    for function in &catalog.functions {
        let name = &function.name;
        let taken = state.scalar_functions().contains_key(name)
            || state.aggregate_functions().contains_key(name)
            || state.window_functions().contains_key(name);
        let registered = match taken {
            true => Err(format!("SQL has a function `{name}` already")),
            false => function.register(state).map_err(|error| error.strip_backtrace()),
        };
        if let Err(message) = registered {
            let hint = taken.then(|| "give the plugin another name".to_owned());
            errors.push(CompileError { view: name.clone(), position: None, message, hint });
        }
    }
}

fn register(context: &SessionContext, name: &str, table: Arc<dyn TableProvider>, errors: &mut Vec<CompileError>) {
    if let Err(error) = context.register_table(TableReference::bare(name.to_lowercase()), table) {
        errors.push(CompileError {
            view: name.to_owned(),
            position: None,
            message: error.strip_backtrace(),
            hint: None,
        });
    }
}

fn check_inputs(catalog: &Catalog) -> Vec<CompileError> {
    let mut errors = Vec::new();
    let mut error = |name: &str, message: String, hint: Option<String>| {
        errors.push(CompileError { view: name.to_owned(), position: None, message, hint });
    };
    let mut owners: HashMap<String, &str> = HashMap::new();
    let all = catalog.inputs.keys().map(|name| (name, "a source or stream"));
    let all = all.chain(catalog.statics.keys().map(|name| (name, "a table")));
    for (name, kind) in all.chain(catalog.views.keys().map(|name| (name, "a view"))) {
        if let Some(other) = owners.insert(name.to_lowercase(), kind) {
            error(
                name,
                format!("the name stands for {other} and for {kind}"),
                Some("SQL names differ in more than case".into()),
            );
        }
    }
    for (name, input) in &catalog.inputs {
        let Some(event_time) = &input.watermark else {
            continue;
        };
        match input.schema.field_with_name(&event_time.column) {
            Ok(field) if matches!(field.data_type(), DataType::Timestamp(_, _)) => {}
            Ok(field) => error(
                name,
                format!("the event time `{}` is {}, not a timestamp", event_time.column, field.data_type()),
                Some("declare it as timestamp or timestamp_millis".into()),
            ),
            Err(_) => {
                let columns: Vec<String> = input.schema.fields().iter().map(|field| field.name().clone()).collect();
                error(
                    name,
                    format!("there is no column `{}` for the event time", event_time.column),
                    sql::did_you_mean(&event_time.column, columns.iter()),
                );
            }
        }
    }
    errors
}

/// Compiles one view; gives the view, and its plan for views that read it.
async fn compile_view(
    context: &SessionContext,
    catalog: &Catalog,
    views: &BTreeMap<String, Arc<View>>,
    failed: &BTreeSet<String>,
    parsed: Parsed,
) -> std::result::Result<(View, LogicalPlan), CompileError> {
    for table in &parsed.tables {
        if failed.contains(table) {
            return Err(parsed.error(parsed.find(table), format!("`{table}`, which it reads, has errors"), None));
        }
    }
    let inputs: BTreeSet<String> = catalog.inputs.keys().map(|name| name.to_lowercase()).collect();
    let state = context.state();
    let planning = |error| parsed.planning_error(&error);
    let raw = state.statement_to_plan(parsed.statement.clone()).await.map_err(planning)?;
    let refused = |refusal: Refusal| {
        let position = refusal.near.as_deref().and_then(|near| parsed.find(near));
        parsed.error(position, refusal.message, refusal.hint)
    };
    let is_aggregate = split::check(&raw, &inputs).map_err(refused)?;
    let times = times(catalog);
    let marked = split::mark(raw.clone(), &inputs, &times).map_err(planning)?;
    let optimized = state.optimize(&marked).and_then(split::lift).map_err(planning)?;
    let schema = nullable(&parsed.spell(optimized.schema().as_arrow()));
    if let Some(name) = repeated(&schema) {
        let (message, hint) = sql::repeated_column(&name);
        return Err(parsed.error(parsed.find(&name), message, hint));
    }
    if let Some(table) = unread(&optimized, &parsed, catalog, views) {
        return Err(parsed.error(
            parsed.find(&table),
            "the view can never have a row",
            Some("a condition in it is always false".into()),
        ));
    }
    let mut stages = Stages::new(&state, &parsed.view, &inputs, times);
    let rest = stages.extract(optimized.clone(), is_aggregate).await.map_err(refused)?;
    let view = assemble(catalog, views, &parsed, stages, &optimized, rest, schema, is_aggregate).await;
    let mut view = view.map_err(planning)?;
    view.info.definition.push_str(&user::definitions(&raw, &catalog.functions).map_err(planning)?);
    Ok((view, raw))
}

/// The event-time columns of inputs.
fn times(catalog: &Catalog) -> Times {
    let watermarks = catalog.inputs.iter().filter_map(|(name, input)| Some((name, input.watermark.as_ref()?)));
    let times = watermarks.map(|(name, watermark)| {
        let column = watermark.column.clone();
        let time = Time { input: name.clone(), column: column.clone(), kind: Kind::Instant, lag: 0 };
        (name.to_lowercase(), BTreeMap::from([(column.to_lowercase(), time)]))
    });
    times.collect()
}

/// A view whose condition the optimizer found to be false reads nothing.
fn unread(
    plan: &LogicalPlan,
    parsed: &Parsed,
    catalog: &Catalog,
    views: &BTreeMap<String, Arc<View>>,
) -> Option<String> {
    let scans = split::scans(plan).ok()?;
    if scans.iter().any(|(table, _)| declared(&catalog.inputs, table).is_some()) {
        return None;
    }
    let streams = |table: &&String| catalog.inputs.contains_key(*table) || views.contains_key(*table);
    parsed.tables.iter().find(streams).cloned()
}

/// What is known under a name in lower case, with its name as declared.
fn declared<'a, T>(tables: &'a BTreeMap<String, T>, lower: &str) -> Option<(&'a String, &'a T)> {
    tables.iter().find(|(name, _)| name.to_lowercase() == lower)
}

fn repeated(schema: &SchemaRef) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut names = schema.fields().iter().map(|field| field.name());
    names.find(|name| !seen.insert(*name)).cloned()
}

#[expect(clippy::too_many_arguments, reason = "the parts of a view, put together once")]
async fn assemble(
    catalog: &Catalog,
    views: &BTreeMap<String, Arc<View>>,
    parsed: &Parsed,
    stages: Stages<'_>,
    optimized: &LogicalPlan,
    rest: LogicalPlan,
    schema: SchemaRef,
    is_aggregate: bool,
) -> Result<View> {
    let Stages { session: state, stages, times, .. } = stages;
    let logical = optimized.display_indent().to_string();
    let mut lower = rest.clone();
    let mut keyed = None;
    let mut time = None;
    if is_aggregate {
        let split = split::split(rest)?;
        let (_, aggregation, _) = plan_lower(state, &split.lower, true, split.window).await?;
        let Some((aggregation, _)) = aggregation else {
            return internal_err!("the aggregate was not planned");
        };
        time = split.window.and_then(|window| {
            let LogicalPlan::Aggregate(aggregate) = &split.lower else {
                return None;
            };
            event_time::of_expr(&aggregate.input, aggregate.group_expr.get(window.index)?, &times)
        });
        let upper = Upper::plan(state, &split.upper, schema.clone(), split.ordered).await?;
        lower = split.lower;
        keyed = Some(Keyed { aggregation, upper, keys: split.keys });
    }
    let (physical, _, input_schema) =
        plan_lower(state, &lower, is_aggregate, keyed.as_ref().and_then(|keyed| keyed.aggregation.window)).await?;
    let mut inputs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut statics = BTreeSet::new();
    let plans = stages.iter().flat_map(|stage| &stage.inputs).map(|input| &input.plan).chain([&lower]);
    let scans = plans.map(split::scans).collect::<Result<Vec<_>>>()?;
    for (table, columns) in scans.into_iter().flatten() {
        if let Some((name, _)) = declared(&catalog.inputs, &table) {
            inputs.entry(name.clone()).or_default().extend(columns);
        } else if let Some((name, _)) = declared(&catalog.statics, &table) {
            statics.insert(name.clone());
        }
    }
    let inputs = inputs
        .into_iter()
        .map(|(input, columns)| {
            let names = catalog.inputs[&input].schema.fields().iter().map(|field| field.name().clone());
            (input, names.filter(|name| columns.contains(&name.to_lowercase())).collect())
        })
        .collect::<BTreeMap<String, Vec<String>>>();

    let keys = keyed.as_ref().map_or(Vec::new(), |keyed| {
        let mut keys: Vec<(usize, usize)> =
            keyed.keys.iter().enumerate().filter_map(|(column, key)| key.map(|key| (key, column))).collect();
        keys.sort_unstable();
        keys.dedup_by_key(|(key, _)| *key);
        keys.into_iter().map(|(_, column)| schema.field(column).name().clone()).collect()
    });
    let delta_schema = match &keyed {
        Some(keyed) => keyed.aggregation.delta_schema.clone(),
        None => schema.clone(),
    };
    let info = ViewInfo {
        name: parsed.view.clone(),
        kind: if is_aggregate { TableKind::Keyed } else { TableKind::Append },
        definition: definition(catalog, views, parsed, &delta_schema),
        window: keyed.as_ref().is_some_and(|keyed| keyed.aggregation.window.is_some()),
        late_schema: time.as_ref().map(|_| input_schema),
        lag: time.as_ref().map_or(0, |time| time.lag),
        states: stages.iter().flat_map(|stage| stage.tables.clone()).collect(),
        schema,
        delta_schema,
        keys,
        inputs,
        statics: statics.into_iter().collect(),
        event_time: time.map(|time| (time.input, time.column)),
    };
    for stage in &stages {
        Machine::new(stage)?;
    }
    let explain = explain(&info, &parsed.sql, &logical, &stages, &physical, keyed.as_ref());
    Ok(View { info, lower, keyed, stages, explain })
}

/// The text that changes when answers could.
fn definition(
    catalog: &Catalog,
    views: &BTreeMap<String, Arc<View>>,
    parsed: &Parsed,
    delta_schema: &SchemaRef,
) -> String {
    let columns = |schema: &SchemaRef| {
        let fields = schema.fields().iter();
        fields.map(|field| format!("{} {}", field.name(), field.data_type())).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!("version {STATE_VERSION}\n{}\nstate: {}\n", parsed.text, columns(delta_schema));
    for table in &parsed.tables {
        if let Some(view) = views.get(table) {
            text.push_str(&format!("view {table}: {}\n", view.info.definition));
        }
        let schema = catalog.inputs.get(table).map(|input| &input.schema);
        if let Some(schema) = schema.or_else(|| catalog.statics.get(table).map(|table| &table.schema)) {
            text.push_str(&format!("table {table}: {}\n", columns(schema)));
        }
    }
    text
}

fn explain(
    info: &ViewInfo,
    sql: &str,
    logical: &str,
    stages: &[Stage],
    physical: &Arc<dyn ExecutionPlan>,
    keyed: Option<&Keyed>,
) -> String {
    let indent = |text: &str| text.lines().map(|line| format!("  {line}\n")).collect::<String>();
    let mut text = format!("view {}\n\nSQL\n{}\nlogical plan\n{}", info.name, indent(sql.trim()), indent(logical));
    for stage in stages {
        text.push_str(&format!("\noperator {}: {}\n", stage.leaf, stage.operator));
        for input in &stage.inputs {
            text.push_str(&indent(&input.plan.display_indent().to_string()));
        }
        text.push_str(&format!("  remembers {}\n", stage.tables.join(", ")));
    }
    text.push_str(&format!("\nper epoch\n{}", indent(&displayable(physical.as_ref()).indent(false).to_string())));
    let Some(keyed) = keyed else {
        text.push_str("\nstate\n  none: rows are appended\n");
        return text;
    };
    text.push_str(&format!("\non merged states\n{}\nstate\n", indent(&keyed.upper.explain())));
    for (index, field) in info.delta_schema.fields().iter().enumerate() {
        let role = if index < keyed.aggregation.keys() { "key" } else { "partial" };
        text.push_str(&format!("  {role} {} {}\n", field.name(), field.data_type()));
    }
    if let Some((input, column)) = &info.event_time {
        text.push_str(&format!("  windows close by the watermark of {input}.{column}\n"));
    }
    text
}

/// A planned lower part: what to run, and how its rows are aggregated.
pub type Lower = (Arc<dyn ExecutionPlan>, Option<(Aggregation, Inputs)>, SchemaRef);

/// Plans what runs per epoch. Of an aggregate, the plan is what feeds it. Also gives the columns of the plan's rows.
pub async fn plan_lower(
    session: &SessionState,
    lower: &LogicalPlan,
    is_aggregate: bool,
    window: Option<WindowKey>,
) -> Result<Lower> {
    let physical = session.query_planner().create_physical_plan(lower, session).await?;
    let (plan, aggregate) = if is_aggregate {
        let Some(aggregate) = first_aggregate(&physical) else {
            return internal_err!("no aggregate in\n{}", displayable(physical.as_ref()).indent(false));
        };
        let parts = (Aggregation::of(aggregate, window)?, Inputs::of(aggregate));
        (aggregate.input().clone(), Some(parts))
    } else {
        (physical, None)
    };
    if let Some(join) = streaming_build_side(&plan) {
        return internal_err!("the stream became the build side of {join}");
    }
    let schema = nullable(plan.schema().as_ref());
    Ok((plan, aggregate, schema))
}

fn first_aggregate(plan: &Arc<dyn ExecutionPlan>) -> Option<&AggregateExec> {
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>()
        && aggregate.mode().input_mode() == AggregateInputMode::Raw
    {
        return Some(aggregate);
    }
    plan.children().into_iter().find_map(first_aggregate)
}

/// A join that would keep an epoch's rows as its build side: kept over epochs, it would answer wrongly.
fn streaming_build_side(plan: &Arc<dyn ExecutionPlan>) -> Option<&str> {
    let build = if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        Some(join.left())
    } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        Some(join.left())
    } else {
        plan.downcast_ref::<CrossJoinExec>().map(CrossJoinExec::left)
    };
    if build.is_some_and(|build| !leaves(build).is_empty()) {
        return Some(plan.name());
    }
    plan.children().into_iter().find_map(streaming_build_side)
}
