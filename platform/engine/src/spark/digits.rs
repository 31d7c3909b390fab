//! Floats as Java writes them, which is as Spark writes them.

/// The shortest digits that give the double back; from 10⁻³ to 10⁷ plain, otherwise with an exponent.
pub fn double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    layout(&format!("{value:e}"))
}

/// The same of a float.
pub fn float(value: f32) -> String {
    if value.is_finite() { layout(&format!("{value:e}")) } else { double(value.into()) }
}

/// From `-1.25e-7` to Java's layout.
fn layout(scientific: &str) -> String {
    let (sign, rest) = match scientific.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", scientific),
    };
    let (mantissa, exponent) = rest.split_once('e').unwrap_or((rest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    if digits == "0" {
        return format!("{sign}0.0");
    }
    if (-3..7).contains(&exponent) {
        if exponent < 0 {
            let zeros = "0".repeat((-exponent - 1) as usize);
            return format!("{sign}0.{zeros}{digits}");
        }
        let point = exponent as usize + 1;
        if digits.len() <= point {
            return format!("{sign}{digits}{}.0", "0".repeat(point - digits.len()));
        }
        return format!("{sign}{}.{}", &digits[..point], &digits[point..]);
    }
    let rest = if digits.len() > 1 { &digits[1..] } else { "0" };
    format!("{sign}{}.{rest}E{exponent}", &digits[..1])
}

/// A decimal's text: all digits behind the point.
pub fn decimal(value: i128, scale: i8) -> String {
    let Ok(scale) = usize::try_from(scale) else {
        return format!("{value}{}", "0".repeat(scale.unsigned_abs().into()));
    };
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    match scale {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_as_java_writes_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (123456.789, "123456.789"),
            (1e7, "1.0E7"),
            (9999999.0, "9999999.0"),
            (0.001, "0.001"),
            (1e-5, "1.0E-5"),
            (1.25e-7, "1.25E-7"),
            (9007199254740992.0, "9.007199254740992E15"),
            (-1e300, "-1.0E300"),
        ] {
            assert_eq!(double(value), text);
        }
        assert_eq!((float(0.1), float(16777216.0)), ("0.1".into(), "1.6777216E7".into()));
    }

    #[test]
    fn decimals_keep_their_zeros() {
        assert_eq!((decimal(-5, 3), decimal(12_300, 2), decimal(7, 0)), ("-0.005".into(), "123.00".into(), "7".into()));
    }
}
