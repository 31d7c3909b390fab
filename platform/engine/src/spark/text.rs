//! Functions of text.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, exec_err};

use super::scalar::{Call, Function, TEXT, arguments, usage};

macro_rules! texts {
    ($($text:ident),*) => { &[$(DataType::$text),*] };
}

/// The functions of this file.
pub const FUNCTIONS: &[Function] = &[
    Function {
        names: &["initcap"],
        takes: |given| arguments(given, texts![Utf8], 1, "initcap(text)"),
        gives: |_, _| Ok(TEXT),
        run: |call| call.texts(|row| call.text(0, row).map(initcap)),
    },
    Function {
        names: &["ltrim"],
        takes: |given| arguments(given, texts![Utf8, Utf8], 1, "ltrim([characters, ]text)"),
        gives: |_, _| Ok(TEXT),
        run: |call| trim(call, |text, set| text.trim_start_matches(set)),
    },
    Function {
        names: &["rtrim"],
        takes: |given| arguments(given, texts![Utf8, Utf8], 1, "rtrim([characters, ]text)"),
        gives: |_, _| Ok(TEXT),
        run: |call| trim(call, |text, set| text.trim_end_matches(set)),
    },
    Function {
        names: &["left"],
        takes: |given| arguments(given, texts![Utf8, Int64], 2, "left(text, length)"),
        gives: |_, _| Ok(TEXT),
        run: |call| {
            call.texts(|row| {
                let (text, length) = (call.text(0, row)?, call.long(1, row)?);
                Some(text.chars().take(length.max(0) as usize).collect::<String>())
            })
        },
    },
    Function {
        names: &["right"],
        takes: |given| arguments(given, texts![Utf8, Int64], 2, "right(text, length)"),
        gives: |_, _| Ok(TEXT),
        run: |call| {
            call.texts(|row| {
                let (text, length) = (call.text(0, row)?, call.long(1, row)?);
                let skipped = text.chars().count().saturating_sub(length.max(0) as usize);
                Some(text.chars().skip(skipped).collect::<String>())
            })
        },
    },
    Function {
        names: &["replace"],
        takes: |given| arguments(given, texts![Utf8, Utf8, Utf8], 2, "replace(text, search[, replacement])"),
        gives: |_, _| Ok(TEXT),
        run: |call| {
            call.texts(|row| {
                let (text, search) = (call.text(0, row)?, call.text(1, row)?);
                let by = if call.has(2) { call.text(2, row)? } else { "" };
                Some(if search.is_empty() { text.to_owned() } else { text.replace(search, by) })
            })
        },
    },
    Function {
        names: &["locate"],
        takes: |given| arguments(given, texts![Utf8, Utf8, Int64], 2, "locate(search, text[, position])"),
        gives: |_, _| Ok(DataType::Int32),
        run: |call| {
            call.ints(|row| {
                let (search, text) = (call.text(0, row)?, call.text(1, row)?);
                let from = if call.has(2) { call.long(2, row)? } else { 1 };
                let Some(skipped) = usize::try_from(from - 1).ok() else {
                    return Some(0);
                };
                let start = text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(skipped);
                let found = start.and_then(|start| text[start..].find(search).map(|at| start + at));
                Some(found.map_or(0, |at| text[..at].chars().count() as i32 + 1))
            })
        },
    },
    Function {
        names: &["space"],
        takes: |given| arguments(given, texts![Int64], 1, "space(length)"),
        gives: |_, _| Ok(TEXT),
        run: |call| {
            call.try_texts(|row| {
                let Some(length) = call.long(0, row) else {
                    return Ok(None);
                };
                repeated(" ", length).map(Some)
            })
        },
    },
    Function {
        names: &["mask"],
        takes: |given| {
            arguments(given, texts![Utf8, Utf8, Utf8, Utf8, Utf8], 1, "mask(text[, upper, lower, digit, other])")
        },
        gives: |_, _| Ok(TEXT),
        run: |call| {
            call.texts(|row| {
                let text = call.text(0, row)?;
                let by = |index: usize, default: Option<char>| match call.has(index) {
                    true => call.text(index, row).and_then(|by| by.chars().next()),
                    false => default,
                };
                let (upper, lower) = (by(1, Some('X')), by(2, Some('x')));
                let (digit, other) = (by(3, Some('n')), by(4, None));
                let masked = text.chars().map(|c| match c {
                    c if c.is_uppercase() => upper.unwrap_or(c),
                    c if c.is_lowercase() => lower.unwrap_or(c),
                    c if c.is_ascii_digit() => digit.unwrap_or(c),
                    c => other.unwrap_or(c),
                });
                Some(masked.collect::<String>())
            })
        },
    },
    Function {
        names: &["encode"],
        takes: |given| arguments(given, texts![Utf8, Utf8], 2, "encode(text, charset)"),
        gives: |_, _| Ok(DataType::Binary),
        run: |call| {
            let rows = (0..call.rows).map(|row| match (call.text(0, row), call.text(1, row)) {
                (Some(text), Some(charset)) => only_utf8(charset).map(|()| Some(text.as_bytes())),
                _ => Ok(None),
            });
            Ok(Arc::new(rows.collect::<Result<BinaryArray>>()?) as ArrayRef)
        },
    },
    Function {
        names: &["decode"],
        takes: |given| arguments(given, texts![Binary, Utf8], 2, "decode(binary, charset)"),
        gives: |_, _| Ok(TEXT),
        run: |call| {
            call.try_texts(|row| match (call.bytes(0, row), call.text(1, row)) {
                (Some(bytes), Some(charset)) => match std::str::from_utf8(bytes) {
                    Ok(text) => only_utf8(charset).map(|()| Some(text.to_owned())),
                    Err(_) => exec_err!("the bytes are no UTF-8"),
                },
                _ => Ok(None),
            })
        },
    },
    Function {
        names: &["base64"],
        takes: |given| arguments(given, texts![Binary], 1, "base64(binary)"),
        gives: |_, _| Ok(TEXT),
        run: |call| call.texts(|row| call.bytes(0, row).map(mime_base64)),
    },
    Function {
        names: &["hash"],
        takes: |given| if given.is_empty() { usage("hash(value, …)") } else { Ok(given.to_vec()) },
        gives: |_, _| Ok(DataType::Int32),
        run: super::values::hash,
    },
    Function {
        names: &["typeof"],
        takes: |given| if given.len() == 1 { Ok(given.to_vec()) } else { usage("typeof(value)") },
        gives: |_, _| Ok(TEXT),
        run: |call| {
            let name = super::schema_text::name(call.columns[0].data_type());
            call.texts(|_| Some(&name))
        },
    },
    Function {
        names: &["concat"],
        takes: concat_types,
        gives: |given, _| Ok(given.first().cloned().unwrap_or(TEXT)),
        run: concat,
    },
    Function {
        names: &["reverse"],
        takes: |given| match given {
            [DataType::List(_)] => Ok(given.to_vec()),
            _ => arguments(given, texts![Utf8], 1, "reverse(text or array)"),
        },
        gives: |given, _| Ok(given[0].clone()),
        run: |call| match call.answer {
            DataType::List(_) => super::collections::reverse(call),
            _ => call.texts(|row| call.text(0, row).map(|text| text.chars().rev().collect::<String>())),
        },
    },
];

