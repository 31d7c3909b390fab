//! A scalar function as data: what it takes, what it gives, and how it computes whole columns.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// A scalar function.
#[derive(Clone, Copy)]
pub struct Function {
    /// Its name, then its other names.
    pub names: &'static [&'static str],
    /// From the types of the arguments to the types that they are cast to. Of types that it gave, it gives the same.
    pub takes: fn(&[DataType]) -> Result<Vec<DataType>>,
    /// The answer's type, of types that [`Self::takes`] gave and of the arguments that are literals.
    pub gives: fn(&[DataType], &[Option<&ScalarValue>]) -> Result<DataType>,
    /// The answers of all rows.
    pub run: fn(&Call) -> Result<ArrayRef>,
}

/// One call on columns of equal length.
pub struct Call<'a> {
    /// The arguments.
    pub columns: &'a [ArrayRef],
    /// The answer's type.
    pub answer: &'a DataType,
    /// How many rows.
    pub rows: usize,
}

impl Function {
    /// Its name, for messages.
    pub fn name(&self) -> &'static str {
        self.names[0]
    }
}

/// The function for DataFusion.
pub fn udf(function: &'static Function) -> Arc<ScalarUDF> {
    let types = vec![TypeSignature::Nullary, TypeSignature::UserDefined];
    Arc::new(ScalarUDF::from(Udf {
        function,
        aliases: function.names[1..].iter().map(|name| (*name).to_owned()).collect(),
        signature: Signature::one_of(types, Volatility::Immutable),
    }))
}

struct Udf {
    function: &'static Function,
    aliases: Vec<String>,
    signature: Signature,
}

impl fmt::Debug for Udf {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(self.function.name())
    }
}

impl PartialEq for Udf {
    fn eq(&self, other: &Self) -> bool {
        self.function.name() == other.function.name()
    }
}

impl Eq for Udf {}

impl Hash for Udf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name().hash(state);
    }
}

impl ScalarUDFImpl for Udf {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        (self.function.takes)(arguments)
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        (self.function.gives)(&(self.function.takes)(arguments)?, &vec![None; arguments.len()])
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        let answer = (self.function.gives)(&(self.function.takes)(&types)?, args.scalar_arguments)?;
        Ok(Arc::new(Field::new(self.name(), answer, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns = args.args.iter().map(|value| value.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let answer = args.return_field.data_type();
        let found = (self.function.run)(&Call { columns: &columns, answer, rows })?;
        if found.len() != rows {
            return exec_err!("{} gave {} rows and not {rows}", self.name(), found.len());
        }
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?)),
            false => Ok(ColumnarValue::Array(found)),
        }
    }
}

/// Text.
pub const TEXT: DataType = DataType::Utf8;

/// Whether it is text in any of Arrow's forms.
pub fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Says how the function is called, where it was called otherwise.
pub fn usage<T>(usage: &str) -> Result<T> {
    plan_err!("it is called as {usage}")
}

/// The types of a call whose first arguments are needed and others are not.
pub fn arguments(given: &[DataType], wanted: &[DataType], needed: usize, called: &str) -> Result<Vec<DataType>> {
    if given.len() < needed || given.len() > wanted.len() {
        return usage(called);
    }
    Ok(wanted[..given.len()].to_vec())
}
