//! The cases in `cases/<feature id>-<name>/`, each run through the binary under both layouts.
//!
//! A case is a folder of
//! - `deployment.yaml`; it may use `${INPUT}`, `${OUTPUT}` (fresh directories) and `${CASE}` (its own folder);
//! - `input/<step>/<path>`: a step's files are copied to `${INPUT}/<path>`, then the deployment is caught up. Each step
//!   is a new process, so that every case restarts as often as it has steps;
//! - `expected/<name>.sql` with `<name>.csv`: a question and its exact answer, computed without Braid;
//! - `expected/<name>.parquet.csv`: the rows of the Parquet files in `${OUTPUT}/<name>`, sorted;
//! - `expected/<name>.text.csv`: the lines of text files `part-*` in `${OUTPUT}/<name>` or `${OUTPUT}/<name>-…`, sorted;
//! - `expected/output.txt`: lines that the runs print; `expected/fails.txt`: lines of the error with which the last ends;
//! - `expected/steps-matter`: its answer depends on where the steps are cut, so it is not also run in one step;
//! - or only `expected/validate.txt`: what `braid validate` says when it refuses the deployment (exit code 2).
//! - or only `expected/plan.txt`: the same of `braid plan`, where `braid validate` finds no mistake.
//!   `BRAID_BLESS=1` writes these messages anew, to be read before they are kept. Answers are never written by it.

use std::path::{Path, PathBuf};

use crate::braid::{River, root};
use crate::oracle::files;
use crate::parquet::parquet_rows;

/// How a case is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Each step under Kappa.
    Kappa,
    /// Each step under Lambda.
    Lambda,
    /// The layout changes at every step, on the same store.
    Swapped,
    /// All input at once: cuts must not matter.
    Once,
    /// Each step under Kappa, with memory for no state.
    OnDisk,
    /// Refused, with messages.
    Refused,
}

include!(concat!(env!("OUT_DIR"), "/cases.rs"));

fn check(name: &str, mode: Mode) {
    let case = Path::new("e2e/cases").join(name);
    let text = std::fs::read_to_string(root().join(&case).join("deployment.yaml")).expect("a readable file");
    if text.contains("{script: ") {
        crate::scripts::interpreters();
    }
    if mode == Mode::Refused {
        return refused(&case);
    }
    let expected = root().join(&case).join("expected");
    if mode == Mode::Once && expected.join("steps-matter").exists() {
        return;
    }
    let home = tempfile::tempdir().expect("a temporary directory");
    let (input, output) = (home.path().join("input"), home.path().join("output"));
    std::fs::create_dir_all(&input).expect("a fresh directory");
    let mut deployment = case.join("deployment.yaml");
    if mode == Mode::OnDisk {
        let text = std::fs::read_to_string(root().join(&deployment)).expect("a readable file");
        deployment = home.path().join("deployment.yaml");
        let more = format!("\nstate: {{memory: 1KiB, directory: \"{}\"}}\n", home.path().join("state").display());
        std::fs::write(&deployment, text + &more).expect("a fresh file");
    }
    let river = River::new(deployment, home.path())
        .env("CASE", case.display())
        .env("INPUT", input.display())
        .env("OUTPUT", output.display());
    let steps = steps(&root().join(&case).join("input"));
    assert!(!steps.is_empty(), "{name} has no input");
    for (path, _) in steps.iter().flat_map(|step| walk(step)) {
        let to = input.join(path);
        std::fs::create_dir_all(to.parent().expect("it is in a directory")).expect("a fresh directory");
    }
    let (mut said, mut failed) = (String::new(), None);
    for (number, step) in steps.iter().enumerate() {
        for (path, from) in walk(step) {
            std::fs::copy(&from, input.join(path)).expect("a copied input");
        }
        if mode == Mode::Once && number + 1 < steps.len() {
            continue;
        }
        let layout = match mode {
            Mode::Lambda => "lambda",
            Mode::Swapped if number % 2 == 1 => "lambda",
            _ => "kappa",
        };
        let ended = river.clone().layout(layout).catch_up();
        said.push_str(&ended.out);
        said.push_str(&ended.err);
        if number + 1 == steps.len() && expected.join("fails.txt").exists() {
            failed = Some(ended.status.code());
        } else {
            ended.ok(&format!("{name}, step {}, {layout}", number + 1));
        }
    }
    if let Some(code) = failed {
        assert_eq!(code, Some(1), "{name} should have failed:\n{said}");
    }
    compare(name, &expected, &river, &output, &said);
}

