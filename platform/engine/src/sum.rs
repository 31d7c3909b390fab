//! `sum` and `avg` whose states merge exactly: integers and decimals in 128 bits, floats through [`ExactSum`].
//!
//! A total that does not fit its type is an error, as in Spark 4's ANSI mode, and it is the total that counts: partial
//! sums may go beyond the type and come back. Averages of floats are the correctly rounded sum divided by the count.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, Decimal128Array, Float64Array, Int64Array, PrimitiveArray,
};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type, i256};
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use crate::exact_sum::ExactSum;
use crate::grouped::{passes, state_of_each};
use crate::ungrouped::Ungrouped;

/// The most digits of a decimal.
const DECIMAL_DIGITS_MAX: u8 = 38;
/// How many digits Spark adds to the precision of a decimal sum.
const SUM_DIGITS_MORE: u8 = 10;
/// How many digits Spark adds behind the point of a decimal average.
const AVG_DIGITS_MORE: u8 = 4;

/// `sum` and `avg` (also `mean`), in place of DataFusion's.
pub fn functions() -> Vec<Arc<AggregateUDF>> {
    [Kind::Sum, Kind::Avg].map(|kind| Arc::new(AggregateUDF::from(Exact::new(kind)))).to_vec()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Sum,
    Avg,
}

/// The function, before it knows its argument's type.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Exact {
    kind: Kind,
    signature: Signature,
    aliases: Vec<String>,
}

impl Exact {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            signature: Signature::user_defined(Volatility::Immutable),
            aliases: match kind {
                Kind::Sum => vec![],
                Kind::Avg => vec!["mean".into()],
            },
        }
    }

    fn groups(&self, args: &AccumulatorArgs) -> Result<SumGroups> {
        if args.is_distinct {
            return exec_err!("{}(DISTINCT …) is not supported", self.name());
        }
        let input = args.expr_fields[0].data_type();
        Ok(SumGroups {
            kind: self.kind,
            answer: args.return_field.data_type().clone(),
            scale: match input {
                DataType::Decimal128(_, scale) => *scale,
                _ => 0,
            },
            sums: match input {
                DataType::Float64 => Sums::Floats(Vec::new()),
                _ => Sums::Integers(Vec::new()),
            },
            counts: Vec::new(),
        })
    }
}

impl AggregateUDFImpl for Exact {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Sum => "sum",
            Kind::Avg => "avg",
        }
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let [argument] = arguments else {
            return plan_err!("{} takes one argument", self.name());
        };
        Ok(vec![match argument {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => DataType::Int64,
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => DataType::Int64,
            DataType::UInt64 => DataType::Decimal128(20, 0),
            DataType::Float16 | DataType::Float32 | DataType::Float64 => DataType::Float64,
            DataType::Decimal32(precision, scale)
            | DataType::Decimal64(precision, scale)
            | DataType::Decimal128(precision, scale) => DataType::Decimal128(*precision, *scale),
            // Spark reads text in a sum as DOUBLE.
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => DataType::Float64,
            other => return plan_err!("{} of {other} is not supported", self.name()),
        }])
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(match (self.kind, &arguments[0]) {
            (Kind::Sum, DataType::Decimal128(precision, scale)) => {
                DataType::Decimal128(DECIMAL_DIGITS_MAX.min(precision + SUM_DIGITS_MORE), *scale)
            }
            (Kind::Avg, DataType::Decimal128(precision, scale)) => DataType::Decimal128(
                DECIMAL_DIGITS_MAX.min(precision + AVG_DIGITS_MORE),
                (DECIMAL_DIGITS_MAX as i8).min(scale + AVG_DIGITS_MORE as i8),
            ),
            (Kind::Sum, DataType::Int64) => DataType::Int64,
            _ => DataType::Float64,
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let sum = match args.input_fields[0].data_type() {
            DataType::Float64 => DataType::Binary,
            DataType::Decimal128(_, scale) => DataType::Decimal128(DECIMAL_DIGITS_MAX, *scale),
            _ => DataType::Decimal128(DECIMAL_DIGITS_MAX, 0),
        };
        let mut fields = vec![Field::new(format_state_name(args.name, "sum"), sum, true).into()];
        if self.kind == Kind::Avg {
            let name = format_state_name(args.name, "count");
            fields.push(Field::new(name, DataType::Int64, true).into());
        }
        Ok(fields)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Ungrouped::of(self.groups(&args)?)?))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.groups(&args)?))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

