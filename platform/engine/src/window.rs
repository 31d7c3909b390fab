//! `window(ts, duration[, slide[, start]])` as in Spark: half-open spans [start, end) of event time.
//!
//! In an aggregate, rows are grouped by *pane*: a span that lies wholly inside or outside of every window. A tumbling
//! window is its own pane; a sliding window's panes are as long as the greatest common divisor of duration and slide.
//! States are kept by pane, and become windows when they are asked for (see `sliding`).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray, TimestampMicrosecondArray};
use arrow::datatypes::{
    DataType, Field, Fields, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err, plan_datafusion_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, cast, lit,
};

/// The instants of windows.
pub const INSTANT: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// How event time is cut into windows. All in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Spans {
    /// How long a window is.
    pub duration: i64,
    /// From one window's start to the next one's; at most the duration.
    pub slide: i64,
    /// Where the first window of 1970 starts; less than the slide.
    pub offset: i64,
}

impl Spans {
    /// Reads the arguments of `window(…)` after the first.
    fn parse(arguments: &[Expr]) -> Result<Self> {
        let texts = arguments.iter().map(literal_text).collect::<Result<Vec<_>>>()?;
        let micros = texts.iter().map(|text| parse_interval(text)).collect::<Result<Vec<_>>>()?;
        let (duration, slide, offset) = match micros[..] {
            [duration] => (duration, duration, 0),
            [duration, slide] => (duration, slide, 0),
            [duration, slide, offset] => (duration, slide, offset),
            _ => return plan_err!("window takes a timestamp, a duration, and optionally a slide and a start"),
        };
        if duration <= 0 || slide <= 0 {
            return plan_err!("the duration and the slide of a window must be greater than 0");
        }
        if slide > duration {
            return plan_err!("the slide of a window must be less than or equal to its duration");
        }
        if offset.unsigned_abs() >= slide.unsigned_abs() {
            return plan_err!("the start of a window must be less than its slide");
        }
        Ok(Self { duration, slide, offset })
    }

    /// Whether windows do not overlap.
    pub fn tumbling(&self) -> bool {
        self.duration == self.slide
    }

    /// The length of a pane.
    pub fn pane(&self) -> i64 {
        let (mut a, mut b) = (self.duration, self.slide);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    }

    /// The start of the last window that contains an instant; `None` outside of time that can be counted.
    #[inline]
    fn start_of(instant: i64, step: i64, offset: i64) -> Option<i64> {
        let since = instant.checked_sub(offset)?;
        instant.checked_sub(since.rem_euclid(step))
    }

    /// When the last window ends that contains a pane.
    pub fn last_end(&self, pane: i64) -> i64 {
        Self::start_of(pane, self.slide, self.offset).unwrap_or(pane).saturating_add(self.duration)
    }

    /// Whether a window starts here.
    pub fn starts_at(&self, instant: i64) -> bool {
        Self::start_of(instant, self.slide, self.offset) == Some(instant)
    }

    /// The starts of the windows that contain a pane, earliest first.
    pub fn windows_of(&self, pane: i64) -> impl Iterator<Item = i64> {
        let last = Self::start_of(pane, self.slide, self.offset).unwrap_or(pane);
        let end = pane.saturating_add(self.pane());
        let (duration, slide) = (self.duration, self.slide);
        let earlier = (duration - 1) / slide;
        (0..=earlier)
            .rev()
            .map(move |back| last.saturating_sub(back * slide))
            .filter(move |start| start.saturating_add(duration) >= end)
    }
}

/// The text of a literal argument.
fn literal_text(expr: &Expr) -> Result<String> {
    match expr {
        Expr::Literal(value, _) => match value.try_as_str() {
            Some(Some(text)) => Ok(text.to_owned()),
            _ => plan_err!("a window's length must be text such as '10 seconds'"),
        },
        _ => plan_err!("a window's length must be a constant such as '10 seconds'"),
    }
}

/// Reads `[interval] 1 hour 30 minutes` as microseconds.
pub fn parse_interval(text: &str) -> Result<i64> {
    let unknown = || plan_datafusion_err!("`{text}` is not an interval such as '10 seconds'");
    let lower = text.trim().to_lowercase();
    let mut words = lower.strip_prefix("interval").unwrap_or(&lower).split_whitespace();
    let mut total: i64 = 0;
    let mut any = false;
    while let Some(number) = words.next() {
        let number: i64 = number.parse().map_err(|_| unknown())?;
        let unit = words.next().ok_or_else(unknown)?;
        let micros = match unit.strip_suffix('s').unwrap_or(unit) {
            "microsecond" => 1,
            "millisecond" => 1_000,
            "second" => 1_000_000,
            "minute" => 60_000_000,
            "hour" => 3_600_000_000,
            "day" => 86_400_000_000,
            "week" => 604_800_000_000,
            "month" | "year" => {
                return plan_err!("a window of months or years has no fixed length; use days");
            }
            _ => return Err(unknown()),
        };
        total = number.checked_mul(micros).and_then(|micros| total.checked_add(micros)).ok_or_else(unknown)?;
        any = true;
    }
    if any { Ok(total) } else { Err(unknown()) }
}

