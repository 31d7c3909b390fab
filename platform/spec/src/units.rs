//! Durations (`10s`, `1h30m`, `10 seconds`) and sizes (`64MiB`, `1GB`, `1024`) from text.

use std::time::Duration;

/// The longest duration that a deployment may name: its milliseconds must fit event time, which is an `i64`.
const DURATION_MS_MAX: u64 = i64::MAX as u64;

/// Units of time, in milliseconds, with every spelling that Spark knows.
const TIMES: &[(u64, &[&str])] = &[
    (1, &["ms", "millisecond", "milliseconds"]),
    (1_000, &["s", "sec", "second", "seconds"]),
    (60_000, &["m", "min", "minute", "minutes"]),
    (3_600_000, &["h", "hour", "hours"]),
    (86_400_000, &["d", "day", "days"]),
    (604_800_000, &["week", "weeks"]),
];

/// Units of size, in bytes, in lower case.
const SIZES: &[(&str, u64)] = &[
    ("", 1),
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Reads a duration. The error is a better spelling, if one can be guessed.
pub(crate) fn duration(text: &str) -> Result<Duration, Option<String>> {
    let mut rest = text.trim();
    if let Ok(number) = rest.parse::<u64>() {
        return Err(Some(format!("{number}s")));
    }
    if rest.is_empty() {
        return Err(None);
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = split_where(rest, |c| !c.is_ascii_digit());
        let (gap, after) = split_where(after, |c| c != ' ');
        let (unit, after) = split_where(after, |c| !c.is_ascii_alphabetic());
        let number: u64 = number.parse().map_err(|_| None)?;
        let lower = unit.to_ascii_lowercase();
        let Some((scale, _)) = TIMES.iter().find(|(_, names)| names.contains(&lower.as_str())) else {
            let near = TIMES.iter().flat_map(|(_, names)| names.iter());
            let guess = crate::suggest::nearest(&lower, near.copied());
            return Err(guess.filter(|_| after.is_empty()).map(|unit| format!("{number}{gap}{unit}")));
        };
        let part = number.checked_mul(*scale).ok_or(None)?;
        total = total.checked_add(part).filter(|total| *total <= DURATION_MS_MAX).ok_or(None)?;
        rest = after.trim_start();
    }
    Ok(Duration::from_millis(total))
}

/// Reads a size in bytes. The error is a better spelling, if one can be guessed.
pub(crate) fn size(text: &str) -> Result<u64, Option<String>> {
    let (number, unit) = split_where(text.trim(), |c| !c.is_ascii_digit());
    let count: u64 = number.parse().map_err(|_| None)?;
    let unit = unit.trim().to_ascii_lowercase();
    let Some((_, scale)) = SIZES.iter().find(|(name, _)| *name == unit) else {
        let guess = match unit.as_str() {
            "k" => Some("KiB"),
            "m" => Some("MiB"),
            "g" => Some("GiB"),
            "t" => Some("TiB"),
            _ => None,
        };
        return Err(guess.map(|unit| format!("{count}{unit}")));
    };
    count.checked_mul(*scale).ok_or(None)
}

fn split_where(text: &str, stop: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(stop).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_every_spelling() {
        for (text, ms) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("10 seconds", 10_000),
            ("1m", 60_000),
            ("1h30m", 5_400_000),
            ("1 hour 30 minutes", 5_400_000),
            ("1d", 86_400_000),
            ("2 weeks", 1_209_600_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn bad_durations_with_a_guess() {
        for (text, guess) in [
            ("10", Some("10s")),
            ("10sek", Some("10sec")),
            ("10 secnds", Some("10 seconds")),
            ("1.5s", None),
            ("-1s", None),
            ("s", None),
            ("", None),
            ("99999999999999999999s", None),
            ("9999999999999999d", None),
        ] {
            assert_eq!(duration(text), Err(guess.map(String::from)), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("1024", 1024), ("64MiB", 64 << 20), ("64 mib", 64 << 20), ("1GB", 1_000_000_000), ("7B", 7)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        assert_eq!(size("64M"), Err(Some("64MiB".into())));
        for bad in ["", "MiB", "1.5MiB", "-1", "99999999TiB", "64 parsecs"] {
            assert_eq!(size(bad), Err(None), "{bad}");
        }
    }
}
