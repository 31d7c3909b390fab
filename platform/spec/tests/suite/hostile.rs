//! Whatever the text is: no panic, and mistakes whose places exist.

#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::path::Path;

use braid_spec::{LoadOptions, load_text};
use proptest::prelude::*;

const GOLDEN: &str = include_str!("golden.yaml");

/// What a slip of the finger, or malice, puts into a file.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    "\n",
    "\n  ",
    "\t",
    "&a ",
    "*a",
    "<<: *a",
    "!!int ",
    "|",
    ">-",
    "'",
    "\"",
    "\\",
    "#",
    "%",
    "@",
    "${",
    "${X}",
    "${NO}",
    "$$",
    "}",
    "---\n",
    "~",
    "null",
    "true",
    "-1",
    "1e999",
    ".nan",
    "99999999999999999999",
    "é",
    "\u{feff}",
    "\u{0}",
    "\u{1b}[2J",
    "array<",
    "decimal(",
    "10s",
    "64MiB",
    "kafka.",
    ".",
    "? ",
];

fn read(text: &str) -> Result<(), TestCaseError> {
    let options = LoadOptions {
        env: &|name| (name != "NO").then(|| "{a: [b".to_owned()),
        check_files: false,
        ..LoadOptions::default()
    };
    match load_text(text, "f.yaml", Path::new("."), &options) {
        Ok(loaded) => {
            for (line, column) in [(0, 0), (1, 1), (2, 7), (3, 99), (u64::MAX, u64::MAX)] {
                let place = loaded.source_map.diagnostic("views.by_user.sql", Some((line, column)), "m", None);
                prop_assert!(place.line >= 1 && place.line <= text.lines().count().max(1));
            }
        }
        Err(mistakes) => {
            prop_assert!(!mistakes.list.is_empty());
            let shown = mistakes.to_string();
            prop_assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
            prop_assert!(serde_json::to_string(&mistakes).is_ok());
            for one in &mistakes.list {
                prop_assert!(one.line >= 1 && one.line <= text.lines().count() + 1, "{one}");
                prop_assert!(one.column >= 1 && one.width >= 1, "{one}");
            }
        }
    }
    Ok(())
}

fn cut(text: &str, at: usize) -> usize {
    let mut at = at % (text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutated_text(edits in prop::collection::vec((any::<usize>(), 0_usize..12, prop::sample::select(PIECES)), 1..6)) {
        let mut text = GOLDEN.to_owned();
        for (at, removed, piece) in edits {
            let from = cut(&text, at);
            let to = cut(&text, from + removed).max(from);
            text.replace_range(from..to, piece);
        }
        read(&text)?;
    }

    #[test]
    fn moved_lines(moves in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0_usize..8), 1..6)) {
        let mut lines: Vec<String> = GOLDEN.lines().map(str::to_owned).collect();
        for (from, to, indent) in moves {
            let line = lines.remove(from.index(lines.len()));
            lines.insert(to.index(lines.len() + 1), format!("{}{}", " ".repeat(indent), line.trim_start()));
        }
        read(&lines.join("\n"))?;
    }

    #[test]
    fn pieces_only(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        read(&pieces.concat())?;
    }

    #[test]
    fn any_text(text in "\\PC*") {
        read(&text)?;
    }
}

/// A file of mistakes only is refused in bounded time and space, on one line or on many.
#[test]
fn a_flood_of_mistakes_is_bounded() {
    let one_line: String = format!("{{{}}}", (0..20_000).map(|key| format!("key{key}: ${{NO}}, ")).collect::<String>());
    let many_lines: String = (0..20_000).map(|key| format!("key{key}: \"${{NO}}\"\n")).collect();
    let secrets: String = format!(
        "sources: {{a: {{kafka: {{client: {{{}}}}}}}}}",
        (0..15_000).map(|key| format!("password{key}: hunter2, ")).collect::<String>()
    );
    for text in [one_line, many_lines, secrets] {
        let options = LoadOptions { env: &|_| None, check_files: false, ..LoadOptions::default() };
        let mistakes = load_text(&text, "f.yaml", Path::new("."), &options).unwrap_err();
        assert!(!mistakes.list.is_empty() && mistakes.list.len() <= 1_000);
        let shown = mistakes.to_string();
        assert!(shown.len() < 1 << 20, "{} bytes", shown.len());
        assert!(!shown.contains("hunter2"));
    }
}