/// `window`, `window_time`, and what they are made of.
pub fn functions() -> Vec<Arc<ScalarUDF>> {
    [Part::Window, Part::WindowTime, Part::Pane, Part::Struct, Part::StartOf].map(|part| Arc::new(part.udf())).to_vec()
}

/// If the expression is a call of `window`, its timestamp and spans.
pub fn parse_call(expr: &Expr) -> Option<Result<(Expr, Spans)>> {
    let Expr::ScalarFunction(function) = expr else {
        return None;
    };
    if function.func.name() != "window" {
        return None;
    }
    let Some((instant, rest)) = function.args.split_first() else {
        return Some(plan_err!("window needs a timestamp"));
    };
    Some(Spans::parse(rest).map(|spans| (instant.clone(), spans)))
}

/// What `window` takes: a timestamp, or a window of which the last instant counts.
pub fn instant_of(instant: Expr, schema: &DFSchema) -> Result<Expr> {
    Ok(match instant.get_type(schema)? {
        DataType::Timestamp(_, None) => instant,
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64 | DataType::Utf8 => cast(instant, INSTANT),
        window if window == struct_type() => Part::WindowTime.udf().call(vec![instant]),
        other => return plan_err!("window needs a timestamp, and its first argument is {other}"),
    })
}

/// Where a window starts.
pub fn start_of(window: Expr) -> Expr {
    Part::StartOf.udf().call(vec![window])
}

/// The start of the pane of a timestamp, in microseconds.
pub fn pane_of(instant: Expr, spans: Spans, schema: &DFSchema) -> Result<Expr> {
    let instant = instant_of(instant, schema)?;
    Ok(Part::Pane.udf().call(vec![instant, lit(spans.pane()), lit(spans.offset)]))
}

/// The window that starts there, as a struct.
pub fn window_from(start: Expr, duration: i64) -> Expr {
    Part::Struct.udf().call(vec![start, lit(duration)])
}

/// What a window is in answers.
pub fn struct_type() -> DataType {
    DataType::Struct(struct_fields())
}

