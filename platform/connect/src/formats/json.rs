//! JSON objects to columns: one strict pass over each record that builds what is needed and checks the rest.
//!
//! Every declared column is checked, needed or not, so that whether a record is bad does not depend on who reads it.
//! Keys that are not declared are skipped. The last of equal keys wins. Objects of one producer mostly have their
//! keys in one order: the previous record's keys are tried first, so that a key costs one comparison.

use arrow::datatypes::SchemaRef;
use braid_kernel::SourceError;
use memchr::memchr2;

use super::columns::{Columns, Kind, Value, parse_date, parse_decimal, parse_timestamp};

/// How many keys of the previous record are remembered.
const KEYS_REMEMBERED_MAX: usize = 256;

/// A declared column.
#[derive(Debug)]
struct Field {
    name: String,
    kind: Kind,
    required: bool,
    /// Its place in the projected schema, if it is needed.
    column: Option<usize>,
}

/// A key at this place of the previous record.
#[derive(Debug, Default)]
struct Remembered {
    /// From its opening quote to the colon.
    text: Vec<u8>,
    field: Option<usize>,
}

/// The decoder of flat schemas.
#[derive(Debug)]
pub(super) struct Json {
    fields: Vec<Field>,
    remembered: Vec<Remembered>,
    columns: Columns,
}

/// Why a record is no row. The text is made only when it is.
type Reason = String;

impl Json {
    /// A decoder of `declared`, building the columns of `projected`.
    pub(super) fn new(declared: &SchemaRef, projected: &SchemaRef, rows: usize) -> Result<Self, SourceError> {
        let fields = declared.fields().iter().map(|field| {
            Ok(Field {
                name: field.name().clone(),
                kind: Kind::of(field.data_type()).ok_or_else(|| {
                    SourceError::Fatal(format!("column `{}`: {} is not flat", field.name(), field.data_type()))
                })?,
                required: !field.is_nullable(),
                column: projected.index_of(field.name()).ok(),
            })
        });
        Ok(Self {
            fields: fields.collect::<Result<_, SourceError>>()?,
            remembered: Vec::new(),
            columns: Columns::new(projected.clone(), rows)?,
        })
    }

    /// As many values as [`Self::record`] wants to work in.
    pub(super) fn width(&self) -> usize {
        self.fields.len()
    }

