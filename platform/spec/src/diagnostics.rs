//! Mistakes in a deployment file: where, what, what was expected, and what was probably meant.

use std::fmt;

use serde::Serialize;

/// At most so many mistakes are reported: a file with more is no attempt at a deployment.
pub(crate) const MISTAKES_MAX: usize = 1_000;

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
    /// The source line, or the part of it around the mistake. Secrets are stars.
    pub text: String,
    /// How many characters of `text` stand before the mistake.
    pub caret: usize,
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
        list.truncate(MISTAKES_MAX);
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

    /// Says that it is not the file's fault but that of an argument.
    pub(crate) fn outside(self, argument: &str) -> Self {
        Diagnostic { file: argument.to_owned(), line: 1, column: 1, width: 1, text: String::new(), caret: 0, ..self }
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
        writeln!(f, "error: {}", harmless(&self.message))?;
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        writeln!(f, "{gutter}--> {}:{}:{}", harmless(&self.file), self.line, self.column)?;
        if !self.text.is_empty() {
            let room = (self.text.chars().count() + 1).saturating_sub(self.caret).max(1);
            let carets = "^".repeat(self.width.clamp(1, room));
            let place = if self.path.is_empty() { String::new() } else { format!(" {}", harmless(&self.path)) };
            writeln!(f, "{gutter} |")?;
            writeln!(f, "{number} | {}", harmless(&self.text))?;
            writeln!(f, "{gutter} | {}{carets}{place}", " ".repeat(self.caret))?;
        }
        if let Some(expected) = &self.expected {
            writeln!(f, "{gutter} = expected: {}", harmless(expected))?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "{gutter} = help: {}", harmless(hint))?;
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

/// Text that cannot steer a terminal. An engine's message may have several lines.
fn harmless(text: &str) -> String {
    let safe = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    text.chars().map(safe).collect()
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
            caret: column.saturating_sub(1),
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
    fn odd_numbers_are_harmless() {
        at("x", 0, 0).to_string();
        at("x", 99, 99).to_string();
    }
}
