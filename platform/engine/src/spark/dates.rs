//! Functions of dates and instants. An instant is microseconds since 1970 in UTC, which is the session's zone.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion::common::{Result, exec_datafusion_err, exec_err};

use super::pattern::Pattern;
use super::scalar::{Call, Function, TEXT, arguments, is_text, usage};

/// An instant's type.
pub const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);
/// A date's type.
const DATE: DataType = DataType::Date32;
const LONG: DataType = DataType::Int64;
const INT: DataType = DataType::Int32;
const DOUBLE: DataType = DataType::Float64;
/// Microseconds of a second and of a day.
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

macro_rules! date_part {
    ($($name:literal),* => $run:expr) => {
        Function {
            names: &[$($name),*],
            takes: |given| arguments(given, &[DATE], 1, concat!("a function of one date: ", $($name, " "),*)),
            gives: |_, _| Ok(INT),
            run: |call| call.ints(|row| {
                let part: fn(NaiveDate) -> i32 = $run;
                Some(part(date_of(call.date(0, row)?)?))
            }),
        }
    };
}

macro_rules! time_part {
    ($name:literal => $run:expr) => {
        Function {
            names: &[$name],
            takes: |given| arguments(given, &[MICROS], 1, concat!($name, "(instant)")),
            gives: |_, _| Ok(INT),
            run: |call| {
                call.ints(|row| {
                    let part: fn(NaiveDateTime) -> u32 = $run;
                    Some(part(instant_of(call.instant(0, row)?)?) as i32)
                })
            },
        }
    };
}

macro_rules! instant_number {
    ($name:literal, $takes:expr, $gives:expr, $run:expr) => {
        Function {
            names: &[$name],
            takes: |given| arguments(given, &[$takes], 1, concat!($name, "(value)")),
            gives: |_, _| Ok($gives),
            run: $run,
        }
    };
}