#[derive(Debug)]
enum Sums {
    Integers(Vec<i128>),
    Floats(Vec<ExactSum>),
}

/// The sums of many groups.
#[derive(Debug)]
struct SumGroups {
    kind: Kind,
    answer: DataType,
    /// Digits behind the point of the arguments.
    scale: i8,
    sums: Sums,
    /// Values per group that were not null.
    counts: Vec<i64>,
}

/// Calls back with each row that is not null and passes the filter.
#[inline]
fn for_each_row(
    nulls: &dyn Array,
    groups: &[usize],
    filter: Option<&BooleanArray>,
    mut row: impl FnMut(usize, usize) -> Result<()>,
) -> Result<()> {
    if nulls.null_count() == 0 && filter.is_none() {
        for (index, &group) in groups.iter().enumerate() {
            row(index, group)?;
        }
        return Ok(());
    }
    for (index, &group) in groups.iter().enumerate() {
        if passes(filter, index) && nulls.is_valid(index) {
            row(index, group)?;
        }
    }
    Ok(())
}

fn beyond_128_bits() -> datafusion::common::DataFusionError {
    exec_datafusion_err!("overflow: a sum exceeds 128 bits")
}

impl SumGroups {
    fn resize(&mut self, groups: usize) {
        match &mut self.sums {
            Sums::Integers(sums) => sums.resize(groups, 0),
            Sums::Floats(sums) => sums.resize_with(groups, ExactSum::default),
        }
        self.counts.resize(groups, 0);
    }

    fn add_integers<T>(
        &mut self,
        values: &PrimitiveArray<T>,
        groups: &[usize],
        filter: Option<&BooleanArray>,
    ) -> Result<()>
    where
        T: ArrowPrimitiveType,
        T::Native: Into<i128>,
    {
        let Sums::Integers(sums) = &mut self.sums else {
            return exec_err!("a sum of floats was given integers");
        };
        let counts = &mut self.counts;
        for_each_row(values, groups, filter, |row, group| {
            let value: i128 = values.value(row).into();
            sums[group] = sums[group].checked_add(value).ok_or_else(beyond_128_bits)?;
            counts[group] += 1;
            Ok(())
        })
    }

    /// The whole answer, which must fit its type.
    fn answer(&self, sum: i128, count: i64) -> Result<i128> {
        let (precision, more) = match &self.answer {
            DataType::Decimal128(precision, scale) => (*precision, scale - self.scale),
            _ => {
                return match i64::try_from(sum) {
                    Ok(sum) => Ok(sum.into()),
                    Err(_) => exec_err!("overflow: the sum {sum} does not fit BIGINT"),
                };
            }
        };
        let value = match self.kind {
            Kind::Sum => Some(sum),
            Kind::Avg => rounded_quotient(sum, more, count),
        };
        match value {
            Some(value) if value.unsigned_abs() < 10u128.pow(precision.into()) => Ok(value),
            _ => exec_err!("overflow: the {:?} does not fit {}", self.kind, self.answer),
        }
    }
}

/// `sum * 10^more / count`, rounded half away from zero as in Spark.
pub fn rounded_quotient(sum: i128, more: i8, count: i64) -> Option<i128> {
    let factor = i256::from_i128(10i128.checked_pow(u32::try_from(more).ok()?)?);
    let count = i256::from_i128(count.into());
    let scaled = i256::from_i128(sum).checked_mul(factor)?;
    let (quotient, rest) = (scaled.checked_div(count)?, scaled.checked_rem(count)?);
    let half_or_more = rest.wrapping_abs().checked_mul(i256::from_i128(2))? >= count;
    let away = i256::from_i128(if sum < 0 { -1 } else { 1 });
    let rounded = if half_or_more { quotient.checked_add(away)? } else { quotient };
    rounded.to_i128()
}

