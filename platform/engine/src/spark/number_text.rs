//! Numbers as text in other forms.

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Decimal128Type};

use super::scalar::{Call, Function, TEXT, arguments, usage};

/// The functions of this file.
pub const FUNCTIONS: &[Function] = &[
    Function {
        names: &["format_number"],
        takes: |given| match given {
            [DataType::Decimal128(_, _), _] => Ok(vec![given[0].clone(), DataType::Int64]),
            [number, _] if number.is_floating() => Ok(vec![DataType::Float64, DataType::Int64]),
            [_, _] => Ok(vec![DataType::Decimal128(20, 0), DataType::Int64]),
            _ => usage("format_number(number, places)"),
        },
        gives: |_, _| Ok(TEXT),
        run: |call| call.texts(|row| format_number(call, row)),
    },
    Function {
        names: &["conv"],
        takes: |given| {
            arguments(given, &[TEXT, DataType::Int64, DataType::Int64], 3, "conv(number, from_base, to_base)")
        },
        gives: |_, _| Ok(TEXT),
        run: |call| call.texts(|row| conv(call.text(0, row)?, call.long(1, row)?, call.long(2, row)?)),
    },
];

/// With commas between thousands, rounded half to even.
fn format_number(call: &Call, row: usize) -> Option<String> {
    let places = u32::try_from(call.long(1, row)?).ok()?;
    let mut below = false;
    let plain = match call.columns[0].data_type() {
        DataType::Decimal128(_, scale) => {
            let column = call.columns[0].as_primitive::<Decimal128Type>();
            let value = arrow::array::Array::is_valid(column, row).then(|| column.value(row))?;
            let scale = u32::try_from(*scale).ok()?;
            below = value < 0;
            let rounded = match scale.checked_sub(places) {
                Some(fewer) => super::math::half_even(value, 10i128.checked_pow(fewer)?),
                None => value.checked_mul(10i128.checked_pow(places - scale)?)?,
            };
            super::digits::decimal(rounded, places as i8)
        }
        _ => {
            let value = call.double(0, row)?;
            if value.is_nan() {
                return Some("NaN".into());
            }
            if value.is_infinite() {
                return Some(if value > 0.0 { "∞".into() } else { "-∞".into() });
            }
            format!("{value:.*}", places as usize)
        }
    };
    let digits = plain.strip_prefix('-').unwrap_or(&plain);
    // The sign stays where nothing else is left.
    let sign = if below || plain.starts_with('-') { "-" } else { "" };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{grouped}{point}{fraction}"))
}

/// A number from one base to another, in 64 bits as in Spark; a base below zero makes it signed.
fn conv(number: &str, from: i64, to: i64) -> Option<String> {
    let base = |base: i64| u32::try_from(base.abs()).ok().filter(|base| (2..=36).contains(base));
    let (from, radix) = (base(from)?, base(to)?);
    let number = number.trim_matches(' ');
    let (negative, digits) = number.strip_prefix('-').map_or((false, number), |digits| (true, digits));
    let mut value: u64 = 0;
    let mut overflow = false;
    let mut any = false;
    for digit in digits.chars().map_while(|c| c.to_digit(from)) {
        any = true;
        match value.checked_mul(from.into()).and_then(|value| value.checked_add(digit.into())) {
            Some(next) => value = next,
            None => overflow = true,
        }
    }
    if number.is_empty() {
        return None;
    }
    if !any {
        value = 0;
    }
    if overflow {
        value = u64::MAX;
    } else if negative {
        value = if to > 0 { value.wrapping_neg() } else { value };
    }
    let (sign, mut left) = match (to < 0, negative && !overflow) {
        (true, true) => ("-", value),
        (true, false) if (value as i64) < 0 => ("-", (value as i64).unsigned_abs()),
        _ => ("", value),
    };
    let mut letters = Vec::new();
    loop {
        letters.push(char::from_digit((left % u64::from(radix)) as u32, radix)?.to_ascii_uppercase());
        left /= u64::from(radix);
        if left == 0 {
            break;
        }
    }
    Some(sign.chars().chain(letters.into_iter().rev()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases() {
        let conv = |number, from, to| conv(number, from, to).unwrap_or_default();
        assert_eq!(conv("100", 2, 10), "4");
        assert_eq!(conv("-10", 16, -10), "-16");
        assert_eq!(conv("-1", 10, 16), "FFFFFFFFFFFFFFFF");
        assert_eq!(conv("ff", 16, 2), "11111111");
    }
}
