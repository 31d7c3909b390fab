//! What counted values answer: percentiles, the mode, sets, lists and sums of different values.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Decimal128Type, Field, Fields, Int64Type};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};

use crate::exact_sum::ExactSum;
use crate::multiset::{Kind, doubles, places};

/// The most digits of a decimal.
const DECIMAL_DIGITS_MAX: u8 = 38;
/// How many items `approx_top_k` gives where not said.
const TOP_K: i64 = 5;

/// Different values in ascending order, and how often each came.
pub struct Counted {
    /// The values.
    pub values: ArrayRef,
    /// Their counts.
    pub counts: Vec<u64>,
}

/// The type as which a value is counted.
pub fn counted_type(kind: Kind, given: &DataType) -> Result<DataType> {
    if matches!(given, DataType::Map(_, _)) {
        return plan_err!("maps have no order, so they cannot be counted");
    }
    Ok(match kind {
        Kind::Percentile | Kind::PercentileDisc | Kind::Median => DataType::Float64,
        Kind::SumDistinct | Kind::AvgDistinct => match given {
            DataType::Decimal128(_, _) | DataType::Float64 => given.clone(),
            integer if integer.is_integer() => DataType::Int64,
            _ => DataType::Float64,
        },
        Kind::Joined => DataType::Utf8,
        _ => given.clone(),
    })
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

fn top_fields(item: &DataType) -> Fields {
    Fields::from(vec![Field::new("item", item.clone(), true), Field::new("count", DataType::Int64, true)])
}

/// The answer's type.
pub fn answer_type(kind: Kind, arguments: &[DataType]) -> Result<DataType> {
    let value = &arguments[0];
    let many = matches!(arguments.get(1), Some(DataType::List(_)));
    let of = |one: DataType| if many { list_of(one) } else { one };
    Ok(match kind {
        Kind::Percentile | Kind::PercentileDisc => of(DataType::Float64),
        Kind::ApproxPercentile => of(value.clone()),
        Kind::Median | Kind::AvgDistinct => match (kind, value) {
            (Kind::AvgDistinct, DataType::Decimal128(precision, scale)) => {
                DataType::Decimal128(DECIMAL_DIGITS_MAX.min(precision + 4), (*scale + 4).min(DECIMAL_DIGITS_MAX as i8))
            }
            _ => DataType::Float64,
        },
        Kind::Mode => value.clone(),
        Kind::Set | Kind::List => list_of(value.clone()),
        Kind::Joined => DataType::Utf8,
        Kind::TopK => list_of(DataType::Struct(top_fields(value))),
        Kind::SumDistinct => match value {
            DataType::Decimal128(precision, scale) => {
                DataType::Decimal128(DECIMAL_DIGITS_MAX.min(precision + 10), *scale)
            }
            other => other.clone(),
        },
        Kind::CountDistinct => DataType::Int64,
    })
}

/// The answer of one group.
pub fn answer(kind: Kind, counted: &Counted, literals: &[ScalarValue], wanted: &DataType) -> Result<ScalarValue> {
    let empty = counted.counts.is_empty();
    match kind {
        Kind::CountDistinct => return Ok(ScalarValue::Int64(Some(counted.counts.len() as i64))),
        Kind::Set => return listed(&counted.values),
        Kind::List => return listed(&repeated(counted)?),
        Kind::TopK => return top(counted, literals),
        _ if empty => return ScalarValue::try_from(wanted),
        _ => {}
    }
    match kind {
        Kind::Mode => {
            // Of values that came equally often, the least.
            let most = counted.counts.iter().max().copied().unwrap_or(0);
            let first = counted.counts.iter().position(|count| *count == most).unwrap_or(0);
            ScalarValue::try_from_array(&counted.values, first)
        }
        Kind::Median => Ok(ScalarValue::Float64(Some(percentile(counted, 0.5)?))),
        Kind::Percentile => {
            each_fraction(&literals[0], |fraction| Ok(ScalarValue::Float64(Some(percentile(counted, fraction)?))))
        }
        Kind::PercentileDisc | Kind::ApproxPercentile => each_fraction(&literals[0], |fraction| {
            ScalarValue::try_from_array(&counted.values, at_rank(counted, fraction))
        }),
        Kind::Joined => {
            let delimiter = match literals.first() {
                Some(ScalarValue::Utf8(Some(delimiter))) => delimiter.as_str(),
                _ => "",
            };
            let texts = repeated(counted)?;
            let texts: Vec<&str> = texts.as_string::<i32>().iter().flatten().collect();
            Ok(ScalarValue::Utf8(Some(texts.join(delimiter))))
        }
        _ => sum(kind, &counted.values, wanted),
    }
}

fn listed(values: &ArrayRef) -> Result<ScalarValue> {
    let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths([values.len()]);
    Ok(ScalarValue::List(Arc::new(ListArray::try_new(item, offsets, values.clone(), None)?)))
}

/// Every value as often as it came.
fn repeated(counted: &Counted) -> Result<ArrayRef> {
    if counted.values.is_empty() {
        return Ok(counted.values.clone());
    }
    let each = counted.counts.iter().enumerate();
    places(&counted.values, each.flat_map(|(index, count)| std::iter::repeat_n(index as u32, *count as usize)))
}

fn top(counted: &Counted, literals: &[ScalarValue]) -> Result<ScalarValue> {
    let k = match literals.first() {
        Some(ScalarValue::Int64(Some(k))) => *k,
        Some(ScalarValue::Int32(Some(k))) => (*k).into(),
        None => TOP_K,
        Some(other) => return exec_err!("approx_top_k takes a number of items, and not {other}"),
    };
    let mut order: Vec<u32> = (0..counted.counts.len() as u32).collect();
    order.sort_by_key(|index| std::cmp::Reverse(counted.counts[*index as usize]));
    order.truncate(usize::try_from(k).unwrap_or(0));
    let counts: Int64Array = order.iter().map(|index| Some(counted.counts[*index as usize] as i64)).collect();
    let items = match order.is_empty() {
        true => arrow::array::new_empty_array(counted.values.data_type()),
        false => places(&counted.values, order.into_iter())?,
    };
    let pairs = StructArray::new(top_fields(items.data_type()), vec![items, Arc::new(counts)], None);
    listed(&(Arc::new(pairs) as ArrayRef))
}

fn each_fraction(literal: &ScalarValue, one: impl Fn(f64) -> Result<ScalarValue>) -> Result<ScalarValue> {
    let fraction = |value: &ScalarValue| match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(Some(fraction))) if (0.0..=1.0).contains(&fraction) => Ok(fraction),
        _ => exec_err!("a percentile is asked for by a number between 0 and 1, and not {value}"),
    };
    let ScalarValue::List(list) = literal else {
        return one(fraction(literal)?);
    };
    let fractions = list.value(0);
    let answers = (0..fractions.len()).map(|index| one(fraction(&ScalarValue::try_from_array(&fractions, index)?)?));
    let answers = answers.collect::<Result<Vec<_>>>()?;
    match answers.is_empty() {
        true => exec_err!("no percentile is asked for"),
        false => listed(&ScalarValue::iter_to_array(answers)?),
    }
}

