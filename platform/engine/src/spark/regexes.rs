//! Regular expressions. Patterns are those of Rust's `regex`, which has no look-around and no back references.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field};
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use regex::Regex;

use super::scalar::{Call, Function, TEXT, arguments, is_text, usage};

/// The pattern compiled last: a query has few, and most have one.
static LAST: Mutex<Option<(String, Regex)>> = Mutex::new(None);

const TWO: &[DataType] = &[TEXT, TEXT];
const GROUP: &[DataType] = &[TEXT, TEXT, DataType::Int64];

/// The functions of this file.
pub const FUNCTIONS: &[Function] = &[
    Function {
        names: &["regexp_like", "regexp", "rlike"],
        takes: |given| arguments(given, TWO, 2, "rlike(text, pattern)"),
        gives: |_, _| Ok(DataType::Boolean),
        run: |call| {
            let found = matched(call, |text, regex, _| Ok(Some(regex.is_match(text))))?;
            call.truths(|row| found[row])
        },
    },
    Function {
        names: &["regexp_replace"],
        takes: |given| {
            let wanted = [TEXT, TEXT, TEXT, DataType::Int64];
            let called = "regexp_replace(text, pattern, replacement[, position]); it replaces all";
            match given.get(3) {
                Some(flags) if is_text(flags) => usage(called),
                _ => arguments(given, &wanted, 3, called),
            }
        },
        gives: |_, _| Ok(TEXT),
        run: |call| {
            let found = matched(call, |text, regex, row| {
                let Some(by) = call.text(2, row) else {
                    return Ok(None);
                };
                let from = match call.has(3) {
                    true => call.long(3, row).unwrap_or(1).max(1) as usize - 1,
                    false => 0,
                };
                let at = text.char_indices().nth(from).map_or(text.len(), |(at, _)| at);
                Ok(Some(format!("{}{}", &text[..at], regex.replace_all(&text[at..], replacement(by)))))
            })?;
            call.texts(|row| found[row].as_ref())
        },
    },
    Function {
        names: &["regexp_extract"],
        takes: |given| arguments(given, GROUP, 2, "regexp_extract(text, pattern[, group])"),
        gives: |_, _| Ok(TEXT),
        run: |call| {
            let found = matched(call, |text, regex, row| {
                let Some(group) = group(call, regex, row)? else {
                    return Ok(None);
                };
                let found = regex.captures(text).and_then(|found| found.get(group));
                Ok(Some(found.map_or(String::new(), |found| found.as_str().to_owned())))
            })?;
            call.texts(|row| found[row].as_ref())
        },
    },
    Function {
        names: &["regexp_extract_all"],
        takes: |given| arguments(given, GROUP, 2, "regexp_extract_all(text, pattern[, group])"),
        gives: |_, _| Ok(DataType::List(Arc::new(Field::new_list_field(TEXT, true)))),
        run: |call| {
            let found = matched(call, |text, regex, row| {
                let Some(group) = group(call, regex, row)? else {
                    return Ok(None);
                };
                let parts = regex.captures_iter(text).map(|found| match found.get(group) {
                    Some(part) => part.as_str().to_owned(),
                    None => String::new(),
                });
                Ok(Some(parts.collect::<Vec<_>>()))
            })?;
            let mut lists = ListBuilder::new(StringBuilder::new());
            for parts in found {
                match parts {
                    Some(parts) => {
                        parts.iter().for_each(|part| lists.values().append_value(part));
                        lists.append(true);
                    }
                    None => lists.append_null(),
                }
            }
            Ok(Arc::new(lists.finish()) as ArrayRef)
        },
    },
    Function {
        names: &["regexp_count"],
        takes: |given| arguments(given, TWO, 2, "regexp_count(text, pattern)"),
        gives: |_, _| Ok(DataType::Int32),
        run: |call| {
            let found = matched(call, |text, regex, _| Ok(Some(regex.find_iter(text).count() as i32)))?;
            call.ints(|row| found[row])
        },
    },
    Function {
        names: &["regexp_instr"],
        takes: |given| arguments(given, GROUP, 2, "regexp_instr(text, pattern)"),
        gives: |_, _| Ok(DataType::Int32),
        run: |call| {
            let found = matched(call, |text, regex, _| {
                let at = regex.find(text).map_or(0, |found| text[..found.start()].chars().count() as i32 + 1);
                Ok(Some(at))
            })?;
            call.ints(|row| found[row])
        },
    },
    Function {
        names: &["regexp_substr"],
        takes: |given| arguments(given, TWO, 2, "regexp_substr(text, pattern)"),
        gives: |_, _| Ok(TEXT),
        run: |call| {
            let found = matched(call, |text, regex, _| Ok(regex.find(text).map(|found| found.as_str().to_owned())))?;
            call.texts(|row| found[row].as_ref())
        },
    },
];

/// A pattern of Java's: `\d`, `\w` and `\s` stand for ASCII only.
pub fn compile(pattern: &str) -> Result<Regex> {
    let mut ours = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            ours.push(c);
            continue;
        }
        match chars.next() {
            Some('d') => ours.push_str("[0-9]"),
            Some('D') => ours.push_str("[^0-9]"),
            Some('w') => ours.push_str("[a-zA-Z0-9_]"),
            Some('W') => ours.push_str("[^a-zA-Z0-9_]"),
            Some('s') => ours.push_str(r"[ \t\n\x0B\f\r]"),
            Some('S') => ours.push_str(r"[^ \t\n\x0B\f\r]"),
            Some(other) => ours.extend(['\\', other]),
            None => ours.push('\\'),
        }
    }
    Regex::new(&ours).map_err(|error| exec_datafusion_err!("`{pattern}` is no regular expression: {error}"))
}

/// Java's `$1` and `\$` in the words of the regex crate.
fn replacement(by: &str) -> String {
    let mut ours = String::with_capacity(by.len());
    let mut chars = by.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '$' if chars.peek().is_some_and(char::is_ascii_digit) => {
                ours.push_str("${");
                while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                    ours.push(digit);
                }
                ours.push('}');
            }
            '$' if chars.peek() == Some(&'{') => ours.push('$'),
            '\\' => match chars.next() {
                Some('$') => ours.push_str("$$"),
                Some(other) => ours.push(other),
                None => {}
            },
            '$' => ours.push_str("$$"),
            other => ours.push(other),
        }
    }
    ours
}

/// The group that is asked for: the first, where not said.
fn group(call: &Call, regex: &Regex, row: usize) -> Result<Option<usize>> {
    let group = match call.has(2) {
        true => call.long(2, row),
        false => Some(1),
    };
    match group {
        Some(group) => match usize::try_from(group).ok().filter(|group| *group < regex.captures_len()) {
            Some(group) => Ok(Some(group)),
            None => exec_err!("`{regex}` has {} groups, and not {group}", regex.captures_len() - 1),
        },
        None => Ok(None),
    }
}

/// Calls back with each text and its compiled pattern; null where one of them is.
fn matched<T>(call: &Call, each: impl Fn(&str, &Regex, usize) -> Result<Option<T>>) -> Result<Vec<Option<T>>> {
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut found = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let (Some(text), Some(pattern)) = (call.text(0, row), call.text(1, row)) else {
            found.push(None);
            continue;
        };
        let regex = match last.take() {
            Some((known, regex)) if known == pattern => regex,
            _ => compile(pattern)?,
        };
        found.push(each(text, &regex, row)?);
        last = Some((pattern.to_owned(), regex));
    }
    *LAST.lock().unwrap_or_else(PoisonError::into_inner) = last;
    Ok(found)
}
