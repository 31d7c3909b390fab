//! Protobuf's bytes, read by a plan: the last of a field counts, messages that come twice are one, and what nobody asked
//! for is passed over.

use super::plan::{Field, Many, Message, Names, Number, Scalar, Sign, What, Wire};
use crate::formats::binary::varint;
use crate::formats::tree::{Tree, VALUES_MAX};

/// How deep groups of fields that nobody asked for may nest.
const GROUPS_DEPTH_MAX: usize = 64;

/// Bytes on the way of being read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
}

/// A value as it stands on the wire.
#[derive(Debug, Clone, Copy)]
enum Raw<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Group,
    Fixed32([u8; 4]),
}

/// What was found of a field that is there once.
#[derive(Debug, Clone)]
enum Found<'a> {
    Nothing,
    Raw(Raw<'a>),
    /// A message that came in several pieces.
    Pieces(Vec<u8>),
}

fn short() -> String {
    "the message ends too early".into()
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, String> {
        varint(&mut self.bytes, short)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or_else(short)?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn prefixed(&mut self) -> Result<&'a [u8], String> {
        let length = usize::try_from(self.varint()?).map_err(|_| short())?;
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or_else(short)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// A field's number and its value.
    #[inline]
    fn field(&mut self) -> Result<(u32, Raw<'a>), String> {
        let (number, wire) = self.tag()?;
        Ok((number, self.value(number, wire, 0)?))
    }

    fn tag(&mut self) -> Result<(u32, u8), String> {
        let tag = u32::try_from(self.varint()?).map_err(|_| "a field's number of more than 29 bits".to_owned())?;
        match tag >> 3 {
            0 => Err("a field of number 0".into()),
            number => Ok((number, (tag & 7) as u8)),
        }
    }

    fn value(&mut self, number: u32, wire: u8, depth: usize) -> Result<Raw<'a>, String> {
        Ok(match wire {
            0 => Raw::Varint(self.varint()?),
            1 => Raw::Fixed64(self.array()?),
            2 => Raw::Bytes(self.prefixed()?),
            3 if depth >= GROUPS_DEPTH_MAX => return Err("groups that nest too deeply".into()),
            3 => loop {
                match self.tag()? {
                    (end, 4) if end == number => break Raw::Group,
                    (_, 4) => return Err("a group that ends as another".into()),
                    (inner, wire) => drop(self.value(inner, wire, depth + 1)?),
                }
            },
            4 => return Err("the end of a group that did not begin".into()),
            5 => Raw::Fixed32(self.array()?),
            _ => return Err(format!("the wire type {wire}")),
        })
    }
}

