//! From a place in the YAML (`views.by_country.sql`) to a line and a column of the file.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::diagnostics::Diagnostic;
use crate::node::{Entry, Kind, Node, Place};
use crate::text_of_steps::Text;

/// A source line longer than this is cut around the mistake.
const EXCERPT_CHARS_MAX: usize = 120;

/// Knows where every key and value of one deployment file stands.
#[derive(Debug, Clone)]
pub struct SourceMap {
    file: String,
    text: String,
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
    /// Bytes that are shown as stars: literal secrets.
    hidden: Vec<Range<usize>>,
    places: BTreeMap<String, Spot>,
    /// Values that the file does not have itself, such as the SQL of a pipeline: from what they were made.
    made: BTreeMap<String, Text>,
    /// Entries that the file does not have itself, such as a pipeline's sinks: where they stand instead.
    moved: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct Spot {
    key: Option<Place>,
    value: Place,
    scalar: Option<ScalarSpot>,
}

#[derive(Debug, Clone)]
struct ScalarSpot {
    /// Its bytes in the file.
    span: Range<usize>,
    /// The value, after the environment was put in.
    text: String,
    environment: Option<crate::env::Substitution>,
}

/// The path of a key in a map.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl SourceMap {
    pub(crate) fn new(file: &str, text: &str) -> Self {
        let first = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        SourceMap {
            file: file.to_owned(),
            text: text.to_owned(),
            lines: std::iter::once(first).chain(newlines).collect(),
            hidden: Vec::new(),
            places: BTreeMap::new(),
            made: BTreeMap::new(),
            moved: BTreeMap::new(),
        }
    }

    /// Says from what the value of a path was made, for mistakes in it.
    pub(crate) fn made(&mut self, path: String, text: Text) {
        self.made.insert(path, text);
    }

    /// Says where an entry stands that the file does not have.
    pub(crate) fn moved(&mut self, path: String, to: String) {
        self.moved.insert(path, to);
    }

    /// Notes the places of a tree.
    pub(crate) fn index(&mut self, node: &Node, path: &str, key: Option<Place>) {
        let scalar = match &node.kind {
            Kind::Scalar(scalar) => Some(ScalarSpot {
                span: node.span.clone(),
                text: scalar.text.clone(),
                environment: scalar.environment.clone(),
            }),
            Kind::List(list) => {
                for (number, item) in list.iter().enumerate() {
                    self.index(item, &format!("{path}[{number}]"), None);
                }
                None
            }
            Kind::Map(map) => {
                for Entry { key, place, node } in map {
                    let path = join(path, key);
                    if !self.places.contains_key(&path) {
                        self.index(node, &path, Some(*place));
                    }
                }
                None
            }
            Kind::Nothing | Kind::Broken => None,
        };
        self.places.insert(path.to_owned(), Spot { key, value: node.place, scalar });
    }

    /// Hides a value where its line is shown, unless it is in the environment only.
    pub(crate) fn hide(&mut self, node: &Node) {
        if !self.text[node.span.clone()].contains("${") {
            self.hidden.push(node.span.clone());
        }
    }

    /// A mistake at a place of the file.
    pub(crate) fn at(&self, place: Place, path: &str, message: impl Into<String>) -> Diagnostic {
        let (text, caret) = self.excerpt(place);
        Diagnostic {
            file: self.file.clone(),
            line: place.line,
            column: place.column,
            width: place.width,
            path: path.to_owned(),
            text,
            caret,
            message: message.into(),
            expected: None,
            hint: None,
        }
    }

    /// The line of a place, cut to what fits a terminal, without control characters and secrets; and the number of characters
    /// in it before the place.
    fn excerpt(&self, place: Place) -> (String, usize) {
        let Some(start) = place.line.checked_sub(1).and_then(|line| self.lines.get(line).copied()) else {
            return (String::new(), 0);
        };
        let end = self.lines.get(place.line).map_or(self.text.len(), |next| next - 1);
        let line = self.text.get(start..end).unwrap_or_default().trim_end_matches('\r');
        let column = place.column.saturating_sub(1);
        let lead = (EXCERPT_CHARS_MAX / 4).max(EXCERPT_CHARS_MAX.saturating_sub(place.width) / 2);
        let length = line.chars().take(column.saturating_add(EXCERPT_CHARS_MAX + 1)).count();
        let caret = column.min(length);
        let skipped =
            if length <= EXCERPT_CHARS_MAX { 0 } else { caret.saturating_sub(lead).min(length - EXCERPT_CHARS_MAX) };
        let mut shown = String::new();
        if skipped > 0 {
            shown.push('…');
        }
        let window: Vec<(usize, char)> = line.char_indices().skip(skipped).take(EXCERPT_CHARS_MAX).collect();
        let (from, to) = (window.first().map_or(0, |(at, _)| *at), window.last().map_or(0, |(at, _)| *at));
        let touches = |hidden: &&Range<usize>| hidden.start <= start + to && hidden.end > start + from;
        let hidden: Vec<&Range<usize>> = self.hidden.iter().filter(touches).collect();
        for (at, c) in window {
            let secret = hidden.iter().any(|hidden| hidden.contains(&(start + at)));
            shown.push(match c {
                '\t' => ' ',
                c if c.is_control() => '\u{fffd}',
                c if secret && !c.is_whitespace() => '*',
                c => c,
            });
        }
        if length > skipped + EXCERPT_CHARS_MAX {
            shown.push('…');
        }
        (shown, caret - skipped + usize::from(skipped > 0))
    }