/// The functions of this file.
pub const FUNCTIONS: &[Function] = &[
    date_part!("year" => |date| date.year()),
    date_part!("quarter" => |date| date.month0() as i32 / 3 + 1),
    date_part!("month" => |date| date.month() as i32),
    date_part!("day", "dayofmonth" => |date| date.day() as i32),
    date_part!("dayofweek" => |date| date.weekday().num_days_from_sunday() as i32 + 1),
    date_part!("weekday" => |date| date.weekday().num_days_from_monday() as i32),
    date_part!("dayofyear" => |date| date.ordinal() as i32),
    date_part!("weekofyear" => |date| date.iso_week().week() as i32),
    date_part!("yearofweek" => |date| date.iso_week().year()),
    date_part!("dayofweek_iso" => |date| date.weekday().number_from_monday() as i32),
    time_part!("hour" => |at| at.hour()),
    time_part!("minute" => |at| at.minute()),
    time_part!("second" => |at| at.second()),
    Function {
        names: &["second_with_fraction"],
        takes: |given| arguments(given, &[MICROS], 1, "extract(SECOND FROM instant)"),
        gives: |_, _| Ok(DataType::Decimal128(8, 6)),
        run: |call| {
            let micros = call.longs(|row| Some(call.instant(0, row)?.rem_euclid(60 * SECOND)))?;
            let whole = arrow::compute::cast(&micros, &DataType::Decimal128(20, 0))?;
            // The digits move behind the point.
            let digits = arrow::array::AsArray::as_primitive::<arrow::datatypes::Decimal128Type>(&whole);
            Ok(std::sync::Arc::new(digits.clone().with_precision_and_scale(8, 6)?) as ArrayRef)
        },
    },
    Function {
        names: &["monthname"],
        takes: |given| arguments(given, &[DATE], 1, "monthname(date)"),
        gives: |_, _| Ok(TEXT),
        run: |call| written(call, "MMM"),
    },
    Function {
        names: &["dayname"],
        takes: |given| arguments(given, &[DATE], 1, "dayname(date)"),
        gives: |_, _| Ok(TEXT),
        run: |call| written(call, "EEE"),
    },
    Function {
        names: &["date_add", "dateadd"],
        takes: |given| arguments(given, &[DATE, LONG], 2, "date_add(date, days)"),
        gives: |_, _| Ok(DATE),
        run: |call| call.try_dates(|row| moved(call, row, 1)),
    },
    Function {
        names: &["date_sub"],
        takes: |given| arguments(given, &[DATE, LONG], 2, "date_sub(date, days)"),
        gives: |_, _| Ok(DATE),
        run: |call| call.try_dates(|row| moved(call, row, -1)),
    },
    Function {
        names: &["datediff", "date_diff"],
        takes: |given| arguments(given, &[DATE, DATE], 2, "datediff(end, start)"),
        gives: |_, _| Ok(INT),
        run: |call| call.ints(|row| Some(call.date(0, row)? - call.date(1, row)?)),
    },
    Function {
        names: &["add_months"],
        takes: |given| arguments(given, &[DATE, LONG], 2, "add_months(date, months)"),
        gives: |_, _| Ok(DATE),
        run: |call| call.dates(|row| Some(days_of(later(date_of(call.date(0, row)?)?, call.long(1, row)?)?))),
    },
    Function {
        names: &["months_between"],
        takes: |given| {
            arguments(given, &[MICROS, MICROS, DataType::Boolean], 2, "months_between(later, earlier[, round])")
        },
        gives: |_, _| Ok(DOUBLE),
        run: |call| {
            call.doubles(|row| {
                let round = if call.has(2) { call.truth(2, row)? } else { true };
                months_between(call.instant(0, row)?, call.instant(1, row)?, round)
            })
        },
    },
    Function {
        names: &["last_day"],
        takes: |given| arguments(given, &[DATE], 1, "last_day(date)"),
        gives: |_, _| Ok(DATE),
        run: |call| {
            call.dates(|row| {
                let date = date_of(call.date(0, row)?)?;
                let next = date.with_day(1)?.checked_add_months(Months::new(1))?;
                Some(days_of(next.pred_opt()?))
            })
        },
    },
    Function {
        names: &["trunc"],
        takes: |given| arguments(given, &[DATE, TEXT], 2, "trunc(date, unit)"),
        gives: |_, _| Ok(DATE),
        run: |call| {
            call.dates(|row| {
                let (date, unit) = (date_of(call.date(0, row)?)?, call.text(1, row)?.to_ascii_lowercase());
                match unit.as_str() {
                    "year" | "yyyy" | "yy" | "quarter" | "month" | "mon" | "mm" | "week" => {
                        Some(days_of(floor_date(date, &unit)?))
                    }
                    _ => None,
                }
            })
        },
    },
    Function {
        names: &["date_trunc"],
        takes: |given| arguments(given, &[TEXT, MICROS], 2, "date_trunc(unit, instant)"),
        gives: |_, _| Ok(MICROS),
        run: |call| call.instants(|row| floor_instant(call.text(0, row)?, call.instant(1, row)?)),
    },
    Function {
        names: &["date_format"],
        takes: |given| arguments(given, &[MICROS, TEXT], 2, "date_format(instant, pattern)"),
        gives: |_, _| Ok(TEXT),
        run: |call| with_pattern(call, 1, |row, pattern| Some(pattern.write(instant_of(call.instant(0, row)?)?))),
    },
    Function {
        names: &["to_date"],
        takes: |given| to_types(given, DATE, "to_date(text[, pattern])"),
        gives: |_, _| Ok(DATE),
        run: |call| to_date(call, true),
    },
    Function {
        names: &["try_to_date"],
        takes: |given| to_types(given, DATE, "try_to_date(text[, pattern])"),
        gives: |_, _| Ok(DATE),
        run: |call| to_date(call, false),
    },
    Function {
        names: &["to_timestamp"],
        takes: |given| to_types(given, MICROS, "to_timestamp(text[, pattern])"),
        gives: |_, _| Ok(MICROS),
        run: |call| to_instant(call, true),
    },
    Function {
        names: &["try_to_timestamp"],
        takes: |given| to_types(given, MICROS, "try_to_timestamp(text[, pattern])"),
        gives: |_, _| Ok(MICROS),
        run: |call| to_instant(call, false),
    },
    Function {
        names: &["unix_timestamp", "to_unix_timestamp"],
        takes: |given| to_types(given, MICROS, "unix_timestamp(instant or text[, pattern])"),
        gives: |_, _| Ok(LONG),
        run: |call| {
            let instants = to_instant_or(call, true, Some("yyyy-MM-dd HH:mm:ss"))?;
            let columns = [instants];
            let call = Call { columns: &columns, answer: call.answer, rows: call.rows };
            // Towards zero, as Spark has it here.
            call.longs(|row| Some(call.instant(0, row)? / SECOND))
        },
    },
    instant_number!("unix_seconds", MICROS, LONG, |call| call
        .longs(|row| Some(call.instant(0, row)?.div_euclid(SECOND)))),
    instant_number!("unix_millis", MICROS, LONG, |call| call.longs(|row| Some(call.instant(0, row)?.div_euclid(1000)))),
    instant_number!("unix_micros", MICROS, LONG, |call| call.longs(|row| call.instant(0, row))),
    instant_number!("unix_date", DATE, INT, |call| call.ints(|row| call.date(0, row))),
    instant_number!("date_from_unix_date", LONG, DATE, |call| call.dates(|row| i32::try_from(call.long(0, row)?).ok())),
    instant_number!("timestamp_seconds", LONG, MICROS, |call| call.try_instants(|row| scaled(call, row, SECOND))),
    instant_number!("timestamp_millis", LONG, MICROS, |call| call.try_instants(|row| scaled(call, row, 1000))),
    instant_number!("timestamp_micros", LONG, MICROS, |call| call.try_instants(|row| scaled(call, row, 1))),
    Function {
        names: &["from_unixtime"],
        takes: |given| arguments(given, &[LONG, TEXT], 1, "from_unixtime(seconds[, pattern])"),
        gives: |_, _| Ok(TEXT),
        run: |call| {
            let at = |row| instant_of(call.long(0, row)?.checked_mul(SECOND)?);
            match call.has(1) {
                true => with_pattern(call, 1, |row, pattern| Some(pattern.write(at(row)?))),
                false => {
                    let pattern = Pattern::read("yyyy-MM-dd HH:mm:ss")?;
                    call.texts(|row| Some(pattern.write(at(row)?)))
                }
            }
        },
    },
    Function {
        names: &["make_date"],
        takes: |given| arguments(given, &[LONG, LONG, LONG], 3, "make_date(year, month, day)"),
        gives: |_, _| Ok(DATE),
        run: |call| {
            call.try_dates(|row| match (call.long(0, row), call.long(1, row), call.long(2, row)) {
                (Some(year), Some(month), Some(day)) => match civil(year, month, day) {
                    Some(date) => Ok(Some(days_of(date))),
                    None => exec_err!("there is no day {year}-{month}-{day}"),
                },
                _ => Ok(None),
            })
        },
    },
    Function {
        names: &["make_timestamp", "make_timestamp_ltz"],
        takes: |given| {
            let wanted = [LONG, LONG, LONG, LONG, LONG, DataType::Decimal128(16, 6)];
            arguments(given, &wanted, 6, "make_timestamp(year, month, day, hour, minute, second)")
        },
        gives: |_, _| Ok(MICROS),
        run: make_timestamp,
    },
    Function {
        names: &["timestampadd"],
        takes: |given| arguments(given, &[TEXT, LONG, MICROS], 3, "timestampadd(unit, count, instant)"),
        gives: |_, _| Ok(MICROS),
        run: |call| call.instants(|row| add(call.text(0, row)?, call.long(1, row)?, call.instant(2, row)?)),
    },
    Function {
        names: &["timestampdiff"],
        takes: |given| arguments(given, &[TEXT, MICROS, MICROS], 3, "timestampdiff(unit, start, end)"),
        gives: |_, _| Ok(LONG),
        run: |call| call.longs(|row| difference(call.text(0, row)?, call.instant(1, row)?, call.instant(2, row)?)),
    },
];