    /// Takes one record whole, or not at all. `plain` promises that no string in it holds a raw control character.
    #[inline]
    pub(super) fn record<'a>(&mut self, record: &'a str, plain: bool, slots: &mut [Value<'a>]) -> Result<(), Reason> {
        slots.fill(Value::Null);
        self.object(&mut Scanner { text: record, bytes: record.as_bytes(), at: 0, plain }, slots)?;
        for (field, value) in self.fields.iter().zip(&*slots) {
            if field.required && *value == Value::Null {
                return Err(format!("`{}` is missing or null", field.name));
            }
        }
        for (field, value) in self.fields.iter().zip(slots) {
            if let Some(column) = field.column {
                self.columns.push(column, *value);
            }
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Vec<arrow::array::ArrayRef> {
        self.columns.finish()
    }

    #[inline]
    fn object<'a>(&mut self, s: &mut Scanner<'a>, slots: &mut [Value<'a>]) -> Result<(), Reason> {
        s.space();
        if !s.take(b'{') {
            return Err(s.expected("an object"));
        }
        s.space();
        if s.take(b'}') {
            return s.end();
        }
        for place in 0.. {
            let field = match self.remembered.get(place) {
                Some(key) if s.bytes[s.at..].starts_with(&key.text) => {
                    s.at += key.text.len();
                    key.field
                }
                _ => self.key(s, place)?,
            };
            s.space();
            match field {
                Some(field) => read_value(s, &self.fields[field], &mut slots[field])?,
                None => s.skip()?,
            }
            s.space();
            if s.take(b',') {
                s.space();
            } else if s.take(b'}') {
                break;
            } else {
                return Err(s.expected("`,` or `}`"));
            }
        }
        s.end()
    }

    /// Reads a key that is not the one remembered for this place, and remembers it.
    #[cold]
    fn key(&mut self, s: &mut Scanner<'_>, place: usize) -> Result<Option<usize>, Reason> {
        let start = s.at;
        let (key, escaped) = s.string().map_err(|_| s.expected("a key"))?;
        s.space();
        if !s.take(b':') {
            return Err(s.expected("`:`"));
        }
        let mut unescaped = String::new();
        let name = if escaped {
            unescape(key, |part| unescaped.push_str(part));
            &unescaped
        } else {
            key
        };
        let field = self.fields.iter().position(|field| field.name == name);
        if place < KEYS_REMEMBERED_MAX && place <= self.remembered.len() {
            if place == self.remembered.len() {
                self.remembered.push(Remembered::default());
            }
            let remembered = &mut self.remembered[place];
            remembered.text.clear();
            remembered.text.extend_from_slice(&s.bytes[start..s.at]);
            remembered.field = field;
        }
        Ok(field)
    }
}

/// Reads the value of a declared column into its slot.
#[inline]
fn read_value<'a>(s: &mut Scanner<'a>, field: &Field, slot: &mut Value<'a>) -> Result<(), Reason> {
    if field.kind == Kind::Text && s.peek() == b'"' {
        let (text, escaped) = s.string()?;
        *slot = if escaped { Value::Escaped(text) } else { Value::Text(text) };
        return Ok(());
    }
    let start = s.at;
    match other_value(s, field.kind)? {
        Some(value) => *slot = value,
        None => return Err(s.wrong_value(start, field)),
    }
    Ok(())
}

/// Reads a value that is no string of text; `None` where it is not of its kind.
fn other_value<'a>(s: &mut Scanner<'a>, kind: Kind) -> Result<Option<Value<'a>>, Reason> {
    Ok(match (s.peek(), kind) {
        (b'-' | b'0'..=b'9', Kind::Int { min, max }) => match s.integer() {
            Some(value) if value >= min && value <= max => Some(Value::Int(value)),
            _ => None,
        },
        (b'-' | b'0'..=b'9', Kind::Timestamp { millis: true }) => s.integer().map(Value::Int),
        (b'-' | b'0'..=b'9', Kind::Float64 | Kind::Float32 | Kind::Decimal { .. }) => kind.parse(s.number()?),
        (b'"', Kind::Decimal { precision, scale }) => {
            let text = s.plain_string()?;
            text.and_then(|text| parse_decimal(text, precision, scale)).map(|value| Value::Decimal(value.into()))
        }
        (b'"', Kind::Timestamp { millis }) => {
            s.plain_string()?.and_then(|text| parse_timestamp(text, millis)).map(Value::Int)
        }
        (b'"', Kind::Date) => s.plain_string()?.and_then(parse_date).map(|days| Value::Int(days.into())),
        (b'"', Kind::Binary) => s.plain_string()?.and_then(Kind::base64),
        (b't', Kind::Bool) => s.literal("true").then_some(Value::Bool(true)),
        (b'f', Kind::Bool) => s.literal("false").then_some(Value::Bool(false)),
        (b'n', _) => s.literal("null").then_some(Value::Null),
        _ => None,
    })
}

/// A place in a record.
struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    plain: bool,
}