impl GroupsAccumulator for SumGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.resize(total);
        let values = &values[0];
        match values.data_type() {
            DataType::Int64 => self.add_integers(values.as_primitive::<Int64Type>(), groups, filter),
            DataType::Decimal128(_, _) => self.add_integers(values.as_primitive::<Decimal128Type>(), groups, filter),
            DataType::Float64 => {
                let Sums::Floats(sums) = &mut self.sums else {
                    return exec_err!("a sum of integers was given floats");
                };
                let counts = &mut self.counts;
                let values = values.as_primitive::<Float64Type>();
                for_each_row(values, groups, filter, |row, group| {
                    sums[group].add(values.value(row));
                    counts[group] += 1;
                    Ok(())
                })
            }
            other => exec_err!("a sum was given {other}"),
        }
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let counts = emit_to.take_needed(&mut self.counts);
        match &mut self.sums {
            Sums::Floats(sums) => {
                let sums = emit_to.take_needed(sums);
                let average = self.kind == Kind::Avg;
                let values = sums.iter().zip(&counts).map(|(sum, &count)| {
                    let divisor = if average { count as f64 } else { 1.0 };
                    (count > 0).then(|| sum.value() / divisor)
                });
                Ok(Arc::new(values.collect::<Float64Array>()))
            }
            Sums::Integers(sums) => {
                let sums = emit_to.take_needed(sums);
                let pairs = sums.into_iter().zip(counts);
                if self.answer == DataType::Float64 {
                    let values = pairs.map(|(sum, count)| (count > 0).then(|| sum as f64 / count as f64));
                    return Ok(Arc::new(values.collect::<Float64Array>()));
                }
                let values = pairs
                    .map(|(sum, count)| match count {
                        0 => Ok(None),
                        _ => self.answer(sum, count).map(Some),
                    })
                    .collect::<Result<Vec<_>>>()?;
                match &self.answer {
                    DataType::Decimal128(precision, scale) => {
                        Ok(Arc::new(Decimal128Array::from(values).with_precision_and_scale(*precision, *scale)?))
                    }
                    _ => Ok(Arc::new(
                        values.into_iter().map(|value| value.map(|value| value as i64)).collect::<Int64Array>(),
                    )),
                }
            }
        }
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let counts = emit_to.take_needed(&mut self.counts);
        let sums: ArrayRef = match &mut self.sums {
            Sums::Floats(sums) => {
                let sums = emit_to.take_needed(sums);
                let mut builder = BinaryBuilder::with_capacity(sums.len(), sums.len() * 12);
                let mut bytes = Vec::new();
                for (sum, &count) in sums.iter().zip(&counts) {
                    if count == 0 {
                        builder.append_null();
                    } else {
                        bytes.clear();
                        sum.encode(&mut bytes);
                        builder.append_value(&bytes);
                    }
                }
                Arc::new(builder.finish())
            }
            Sums::Integers(sums) => {
                let sums = emit_to.take_needed(sums);
                let values = sums.into_iter().zip(&counts);
                let values = values.map(|(sum, &count)| (count > 0).then_some(sum));
                Arc::new(values.collect::<Decimal128Array>().with_precision_and_scale(DECIMAL_DIGITS_MAX, self.scale)?)
            }
        };
        Ok(match self.kind {
            Kind::Sum => vec![sums],
            Kind::Avg => vec![sums, Arc::new(Int64Array::from(counts))],
        })
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.resize(total);
        let counted = match values.get(1) {
            Some(counts) => Some(
                counts
                    .as_primitive_opt::<Int64Type>()
                    .ok_or_else(|| exec_datafusion_err!("the state of an average has no counts"))?,
            ),
            None => None,
        };
        let counts = &mut self.counts;
        let mut count = |row: usize, group: usize| {
            counts[group] += counted.map_or(1, |counted| counted.value(row));
        };
        match &mut self.sums {
            Sums::Integers(sums) => {
                let values = values[0].as_primitive::<Decimal128Type>();
                for_each_row(values, groups, None, |row, group| {
                    let value = values.value(row);
                    sums[group] = sums[group].checked_add(value).ok_or_else(beyond_128_bits)?;
                    count(row, group);
                    Ok(())
                })
            }
            Sums::Floats(sums) => {
                let values = values[0].as_binary::<i32>();
                for_each_row(values, groups, None, |row, group| {
                    sums[group]
                        .add_encoded(values.value(row))
                        .map_err(|reason| exec_datafusion_err!("a damaged state: {reason}"))?;
                    count(row, group);
                    Ok(())
                })
            }
        }
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let each = SumGroups {
            kind: self.kind,
            answer: self.answer.clone(),
            scale: self.scale,
            sums: match self.sums {
                Sums::Integers(_) => Sums::Integers(Vec::new()),
                Sums::Floats(_) => Sums::Floats(Vec::new()),
            },
            counts: Vec::new(),
        };
        state_of_each(each, values, filter)
    }

    fn size(&self) -> usize {
        let sums = match &self.sums {
            Sums::Integers(sums) => sums.capacity() * size_of::<i128>(),
            Sums::Floats(sums) => sums.capacity() * size_of::<ExactSum>(),
        };
        sums + self.counts.capacity() * size_of::<i64>()
    }
}