/// The date that a number of days stands for.
pub fn date_of(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(days.checked_add(719_163)?)
}

/// The number of days since 1970.
pub fn days_of(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - 719_163
}

/// The date and time that microseconds stand for.
pub fn instant_of(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|at| at.naive_utc())
}

fn micros_of(at: NaiveDateTime) -> i64 {
    at.and_utc().timestamp_micros()
}

/// Seconds east of UTC of `Z`, `UTC`, `+02:00` and their like.
pub fn zone_offset(zone: &str) -> Option<i64> {
    let zone = zone.trim();
    let rest = ["UTC", "GMT", "UT"].iter().find_map(|name| zone.strip_prefix(name)).unwrap_or(zone);
    if matches!(rest, "" | "Z" | "z") {
        return (!zone.is_empty()).then_some(0);
    }
    let sign = match rest.as_bytes()[0] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits: String = rest[1..].chars().filter(|c| *c != ':').collect();
    if digits.is_empty() || digits.len() > 6 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, rest) = digits.split_at(digits.len().min(if digits.len() % 2 == 1 { 1 } else { 2 }));
    let minutes: i64 = if rest.is_empty() { 0 } else { rest[..2].parse().ok()? };
    let hours: i64 = hours.parse().ok()?;
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn civil(year: i64, month: i64, day: i64) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?)
}

