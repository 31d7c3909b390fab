//! What rows of an input pass before any view reads them: an operator between the input and its leaf.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use braid_kernel::keyed::Kind as VariableKind;
use datafusion::common::{DataFusionError, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};

use crate::catalog::{CompileError, DropDuplicates, EventTime, Gate, Input, StaticInput, TransformWithState};
use crate::event_time::Kind;
use crate::keyed::{KeyedSpec, TimeMode, tables};
use crate::leaf::{LeafTable, lowered, nullable};
use crate::sql::did_you_mean;
use crate::stage::{Machine, Operator, Stage, StageInput, TimeColumn};
use crate::unique::{Forget, UniqueSpec};

type Outcome<T> = std::result::Result<T, CompileError>;

/// The operator of an input.
pub fn compile(name: &str, input: &Input, gate: &Gate, statics: &BTreeMap<String, StaticInput>) -> Outcome<Stage> {
    let stage = match gate {
        Gate::Unique(unique) => self::unique(name, input, unique),
        Gate::Keyed(keyed) => self::keyed(name, input, keyed, statics),
    }?;
    Machine::new(&stage).map_err(|reason| error(name, reason.strip_backtrace(), None))?;
    Ok(stage)
}

fn error(name: &str, message: String, hint: Option<String>) -> CompileError {
    CompileError { view: name.into(), position: None, message, hint }
}

fn find(name: &str, key: &str, schema: &SchemaRef, column: &str) -> Outcome<usize> {
    let fields = schema.fields();
    fields.iter().position(|field| field.name() == column).ok_or_else(|| {
        let hint = did_you_mean(column, fields.iter().map(|field| field.name()));
        error(name, format!("{key}: there is no column `{column}`"), hint)
    })
}

fn time(name: &str, key: &str, schema: &SchemaRef, watermark: &Option<EventTime>) -> Outcome<Option<TimeColumn>> {
    let time = |watermark: &EventTime| {
        let index = find(name, key, schema, &watermark.column)?;
        Ok(TimeColumn { index, kind: Kind::Instant, lag: 0 })
    };
    watermark.as_ref().map(time).transpose()
}

/// A plan that reads the rows as they come.
fn scan(name: &str, schema: &SchemaRef) -> Outcome<LogicalPlan> {
    let source = provider_as_source(Arc::new(LeafTable::new(name, schema.clone())));
    let plan = LogicalPlanBuilder::scan(TableReference::bare(name.to_lowercase()), source, None);
    let plan = plan.and_then(LogicalPlanBuilder::build);
    plan.map_err(|reason: DataFusionError| error(name, reason.strip_backtrace(), None))
}

fn unique(name: &str, input: &Input, unique: &DropDuplicates) -> Outcome<Stage> {
    let key = "drop_duplicates";
    let fields = input.schema.fields();
    let keys = match unique.columns.is_empty() {
        true => (0..fields.len()).collect(),
        false => {
            let columns = unique.columns.iter().map(|column| find(name, key, &input.schema, column));
            columns.collect::<Outcome<Vec<_>>>()?
        }
    };
    let time = time(name, key, &input.schema, &input.watermark)?;
    let forget = match (unique.within_watermark, time.zip(input.watermark.as_ref())) {
        (true, Some((time, watermark))) => Forget::After(time, watermark.delay_ms.saturating_mul(1_000)),
        (true, None) => {
            let hint = "declare a watermark on the source, or leave within_watermark out";
            return Err(error(name, format!("{key} within_watermark needs a watermark"), Some(hint.into())));
        }
        (false, Some((time, _))) if keys.contains(&time.index) => Forget::AtItsTime(time),
        (false, _) => Forget::Never,
    };
    let schema = lowered(&nullable(&input.schema));
    let definition = format!("{forget:?} of {:?}", keys.iter().map(|key| &fields[*key]).collect::<Vec<_>>());
    Ok(Stage {
        leaf: name.to_owned(),
        operator: Operator::Unique(UniqueSpec { keys, forget }),
        inputs: vec![StageInput { plan: scan(name, &schema)?, time, schema: schema.clone() }],
        schema,
        tables: vec![format!("{name}.seen")],
        definition,
    })
}