/// Reads messages; every list in them is bounded by what the record may come to.
#[derive(Debug)]
pub(super) struct Reader {
    values_left: usize,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { values_left: VALUES_MAX }
    }

    /// How many values lists and maps came to.
    pub(super) fn values(&self) -> usize {
        VALUES_MAX - self.values_left
    }

    fn charge(&mut self, cells: usize) -> Result<(), String> {
        let left = self.values_left.checked_sub(cells);
        self.values_left = left.ok_or("its lists are longer than a record may be")?;
        Ok(())
    }

    /// Reads one message into one struct.
    pub(super) fn message(&mut self, plan: &Message, bytes: &[u8], to: &mut Tree) -> Result<(), String> {
        let columns = to.fields()?;
        // Most messages are small: then this needs no memory of its own.
        let mut few = [const { Found::Nothing }; FEW];
        let mut many;
        let found = match few.get_mut(..plan.fields.len()) {
            Some(few) => few,
            None => {
                many = vec![Found::Nothing; plan.fields.len()];
                &mut many[..]
            }
        };
        let mut cursor = Cursor::new(bytes);
        let mut next = 0;
        while !cursor.rest().is_empty() {
            let (number, raw) = cursor.field()?;
            // Fields mostly come in their order.
            let guess = plan.fields.get(next).is_some_and(|field| field.number == number);
            let index = match guess {
                true => next,
                false => match plan.fields.binary_search_by_key(&number, |field| field.number) {
                    Ok(index) => index,
                    Err(_) => continue,
                },
            };
            let field = &plan.fields[index];
            next = if field.many == Many::One { index + 1 } else { index };
            let at = |reason: String| format!("`{}`: {reason}", field.name);
            match field.many {
                Many::One => self.keep(plan, index, raw, found).map_err(at)?,
                Many::List { cells } => {
                    self.items(&field.what, raw, cells, columns[field.to].items()?).map_err(at)?;
                }
                Many::Map { cells } => {
                    let What::Entry(key, value) = &field.what else { continue };
                    let Raw::Bytes(entry) = raw else { continue };
                    self.charge(cells)?;
                    self.entry(key, value, entry, columns[field.to].entries()?).map_err(at)?;
                }
            }
        }
        for (field, found) in plan.fields.iter().zip(found) {
            let column = &mut columns[field.to];
            let done = match field.many {
                Many::One => self.one(field, found, column),
                _ => column.close(),
            };
            done.map_err(|reason| format!("`{}`: {reason}", field.name))?;
        }
        to.done();
        Ok(())
    }

    /// Keeps what was found of a field until all of the message was seen.
    fn keep<'a>(&mut self, plan: &Message, index: usize, raw: Raw<'a>, found: &mut [Found<'a>]) -> Result<(), String> {
        let field = &plan.fields[index];
        if !field.what.fits(&raw) {
            return Ok(());
        }
        if let Some(oneof) = field.oneof {
            let others = plan.fields.iter().zip(found.iter_mut()).enumerate();
            for (_, (_, other)) in others.filter(|(other, (of, _))| *other != index && of.oneof == Some(oneof)) {
                *other = Found::Nothing;
            }
        }
        let message = matches!(field.what, What::Message(_) | What::Timestamp { .. } | What::Wrapped(..));
        found[index] = match (std::mem::replace(&mut found[index], Found::Nothing), raw) {
            (Found::Raw(Raw::Bytes(before)), Raw::Bytes(more)) if message => Found::Pieces([before, more].concat()),
            (Found::Pieces(mut before), Raw::Bytes(more)) if message => {
                before.extend_from_slice(more);
                Found::Pieces(before)
            }
            (_, raw) => Found::Raw(raw),
        };
        Ok(())
    }

    /// Gives a field's column its value.
    fn one(&mut self, field: &Field, found: &Found<'_>, to: &mut Tree) -> Result<(), String> {
        let raw = match found {
            Found::Nothing => None,
            Found::Raw(raw) => Some(*raw),
            Found::Pieces(bytes) => Some(Raw::Bytes(bytes)),
        };
        let there = raw.filter(|raw| {
            let unknown = matches!((&field.what, raw), (What::Enum(names), Raw::Varint(n)) if names.drops(*n));
            !unknown && !(field.zero_is_null && zero(raw))
        });
        match there {
            Some(raw) => self.value(&field.what, raw, to),
            None if field.required => Err("it is required, and not there".into()),
            None => match &field.default {
                Some(default) => default.push(to),
                None => {
                    to.null();
                    Ok(())
                }
            },
        }
    }

    /// One value.
    fn value(&mut self, what: &What, raw: Raw<'_>, to: &mut Tree) -> Result<(), String> {
        match (what, raw) {
            (What::Number(number), raw) => number.push(bits(raw), to),
            (What::Bool, Raw::Varint(value)) => to.bool(value != 0),
            (What::Float, Raw::Fixed32(bytes)) => to.float(f32::from_le_bytes(bytes)),
            (What::Double, Raw::Fixed64(bytes)) => to.double(f64::from_le_bytes(bytes)),
            (What::Bytes, Raw::Bytes(bytes)) => to.bytes(bytes),
            (What::Enum(names), Raw::Varint(value)) => names.push(value, to),
            (What::Message(plan), Raw::Bytes(bytes)) => self.message(plan, bytes, to),
            (What::Timestamp { per_second }, Raw::Bytes(bytes)) => to.whole(timestamp(bytes, *per_second)?),
            (What::Wrapped(inner), Raw::Bytes(bytes)) => {
                let mut value = None;
                let mut cursor = Cursor::new(bytes);
                while !cursor.rest().is_empty() {
                    match cursor.field()? {
                        (1, raw) if inner.fits(&raw) => value = Some(raw),
                        _ => {}
                    }
                }
                self.value(inner, value.unwrap_or_else(|| inner.nothing()), to)
            }
            _ => Err("a value of another type".into()),
        }
    }

    /// The items of a list that come together: one, or packed numbers.
    fn items(&mut self, what: &What, raw: Raw<'_>, cells: usize, to: &mut Tree) -> Result<(), String> {
        if what.fits(&raw) {
            let dropped = matches!((what, raw), (What::Enum(names), Raw::Varint(n)) if names.drops(n));
            if dropped {
                return Ok(());
            }
            self.charge(cells)?;
            return self.value(what, raw, to);
        }
        let (Raw::Bytes(packed), Some(wire)) = (raw, what.packs()) else { return Ok(()) };
        let mut cursor = Cursor::new(packed);
        while !cursor.rest().is_empty() {
            let item = match wire {
                Wire::Varint => Raw::Varint(cursor.varint()?),
                Wire::Fixed32 => Raw::Fixed32(cursor.array()?),
                Wire::Fixed64 => Raw::Fixed64(cursor.array()?),
            };
            if matches!((what, item), (What::Enum(names), Raw::Varint(n)) if names.drops(n)) {
                continue;
            }
            self.charge(cells)?;
            self.value(what, item, to)?;
        }
        Ok(())
    }

    fn entry(&mut self, key: &What, value: &What, entry: &[u8], to: (&mut Tree, &mut Tree)) -> Result<(), String> {
        let (mut keyed, mut valued) = (key.nothing(), value.nothing());
        let mut cursor = Cursor::new(entry);
        while !cursor.rest().is_empty() {
            match cursor.field()? {
                (1, raw) if key.fits(&raw) => keyed = raw,
                (2, raw) if value.fits(&raw) => valued = raw,
                _ => {}
            }
        }
        self.value(key, keyed, to.0)?;
        self.value(value, valued, to.1)
    }
}