fn written(call: &Call, pattern: &str) -> Result<ArrayRef> {
    let pattern = Pattern::read(pattern)?;
    call.texts(|row| Some(pattern.write(date_of(call.date(0, row)?)?.and_time(NaiveTime::MIN))))
}

/// Answers in text, each by the pattern of its row, which is mostly the same for all.
fn with_pattern(call: &Call, index: usize, each: impl Fn(usize, &Pattern) -> Option<String>) -> Result<ArrayRef> {
    let mut last: Option<(String, Pattern)> = None;
    let mut found = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let Some(text) = call.text(index, row) else {
            found.push(None);
            continue;
        };
        if last.as_ref().is_none_or(|(known, _)| known != text) {
            last = Some((text.to_owned(), Pattern::read(text)?));
        }
        found.push(last.as_ref().and_then(|(_, pattern)| each(row, pattern)));
    }
    call.texts(|row| found[row].as_ref())
}

fn moved(call: &Call, row: usize, sign: i64) -> Result<Option<i32>> {
    let (Some(date), Some(days)) = (call.date(0, row), call.long(1, row)) else {
        return Ok(None);
    };
    super::columns::fits_int(i64::from(date) + sign * days, "a date").map(Some)
}

fn later(date: NaiveDate, months: i64) -> Option<NaiveDate> {
    let count = Months::new(months.unsigned_abs().try_into().ok()?);
    if months < 0 { date.checked_sub_months(count) } else { date.checked_add_months(count) }
}

/// Months as Spark counts them: whole ones between ends of months or equal days, otherwise by 31 days a month.
fn months_between(later: i64, earlier: i64, round: bool) -> Option<f64> {
    let (a, b) = (instant_of(later)?, instant_of(earlier)?);
    let months = f64::from((a.year() - b.year()) * 12 + a.month() as i32 - b.month() as i32);
    let last = |at: NaiveDateTime| at.date().checked_add_days(Days::new(1)).is_none_or(|next| next.day() == 1);
    if a.day() == b.day() || (last(a) && last(b)) {
        return Some(months);
    }
    let seconds = |at: NaiveDateTime| i64::from(at.num_seconds_from_midnight());
    let difference = i64::from(a.day() as i32 - b.day() as i32) * 86_400 + seconds(a) - seconds(b);
    let fraction = months + difference as f64 / f64::from(31 * 86_400);
    Some(if round { (fraction * 1e8).round() / 1e8 } else { fraction })
}

fn floor_date(date: NaiveDate, unit: &str) -> Option<NaiveDate> {
    match unit {
        "year" | "yyyy" | "yy" => NaiveDate::from_ymd_opt(date.year(), 1, 1),
        "quarter" => NaiveDate::from_ymd_opt(date.year(), date.month0() / 3 * 3 + 1, 1),
        "month" | "mon" | "mm" => date.with_day(1),
        "week" => date.checked_sub_days(Days::new(date.weekday().num_days_from_monday().into())),
        _ => None,
    }
}

fn floor_instant(unit: &str, micros: i64) -> Option<i64> {
    let unit = unit.to_ascii_lowercase();
    let of = |length: i64| Some(micros.div_euclid(length) * length);
    match unit.as_str() {
        "microsecond" => Some(micros),
        "millisecond" => of(1000),
        "second" => of(SECOND),
        "minute" => of(60 * SECOND),
        "hour" => of(3600 * SECOND),
        "day" | "dd" => of(DAY),
        unit => Some(micros_of(floor_date(instant_of(micros)?.date(), unit)?.and_time(NaiveTime::MIN))),
    }
}

fn to_types(given: &[DataType], plain: DataType, called: &str) -> Result<Vec<DataType>> {
    match given {
        [value] if is_text(value) => Ok(vec![TEXT]),
        [DataType::Null] => Ok(vec![TEXT]),
        [_] => Ok(vec![plain]),
        [value, _] if is_text(value) => Ok(vec![TEXT, TEXT]),
        [_, _] => Ok(vec![plain, TEXT]),
        _ => usage(called),
    }
}

fn to_date(call: &Call, strict: bool) -> Result<ArrayRef> {
    if call.columns[0].data_type() == &DATE {
        return Ok(call.columns[0].clone());
    }
    if call.has(1) {
        let instants = to_instant(call, strict)?;
        let columns = [instants];
        let call = Call { columns: &columns, answer: call.answer, rows: call.rows };
        return call.dates(|row| i32::try_from(call.instant(0, row)?.div_euclid(DAY)).ok());
    }
    call.try_dates(|row| match call.text(0, row) {
        Some(text) => match super::casts::read_date(text) {
            Some(days) => Ok(Some(days)),
            None if strict => exec_err!("`{text}` is no date"),
            None => Ok(None),
        },
        None => Ok(None),
    })
}