/// The value at a position among all, counted from 0.
fn nth(counted: &Counted, position: u64) -> usize {
    let mut before = 0;
    let found = counted.counts.iter().position(|count| {
        before += count;
        before > position
    });
    found.unwrap_or(counted.counts.len() - 1)
}

/// Between the two nearest values, in proportion.
fn percentile(counted: &Counted, fraction: f64) -> Result<f64> {
    let values = doubles(&counted.values)?;
    let total: u64 = counted.counts.iter().sum();
    let position = (total - 1) as f64 * fraction;
    let (lower, higher) = (position.floor(), position.ceil());
    let (low, high) = (values[nth(counted, lower as u64)], values[nth(counted, higher as u64)]);
    Ok(if lower == higher || low == high { low } else { (higher - position) * low + (position - lower) * high })
}

/// The first value below which, with it, there are as many as the fraction says.
fn at_rank(counted: &Counted, fraction: f64) -> usize {
    let total: u64 = counted.counts.iter().sum();
    let rank = (total as f64 * fraction).ceil().max(1.0) as u64;
    nth(counted, rank - 1)
}

fn sum(kind: Kind, values: &ArrayRef, wanted: &DataType) -> Result<ScalarValue> {
    let count = values.len() as i64;
    let overflow = || exec_err!("overflow: the sum of different values does not fit {wanted}");
    let total: i128 = match values.data_type() {
        DataType::Int64 => values.as_primitive::<Int64Type>().values().iter().map(|value| i128::from(*value)).sum(),
        DataType::Decimal128(_, _) => {
            let mut total: i128 = 0;
            for value in values.as_primitive::<Decimal128Type>().values() {
                total = match total.checked_add(*value) {
                    Some(total) => total,
                    None => return overflow(),
                };
            }
            total
        }
        _ => {
            let mut sum = ExactSum::default();
            doubles(values)?.into_iter().for_each(|value| sum.add(value));
            let divisor = if kind == Kind::AvgDistinct { count as f64 } else { 1.0 };
            return Ok(ScalarValue::Float64(Some(sum.value() / divisor)));
        }
    };
    match (kind, wanted) {
        (Kind::AvgDistinct, DataType::Decimal128(precision, scale)) => {
            let DataType::Decimal128(_, from) = values.data_type() else {
                return overflow();
            };
            match crate::sum::rounded_quotient(total, scale - from, count) {
                Some(average) => Ok(ScalarValue::Decimal128(Some(average), *precision, *scale)),
                None => overflow(),
            }
        }
        (Kind::AvgDistinct, _) => Ok(ScalarValue::Float64(Some(total as f64 / count as f64))),
        (_, DataType::Decimal128(precision, scale)) => {
            if total.unsigned_abs() >= 10u128.pow((*precision).into()) {
                return overflow();
            }
            Ok(ScalarValue::Decimal128(Some(total), *precision, *scale))
        }
        _ => match i64::try_from(total) {
            Ok(total) => Ok(ScalarValue::Int64(Some(total))),
            Err(_) => overflow(),
        },
    }
}