fn struct_fields() -> Fields {
    Fields::from(vec![Field::new("start", INSTANT, true), Field::new("end", INSTANT, true)])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Part {
    /// window(instant, duration[, slide[, offset]]) → struct; only tumbling outside of aggregates.
    Window,
    /// window_time(window) → the last instant inside it.
    WindowTime,
    /// window_pane(instant, length, offset) → the pane's start.
    Pane,
    /// window_struct(start, duration) → struct.
    Struct,
    /// window_start(window) → its start.
    StartOf,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WindowFunction {
    part: Part,
    signature: Signature,
}

impl Part {
    fn udf(self) -> ScalarUDF {
        let signature = match self {
            Self::Window => Signature::variadic_any(Volatility::Immutable),
            Self::WindowTime | Self::StartOf => Signature::any(1, Volatility::Immutable),
            Self::Pane => Signature::any(3, Volatility::Immutable),
            Self::Struct => Signature::any(2, Volatility::Immutable),
        };
        ScalarUDF::from(WindowFunction { part: self, signature })
    }
}

impl ScalarUDFImpl for WindowFunction {
    fn name(&self) -> &str {
        match self.part {
            Part::Window => "window",
            Part::WindowTime => "window_time",
            Part::Pane => "window_pane",
            Part::Struct => "window_struct",
            Part::StartOf => "window_start",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.part {
            Part::Window | Part::Struct => struct_type(),
            Part::WindowTime | Part::Pane | Part::StartOf => INSTANT,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<Arc<Field>> {
        let given = args.arg_fields.first().map(|field| field.data_type());
        if matches!(self.part, Part::WindowTime | Part::StartOf) && given != Some(&struct_type()) {
            return plan_err!("{} takes a window", self.name());
        }
        Ok(Arc::new(Field::new(self.name(), self.return_type(&[])?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let first = args.args[0].to_array(args.number_rows)?;
        let whole = |index: usize| match args.args.get(index) {
            Some(ColumnarValue::Scalar(ScalarValue::Int64(Some(value)))) => Ok(*value),
            _ => exec_err!("{} needs a constant", self.name()),
        };
        let array: ArrayRef = match self.part {
            Part::Pane => Arc::new(floor(&first, whole(1)?, whole(2)?)?),
            Part::Struct => structs(first, whole(1)?)?,
            Part::WindowTime => last_instants(&first)?,
            Part::StartOf => match first.as_struct_opt().and_then(|windows| windows.column_by_name("start")) {
                Some(starts) => starts.clone(),
                None => return exec_err!("window_start takes a window"),
            },
            Part::Window => {
                let literals = args.args[1..]
                    .iter()
                    .map(|argument| match argument {
                        ColumnarValue::Scalar(value) => Ok(Expr::Literal(value.clone(), None)),
                        ColumnarValue::Array(_) => exec_err!("a window's length must be a constant"),
                    })
                    .collect::<Result<Vec<_>>>()?;
                let spans = Spans::parse(&literals)?;
                if !spans.tumbling() {
                    return exec_err!("a sliding window needs a GROUP BY");
                }
                let first = match first.data_type() {
                    DataType::Timestamp(_, _) => first,
                    DataType::Struct(_) => last_instants(&first)?,
                    _ => arrow::compute::cast(&first, &INSTANT)?,
                };
                structs(Arc::new(floor(&first, spans.slide, spans.offset)?), spans.duration)?
            }
        };
        Ok(ColumnarValue::Array(array))
    }
}

/// The last instants inside of windows.
fn last_instants(windows: &ArrayRef) -> Result<ArrayRef> {
    let ends = windows.as_struct_opt().and_then(|windows| windows.column_by_name("end"));
    let Some(ends) = ends.and_then(|ends| ends.as_primitive_opt::<TimestampMicrosecondType>()) else {
        return exec_err!("window_time takes a window");
    };
    let last: TimestampMicrosecondArray = ends.unary(|end| end.saturating_sub(1));
    Ok(Arc::new(last))
}

/// Rounds instants of any unit down to steps of microseconds.
fn floor(instants: &ArrayRef, step: i64, offset: i64) -> Result<TimestampMicrosecondArray> {
    let by = |micros: Option<i64>| micros.and_then(|micros| Spans::start_of(micros, step, offset));
    let multiplied = |factor: i64| move |value: i64| value.checked_mul(factor);
    // An instant outside of what microseconds can count becomes null, and is dropped like one.
    Ok(match instants.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            instants.as_primitive::<TimestampMicrosecondType>().unary_opt(|value| by(Some(value)))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            instants.as_primitive::<TimestampMillisecondType>().unary_opt(|value| by(multiplied(1_000)(value)))
        }
        DataType::Timestamp(TimeUnit::Second, _) => {
            instants.as_primitive::<TimestampSecondType>().unary_opt(|value| by(multiplied(1_000_000)(value)))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            instants.as_primitive::<TimestampNanosecondType>().unary_opt(|value| by(Some(value.div_euclid(1_000))))
        }
        other => return exec_err!("window needs a timestamp, not {other}"),
    })
}

/// Windows of one length from their starts.
fn structs(starts: ArrayRef, duration: i64) -> Result<ArrayRef> {
    let Some(values) = starts.as_primitive_opt::<TimestampMicrosecondType>() else {
        return exec_err!("a window starts at a timestamp in microseconds");
    };
    let ends: TimestampMicrosecondArray = values.unary(|start| start.saturating_add(duration));
    let nulls = starts.nulls().cloned();
    Ok(Arc::new(StructArray::new(struct_fields(), vec![starts, Arc::new(ends)], nulls)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn intervals() {
        assert_eq!(parse_interval("10 seconds").unwrap(), 10_000_000);
        assert_eq!(parse_interval("INTERVAL 1 hour 30 minutes").unwrap(), 5_400_000_000);
        assert_eq!(parse_interval(" -2 Milliseconds ").unwrap(), -2_000);
        for wrong in ["", "10", "seconds", "10 parsecs", "1 month", "1.5 hours"] {
            assert!(parse_interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn boundaries_are_half_open_and_negative_times_round_down() {
        let start = |t| Spans::start_of(t, 10, 0).unwrap();
        assert_eq!([start(0), start(9), start(10), start(-1), start(-10), start(-11)], [0, 0, 10, -10, -10, -20]);
        assert_eq!(Spans::start_of(1, 10, 2), Some(-8));
        assert_eq!(Spans::start_of(i64::MIN, 10, 3), None);
    }

    proptest! {
        /// Spark's rule, by brute force: every window [start, start + duration) whose start is offset + k * slide.
        #[test]
        fn panes_lie_in_the_windows_of_their_instants(
            instant in -1000i64..1000, slide in 1i64..40, more in 0i64..60, offset in -39i64..40,
        ) {
            let spans = Spans { duration: slide + more, slide, offset: offset % slide };
            let pane = Spans::start_of(instant, spans.pane(), spans.offset).unwrap();
            let expected: Vec<i64> = (-2000..2000)
                .filter(|start| (start - spans.offset).rem_euclid(slide) == 0)
                .filter(|start| *start <= instant && instant < start + spans.duration)
                .collect();
            prop_assert_eq!(spans.windows_of(pane).collect::<Vec<_>>(), expected);
        }
    }
}