fn to_instant(call: &Call, strict: bool) -> Result<ArrayRef> {
    to_instant_or(call, strict, None)
}

fn to_instant_or(call: &Call, strict: bool, default: Option<&str>) -> Result<ArrayRef> {
    if !is_text(call.columns[0].data_type()) {
        return Ok(arrow::compute::cast(&call.columns[0], &MICROS)?);
    }
    let mut last: Option<(String, Pattern)> = None;
    let mut found = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let pattern = if call.has(1) { call.text(1, row) } else { default };
        let Some(text) = call.text(0, row).filter(|_| !call.has(1) || pattern.is_some()) else {
            found.push(None);
            continue;
        };
        let instant = match pattern {
            Some(pattern) => {
                if last.as_ref().is_none_or(|(known, _)| known != pattern) {
                    last = Some((pattern.to_owned(), Pattern::read(pattern)?));
                }
                last.as_ref().and_then(|(_, pattern)| pattern.parse(text)).map(micros_of)
            }
            None => super::casts::read_instant(text),
        };
        if instant.is_none() && strict {
            return Err(exec_datafusion_err!(
                "`{text}` is no timestamp{}",
                match pattern {
                    Some(pattern) => format!(" of the pattern `{pattern}`"),
                    None => String::new(),
                }
            ));
        }
        found.push(instant);
    }
    call.instants(|row| found[row])
}

fn scaled(call: &Call, row: usize, unit: i64) -> Result<Option<i64>> {
    match call.long(0, row) {
        Some(count) => match count.checked_mul(unit) {
            Some(micros) => Ok(Some(micros)),
            None => exec_err!("overflow: {count} is beyond all timestamps"),
        },
        None => Ok(None),
    }
}

fn make_timestamp(call: &Call) -> Result<ArrayRef> {
    use arrow::array::{Array, AsArray};
    let seconds = call.columns[5].as_primitive::<arrow::datatypes::Decimal128Type>();
    call.try_instants(|row| {
        let part = |index| call.long(index, row);
        let (Some(year), Some(month), Some(day), Some(hour), Some(minute)) =
            (part(0), part(1), part(2), part(3), part(4))
        else {
            return Ok(None);
        };
        if seconds.is_null(row) {
            return Ok(None);
        }
        let micros = seconds.value(row) as i64;
        let valid = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60 * SECOND).contains(&micros);
        match civil(year, month, day).filter(|_| valid) {
            Some(date) => {
                let midnight = i64::from(days_of(date)) * DAY;
                Ok(Some(midnight + (hour * 3600 + minute * 60) * SECOND + micros))
            }
            None => exec_err!("there is no time {year}-{month}-{day} {hour}:{minute}"),
        }
    })
}

/// Months or microseconds of a unit.
fn unit_of(unit: &str) -> Option<(i64, i64)> {
    Some(match unit.to_ascii_lowercase().as_str() {
        "microsecond" => (0, 1),
        "millisecond" => (0, 1000),
        "second" => (0, SECOND),
        "minute" => (0, 60 * SECOND),
        "hour" => (0, 3600 * SECOND),
        "day" | "dayofyear" => (0, DAY),
        "week" => (0, 7 * DAY),
        "month" => (1, 0),
        "quarter" => (3, 0),
        "year" => (12, 0),
        _ => return None,
    })
}

fn add(unit: &str, count: i64, micros: i64) -> Option<i64> {
    let (months, length) = unit_of(unit)?;
    if months == 0 {
        return micros.checked_add(length.checked_mul(count)?);
    }
    let at = instant_of(micros)?;
    Some(micros_of(later(at.date(), months.checked_mul(count)?)?.and_time(at.time())))
}

fn difference(unit: &str, start: i64, end: i64) -> Option<i64> {
    let (months, length) = unit_of(unit)?;
    if months == 0 {
        return Some((end - start) / length);
    }
    let (a, b) = (instant_of(start)?, instant_of(end)?);
    let mut between = i64::from(b.year() - a.year()) * 12 + i64::from(b.month()) - i64::from(a.month());
    let rest = (b.day(), b.time()).cmp(&(a.day(), a.time()));
    if between > 0 && rest.is_lt() {
        between -= 1;
    } else if between < 0 && rest.is_gt() {
        between += 1;
    }
    Some(between / months)
}