/// What is remembered is the same where none of it is in memory.
#[test]
fn cases_with_state_on_disk() {
    const CASES: [&str; 8] = [
        "D5-update-state-by-key",
        "Q3-session-windows",
        "Q3-windows",
        "Q4-watermark-and-late-rows",
        "Q5-drop-duplicates",
        "Q7-stream-stream-joins",
        "Q8-transform-with-state",
        "Q9-chained-aggregates",
    ];
    for name in CASES {
        check(name, Mode::OnDisk);
    }
}

fn compare(name: &str, expected: &Path, river: &River, output: &Path, said: &str) {
    let mut compared = 0;
    for lines in ["output.txt", "fails.txt"] {
        if let Ok(text) = std::fs::read_to_string(expected.join(lines)) {
            for line in text.lines() {
                assert!(said.contains(line), "{name} does not say {line:?}, but:\n{said}");
                compared += 1;
            }
        }
    }
    for path in files(expected, "csv") {
        let wanted = std::fs::read_to_string(&path).expect("a readable file");
        let stem = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        let (what, found) = match stem.rsplit_once('.') {
            Some((sink, "parquet")) => (format!("the files of {sink}"), parquet_rows(&output.join(sink))),
            Some((sink, "text")) => (format!("the files of {sink}"), text_lines(output, sink)),
            _ => {
                let sql = std::fs::read_to_string(expected.join(format!("{stem}.sql")))
                    .unwrap_or_else(|error| panic!("{name}: {stem}.sql: {error}"));
                let csv = river.csv(&sql);
                (sql, csv.lines().map(str::to_owned).collect())
            }
        };
        same(&format!("{name}: {what}"), &found, wanted.lines().map(str::to_owned).collect());
        compared += 1;
    }
    assert!(compared > 0, "{name} expects nothing");
}

/// The lines of a sink's text files, sorted.
fn text_lines(output: &Path, sink: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, whole) in walk(output) {
        let folder = path.iter().next().unwrap_or_default().to_string_lossy().into_owned();
        let part = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("part-"));
        if part && (folder == sink || folder.starts_with(&format!("{sink}-"))) {
            let text = std::fs::read_to_string(whole).expect("a readable file");
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    lines.sort();
    lines
}

/// Panics with the lines that differ.
pub fn same(what: &str, found: &[String], wanted: Vec<String>) {
    if found == wanted {
        return;
    }
    let only = |these: &[String], those: &[String]| -> String {
        let mut rest = those.to_vec();
        let mut lines = Vec::new();
        for line in these {
            match rest.iter().position(|other| other == line) {
                Some(at) => drop(rest.swap_remove(at)),
                None => lines.push(format!("    {line}")),
            }
        }
        let more = lines.len().saturating_sub(20);
        lines.truncate(20);
        if more > 0 {
            lines.push(format!("    … and {more} more"));
        }
        if lines.is_empty() {
            lines.push("    (none: the order differs)".to_owned());
        }
        lines.join("\n")
    };
    panic!(
        "{what}\n  {} rows found, {} wanted\n  found and not wanted:\n{}\n  wanted and not found:\n{}",
        found.len(),
        wanted.len(),
        only(found, &wanted),
        only(&wanted, found)
    );
}

fn refused(case: &Path) {
    let river = River::new(case.join("deployment.yaml"), Path::new("/nowhere")).env("CASE", case.display());
    let mut verb = "validate";
    if root().join(case).join("expected/plan.txt").exists() {
        river.finish(verb, &[]).ok("what is refused later");
        verb = "plan";
    }
    let ended = river.finish(verb, &[]);
    let snapshot = root().join(case).join(format!("expected/{verb}.txt"));
    let said = format!("{}{}", ended.out, ended.err);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    if std::env::var_os("BRAID_BLESS").is_some() {
        std::fs::write(&snapshot, &said).expect("the snapshot can be written");
    }
    let wanted = std::fs::read_to_string(&snapshot).expect("a readable file");
    assert!(!wanted.trim().is_empty(), "nothing is expected of {}", case.display());
    assert_eq!(said, wanted, "the messages of {}", case.display());
}

fn steps(input: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(input) else {
        return Vec::new();
    };
    let mut steps: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable directory").path()).collect();
    steps.sort();
    steps
}

/// The files below a directory, by path: relative and whole.
fn walk(directory: &Path) -> Vec<(PathBuf, PathBuf)> {
    let (mut found, mut open) = (Vec::new(), vec![directory.to_path_buf()]);
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).expect("a readable directory") {
            let path = entry.expect("a readable directory").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let relative = path.strip_prefix(directory).expect("it is below").to_path_buf();
                found.push((relative, path));
            }
        }
    }
    found.sort();
    found
}
