//! Mistakes in a deployment file: where, what, what was expected, and what was probably meant.

use std::fmt;

use serde::Serialize;

/// A source line longer than this is cut around the mistake.
const LINE_CHARS_MAX: usize = 120;

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The file, as it was named to [`crate::load`].
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// How many characters are meant.
    pub width: usize,
    /// The place in the YAML, e.g. `views.by_country.sql`; empty for the file as a whole.
    pub path: String,
    /// The source line.
    pub text: String,
    /// What is wrong.
    pub message: String,
    /// What would have been right.
    pub expected: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

/// All mistakes of a deployment, in the order of the file. Never empty when it is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct Diagnostics {
    /// The mistakes.
    pub list: Vec<Diagnostic>,
}

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Self {
        Diagnostics { list: vec![one] }
    }
}

impl Diagnostics {
    /// Sorts by place, so that a reader goes through the file once.
    pub(crate) fn sorted(mut list: Vec<Diagnostic>) -> Self {
        list.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        list.dedup();
        Diagnostics { list }
    }
}

impl Diagnostic {
    /// Says what would have been right.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Says what to do, if that is known.
    #[must_use]
    pub fn hint(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into).or(self.hint);
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{gutter}--> {}:{}:{}", self.file, self.line, self.column)?;
        if !self.text.is_empty() {
            let (shown, offset) = cut(&self.text, self.column.saturating_sub(1), self.width);
            let room = (shown.chars().count() + 1).saturating_sub(offset).max(1);
            let carets = "^".repeat(self.width.clamp(1, room));
            let place = if self.path.is_empty() { String::new() } else { format!(" {}", self.path) };
            writeln!(f, "{gutter} |")?;
            writeln!(f, "{number} | {shown}")?;
            writeln!(f, "{gutter} | {}{carets}{place}", " ".repeat(offset))?;
        }
        if let Some(expected) = &self.expected {
            writeln!(f, "{gutter} = expected: {expected}")?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "{gutter} = help: {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in &self.list {
            writeln!(f, "{one}")?;
        }
        match self.list.len() {
            1 => write!(f, "1 mistake"),
            many => write!(f, "{many} mistakes"),
        }
    }
}

/// The part of a line around the mistake that fits a terminal, with control characters made harmless, and the offset of the
/// mistake in it.
fn cut(line: &str, offset: usize, width: usize) -> (String, usize) {
    let safe = |c: char| match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    let length = line.chars().count();
    let offset = offset.min(length);
    if length <= LINE_CHARS_MAX {
        return (line.chars().map(safe).collect(), offset);
    }
    let lead = (LINE_CHARS_MAX / 4).max(LINE_CHARS_MAX.saturating_sub(width) / 2);
    let from = offset.saturating_sub(lead).min(length - LINE_CHARS_MAX);
    let middle = line.chars().skip(from).take(LINE_CHARS_MAX).map(safe);
    let before = if from > 0 { "…" } else { "" };
    let after = if from + LINE_CHARS_MAX < length { "…" } else { "" };
    let shown: String = before.chars().chain(middle).chain(after.chars()).collect();
    (shown, offset - from + before.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, column: usize, width: usize) -> Diagnostic {
        Diagnostic {
            file: "a.yaml".into(),
            line: 12,
            column,
            width,
            path: "sources.a".into(),
            text: text.into(),
            message: "unknown key `formt`".into(),
            expected: None,
            hint: None,
        }
    }

    #[test]
    fn renders_like_a_compiler() {
        let one = at("    formt: json", 5, 5).expected("`format`").hint(Some("did you mean `format`?"));
        insta::assert_snapshot!(one.to_string(), @r"
        error: unknown key `formt`
          --> a.yaml:12:5
           |
        12 |     formt: json
           |     ^^^^^ sources.a
           = expected: `format`
           = help: did you mean `format`?
        ");
    }

    #[test]
    fn long_lines_and_control_characters_are_harmless() {
        let long = format!("{}\u{1b}[31mX{}", "a".repeat(5_000), "b".repeat(5_000));
        let shown = at(&long, 5_006, 1).to_string();
        assert!(shown.lines().all(|line| line.chars().count() < 160), "{shown}");
        assert!(!shown.contains('\u{1b}'));
        let lines: Vec<&str> = shown.lines().collect();
        let caret = lines[4].chars().position(|c| c == '^').unwrap();
        assert_eq!(lines[3].chars().nth(caret), Some('X'));
        at("x", 0, 0).to_string();
        at("x", 99, 99).to_string();
    }
}
