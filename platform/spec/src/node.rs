//! YAML text as a tree in which every key and value knows its place. Budgets keep hostile text small.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::budget::BudgetBreach;
use serde_yaml::{DuplicateKeyPolicy, Error, Location, NonFiniteFloatPolicy, Options, Spanned};

/// The largest file that is read, in bytes.
pub(crate) const FILE_BYTES_MAX: usize = 1 << 20;
/// The deepest nesting.
const DEPTH_MAX: usize = 24;
/// The most keys and values, aliases not expanded.
const NODES_MAX: usize = 50_000;
/// The most keys and values that aliases may repeat: this is what stops an alias bomb.
const ALIAS_EVENTS_MAX: usize = 10_000;

/// Where a key or a value stands. Lines and columns count from 1, columns and width in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub line: usize,
    pub column: usize,
    pub width: usize,
}

/// A value.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub place: Place,
    /// Its bytes in the file, quotes included. Of an alias, those of what it stands for.
    pub span: Range<usize>,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// `key:` with nothing behind it, or `~`.
    Nothing,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// A mistake that was reported already.
    Broken,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub key: String,
    pub place: Place,
    pub node: Node,
}

/// Text, a number, or true or false.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    pub text: String,
    pub class: Class,
    /// How the text came from the environment, if it did.
    pub environment: Option<crate::env::Substitution>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Text,
    Number,
    Flag,
}

/// Text that is no YAML, or too much of it.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub place: Place,
    pub message: String,
    pub hint: Option<String>,
}

/// Reads the tree.
pub(crate) fn parse(text: &str) -> Result<Node, Unreadable> {
    if text.len() > FILE_BYTES_MAX {
        return Err(Unreadable {
            place: Place { line: 1, column: 1, width: 1 },
            message: format!("the file has {} bytes; at most {FILE_BYTES_MAX} are read", text.len()),
            hint: None,
        });
    }
    let raw: Raw = serde_yaml::from_str_with_options(text, options()).map_err(|error| unreadable(&error, text))?;
    Ok(raw.placed(text))
}

pub(crate) fn options() -> Options {
    serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: 4 * NODES_MAX,
            max_total_scalar_bytes: 2 * FILE_BYTES_MAX,
        },
        alias_limits: serde_yaml::alias_limits! {
            max_total_replayed_events: ALIAS_EVENTS_MAX,
            max_replay_stack_depth: DEPTH_MAX,
            max_alias_expansions_per_anchor: ALIAS_EVENTS_MAX,
        },
        // Repeated keys are reported with all other mistakes, not as the only one.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        ignore_binary_tag_for_string: true,
    }
}

struct Raw(Spanned<RawKind>);

enum RawKind {
    Nothing,
    Scalar(String, Class),
    List(Vec<Raw>),
    Map(Vec<(Spanned<String>, Raw)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(Raw)
    }
}

impl<'de> Deserialize<'de> for RawKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyKind)
    }
}

struct AnyKind;

impl<'de> Visitor<'de> for AnyKind {
    type Value = RawKind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }
    fn visit_unit<E>(self) -> Result<RawKind, E> {
        Ok(RawKind::Nothing)
    }
    fn visit_none<E>(self) -> Result<RawKind, E> {
        Ok(RawKind::Nothing)
    }
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<RawKind, D::Error> {
        inner.deserialize_any(AnyKind)
    }
    fn visit_bool<E>(self, value: bool) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(value.to_string(), Class::Flag))
    }
    fn visit_i64<E>(self, value: i64) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(value.to_string(), Class::Number))
    }
    fn visit_u64<E>(self, value: u64) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(value.to_string(), Class::Number))
    }
    fn visit_i128<E>(self, value: i128) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(value.to_string(), Class::Number))
    }
    fn visit_u128<E>(self, value: u128) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(value.to_string(), Class::Number))
    }
    fn visit_f64<E>(self, value: f64) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(value.to_string(), Class::Number))
    }
    fn visit_str<E>(self, value: &str) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(value.to_owned(), Class::Text))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<RawKind, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(RawKind::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<RawKind, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key()? {
            map.push((key, entries.next_value()?));
        }
        Ok(RawKind::Map(map))
    }
}

impl Raw {
    fn placed(self, text: &str) -> Node {
        let Raw(Spanned { value, defined, .. }) = self;
        let span = bytes(&defined, text);
        let kind = match value {
            RawKind::Nothing => Kind::Nothing,
            RawKind::Scalar(value, class) => Kind::Scalar(Scalar {
                // A number is kept as it was written: `1.50` may be meant as text.
                text: match class {
                    Class::Number => text[span.clone()].trim().to_owned(),
                    Class::Text | Class::Flag => value,
                },
                class,
                environment: None,
            }),
            RawKind::List(list) => Kind::List(list.into_iter().map(|item| item.placed(text)).collect()),
            RawKind::Map(map) => Kind::Map(
                map.into_iter()
                    .map(|(key, node)| Entry {
                        place: place(&key.referenced, text),
                        key: key.value,
                        node: node.placed(text),
                    })
                    .collect(),
            ),
        };
        Node { place: place(&defined, text), span, kind }
    }
}

