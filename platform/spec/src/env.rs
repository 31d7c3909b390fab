//! `${VAR}`, `${VAR:-default}` and `$$` in values, from the environment.

use std::ops::Range;

/// Parts of a name that mean that its value is nobody's business.
const SECRET_PARTS: &[&str] = &["password", "passwd", "passphrase", "secret", "token", "credential", "key"];

/// How a text came from the environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Substitution {
    /// The text before it.
    pub raw: String,
    /// The variables whose value is in it.
    pub variables: Vec<String>,
    /// Bytes of the new text and the bytes of the raw text that they replaced, in order.
    pub cuts: Vec<(Range<usize>, Range<usize>)>,
    /// Whether a name says that the value must not be shown.
    pub secret: bool,
}

/// A `${…}` that could not be replaced, at a byte of the raw text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unset {
    pub at: Range<usize>,
    pub message: String,
    pub hint: String,
}

/// Whether a key or a variable names a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_PARTS.iter().any(|part| name.contains(part))
}

/// Replaces every `${…}` and `$$`. `None` if there is nothing to replace.
pub(crate) fn substitute(
    raw: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<(String, Substitution)>, Vec<Unset>> {
    if !raw.contains("${") && !raw.contains("$$") {
        return Ok(None);
    }
    let mut text = String::with_capacity(raw.len());
    let mut done = Substitution { raw: raw.to_owned(), ..Substitution::default() };
    let mut unset = Vec::new();
    let mut at = 0;
    while let Some(dollar) = raw[at..].find('$').map(|found| at + found) {
        text.push_str(&raw[at..dollar]);
        let rest = &raw[dollar..];
        let (end, value) = if rest.starts_with("$$") {
            (dollar + 2, Ok("$".to_owned()))
        } else if let Some(inside) = rest.strip_prefix("${") {
            match inside.find('}') {
                Some(length) => (dollar + 2 + length + 1, variable(&inside[..length], lookup, &mut done)),
                None => (raw.len(), Err(("`${` without its `}`".into(), "write `$$` for a dollar".into()))),
            }
        } else {
            text.push('$');
            at = dollar + 1;
            continue;
        };
        match value {
            Ok(value) => {
                done.cuts.push((text.len()..text.len() + value.len(), dollar..end));
                text.push_str(&value);
            }
            Err((message, hint)) => unset.push(Unset { at: dollar..end, message, hint }),
        }
        at = end;
    }
    text.push_str(&raw[at..]);
    if unset.is_empty() { Ok(Some((text, done))) } else { Err(unset) }
}

fn variable(
    inside: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    done: &mut Substitution,
) -> Result<String, (String, String)> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let first_is_digit = name.starts_with(|c: char| c.is_ascii_digit());
    if name.is_empty() || first_is_digit || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err((
            format!("`${{{inside}}}` is no environment variable"),
            "write `${NAME}` or `${NAME:-default}`, and `$$` for a dollar".to_owned(),
        ));
    }
    if default.is_some_and(|default| default.contains("${")) {
        return Err((
            format!("the default of `${{{name}}}` holds another `${{`"),
            "a default is plain text".to_owned(),
        ));
    }
    let value = match (lookup(name), default) {
        (Some(value), Some(default)) if value.is_empty() => return Ok(default.to_owned()),
        (Some(value), _) => value,
        (None, Some(default)) => return Ok(default.to_owned()),
        (None, None) => {
            return Err((
                format!("the environment variable `{name}` is not set"),
                format!("set it (`export {name}=…`), or give a default: `${{{name}:-…}}`"),
            ));
        }
    };
    done.secret |= is_secret(name);
    done.variables.push(name.to_owned());
    Ok(value)
}

impl Substitution {
    /// The byte of the raw text behind a byte of the new text.
    pub(crate) fn raw_offset(&self, offset: usize) -> usize {
        let mut raw = offset;
        for (new, old) in &self.cuts {
            if offset < new.start {
                break;
            }
            raw = if offset < new.end { old.start } else { old.end + (offset - new.end) };
        }
        raw.min(self.raw.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("db".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn text(raw: &str) -> String {
        match substitute(raw, &lookup) {
            Ok(Some((text, _))) => text,
            Ok(None) => "(same)".into(),
            Err(unset) => unset.into_iter().map(|one| one.message).collect::<Vec<_>>().join("; "),
        }
    }

    #[test]
    fn all_forms() {
        for (raw, expected) in [
            ("a $ b ^x$", "(same)"),
            ("${HOST}:1", "db:1"),
            ("${NO:-x}${NO:-}", "x"),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("$$HOST $${HOST} $5", "$HOST ${HOST} $5"),
            ("${NO} ${NO2}", "the environment variable `NO` is not set; the environment variable `NO2` is not set"),
            ("${HOST", "`${` without its `}`"),
            ("${}", "`${}` is no environment variable"),
            ("${1A}", "`${1A}` is no environment variable"),
            ("${A-b}", "`${A-b}` is no environment variable"),
            ("${NO:-${HOST}}", "the default of `${NO}` holds another `${`"),
        ] {
            assert_eq!(text(raw), expected, "{raw}");
        }
    }

    #[test]
    fn places_lead_back_to_the_raw_text() {
        let (new, done) = substitute("a ${HOST} b $$ c", &lookup).unwrap().unwrap();
        assert_eq!(new, "a db b $ c");
        for (offset, raw) in [(0, 0), (2, 2), (3, 2), (5, 10), (7, 12), (9, 15), (99, 16)] {
            assert_eq!(done.raw_offset(offset), raw, "{offset}");
        }
    }

    #[test]
    fn secrets_by_name() {
        for name in ["sasl.password", "AWS_SECRET_ACCESS_KEY", "apiKey", "bearer_token"] {
            assert!(is_secret(name), "{name}");
        }
        assert!(!is_secret("KAFKA_BROKERS"));
    }
}
