//! `session_window(ts, gap)` as in Spark: a row opens a window from its instant to the gap after it, and windows of one
//! key that touch are one. The gap is a constant, or a text or an interval per row; a row whose gap is not positive is
//! in no session.
//!
//! As states go, a session is a group whose key is its start and whose end is one more `max`: so ⊕ is that of groups,
//! followed by [`joined`].

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StructArray, TimestampMicrosecondArray, new_null_array,
};
use arrow::datatypes::{DataType, Field, IntervalUnit, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::window::{INSTANT, parse_interval, struct_type};

/// Gives sessions that touch one start. `None` where none do.
pub fn joined(states: &RecordBatch, index: usize, keys: usize) -> Result<Option<RecordBatch>> {
    let starts = states.column(index).as_primitive::<TimestampMicrosecondType>();
    let Some(ends) = states.column(states.num_columns() - 1).as_primitive_opt::<TimestampMicrosecondType>() else {
        return exec_err!("a session's state has no end");
    };
    let others: Vec<ArrayRef> = (0..keys).filter(|key| *key != index).map(|key| states.column(key).clone()).collect();
    let rows = match others.is_empty() {
        true => None,
        false => {
            let fields = others.iter().map(|column| SortField::new(column.data_type().clone())).collect();
            Some(RowConverter::new(fields)?.convert_columns(&others)?)
        }
    };
    let key = |row: usize| rows.as_ref().map(|rows| rows.row(row));
    let mut order: Vec<usize> = (0..states.num_rows()).collect();
    order.sort_unstable_by(|a, b| key(*a).cmp(&key(*b)).then(starts.value(*a).cmp(&starts.value(*b))));
    let mut first: Vec<i64> = starts.values().to_vec();
    let mut any = false;
    let mut open: Option<(usize, i64)> = None;
    for row in order {
        match open {
            Some((session, end)) if key(session) == key(row) && starts.value(row) <= end => {
                first[row] = first[session];
                any = true;
                open = Some((session, end.max(ends.value(row))));
            }
            _ => open = Some((row, ends.value(row))),
        }
    }
    if !any {
        return Ok(None);
    }
    let mut columns = states.columns().to_vec();
    columns[index] = Arc::new(TimestampMicrosecondArray::from(first));
    Ok(Some(RecordBatch::try_new(states.schema(), columns)?))
}

/// If the expression is a call of `session_window`, its timestamp and gap.
pub fn parse_call(expr: &Expr) -> Option<Result<(Expr, Expr)>> {
    let Expr::ScalarFunction(function) = expr else {
        return None;
    };
    if function.func.name() != "session_window" {
        return None;
    }
    Some(match &function.args[..] {
        [instant, gap] => Ok((instant.clone(), gap.clone())),
        _ => plan_err!("session_window takes a timestamp and a gap"),
    })
}

/// Where a row's own session starts; null where it is in none.
pub fn start_of(instant: Expr, gap: Expr) -> Expr {
    Part::Start.udf().call(vec![instant, gap])
}

/// Where a row's own session ends.
pub fn end_of(instant: Expr, gap: Expr) -> Expr {
    Part::End.udf().call(vec![instant, gap])
}

/// A session as a window.
pub fn session_from(start: Expr, end: Expr) -> Expr {
    Part::Struct.udf().call(vec![start, end])
}

/// `session_window` and what it is made of.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    [Part::Window, Part::Start, Part::End, Part::Struct].map(|part| Arc::new(part.udf())).to_vec()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    /// session_window(instant, gap): only in a GROUP BY.
    Window,
    Start,
    End,
    /// session_struct(start, end) → struct.
    Struct,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct SessionFunction {
    part: Part,
    signature: Signature,
}

impl Part {
    fn udf(self) -> ScalarUDF {
        ScalarUDF::from(SessionFunction { part: self, signature: Signature::any(2, Volatility::Immutable) })
    }
}

impl ScalarUDFImpl for SessionFunction {
    fn name(&self) -> &str {
        match self.part {
            Part::Window => "session_window",
            Part::Start => "session_start",
            Part::End => "session_end",
            Part::Struct => "session_struct",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.part {
            Part::Window | Part::Struct => struct_type(),
            Part::Start | Part::End => INSTANT,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<Arc<Field>> {
        let types: Vec<&DataType> = args.arg_fields.iter().map(|field| field.data_type()).collect();
        if let (Part::Window, [instant, gap]) = (self.part, &types[..]) {
            if !matches!(instant, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Utf8) {
                return plan_err!("session_window needs a timestamp, and its first argument is {instant}");
            }
            if !matches!(gap, DataType::Utf8 | DataType::Interval(_)) {
                return plan_err!("a session's gap is text such as '5 minutes' or an interval, not {gap}");
            }
        }
        Ok(Arc::new(Field::new(self.name(), self.return_type(&[])?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let first = args.args[0].to_array(rows)?;
        if self.part == Part::Struct {
            let end = args.args[1].to_array(rows)?;
            let DataType::Struct(fields) = struct_type() else {
                return exec_err!("a window is a struct");
            };
            let nulls = first.nulls().cloned();
            return Ok(ColumnarValue::Array(Arc::new(StructArray::new(fields, vec![first, end], nulls))));
        }
        if self.part == Part::Window {
            return exec_err!("session_window needs a GROUP BY: where a session ends depends on the rows around");
        }
        let instants = arrow::compute::cast(&first, &INSTANT)?;
        let instants = instants.as_primitive::<TimestampMicrosecondType>();
        let of = |instant: Option<i64>, gap: Option<i64>| {
            let (instant, gap) = (instant?, gap.filter(|gap| *gap > 0)?);
            let end = instant.checked_add(gap)?;
            Some(if self.part == Part::Start { instant } else { end })
        };
        let answer: TimestampMicrosecondArray = match &args.args[1] {
            ColumnarValue::Scalar(gap) => {
                let gaps = gaps(&gap.to_array_of_size(1)?)?;
                let gap = gaps.is_valid(0).then(|| gaps.value(0));
                instants.iter().map(|instant| of(instant, gap)).collect()
            }
            ColumnarValue::Array(gaps_column) => {
                let gaps = gaps(gaps_column)?;
                instants.iter().zip(gaps.iter()).map(|(instant, gap)| of(instant, gap)).collect()
            }
        };
        Ok(ColumnarValue::Array(Arc::new(answer)))
    }
}

/// Gaps in microseconds.
fn gaps(column: &ArrayRef) -> Result<Int64Array> {
    match column.data_type() {
        DataType::Utf8 => {
            let mut last: Option<(&str, i64)> = None;
            column
                .as_string::<i32>()
                .iter()
                .map(|text| {
                    let Some(text) = text else {
                        return Ok(None);
                    };
                    if let Some((known, gap)) = last
                        && known == text
                    {
                        return Ok(Some(gap));
                    }
                    let gap = parse_interval(text)?;
                    last = Some((text, gap));
                    Ok(Some(gap))
                })
                .collect()
        }
        DataType::Interval(_) => {
            let column = arrow::compute::cast(column, &DataType::Interval(IntervalUnit::MonthDayNano))?;
            let column = column.as_primitive::<arrow::datatypes::IntervalMonthDayNanoType>();
            column
                .iter()
                .map(|gap| match gap {
                    Some(gap) if gap.months != 0 => {
                        exec_err!("a session's gap of months has no fixed length; use days")
                    }
                    Some(gap) => Ok(Some(i64::from(gap.days) * 86_400_000_000 + gap.nanoseconds / 1_000)),
                    None => Ok(None),
                })
                .collect()
        }
        DataType::Null => Ok(new_null_array(&DataType::Int64, column.len()).as_primitive().clone()),
        other => exec_err!("a session's gap is text or an interval, not {other}"),
    }
}