/// The bytes of a location, within the text whatever the parser says.
fn bytes(location: &Location, text: &str) -> Range<usize> {
    let span = location.span();
    let from = span.byte_offset().map_or(0, |offset| offset as usize);
    let to = from.saturating_add(span.byte_len().map_or(0, |length| length as usize));
    if text.get(from..to).is_some() { from..to } else { 0..0 }
}

fn place(location: &Location, text: &str) -> Place {
    let slice = &text[bytes(location, text)];
    let first = slice.lines().next().unwrap_or_default();
    Place {
        line: (location.line() as usize).max(1),
        column: (location.column() as usize).max(1),
        width: first.trim_end().chars().count().max(1),
    }
}

/// Says what the parser found in the words of a deployment's author.
fn unreadable(error: &Error, text: &str) -> Unreadable {
    let mut error = error.without_snippet();
    let mut location = error.location();
    while let Error::AliasError { error: inner, locations, .. } = error {
        location = Some(locations.reference_location);
        error = inner.without_snippet();
    }
    let place = match location {
        Some(location) => place(&location, text),
        None => Place { line: 1, column: 1, width: 1 },
    };
    let bomb = "write the values out instead of repeating them with `*aliases`";
    let (message, hint) = match error {
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => {
            (format!("the aliases stand for more than {ALIAS_EVENTS_MAX} keys and values"), Some(bomb.to_owned()))
        }
        Error::Budget { breach, .. } => match breach {
            BudgetBreach::Depth { .. } => (format!("nested more than {DEPTH_MAX} levels deep"), None),
            BudgetBreach::Aliases { .. }
            | BudgetBreach::Anchors { .. }
            | BudgetBreach::AliasAnchorRatio { .. }
            | BudgetBreach::MergeKeys { .. } => ("too many aliases".to_owned(), Some(bomb.to_owned())),
            _ => (format!("more than {NODES_MAX} keys and values, or too much text"), None),
        },
        Error::MultipleDocuments { .. } => (
            "a second YAML document begins here".to_owned(),
            Some("a file holds one deployment: remove the `---`".to_owned()),
        ),
        Error::NullIntoString { .. } => ("a key is empty".to_owned(), None),
        Error::RecursiveReferencesRequireWeakTypes { .. } => ("an alias stands for itself".to_owned(), None),
        Error::UnknownAnchor { .. } => {
            ("an alias without its `&anchor`".to_owned(), Some("put text that begins with `*` in quotes".to_owned()))
        }
        other => {
            let words = other.to_string();
            let words = words.rsplit_once(" at line ").map_or(words.as_str(), |(before, _)| before);
            (format!("no YAML: {words}"), syntax_hint(words, place, text))
        }
    };
    Unreadable { place, message, hint }
}

/// What usually causes a syntax error on such a line.
fn syntax_hint(words: &str, place: Place, text: &str) -> Option<String> {
    let line = text.lines().nth(place.line - 1).unwrap_or_default();
    let before: String = line.chars().take(place.column).collect();
    let hint = if before.contains("${") && before.contains(['{', '[']) {
        "between `{ }` or `[ ]`, put \"${…}\" in double quotes"
    } else if line.trim_start_matches(' ').starts_with('\t') {
        "indent with spaces, not with tabs"
    } else if words.contains("mapping values are not allowed") {
        "put text that holds `: ` in quotes; keys of one map begin in the same column"
    } else if words.contains("unexpected character") {
        "put text that begins with a special character in quotes"
    } else {
        return None;
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        match parse(text) {
            Ok(node) => format!("{:?}", node.kind),
            Err(Unreadable { place, message, hint }) => {
                format!("{}:{} {message} ({})", place.line, place.column, hint.unwrap_or_default())
            }
        }
    }

    #[test]
    fn syntax_errors_have_a_place_and_a_way_out() {
        let all: Vec<String> = [
            "a: b: c\n",
            "a: {b: ${X}}\n",
            "a: @x\n",
            "a: *x\n",
            "a: &a [*a]\n",
            "~: 1\n",
            "a: \"x\n",
            "a: 1\n---\nb: 1\n",
            "a: 1\u{0}\n",
            "? {x: y}\n: 3\n",
            "a: [1\nb: 2\n",
        ]
        .into_iter()
        .map(said)
        .collect();
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn bombs_are_small() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            let before = vec![format!("*a{}", level - 1); 10].join(", ");
            bomb += &format!("a{level}: &a{level} [{before}]\n");
        }
        assert!(said(&bomb).contains("aliases stand for more than"), "{}", said(&bomb));
        assert!(said(&"[".repeat(100_000)).contains("no YAML"), "{}", said(&"[".repeat(100_000)));
        let deep: String = (0..2_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
        assert!(said(&deep[..FILE_BYTES_MAX]).contains("levels deep"), "{}", said(&deep[..FILE_BYTES_MAX]));
        let wide: String = (0..60_000).map(|key| format!("k{key}: 1\n")).collect();
        assert!(said(&wide).contains("more than"), "{}", said(&wide));
        assert!(said(&" ".repeat(FILE_BYTES_MAX + 1)).contains("at most"));
    }
}