    /// A mistake at a key, e.g. because something is missing below it.
    pub(crate) fn at_key(&self, path: &str, message: impl Into<String>) -> Diagnostic {
        let spot = self.nearest(path);
        let place = spot.map_or(Place { line: 1, column: 1, width: 1 }, |spot| spot.key.unwrap_or(spot.value));
        self.at(place, path, message)
    }

    /// A mistake at a value.
    pub(crate) fn at_value(&self, path: &str, message: impl Into<String>) -> Diagnostic {
        match self.places.get(path) {
            Some(Spot { scalar: Some(_), value, .. }) => self.at(*value, path, message),
            _ => self.at_key(path, message),
        }
    }

    /// A mistake that another room found, such as the engine in `views.by_country.sql`. `inner` is a line and a column, from 1,
    /// in the text of that value; without it, or outside of the text, the whole value is meant. A path that the file does
    /// not have means the nearest one above it.
    pub fn diagnostic(
        &self,
        yaml_path: &str,
        inner: Option<(u64, u64)>,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Diagnostic {
        if let Some(text) = self.made.get(yaml_path) {
            let byte = inner.and_then(|(line, column)| offset_of(&text.sql, line, column));
            return match byte.and_then(|byte| text.origin(byte)) {
                Some((path, within)) => {
                    let inner = within.and_then(|byte| self.line_and_column(path, byte));
                    self.diagnostic(path, inner, message, hint)
                }
                None => self.diagnostic(yaml_path.rsplit_once('.').map_or("", |(view, _)| view), None, message, hint),
            };
        }
        // The longest path first: what is within a place may have been moved elsewhere.
        let moved = self.moved.iter().rev().find_map(|(path, to)| {
            let rest = yaml_path.strip_prefix(path.as_str()).filter(|rest| rest.is_empty() || rest.starts_with('.'))?;
            let within = format!("{to}{rest}");
            Some(if self.has(&within) { within } else { to.clone() })
        });
        if let Some(to) = moved {
            return self.at_value(&to, message).hint(hint);
        }
        let inner = inner.and_then(|(line, column)| self.inner_place(yaml_path, line, column));
        match inner {
            Some(place) => self.at(place, yaml_path, message),
            None => self.at_value(yaml_path, message),
        }
        .hint(hint)
    }

    /// The line and the column of a byte of a value.
    fn line_and_column(&self, path: &str, byte: usize) -> Option<(u64, u64)> {
        let before = self.places.get(path)?.scalar.as_ref()?.text.get(..byte)?;
        let line = before.matches('\n').count() as u64 + 1;
        Some((line, before.chars().rev().take_while(|c| *c != '\n').count() as u64 + 1))
    }

    /// Whether the file itself has a key or value there.
    pub fn has(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// A scalar as the file has it, if none of it came from the environment.
    pub(crate) fn written(&self, path: &str) -> Option<&str> {
        let scalar = self.places.get(path)?.scalar.as_ref()?;
        scalar.environment.is_none().then_some(scalar.text.as_str())
    }

    fn nearest(&self, path: &str) -> Option<&Spot> {
        let mut path = path;
        loop {
            if let Some(spot) = self.places.get(path) {
                return Some(spot);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    fn inner_place(&self, path: &str, line: u64, column: u64) -> Option<Place> {
        let scalar = self.places.get(path)?.scalar.as_ref()?;
        let offset = offset_of(&scalar.text, line, column)?;
        let (raw, offset) = match &scalar.environment {
            Some(environment) => (environment.raw.as_str(), environment.raw_offset(offset)),
            None => (scalar.text.as_str(), offset),
        };
        let at = scalar.span.start + align(self.text.get(scalar.span.clone())?, raw.get(..offset)?);
        Some(self.place_of_byte(at))
    }

    /// The place of a part of a scalar's raw text, given as bytes of it.
    pub(crate) fn inside(&self, node: &Node, raw: &str, part: Range<usize>) -> Place {
        let slice = &self.text[node.span.clone()];
        let place = self.place_of_byte(node.span.start + align(slice, &raw[..part.start]));
        Place { width: raw[part].chars().count(), ..place }
    }

    /// The line, the column, and the width of the word there.
    pub(crate) fn place_of_byte(&self, at: usize) -> Place {
        let before = self.text.get(..at).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let word = |c: &char| c.is_alphanumeric() || *c == '_';
        let width = self.text[before.len()..].chars().take_while(word).count();
        Place {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].trim_start_matches('\u{feff}').chars().count() + 1,
            width: width.max(1),
        }
    }
}

/// The byte at a line and a column, both from 1.
fn offset_of(text: &str, line: u64, column: u64) -> Option<usize> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?.checked_sub(1)?;
    let mut start = 0;
    for (number, content) in text.split_inclusive('\n').enumerate() {
        if number == line {
            let content = content.trim_end_matches('\n');
            let inside = content.char_indices().nth(column).map_or(content.len(), |(at, _)| at);
            return Some(start + inside);
        }
        start += content.len();
    }
    None
}

/// The byte in a scalar's source at which `before`, the beginning of its value, ends. Blocks, folds and quotes change white
/// space only, so it is enough to pass the same number of other characters; escapes count as the character they make.
fn align(source: &str, before: &str) -> usize {
    let mut wanted = before.chars().filter(|c| !c.is_whitespace()).count();
    let quote = source.chars().next().filter(|c| matches!(c, '"' | '\''));
    let mut rest = if quote.is_some() { &source[1..] } else { source };
    let mut last = source.len() - rest.len();
    while let Some(c) = rest.chars().next() {
        let at = source.len() - rest.len();
        let (length, solid) = match (quote, c) {
            (Some('"'), '\\') => escape(rest),
            (Some('\''), '\'') if rest.starts_with("''") => (2, true),
            _ => (c.len_utf8(), !c.is_whitespace()),
        };
        if solid {
            if wanted == 0 {
                return at;
            }
            wanted -= 1;
            last = at + length;
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    last
}

/// The length of an escape, and whether it makes a character that is no white space.
fn escape(rest: &str) -> (usize, bool) {
    let Some(kind) = rest.chars().nth(1) else { return (1, true) };
    let digits = match kind {
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => 0,
    };
    let blank = kind.is_whitespace() || matches!(kind, 'n' | 't' | 'r' | 'N' | 'v' | 'f' | '_' | 'L' | 'P');
    (1 + kind.len_utf8() + digits, !blank)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where each `@` of a value stands in the file must be where the map says.
    #[test]
    fn a_place_in_a_value_is_found_in_the_file() {
        for yaml in [
            "a:\n  sql: |\n    SELECT 1,\n      @ FROM x\n",
            "a:\n  sql: |-\n\n\n    SELECT 1,\n\n      @ FROM x\n",
            "a:\n  sql: >\n    SELECT 1,\n    @ FROM x\n",
            "a:\n  sql: SELECT 1 @ FROM x\n",
            "a:\n  sql: SELECT 1\n    FROM @ x\n",
            "a:\n  sql: \"SELECT \\\"é\\\" \\u00e9 @ FROM x\"\n",
            "a:\n  sql: 'SELECT ''é'' @ FROM x'\n",
            "a: {sql: \"é @\"}\n",
            "\u{feff}a: {sql: \"é @\"}\n",
            "a: {sql: \"SELECT $$ ${LONG} @ FROM x\"}\n",
            "a:\n  sql: |2\n      SELECT 1\n    @ x\n",
        ] {
            let mut map = SourceMap::new("f", yaml);
            let mut node = crate::node::parse(yaml).unwrap();
            crate::read::put_environment(
                &mut node,
                &|_| Some("a much longer text".into()),
                &map,
                "",
                "",
                &mut Vec::new(),
            );
            map.index(&node, "", None);
            let value = &map.places["a.sql"].scalar.as_ref().unwrap().text;
            let before = &value[..value.find('@').unwrap()];
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            let found = map.diagnostic("a.sql", Some((line as u64, column as u64)), "here", None);
            let shown = &yaml.lines().nth(found.line - 1).unwrap().trim_start_matches('\u{feff}');
            assert_eq!(shown.chars().nth(found.column - 1), Some('@'), "{yaml}\n{found}");
        }
    }

    #[test]
    fn long_lines_and_control_characters_are_harmless() {
        let long = format!("{}\u{1b}[31mX{}\nnext", "a".repeat(5_000), "b".repeat(5_000));
        let map = SourceMap::new("f", &long);
        for column in [1, 2, 60, 5_006, 9_000, 10_006, 99_999] {
            let shown = map.at(Place { line: 1, column, width: 7 }, "", "m").to_string();
            assert!(shown.lines().all(|line| line.chars().count() < 140), "{shown}");
            assert!(!shown.contains('\u{1b}') && !shown.contains("next"));
            let lines: Vec<&str> = shown.lines().collect();
            let caret = lines[4].chars().position(|c| c == '^').unwrap();
            let pointed = lines[3].chars().nth(caret);
            assert!(column != 5_006 || pointed == Some('X'), "{shown}");
        }
    }

    #[test]
    fn odd_places_fall_back_to_what_is_known() {
        let yaml = "a:\n  sql: SELECT 1\n";
        let mut map = SourceMap::new("f", yaml);
        map.index(&crate::node::parse(yaml).unwrap(), "", None);
        let place = |path, inner| {
            let found = map.diagnostic(path, inner, "m", None);
            (found.line, found.column)
        };
        assert_eq!(place("a.sql", Some((7, 1))), (2, 8));
        assert_eq!(place("a.sql", Some((0, 0))), (2, 8));
        assert_eq!(place("a.sql", Some((1, 999))), (2, 16));
        assert_eq!(place("a.nope.deep[3]", Some((1, 1))), (1, 1));
        assert_eq!(place("zzz", None), (1, 1));
    }
}
