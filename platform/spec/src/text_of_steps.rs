//! SQL that was made of a pipeline, and where in the file each part of it comes from.

use std::fmt::Write;
use std::ops::Range;
use std::time::Duration;

/// SQL in the making.
#[derive(Debug, Clone, Default)]
pub(crate) struct Text {
    pub sql: String,
    /// Which bytes come from where; they lie within or beside each other.
    origins: Vec<Origin>,
}

#[derive(Debug, Clone)]
struct Origin {
    bytes: Range<usize>,
    path: String,
    /// Whether the bytes are those of the value there.
    verbatim: bool,
}

impl Text {
    /// Our own words.
    pub(crate) fn say(&mut self, words: &str) -> &mut Self {
        self.sql.push_str(words);
        self
    }

    /// A name.
    pub(crate) fn name(&mut self, name: &str) -> &mut Self {
        self.sql.push_str(&quoted(name));
        self
    }

    /// A name that stands in the file.
    pub(crate) fn name_from(&mut self, name: &str, path: &str) -> &mut Self {
        let start = self.sql.len();
        self.name(name).mark(start, path, false)
    }

    /// An expression as it stands in the file.
    pub(crate) fn say_of_file(&mut self, sql: &str, path: &str) -> &mut Self {
        let start = self.sql.len();
        self.say(sql.trim_end()).mark(start, path, true);
        // A comment must not take what follows with it.
        if sql.contains("--") { self.say("\n") } else { self }
    }

    /// Names, with commas.
    pub(crate) fn names(&mut self, names: &[String]) -> &mut Self {
        self.say(&names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", "))
    }

    fn mark(&mut self, start: usize, path: &str, verbatim: bool) -> &mut Self {
        self.origins.push(Origin { bytes: start..self.sql.len(), path: path.to_owned(), verbatim });
        self
    }

    /// Takes another text in, which as a whole comes from a path.
    pub(crate) fn take(&mut self, other: Text, path: &str) -> &mut Self {
        let start = self.sql.len();
        self.say(&other.sql).mark(start, path, false);
        self.origins.extend(
            other
                .origins
                .into_iter()
                .map(|origin| Origin { bytes: origin.bytes.start + start..origin.bytes.end + start, ..origin }),
        );
        self
    }

    /// Where a byte comes from, and which byte of the value there it is, if it is one.
    pub(crate) fn origin(&self, byte: usize) -> Option<(&str, Option<usize>)> {
        let around = self.origins.iter().filter(|origin| origin.bytes.contains(&byte));
        let innermost = around.min_by_key(|origin| origin.bytes.len())?;
        Some((&innermost.path, innermost.verbatim.then(|| byte - innermost.bytes.start)))
    }
}

/// Words that cannot stand as a name everywhere.
const RESERVED: &[&str] = &[
    "all",
    "and",
    "anti",
    "any",
    "array",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "cast",
    "cross",
    "desc",
    "distinct",
    "div",
    "else",
    "end",
    "except",
    "exists",
    "false",
    "filter",
    "for",
    "from",
    "full",
    "group",
    "having",
    "in",
    "inner",
    "intersect",
    "interval",
    "into",
    "is",
    "join",
    "lateral",
    "left",
    "like",
    "limit",
    "minus",
    "natural",
    "not",
    "null",
    "of",
    "on",
    "or",
    "order",
    "outer",
    "over",
    "qualify",
    "right",
    "select",
    "semi",
    "set",
    "struct",
    "table",
    "then",
    "to",
    "true",
    "union",
    "unnest",
    "using",
    "values",
    "when",
    "where",
    "with",
];

/// A name as SQL takes it.
fn quoted(name: &str) -> String {
    let lower = |c: char| c.is_ascii_lowercase() || c == '_';
    let plain = name.starts_with(lower) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain && !RESERVED.contains(&name.to_lowercase().as_str()) {
        name.to_owned()
    } else {
        format!("`{}`", name.replace('`', "``"))
    }
}

/// A duration as `window(…)` takes it.
pub(crate) fn interval(duration: Duration) -> String {
    let mut left = duration.as_millis();
    let mut text = String::new();
    for (unit, millis) in
        [("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1_000), ("millisecond", 1)]
    {
        let count = left / millis;
        left %= millis;
        if count > 0 {
            let space = if text.is_empty() { "" } else { " " };
            let plural = if count == 1 { "" } else { "s" };
            let _ = write!(text, "{space}{count} {unit}{plural}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_intervals() {
        for (seconds, text) in [(600, "10 minutes"), (90_061, "1 day 1 hour 1 minute 1 second"), (86_400, "1 day")] {
            assert_eq!(interval(Duration::from_secs(seconds)), text);
        }
        assert_eq!(interval(Duration::from_millis(1_500)), "1 second 500 milliseconds");
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        for (name, sql) in
            [("word", "word"), ("a b", "`a b`"), ("order", "`order`"), ("a`b", "`a``b`"), ("1st", "`1st`")]
        {
            assert_eq!(quoted(name), sql);
        }
    }

    #[test]
    fn the_innermost_origin_counts() {
        let mut inner = Text::default();
        inner.say("SELECT ").say_of_file("lower(x)", "p.map.w").say(" AS w");
        let mut whole = Text::default();
        whole.say("WITH ").take(inner, "p").say(" FROM a");
        let at = |word: &str| whole.origin(whole.sql.find(word).unwrap());
        assert_eq!(at("x)"), Some(("p.map.w", Some(6))));
        assert_eq!(at("AS w"), Some(("p", None)));
        assert_eq!(at("FROM"), None);
    }
}