/// The longest text that a function makes of a count, in bytes.
const REPEATED_BYTES_MAX: i64 = 16 << 20;

fn repeated(text: &str, times: i64) -> Result<String> {
    let times = times.max(0);
    if times.saturating_mul(text.len() as i64) > REPEATED_BYTES_MAX {
        return exec_err!("a text of more than {REPEATED_BYTES_MAX} bytes");
    }
    Ok(text.repeat(times as usize))
}

/// A word begins after a space, and nowhere else.
fn initcap(text: &str) -> String {
    let mut capital = true;
    let mut capitalized = String::with_capacity(text.len());
    for c in text.chars() {
        if capital {
            capitalized.extend(c.to_uppercase());
        } else {
            capitalized.extend(c.to_lowercase());
        }
        capital = c == ' ';
    }
    capitalized
}

/// The characters stand before the text, as in Spark, and are spaces where not said.
fn trim(call: &Call, trim: impl for<'a> Fn(&'a str, &[char]) -> &'a str) -> Result<ArrayRef> {
    call.texts(|row| match call.has(1) {
        true => {
            let set: Vec<char> = call.text(0, row)?.chars().collect();
            Some(trim(call.text(1, row)?, &set))
        }
        false => Some(trim(call.text(0, row)?, &[' '])),
    })
}

fn only_utf8(charset: &str) -> Result<()> {
    match charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8") {
        true => Ok(()),
        false => exec_err!("the charset `{charset}` is not supported; UTF-8 is"),
    }
}

/// In lines of 76 characters, as MIME and Spark have it.
fn mime_base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    /// Input bytes of a line.
    const LINE_BYTES: usize = 57;
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for (number, line) in bytes.chunks(LINE_BYTES).enumerate() {
        if number > 0 {
            text.push_str("\r\n");
        }
        for three in line.chunks(3) {
            let part = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
            let bits = (part(0) << 16) | (part(1) << 8) | part(2);
            for index in 0..4 {
                let letter = LETTERS[(bits >> (18 - 6 * index)) as usize & 63];
                text.push(if index <= three.len() { letter.into() } else { '=' });
            }
        }
    }
    text
}

fn concat_types(given: &[DataType]) -> Result<Vec<DataType>> {
    if let Some(list) = given.iter().find(|given| matches!(given, DataType::List(_))) {
        return Ok(vec![list.clone(); given.len()]);
    }
    if !given.is_empty() && given.iter().all(|given| *given == DataType::Binary) {
        return Ok(given.to_vec());
    }
    Ok(vec![TEXT; given.len()])
}

fn concat(call: &Call) -> Result<ArrayRef> {
    match call.answer {
        DataType::List(_) => super::collections::concat(call),
        DataType::Binary => {
            let rows = (0..call.rows).map(|row| {
                let mut whole = Vec::new();
                for index in 0..call.columns.len() {
                    whole.extend_from_slice(call.bytes(index, row)?);
                }
                Some(whole)
            });
            Ok(Arc::new(rows.collect::<BinaryArray>()))
        }
        _ => call.texts(|row| {
            let mut whole = String::new();
            for index in 0..call.columns.len() {
                whole.push_str(call.text(index, row)?);
            }
            Some(whole)
        }),
    }
}
