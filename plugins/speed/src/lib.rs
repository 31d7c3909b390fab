//! What the plugin benchmark (W6) computes: the same source is built as a guest, and as native code to be compared with it.

use memchr::{memchr, memchr3};

/// Two numbers added: what is left is the way across the sandbox.
#[inline]
pub fn add(a: i32, b: i32) -> i32 {
    a.wrapping_add(b)
}

/// The greatest number that divides both (Euclid).
#[inline]
pub fn gcd(a: i32, b: i32) -> i32 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a as i32
}

/// The host of an address.
#[inline]
pub fn url_host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_at(memchr(b':', url.as_bytes())?);
    let rest = rest.strip_prefix("://")?;
    let end = memchr3(b'/', b'?', b':', rest.as_bytes()).unwrap_or(rest.len());
    Some(&rest[..end])
}

/// Three fields of an object: `user` and `page`, which are text without escapes, and `ms`, a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fields<'a> {
    /// The field `user`.
    pub user: Option<&'a str>,
    /// The field `page`.
    pub page: Option<&'a str>,
    /// The field `ms`.
    pub ms: Option<i64>,
}

/// Reads a flat JSON object; `None` where it is none.
#[inline]
pub fn json_fields(text: &str) -> Option<Fields<'_>> {
    let mut fields = Fields::default();
    let mut rest = text.trim_ascii().strip_prefix('{')?;
    loop {
        rest = rest.trim_ascii_start();
        if rest == "}" {
            return Some(fields);
        }
        let (name, after) = quoted(rest)?;
        rest = after.trim_ascii_start().strip_prefix(':')?.trim_ascii_start();
        if rest.starts_with('"') {
            let (value, after) = quoted(rest)?;
            match name {
                "user" => fields.user = Some(value),
                "page" => fields.page = Some(value),
                _ => {}
            }
            rest = after;
        } else {
            let end = rest.bytes().position(|byte| matches!(byte, b',' | b'}' | b' '))?;
            if name == "ms" {
                fields.ms = rest[..end].parse().ok();
            }
            rest = &rest[end..];
        }
        rest = rest.trim_ascii_start();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

/// A text in quotes, and what is behind it.
#[inline]
fn quoted(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('"')?;
    let end = memchr(b'"', text.as_bytes())?;
    Some((&text[..end], &text[end + 1..]))
}
