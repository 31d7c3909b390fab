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

use crate::spark::{self, exact_digits, is_text};

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

/// The type of a side: an integer literal is an INT, where it fits.
fn type_of(side: &Expr, schema: &DFSchema) -> Result<DataType> {
    match side {
        Expr::Literal(ScalarValue::Int64(Some(value)), _) if i32::try_from(*value).is_ok() => Ok(DataType::Int32),
        other => other.get_type(schema),
    }
}

/// An exact number as a decimal: a literal has the digits that it is written with.
fn as_decimal(side: Expr, given: &DataType) -> Option<Expr> {
    let (precision, scale) = match &side {
        Expr::Literal(ScalarValue::Int64(Some(value)), _) => (value.unsigned_abs().to_string().len() as u8, 0),
        _ => exact_digits(given)?,
    };
    let wanted = DataType::Decimal128(precision, scale);
    Some(if *given == wanted { side } else { cast(side, wanted) })
}

/// The type as which text meets a number of another type.
fn beside_text(number: &DataType) -> DataType {
    if number.is_integer() { DataType::Int64 } else { DataType::Float64 }
}

impl ExprPlanner for SparkArithmetic {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let (Ok(left), Ok(right)) = (type_of(&expr.left, schema), type_of(&expr.right, schema)) else {
            return Ok(PlannerResult::Original(expr));
        };
        use BinaryOperator::{Divide, Minus, Modulo, Multiply, MyIntegerDivide, Plus};
        let arithmetic = matches!(expr.op, Divide | Minus | Modulo | Multiply | MyIntegerDivide | Plus);
        let (mut expr, mut left, mut right) = (expr, left, right);
        let compares = matches!(
            expr.op,
            BinaryOperator::Eq
                | BinaryOperator::NotEq
                | BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::Gt
                | BinaryOperator::GtEq
                | BinaryOperator::Spaceship
        );
        if arithmetic || compares {
            if is_text(&left) && right.is_numeric() {
                left = beside_text(&right);
                expr.left = cast(expr.left, left.clone());
            } else if is_text(&right) && left.is_numeric() {
                right = beside_text(&left);
                expr.right = cast(expr.right, right.clone());
            }
            // A float beside anything else is a DOUBLE.
            if left.is_numeric() && right.is_numeric() && left.is_floating() != right.is_floating() {
                expr.left = cast(expr.left, DataType::Float64);
                expr.right = cast(expr.right, DataType::Float64);
                (left, right) = (DataType::Float64, DataType::Float64);
            }
        }
        let whole = |data_type: &DataType| data_type.is_integer() || *data_type == DataType::Null;
        let operation = match expr.op {
            Divide if left.is_floating() || right.is_floating() || (whole(&left) && whole(&right)) => {
                let divisor = ScalarUDF::from(NotZero::new()).call(vec![cast(expr.right, DataType::Float64)]);
                return Ok(PlannerResult::Planned(cast(expr.left, DataType::Float64) / divisor));
            }
            Divide => {
                let sides = as_decimal(expr.left.clone(), &left).zip(as_decimal(expr.right.clone(), &right));
                return Ok(match sides {
                    Some((left, right)) => {
                        PlannerResult::Planned(spark::function("decimal_divide", vec![left, right])?)
                    }
                    None => PlannerResult::Original(expr),
                });
            }
            Plus | Minus if left == DataType::Date32 && right.is_integer() => {
                let function = if expr.op == Plus { "date_add" } else { "date_sub" };
                let days = cast(expr.right, DataType::Int64);
                return Ok(PlannerResult::Planned(spark::function(function, vec![expr.left, days])?));
            }
            MyIntegerDivide => {
                let quotient = binary_expr(expr.left, Operator::Divide, expr.right);
                return Ok(PlannerResult::Planned(cast(quotient, DataType::Int64)));
            }
            Plus => Operation::Add,
            Minus => Operation::Subtract,
            Multiply => Operation::Multiply,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let Some(common) = wider(&left, &right) else {
            return Ok(PlannerResult::Original(expr));
        };
        let as_common = |side: Expr| match side.get_type(schema) {
            Ok(given) if given == common => side,
            _ => cast(side, common.clone()),
        };
        let function = ScalarUDF::from(Checked::new(operation));
        Ok(PlannerResult::Planned(function.call(vec![as_common(expr.left), as_common(expr.right)])))
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
