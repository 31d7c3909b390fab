//! The user's own functions and aggregates in SQL.
//!
//! A row on which a function fails has no answer: null, as has a row on which an aggregate fails, which is in no group. So
//! an answer does not depend on how rows were cut. Such rows are noted, or the query fails, as the deployment says.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema};
use braid_kernel::JobError;
use braid_kernel::functions::{AggregateCode, ScalarCode};
use braid_kernel::keyed::FailedRow;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_datafusion_err};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::user_aggregate::UserAggregate;

/// The user's code under the name by which SQL calls it.
#[derive(Debug, Clone)]
pub struct Function {
    /// The name.
    pub name: String,
    /// What it does.
    pub code: Code,
    /// Changes when its answers could: the text to take a digest of.
    pub definition: String,
    /// Whether a row on which it fails fails the query.
    pub fails: bool,
}

/// What a function does.
#[derive(Debug, Clone)]
pub enum Code {
    /// An answer for each row.
    Scalar(Arc<dyn ScalarCode>),
    /// An answer for each group.
    Aggregate(Arc<dyn AggregateCode>),
}

/// A row for which a function had no answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Unanswered {
    /// The function.
    pub function: String,
    /// What happened.
    pub reason: String,
    /// The row's arguments, columns named by their numbers.
    pub arguments: RecordBatch,
}

tokio::task_local! {
    static UNANSWERED: RefCell<Vec<Unanswered>>;
}

/// Runs something, and gives the rows for which functions had no answer meanwhile.
pub async fn noting<T>(running: impl Future<Output = T>) -> (T, Vec<Unanswered>) {
    UNANSWERED
        .scope(RefCell::default(), async {
            let done = running.await;
            (done, UNANSWERED.with(RefCell::take))
        })
        .await
}

impl Function {
    /// Makes SQL know it.
    pub fn register(&self, state: &mut SessionState) -> Result<()> {
        match &self.code {
            Code::Scalar(code) => {
                let function = UserScalar {
                    note: Note::of(self),
                    code: Unseen(code.clone()),
                    signature: Signature::user_defined(Volatility::Immutable),
                };
                state.register_udf(Arc::new(ScalarUDF::from(function)))?;
            }
            Code::Aggregate(code) => {
                let function = UserAggregate::new(self, code.clone());
                state.register_udaf(Arc::new(AggregateUDF::from(function)))?;
            }
        }
        Ok(())
    }
}

/// What the functions that a plan calls add to its meaning.
pub fn definitions(plan: &LogicalPlan, functions: &[Function]) -> Result<String> {
    let mut called = BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    Expr::ScalarFunction(function) => called.insert(function.func.name().to_owned()),
                    Expr::AggregateFunction(function) => called.insert(function.func.name().to_owned()),
                    _ => false,
                };
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    let called = functions.iter().filter(|function| called.contains(&function.name));
    Ok(called.map(|function| format!("function {}: {}\n", function.name, function.definition)).collect())
}

/// What a function is to a plan, and what becomes of rows on which it failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Note {
    pub function: String,
    definition: String,
    fails: bool,
}

impl Note {
    pub fn of(function: &Function) -> Self {
        Self { function: function.name.clone(), definition: function.definition.clone(), fails: function.fails }
    }

    /// Notes the rows, or fails.
    pub fn take(&self, failed: Vec<FailedRow>, arguments: &[ArrayRef]) -> Result<()> {
        if let Some(first) = failed.first().filter(|_| self.fails) {
            let error = JobError::Plugin { plugin: self.function.clone(), reason: first.reason.clone() };
            return Err(outside(error));
        }
        for FailedRow { row, reason } in failed {
            let columns = arguments.iter().map(|column| take(column, &UInt32Array::from(vec![row as u32]), None));
            let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
            let fields = columns.iter().enumerate();
            let fields = fields.map(|(at, column)| Field::new(at.to_string(), column.data_type().clone(), true));
            let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            let arguments = RecordBatch::try_new(schema, columns)?;
            let note = Unanswered { function: self.function.clone(), reason, arguments };
            // Where nobody notes them, a log line has said it.
            let _ = UNANSWERED.try_with(|noted| noted.borrow_mut().push(note));
        }
        Ok(())
    }
}

/// An error of the code as one of a plan.
pub fn outside(error: JobError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Types that the code takes: those given, or wider ones that hold the same numbers.
pub fn coerced<T>(
    name: &str,
    given: &[DataType],
    describe: impl Fn(&[DataType]) -> std::result::Result<T, String>,
) -> Result<Vec<DataType>> {
    // A literal of SQL may be of any type.
    let known: Vec<DataType> = given.iter().map(|of| if of.is_null() { DataType::Utf8 } else { spoken(of) }).collect();
    let refused = match describe(&known) {
        Ok(_) => return Ok(known),
        Err(reason) => reason,
    };
    for widen in [wide, double] {
        let wider: Vec<DataType> = known.iter().map(widen).collect();
        if wider != known && describe(&wider).is_ok() {
            return Ok(wider);
        }
    }
    Err(plan_datafusion_err!("`{name}`: {refused}"))
}

fn spoken(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        other => other.clone(),
    }
}

fn wide(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int32 => DataType::Int64,
        DataType::Float32 | DataType::Decimal128(_, _) => DataType::Float64,
        other => other.clone(),
    }
}

fn double(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int32 | DataType::Int64 | DataType::Float32 | DataType::Decimal128(_, _) => DataType::Float64,
        other => other.clone(),
    }
}

/// Code that is left out where plans are compared: functions are equal by what they are defined as.
#[derive(Debug)]
pub struct Unseen<T: ?Sized>(pub Arc<T>);

impl<T: ?Sized> PartialEq for Unseen<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T: ?Sized> Eq for Unseen<T> {}

impl<T: ?Sized> Hash for Unseen<T> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct UserScalar {
    note: Note,
    code: Unseen<dyn ScalarCode>,
    signature: Signature,
}

impl ScalarUDFImpl for UserScalar {
    fn name(&self) -> &str {
        &self.note.function
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        coerced(self.name(), arguments, |types| self.code.0.describe(types))
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.code.0.describe(arguments).map_err(|reason| plan_datafusion_err!("`{}`: {reason}", self.name()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arguments = args.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let called = self.code.0.call(&arguments, rows, args.return_field.data_type());
        let (answers, failed) = called.map_err(outside)?;
        self.note.take(failed, &arguments)?;
        Ok(match constant {
            true => ColumnarValue::Scalar(ScalarValue::try_from_array(&answers, 0)?),
            false => ColumnarValue::Array(answers),
        })
    }
}
