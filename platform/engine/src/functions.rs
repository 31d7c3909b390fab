//! The SQL session: Spark's dialect and functions, DataFusion's where Spark's are the same, and ours.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float32Array, Float64Array};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::config::Dialect;
use datafusion::common::{Result, exec_err};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::session_state::SessionState;
use datafusion::functions_aggregate::approx_distinct::approx_distinct_udaf;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::{Analyzer, Optimizer};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;
use datafusion_spark::planner::SparkFunctionPlanner;

use crate::arithmetic::SparkArithmetic;
use crate::spark::casts::SparkCasts;
use crate::{best_by, extreme, moments, multiset, session, spark, split_text, sum, window};

/// Rows per batch inside a plan.
pub const BATCH_ROWS: usize = 8192;

/// Rules that take a shortcut past the aggregate's states or move its keys, and those that take fields out of structs
/// early: our structs are made late, of plain keys.
const LOGICAL_RULES_OFF: [&str; 5] = [
    // An inner join of streams below DISTINCT would become a semi join, which waits for an end.
    "eliminate_join",
    "single_distinct_aggregation_to_group_by",
    "eliminate_group_by_constant",
    "extract_leaf_expressions",
    "push_down_leaf_projections",
];
/// Rules that answer from statistics or stop before all input was seen.
const PHYSICAL_RULES_OFF: [&str; 3] = ["aggregate_statistics", "LimitedDistinctAggregation", "LimitAggregation"];

/// A session without tables.
pub fn session() -> SessionState {
    let mut config =
        SessionConfig::new().with_target_partitions(1).with_batch_size(BATCH_ROWS).with_information_schema(false);
    let options = config.options_mut();
    options.sql_parser.dialect = Dialect::Spark;
    // Names are lower case inside, and get their spelling back in answers (see `sql`).
    options.sql_parser.enable_ident_normalization = true;
    options.sql_parser.parse_float_as_decimal = true;
    options.sql_parser.default_null_ordering = "nulls_min".into();
    options.sql_parser.map_string_types_to_utf8view = false;
    // Mistakes are found where they stand, not where their words first do.
    options.sql_parser.collect_spans = true;
    options.execution.enable_ansi_mode = true;
    options.execution.time_zone = Some("UTC".into());
    // Dynamic filters keep state in the plan, and plans are run again and again.
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_aggregation = false;

    let mut analysis = Analyzer::new().rules;
    analysis.push(Arc::new(SparkCasts));
    let mut logical = Optimizer::new().rules;
    logical.retain(|rule| !LOGICAL_RULES_OFF.contains(&rule.name()));
    let mut physical = PhysicalOptimizer::new().rules;
    physical.retain(|rule| !PHYSICAL_RULES_OFF.contains(&rule.name()));

    let mut builder = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_analyzer_rules(analysis)
        .with_optimizer_rules(logical)
        .with_physical_optimizer_rules(physical);
    let planners = builder.expr_planners().get_or_insert_with(Vec::new);
    planners.insert(0, Arc::new(SparkFunctionPlanner));
    planners.insert(0, Arc::new(SparkArithmetic));
    let scalars = builder.scalar_functions().get_or_insert_with(Vec::new);
    scalars.extend(datafusion_spark::all_default_scalar_functions());
    scalars.extend(window::functions());
    scalars.extend(session::functions());
    scalars.push(split_text::function());
    scalars.extend(spark::functions());
    let aggregates = builder.aggregate_functions().get_or_insert_with(Vec::new);
    aggregates.extend(sum::functions());
    aggregates.extend(extreme::functions());
    aggregates.extend(moments::functions());
    aggregates.extend(multiset::functions());
    aggregates.extend(best_by::functions());
    aggregates.push(Arc::new(approx_distinct_udaf().as_ref().clone().with_aliases(["approx_count_distinct"])));
    builder.build()
}

/// One zero and one NaN, so that floats that are equal in Spark's sense are equal as group keys.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Normalize {
    signature: Signature,
}

impl Normalize {
    /// `expr`, a float, as a key.
    pub fn call(expr: Expr) -> Expr {
        let signature = Signature::uniform(1, vec![DataType::Float32, DataType::Float64], Volatility::Immutable);
        ScalarUDF::from(Self { signature }).call(vec![expr])
    }
}

impl ScalarUDFImpl for Normalize {
    fn name(&self) -> &str {
        "normalize_nan_and_zero"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let normal: ArrayRef = match array.data_type() {
            DataType::Float32 => {
                let values: Float32Array = array
                    .as_primitive::<Float32Type>()
                    .unary(|value| if value.is_nan() { f32::NAN } else { value + 0.0 });
                Arc::new(values)
            }
            DataType::Float64 => {
                let values: Float64Array = array
                    .as_primitive::<Float64Type>()
                    .unary(|value| if value.is_nan() { f64::NAN } else { value + 0.0 });
                Arc::new(values)
            }
            other => return exec_err!("not a float: {other}"),
        };
        Ok(ColumnarValue::Array(normal))
    }
}
