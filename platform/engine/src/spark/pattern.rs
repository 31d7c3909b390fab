//! Patterns of dates and times as Java's `DateTimeFormatter` has them: the letters that Spark's users write.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion::common::{Result, exec_err};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    /// A letter, and how often it stands.
    Field(char, usize),
    /// Text as it is.
    Literal(String),
}

/// A read pattern.
#[derive(Debug, Clone)]
pub struct Pattern(Vec<Part>);

impl Pattern {
    /// Reads a pattern; a letter that is not supported is an error that names it.
    pub fn read(text: &str) -> Result<Self> {
        let mut parts: Vec<Part> = Vec::new();
        let mut chars = text.chars().peekable();
        let literal = |parts: &mut Vec<Part>, c: char| match parts.last_mut() {
            Some(Part::Literal(text)) => text.push(c),
            _ => parts.push(Part::Literal(c.into())),
        };
        while let Some(c) = chars.next() {
            match c {
                '\'' if chars.next_if_eq(&'\'').is_some() => literal(&mut parts, '\''),
                '\'' => loop {
                    match chars.next() {
                        Some('\'') if chars.next_if_eq(&'\'').is_some() => literal(&mut parts, '\''),
                        Some('\'') => break,
                        Some(c) => literal(&mut parts, c),
                        None => return exec_err!("the pattern `{text}` has a quote without an end"),
                    }
                },
                c if c.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while chars.next_if_eq(&c).is_some() {
                        count += 1;
                    }
                    if !"GyuMLdDQqEaHhKkmsSzZXxVO".contains(c) {
                        return exec_err!("the pattern letter `{c}` of `{text}` is not supported");
                    }
                    parts.push(Part::Field(c, count));
                }
                '[' | ']' => return exec_err!("the optional part in the pattern `{text}` is not supported"),
                c => literal(&mut parts, c),
            }
        }
        Ok(Self(parts))
    }

    /// The instant in UTC, written by the pattern.
    pub fn write(&self, at: NaiveDateTime) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Field(letter, count) => write_field(&mut text, *letter, *count, at),
            }
        }
        text
    }

    /// The instant that a text says; None where it is not of the pattern.
    pub fn parse(&self, text: &str) -> Option<NaiveDateTime> {
        let mut read = Read { rest: text, ..Read::default() };
        for (index, part) in self.0.iter().enumerate() {
            match part {
                Part::Literal(literal) => read.rest = read.rest.strip_prefix(literal.as_str())?,
                Part::Field(letter, count) => {
                    // Where digits follow digits, the width is what separates them.
                    let adjacent = matches!(self.0.get(index + 1), Some(Part::Field(next, width))
                        if !"EazZXxVOG".contains(*next) && !("ML".contains(*next) && *width > 2));
                    read.field(*letter, *count, adjacent)?;
                }
            }
        }
        if !read.rest.is_empty() {
            return None;
        }
        read.finish()
    }
}

fn write_field(text: &mut String, letter: char, count: usize, at: NaiveDateTime) {
    let number = |text: &mut String, value: i64| text.push_str(&format!("{value:0count$}"));
    let name = |text: &mut String, name: &str| text.push_str(if count < 4 { &name[..3] } else { name });
    match letter {
        'G' => text.push_str(if at.year() > 0 { "AD" } else { "BC" }),
        'y' | 'u' if count == 2 => text.push_str(&format!("{:02}", at.year().rem_euclid(100))),
        'y' | 'u' => {
            let sign = if count >= 4 && at.year() > 9999 { "+" } else { "" };
            text.push_str(sign);
            number(text, at.year().into());
        }
        'M' | 'L' if count >= 3 => name(text, MONTHS[at.month0() as usize]),
        'M' | 'L' => number(text, at.month().into()),
        'd' => number(text, at.day().into()),
        'D' => number(text, at.ordinal().into()),
        'Q' | 'q' => match count {
            1 | 2 => number(text, i64::from(at.month0() / 3 + 1)),
            3 => text.push_str(&format!("Q{}", at.month0() / 3 + 1)),
            _ => text.push_str(&format!("{} quarter", ["1st", "2nd", "3rd", "4th"][at.month0() as usize / 3])),
        },
        'E' => name(text, DAYS[at.weekday().num_days_from_monday() as usize]),
        'a' => text.push_str(if at.hour() < 12 { "AM" } else { "PM" }),
        'H' => number(text, at.hour().into()),
        'k' => number(text, if at.hour() == 0 { 24 } else { at.hour().into() }),
        'K' => number(text, i64::from(at.hour() % 12)),
        'h' => number(text, if at.hour().is_multiple_of(12) { 12 } else { i64::from(at.hour() % 12) }),
        'm' => number(text, at.minute().into()),
        's' => number(text, at.second().into()),
        'S' => {
            let nanos = format!("{:09}", at.nanosecond());
            text.push_str(&nanos[..count.min(9)]);
        }
        'z' | 'V' => text.push_str("UTC"),
        'Z' => text.push_str(if count < 4 { "+0000" } else { "GMT" }),
        'X' => text.push('Z'),
        'x' => text.push_str(["+00", "+0000", "+00:00"][count.clamp(1, 3) - 1]),
        _ => text.push_str("GMT"),
    }
}

