//! `sequence(first, last[, step])` of numbers and of dates.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};

use super::collections::{item_of, lists};
use super::scalar::{Call, Function, arguments, usage};
use super::schema_text::list_of;

const LONG: DataType = DataType::Int64;
const INT: DataType = DataType::Int32;
/// The longest array that a function makes of numbers.
pub const ITEMS_MAX: usize = 1 << 20;

/// The functions of this file.
pub const FUNCTIONS: &[Function] = &[Function {
    names: &["sequence"],
    takes: |given| match given {
        [first, last] | [first, last, DataType::Interval(_)]
            if *first == DataType::Date32 || *last == DataType::Date32 =>
        {
            let mut types = vec![DataType::Date32; 2];
            types.extend(given.get(2).cloned());
            Ok(types)
        }
        [first, _, ..] if first.is_integer() || *first == DataType::Null => {
            arguments(given, &[LONG, LONG, LONG], 2, "sequence(first, last[, step])")
        }
        _ => usage("sequence(first, last[, step])"),
    },
    gives: |given, _| Ok(list_of(given[0].clone())),
    run: sequence,
}];

fn sequence(call: &Call) -> Result<ArrayRef> {
    lists(call, |row| {
        let days = item_of(call.answer).data_type() == &DataType::Date32;
        let bound = |index| if days { call.date(index, row).map(i64::from) } else { call.long(index, row) };
        let (Some(first), Some(last)) = (bound(0), bound(1)) else {
            return Ok(None);
        };
        let items: Vec<i64> = match call.columns.get(2) {
            Some(step) if days => {
                let Some(ScalarValue::IntervalMonthDayNano(Some(step))) = Some(ScalarValue::try_from_array(
                    &arrow::compute::cast(step, &DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano))?,
                    row,
                )?) else {
                    return Ok(None);
                };
                stepped_dates(first, last, step.months, step.days)?
            }
            Some(_) => match call.long(2, row) {
                Some(0) if first != last => return exec_err!("a sequence needs a step"),
                Some(step) => stepped(first, last, step)?,
                None => return Ok(None),
            },
            None => stepped(first, last, if first <= last { 1 } else { -1 })?,
        };
        let numbers: ArrayRef = Arc::new(arrow::array::Int64Array::from(items));
        let numbers = if days { arrow::compute::cast(&numbers, &INT)? } else { numbers };
        Ok(Some(arrow::compute::cast(&numbers, item_of(call.answer).data_type())?))
    })
}

fn stepped(first: i64, last: i64, step: i64) -> Result<Vec<i64>> {
    if (last - first).signum() * step.signum() < 0 {
        return exec_err!("a sequence from {first} to {last} cannot have the step {step}");
    }
    let count = if step == 0 { 1 } else { (last.abs_diff(first) / step.unsigned_abs()) as usize + 1 };
    if count > ITEMS_MAX {
        return exec_err!("a sequence of {count} items is longer than {ITEMS_MAX}");
    }
    Ok((0..count as i64).map(|index| first + index * step).collect())
}

fn stepped_dates(first: i64, last: i64, months: i32, days: i32) -> Result<Vec<i64>> {
    let mut found = Vec::new();
    let start = super::dates::date_of(first as i32);
    while let Some(start) = start {
        let count = found.len() as u32;
        let later = start.checked_add_months(chrono::Months::new(count * months.unsigned_abs()));
        let Some(at) = later.map(|at| i64::from(super::dates::days_of(at)) + i64::from(count) * i64::from(days)) else {
            break;
        };
        if at > last || (months <= 0 && days <= 0) {
            break;
        }
        if found.len() == ITEMS_MAX {
            return exec_err!("a sequence is longer than {ITEMS_MAX}");
        }
        found.push(at);
    }
    Ok(found)
}