impl<'a> Scanner<'a> {
    /// The next byte; 0, which JSON has no use for, at the end.
    #[inline]
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    #[inline]
    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\r' | b'\n') {
            self.at += 1;
        }
    }

    fn literal(&mut self, literal: &str) -> bool {
        let found = self.bytes[self.at..].starts_with(literal.as_bytes());
        if found {
            self.at += literal.len();
        }
        found
    }

    fn end(&mut self) -> Result<(), Reason> {
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.expected("the end of the record")) }
    }

    /// A string's inside, and whether it holds escapes, which are then proved valid.
    #[inline(always)]
    fn string(&mut self) -> Result<(&'a str, bool), Reason> {
        if !self.take(b'"') {
            return Err(self.expected("a string"));
        }
        let start = self.at;
        let Some(length) = memchr2(b'"', b'\\', &self.bytes[start..]) else {
            return Err("a string without its closing quote".into());
        };
        let escaped = self.bytes[start + length] == b'\\';
        self.at = start + length;
        if escaped {
            self.escaped_string()?;
        }
        let text = &self.text[start..self.at];
        self.at += 1;
        if !self.plain && text.bytes().any(|byte| byte < 0x20) {
            return Err(format!("a raw control character in a string at byte {start}"));
        }
        Ok((text, escaped))
    }

    /// From the first backslash to the closing quote.
    #[cold]
    fn escaped_string(&mut self) -> Result<(), Reason> {
        loop {
            match memchr2(b'"', b'\\', &self.bytes[self.at..]) {
                None => return Err("a string without its closing quote".into()),
                Some(length) => self.at += length,
            }
            if self.bytes[self.at] == b'"' {
                return Ok(());
            }
            let escape = &self.bytes[self.at..];
            self.at += match escape.get(1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                Some(b'u') => match code_point(escape) {
                    Some((_, length)) => length,
                    None => return Err(self.expected("a \\u escape of a character")),
                },
                _ => return Err(self.expected("an escape")),
            };
        }
    }

    /// A string that has no business with escapes; `None` where it has some.
    fn plain_string(&mut self) -> Result<Option<&'a str>, Reason> {
        self.string().map(|(text, escaped)| (!escaped).then_some(text))
    }

    /// A whole number that fits 64 bits; `None` for any other number.
    #[inline]
    fn integer(&mut self) -> Option<i64> {
        let negative = self.take(b'-');
        let start = self.at;
        // Kept negative, because there is one more of those.
        let mut value = 0i64;
        loop {
            let digit = self.peek().wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            self.at += 1;
            // Eighteen digits cannot overflow.
            value = if self.at - start <= 18 {
                value * 10 - i64::from(digit)
            } else {
                value.checked_mul(10)?.checked_sub(i64::from(digit))?
            };
        }
        let digits = self.at - start;
        let leading_zero = digits > 1 && self.bytes[start] == b'0';
        if digits == 0 || leading_zero || matches!(self.peek(), b'.' | b'e' | b'E') {
            return None;
        }
        if negative { Some(value) } else { value.checked_neg() }
    }

    /// A number's text.
    fn number(&mut self) -> Result<&'a str, Reason> {
        let start = self.at;
        self.take(b'-');
        let whole = self.digits();
        let leading_zero = whole > 1 && self.bytes[self.at - whole] == b'0';
        let mut valid = whole > 0 && !leading_zero;
        if self.take(b'.') {
            valid &= self.digits() > 0;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if !self.take(b'+') {
                self.take(b'-');
            }
            valid &= self.digits() > 0;
        }
        if valid {
            Ok(&self.text[start..self.at])
        } else {
            self.at = start;
            Err(self.expected("a number"))
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        self.at - start
    }

    /// Passes over any value.
    #[inline]
    fn skip(&mut self) -> Result<(), Reason> {
        match self.peek() {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            _ => self.skip_other(),
        }
    }

    fn skip_other(&mut self) -> Result<(), Reason> {
        let mut values = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter::<serde::de::IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {
                self.at += values.byte_offset();
                Ok(())
            }
            Some(Err(error)) => Err(format!("{} ({error})", self.expected("a value"))),
            None => Err(self.expected("a value")),
        }
    }

    #[cold]
    fn expected(&self, what: &str) -> Reason {
        format!("expected {what} at byte {}, found {}", self.at, found(&self.text[self.floor()..]))
    }

    /// The position, moved back to where a character starts.
    fn floor(&self) -> usize {
        (0..=self.at.min(self.text.len())).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0)
    }

    #[cold]
    fn wrong_value(&self, start: usize, field: &Field) -> Reason {
        format!("`{}`: expected {}, found {}", field.name, field.kind.expected(), found(&self.text[start..]))
    }
}

/// The start of some text, for a message.
pub(super) fn found(text: &str) -> String {
    const CHARS_SHOWN: usize = 32;
    match text.char_indices().nth(CHARS_SHOWN) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None if text.is_empty() => "the end".into(),
        None => format!("`{text}`"),
    }
}

/// The character of `\uXXXX`, or of a pair of them, at the start of `escape`, and how many bytes it takes.
fn code_point(escape: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| -> Option<u32> {
        let digits = escape.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
    };
    let first = unit(0)?;
    if (0xD800..0xDC00).contains(&first) {
        let second = unit(6).filter(|unit| (0xDC00..0xE000).contains(unit))?;
        let scalar = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        Some((char::from_u32(scalar)?, 12))
    } else {
        Some((char::from_u32(first)?, 6))
    }
}

/// Gives out the parts of a string whose escapes are valid.
pub(super) fn unescape(mut text: &str, mut part: impl FnMut(&str)) {
    while let Some(at) = text.find('\\') {
        part(&text[..at]);
        let escape = &text[at..];
        let mut buffer = [0; 4];
        let (character, length) = match escape.as_bytes().get(1) {
            Some(b'b') => ('\u{8}', 2),
            Some(b'f') => ('\u{c}', 2),
            Some(b'n') => ('\n', 2),
            Some(b'r') => ('\r', 2),
            Some(b't') => ('\t', 2),
            Some(b'u') => code_point(escape.as_bytes()).unwrap_or((char::REPLACEMENT_CHARACTER, escape.len())),
            Some(other) => (char::from(*other), 2),
            None => return,
        };
        part(character.encode_utf8(&mut buffer));
        text = &escape[length..];
    }
    part(text);
}