/// What was read so far.
#[derive(Default)]
struct Read<'a> {
    rest: &'a str,
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    of_year: Option<u32>,
    hour: Option<u32>,
    half_hour: Option<u32>,
    afternoon: Option<bool>,
    minute: Option<u32>,
    second: Option<u32>,
    nanos: Option<u32>,
    /// Seconds east of UTC.
    offset: i64,
}

impl<'a> Read<'a> {
    fn digits(&mut self, least: usize, most: usize) -> Option<&'a str> {
        let length = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if length < least {
            return None;
        }
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some(digits)
    }

    fn number(&mut self, count: usize, most: usize, adjacent: bool) -> Option<u32> {
        let (least, most) = if count > 1 || adjacent { (count, count) } else { (1, most) };
        self.digits(least, most)?.parse().ok()
    }

    fn name(&mut self, names: &[&str], short: bool) -> Option<u32> {
        let found = names.iter().position(|name| {
            let name = if short { &name[..3] } else { name };
            self.rest.get(..name.len()).is_some_and(|start| start == name)
        })?;
        let length = if short { 3 } else { names[found].len() };
        self.rest = &self.rest[length..];
        Some(found as u32 + 1)
    }

    fn field(&mut self, letter: char, count: usize, adjacent: bool) -> Option<()> {
        match letter {
            'y' | 'u' if count == 2 => self.year = Some(2000 + self.digits(2, 2)?.parse::<i32>().ok()?),
            'y' | 'u' => {
                let most = if adjacent || count == 4 { count.max(4) } else { 9 };
                self.year = Some(self.digits(count.min(4), most)?.parse().ok()?);
            }
            'M' | 'L' if count >= 3 => self.month = Some(self.name(&MONTHS, count == 3)?),
            'M' | 'L' => self.month = Some(self.number(count, 2, adjacent)?),
            'd' => self.day = Some(self.number(count, 2, adjacent)?),
            'D' => self.of_year = Some(self.number(count, 3, adjacent)?),
            'E' => drop(self.name(&DAYS, count < 4)?),
            'a' => {
                let half = self.rest.get(..2)?;
                self.afternoon = Some(match half.to_ascii_uppercase().as_str() {
                    "AM" => false,
                    "PM" => true,
                    _ => return None,
                });
                self.rest = &self.rest[2..];
            }
            'H' => self.hour = Some(self.number(count, 2, adjacent)?),
            'k' => self.hour = Some(self.number(count, 2, adjacent)? % 24),
            'h' | 'K' => self.half_hour = Some(self.number(count, 2, adjacent)? % 12),
            'm' => self.minute = Some(self.number(count, 2, adjacent)?),
            's' => self.second = Some(self.number(count, 2, adjacent)?),
            'S' => {
                let digits = self.digits(if adjacent { count } else { 1 }, count.min(9))?;
                self.nanos = format!("{digits:0<9}").parse().ok();
            }
            'X' | 'x' | 'Z' | 'z' | 'V' | 'O' => {
                let end = self.rest.find([' ', ',']).unwrap_or(self.rest.len());
                self.offset = super::dates::zone_offset(&self.rest[..end])?;
                self.rest = &self.rest[end..];
            }
            _ => return None,
        }
        Some(())
    }

    fn finish(self) -> Option<NaiveDateTime> {
        let year = self.year.unwrap_or(1970);
        let date = match self.of_year {
            Some(day) => NaiveDate::from_yo_opt(year, day)?,
            None => NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        let hour = match (self.hour, self.half_hour) {
            (Some(hour), _) => hour,
            (None, Some(hour)) => hour + if self.afternoon.unwrap_or(false) { 12 } else { 0 },
            (None, None) => 0,
        };
        let time = NaiveTime::from_hms_nano_opt(
            hour,
            self.minute.unwrap_or(0),
            self.second.unwrap_or(0),
            self.nanos.unwrap_or(0),
        )?;
        date.and_time(time).checked_sub_signed(chrono::TimeDelta::try_seconds(self.offset)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads() {
        let at = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap().and_hms_micro_opt(12, 34, 56, 789_000).unwrap();
        let write = |pattern: &str| Pattern::read(pattern).unwrap().write(at);
        assert_eq!(write("EEE, d MMM yyyy"), "Thu, 29 Feb 2024");
        assert_eq!(write("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'"), "2024-02-29T12:34:56.789Z");
        assert_eq!(write("hh 'o''clock' a"), "12 o'clock PM");
        let parse = |pattern: &str, text: &str| Pattern::read(pattern).unwrap().parse(text);
        assert_eq!(parse("yyyyMMddHHmmss", "20240229123456"), at.with_nanosecond(0));
        assert_eq!(parse("dd/MM/yyyy HH:mm:ss.SSS", "29/02/2024 12:34:56.789"), Some(at));
        assert_eq!(parse("yyyy-MM-dd", "2023-02-29"), None);
        assert_eq!(parse("yyyy-MM-dd", "2023-2-9"), None);
        assert!(Pattern::read("yyyy-bb").is_err());
    }
}