fn keyed(
    name: &str,
    input: &Input,
    keyed: &TransformWithState,
    statics: &BTreeMap<String, StaticInput>,
) -> Outcome<Stage> {
    let key = "transform_with_state";
    let columns = |schema: &SchemaRef| {
        let columns = keyed.keys.iter().map(|column| find(name, key, schema, column));
        columns.collect::<Outcome<Vec<_>>>()
    };
    let keys = columns(&keyed.schema)?;
    let program = keyed.code.program();
    if let Some(variable) = program.variables.iter().find(|variable| variable.name == "timers") {
        let message =
            format!("{key}: plugin `{}` keeps `{}`, which is Braid's own name", keyed.code.name(), variable.name);
        return Err(error(name, message, None));
    }
    if let Some(variable) = program.variables.iter().find(|variable| variable.ttl_ms.is_some())
        && keyed.time_mode != TimeMode::ProcessingTime
    {
        let message = format!("{key}: plugin `{}` forgets `{}` after a while", keyed.code.name(), variable.name);
        return Err(error(name, message, Some("that needs `time_mode: processing_time`".into())));
    }
    let time = match keyed.time_mode {
        TimeMode::EventTime => match time(name, key, &keyed.schema, &keyed.watermark)? {
            None => {
                let hint = "declare a watermark on the source, or say `time_mode: none` or `processing_time`";
                return Err(error(name, format!("{key}: time_mode event_time needs a watermark"), Some(hint.into())));
            }
            time => time,
        },
        TimeMode::None | TimeMode::ProcessingTime => None,
    };
    let initial = match &keyed.initial {
        Some(table) => {
            let Some(static_table) = statics.get(table) else {
                let hint = did_you_mean(table, statics.keys());
                return Err(error(name, format!("{key}: there is no table `{table}`"), hint));
            };
            let found = columns(&static_table.schema)?;
            for (initial, key_column) in found.iter().zip(&keys) {
                let (initial, field) = (static_table.schema.field(*initial), keyed.schema.field(*key_column));
                if initial.data_type() != field.data_type() {
                    let (is, of) = (initial.data_type(), field.data_type());
                    let message = format!("{key}: `{}` is {is} in `{table}`, and {of} in the stream", field.name());
                    return Err(error(name, message, None));
                }
            }
            Some((table.clone(), found))
        }
        None => None,
    };
    let variables = program.variables.iter().map(|variable| {
        let kind = match variable.kind {
            VariableKind::Value => "value",
            VariableKind::List => "list",
            VariableKind::Map => "map",
        };
        let columns = variable.columns.fields().iter().map(|field| field.data_type().to_string());
        format!("{kind} {} of {}", variable.name, columns.collect::<Vec<_>>().join(", "))
    });
    let key_types = keys.iter().map(|index| keyed.schema.field(*index).data_type().to_string());
    let definition = format!(
        "by {}: {}; timers by {:?}",
        key_types.collect::<Vec<_>>().join(", "),
        variables.collect::<Vec<_>>().join("; "),
        keyed.time_mode
    );
    let schema = lowered(&nullable(&keyed.schema));
    let spec = KeyedSpec { code: keyed.code.clone(), keys, time_mode: keyed.time_mode, initial };
    Ok(Stage {
        leaf: name.to_owned(),
        operator: Operator::Keyed(Box::new(spec)),
        inputs: vec![StageInput { plan: scan(name, &schema)?, time, schema }],
        schema: lowered(&nullable(&input.schema)),
        tables: tables(name, &program.variables, keyed.time_mode),
        definition,
    })
}
