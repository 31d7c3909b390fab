//! Spark's arithmetic in ANSI mode: `/` gives fractions, also of integers; `DIV` does not; overflow of integers and
//! division by zero are errors.

use arrow::array::{AsArray, Scalar};
use arrow::compute::kernels::numeric;
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    binary_expr, cast,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// Plans `+ - * / DIV` where DataFusion's own would wrap or cut.
#[derive(Debug)]
pub struct SparkArithmetic;

/// The type in which two integers are added.
fn wider(left: &DataType, right: &DataType) -> Option<DataType> {
    let bits = |data_type: &DataType| match data_type {
        DataType::Int8 => Some(8),
        DataType::Int16 | DataType::UInt8 => Some(16),
        DataType::Int32 | DataType::UInt16 => Some(32),
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Some(64),
        _ => None,
    };
    Some(match bits(left)?.max(bits(right)?) {
        8 => DataType::Int8,
        16 => DataType::Int16,
        32 => DataType::Int32,
        _ => DataType::Int64,
    })
}

impl ExprPlanner for SparkArithmetic {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema)) else {
            return Ok(PlannerResult::Original(expr));
        };
        let whole = |data_type: &DataType| data_type.is_integer() || *data_type == DataType::Null;
        let operation = match expr.op {
            BinaryOperator::Divide if left.is_floating() || right.is_floating() || (whole(&left) && whole(&right)) => {
                let divisor = ScalarUDF::from(NotZero::new()).call(vec![cast(expr.right, DataType::Float64)]);
                return Ok(PlannerResult::Planned(cast(expr.left, DataType::Float64) / divisor));
            }
            BinaryOperator::MyIntegerDivide => {
                let quotient = binary_expr(expr.left, Operator::Divide, expr.right);
                return Ok(PlannerResult::Planned(cast(quotient, DataType::Int64)));
            }
            BinaryOperator::Plus => Operation::Add,
            BinaryOperator::Minus => Operation::Subtract,
            BinaryOperator::Multiply => Operation::Multiply,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let Some(common) = wider(&left, &right) else {
            return Ok(PlannerResult::Original(expr));
        };
        let as_common = |side: Expr, given: DataType| if given == common { side } else { cast(side, common.clone()) };
        let function = ScalarUDF::from(Checked::new(operation));
        Ok(PlannerResult::Planned(function.call(vec![as_common(expr.left, left), as_common(expr.right, right)])))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
}

/// Integer arithmetic that fails where it would wrap.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    operation: Operation,
    signature: Signature,
}

impl Checked {
    fn new(operation: Operation) -> Self {
        Self { operation, signature: Signature::any(2, Volatility::Immutable) }
    }

    fn infix(&self, left: impl std::fmt::Display, right: impl std::fmt::Display) -> String {
        let sign = match self.operation {
            Operation::Add => "+",
            Operation::Subtract => "-",
            Operation::Multiply => "*",
        };
        format!("{left} {sign} {right}")
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Add => "checked_add",
            Operation::Subtract => "checked_subtract",
            Operation::Multiply => "checked_multiply",
        }
    }

    fn display_name(&self, args: &[Expr]) -> Result<String> {
        Ok(self.infix(&args[0], &args[1]))
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        Ok(self.infix(args[0].schema_name(), args[1].schema_name()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let compute = match self.operation {
            Operation::Add => numeric::add,
            Operation::Subtract => numeric::sub,
            Operation::Multiply => numeric::mul,
        };
        let datum = |value: &ColumnarValue| match value {
            ColumnarValue::Array(array) => Ok((array.clone(), false)),
            ColumnarValue::Scalar(scalar) => scalar.to_array().map(|array| (array, true)),
        };
        let ((left, left_scalar), (right, right_scalar)) = (datum(&args.args[0])?, datum(&args.args[1])?);
        let result = match (left_scalar, right_scalar) {
            (false, false) => compute(&left, &right)?,
            (true, false) => compute(&Scalar::new(left), &right)?,
            (false, true) => compute(&left, &Scalar::new(right))?,
            (true, true) => {
                let one = compute(&left, &right)?;
                return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&one, 0)?));
            }
        };
        Ok(ColumnarValue::Array(result))
    }
}

/// Passes a divisor on, unless it is zero.
#[derive(Debug, PartialEq, Eq, Hash)]
struct NotZero {
    signature: Signature,
}

impl NotZero {
    fn new() -> Self {
        Self { signature: Signature::exact(vec![DataType::Float64], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for NotZero {
    fn name(&self) -> &str {
        "not_zero"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let zero = match &args.args[0] {
            ColumnarValue::Scalar(ScalarValue::Float64(value)) => *value == Some(0.0),
            ColumnarValue::Scalar(_) => false,
            ColumnarValue::Array(array) => {
                let values = array.as_primitive::<Float64Type>();
                values.iter().flatten().any(|value| value == 0.0)
            }
        };
        if zero {
            return exec_err!("division by zero");
        }
        Ok(args.args[0].clone())
    }
}