/// A message of more fields needs memory of its own for what was found of them.
const FEW: usize = 24;

impl What {
    /// Whether a value on the wire is one of these; another is as if it were not there.
    fn fits(&self, raw: &Raw<'_>) -> bool {
        match self {
            Self::Number(Number { wire: Wire::Varint, .. }) | Self::Bool | Self::Enum(_) => {
                matches!(raw, Raw::Varint(_))
            }
            Self::Number(Number { wire: Wire::Fixed32, .. }) | Self::Float => matches!(raw, Raw::Fixed32(_)),
            Self::Number(Number { wire: Wire::Fixed64, .. }) | Self::Double => matches!(raw, Raw::Fixed64(_)),
            Self::Bytes | Self::Message(_) | Self::Timestamp { .. } | Self::Wrapped(..) | Self::Entry(..) => {
                matches!(raw, Raw::Bytes(_))
            }
        }
    }

    /// How its values stand when they are packed, if they can be.
    fn packs(&self) -> Option<Wire> {
        match self {
            Self::Number(number) => Some(number.wire),
            Self::Bool | Self::Enum(_) => Some(Wire::Varint),
            Self::Float => Some(Wire::Fixed32),
            Self::Double => Some(Wire::Fixed64),
            _ => None,
        }
    }

    /// What a value is that is not there, where one has to be: in a map or a wrapper.
    fn nothing(&self) -> Raw<'static> {
        match self.packs() {
            Some(Wire::Varint) => Raw::Varint(0),
            Some(Wire::Fixed32) => Raw::Fixed32([0; 4]),
            Some(Wire::Fixed64) => Raw::Fixed64([0; 8]),
            None => Raw::Bytes(&[]),
        }
    }
}

fn bits(raw: Raw<'_>) -> u64 {
    match raw {
        Raw::Varint(value) => value,
        Raw::Fixed64(bytes) => u64::from_le_bytes(bytes),
        Raw::Fixed32(bytes) => u32::from_le_bytes(bytes).into(),
        Raw::Bytes(_) | Raw::Group => 0,
    }
}

fn zero(raw: &Raw<'_>) -> bool {
    match raw {
        Raw::Bytes(bytes) => bytes.is_empty(),
        // A negative zero is not nothing, as its bits are not.
        raw => bits(*raw) == 0,
    }
}

impl Number {
    fn push(self, bits: u64, to: &mut Tree) -> Result<(), String> {
        let value = match self.sign {
            Sign::Narrow => i64::from(bits as u32 as i32),
            Sign::Wide => bits.cast_signed(),
            Sign::ZigZag => (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed(),
            Sign::None { bits: 32 } => i64::from(bits as u32),
            Sign::None { .. } if self.decimal => return to.decimal(bits.into()),
            Sign::None { .. } => bits.cast_signed(),
        };
        if self.decimal { to.decimal(value.into()) } else { to.whole(value) }
    }
}

impl Names {
    /// The name of a number.
    fn find(&self, number: u64) -> Option<&str> {
        let number = number as u32 as i32;
        let place = self.names.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&self.names[place].1)
    }

    /// Whether a number is as if it were not there.
    fn drops(&self, number: u64) -> bool {
        self.closed && self.find(number).is_none()
    }

    fn push(&self, number: u64, to: &mut Tree) -> Result<(), String> {
        match self.find(number) {
            Some(name) => to.bytes(name.as_bytes()),
            // As Java calls it, and so Spark.
            None => to.bytes(format!("UNKNOWN_ENUM_VALUE_{}_{}", self.of, number as u32 as i32).as_bytes()),
        }
    }
}

impl Scalar {
    fn push(&self, to: &mut Tree) -> Result<(), String> {
        match self {
            Self::Whole(value) => to.whole(*value),
            Self::Decimal(value) => to.decimal(*value),
            Self::Bool(value) => to.bool(*value),
            Self::Float(value) => to.float(*value),
            Self::Double(value) => to.double(*value),
            Self::Bytes(value) => to.bytes(value),
        }
    }
}

/// The time of a `google.protobuf.Timestamp`.
fn timestamp(bytes: &[u8], per_second: i64) -> Result<i64, String> {
    let (mut seconds, mut nanos) = (0_i64, 0_i64);
    let mut cursor = Cursor::new(bytes);
    while !cursor.rest().is_empty() {
        match cursor.field()? {
            (1, Raw::Varint(value)) => seconds = value.cast_signed(),
            (2, Raw::Varint(value)) => nanos = i64::from(value as u32 as i32),
            _ => {}
        }
    }
    let whole = seconds.checked_mul(per_second);
    let whole = whole.and_then(|whole| whole.checked_add(nanos.div_euclid(1_000_000_000 / per_second)));
    whole.ok_or_else(|| format!("the time {seconds} is too far away"))
}
