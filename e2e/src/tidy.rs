//! Keeps the house: what every file begins with, how long it may be, and who may import whom.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

use serde_json::Value;

/// A longer file is two ideas.
const LINES_MAX: usize = 600;

/// What must stand at the top. Dot-files may stand beside it.
const TOP: &[&str] = &["Cargo.toml", "LICENSE", "README.md", "deploy", "e2e", "layouts", "platform", "plugins"];
/// What may. A deployment that is tried here keeps its store in `data`.
const TOP_ALSO: &[&str] = &["CHANGELOG.md", "Cargo.lock", "data", "docs", "target"];

/// Our crates, and which of ours each may use; `*` is any.
const ROOMS: &[(&str, &[&str])] = &[
    ("braid-kernel", &[]),
    ("braid-spec", &[]),
    ("braid-wire", &[]),
    ("braid-engine", &["braid-kernel", "braid-spec"]),
    ("braid-storage", &["braid-kernel", "braid-spec"]),
    ("braid-connect", &["braid-kernel", "braid-spec"]),
    ("braid-wasm-host", &["braid-kernel", "braid-spec", "braid-wire"]),
    ("braid-laws", &["braid-kernel", "braid-spec", "braid-wasm-host"]),
    ("braid-serve", &["braid-kernel", "braid-spec", "braid-engine"]),
    ("braid", &["*"]),
    ("braid-e2e", &["*"]),
];

/// Each of these is one room's business, and sometimes the tests'. A name that ends in `*` is a prefix.
const WORLDS: &[(&str, &[&str])] = &[
    ("axum", &["braid-serve"]),
    ("datafusion*", &["braid-engine"]),
    ("object_store", &["braid-storage", "braid-connect"]),
    ("parquet", &["braid-storage", "braid-connect", "braid-e2e"]),
    ("rdkafka", &["braid-connect", "braid-e2e"]),
    ("serde-saphyr", &["braid-spec"]),
    ("serde_yaml", &["braid-spec"]),
    ("wasmtime*", &["braid-wasm-host"]),
];

/// What the kernel may not know beside the worlds above: it has columns, and does not compute with them.
const NOT_FOR_KERNEL: &[&str] = &["arrow", "tempfile", "url"];

/// Everything that is not in order in the source tree at `root`: each line says where, and what to do.
pub fn check(root: &Path) -> Vec<String> {
    let mut wrong = check_top(root).unwrap_or_else(|error| vec![unreadable(root, &error)]);
    wrong.extend(check_features(root).unwrap_or_else(|error| vec![unreadable(root, &error)]));
    wrong.extend(check_files(root).unwrap_or_else(|error| vec![unreadable(root, &error)]));
    match metadata(root) {
        Ok(metadata) => wrong.extend(check_crates(&metadata)),
        Err(reason) => wrong.push(format!("Cargo.toml: `cargo metadata` fails: {reason}")),
    }
    wrong
}

/// A case's folder is named after a feature that users can find.
fn check_features(root: &Path) -> io::Result<Vec<String>> {
    let listed = fs::read_to_string(root.join("docs/features.md"))?;
    let ids: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .flat_map(|ids| ids.split(", "))
        .collect();
    let mut wrong = Vec::new();
    for case in fs::read_dir(root.join("e2e/cases"))? {
        let name = case?.file_name().to_string_lossy().into_owned();
        if !ids.contains(&name.split('-').next().unwrap_or_default()) {
            wrong.push(format!("e2e/cases/{name}: its feature is not listed in docs/features.md"));
        }
    }
    Ok(wrong)
}

fn unreadable(root: &Path, error: &io::Error) -> String {
    format!("{}: cannot be read: {error}", root.display())
}

fn check_top(root: &Path) -> io::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let known = TOP.contains(&&*name) || TOP_ALSO.contains(&&*name) || name.starts_with('.');
        if !known {
            wrong.push(format!("{name}: does not belong at the top: move it into the room that owns it"));
        }
    }
    for name in TOP.iter().filter(|name| !root.join(name).exists()) {
        wrong.push(format!("{name}: is missing at the top: write it"));
    }
    wrong.sort();
    Ok(wrong)
}

fn check_files(root: &Path) -> io::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for path in sources(root)? {
        let name = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        let text = fs::read_to_string(&path)?;
        if path.ends_with("Cargo.toml") {
            if name.starts_with("plugins") && text.contains("platform/") {
                wrong.push(format!(
                    "{name}: a plugin imports nothing under platform/: put what both need into plugins/wire"
                ));
            }
            continue;
        }
        if !text.starts_with("//! ") {
            wrong.push(format!("{name}:1: begin the file with a `//!` line that says its purpose"));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{name}: {lines} lines: split it by idea into files of at most {LINES_MAX}"));
        }
        for (index, line) in text.lines().enumerate() {
            if let Some(mark) = unfinished(line) {
                wrong
                    .push(format!("{name}:{}: `{mark}`: finish it, or open an issue and take the mark out", index + 1));
            }
        }
    }
    Ok(wrong)
}

/// A mark of unfinished work as a word of its own. (Spelled so that this file has none.)
fn unfinished(line: &str) -> Option<&'static str> {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!"), concat!("unimple", "mented!")];
    marks.into_iter().find(|mark| {
        line.match_indices(mark).any(|(at, _)| {
            let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
            let after = &line[at + mark.len()..];
            !word(line[..at].chars().next_back()) && (mark.ends_with('!') || !word(after.chars().next()))
        })
    })
}

/// Rust files and Cargo.toml files, in order; not what was built, and not dot-folders.
fn sources(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            if kind.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(entry.path());
            } else if kind.is_file() && (name.ends_with(".rs") || name == "Cargo.toml") {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn metadata(root: &Path) -> Result<Value, String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

fn check_crates(metadata: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in list(metadata, "packages") {
        let (name, manifest) = (text(package, "name"), text(package, "manifest_path"));
        let Some((_, may)) = ROOMS.iter().find(|(room, _)| *room == name) else {
            wrong.push(format!("{manifest}: `{name}` is a new room: say in e2e/src/tidy.rs what it may use"));
            continue;
        };
        for dependency in list(package, "dependencies") {
            let other = text(dependency, "name");
            let ours = other == "braid" || other.starts_with("braid-");
            if ours && !may.contains(&"*") && !may.contains(&other) {
                wrong.push(format!(
                    "{manifest}: `{name}` may not use `{other}`: let `braid` wire them over a trait of the kernel"
                ));
            }
            let world = WORLDS.iter().find(|(world, _)| match world.strip_suffix('*') {
                Some(prefix) => other.starts_with(prefix),
                None => other == *world,
            });
            if let Some((_, owners)) = world.filter(|(_, owners)| !owners.contains(&name)) {
                let owners = owners.join(" and ");
                wrong.push(format!(
                    "{manifest}: `{other}` is known to {owners} only: ask that room for what `{name}` needs"
                ));
            }
            if name == "braid-kernel" && NOT_FOR_KERNEL.contains(&other) {
                wrong.push(format!(
                    "{manifest}: the kernel does not know `{other}`: put the work behind one of its traits"
                ));
            }
        }
    }
    wrong
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_house_is_in_order() {
        let root = crate::braid::root();
        let wrong = check(&root);
        assert!(wrong.is_empty(), "{} things to do:\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn all_rooms_are_looked_at() {
        let root = crate::braid::root();
        let metadata = metadata(&root).expect("metadata");
        let mut found: Vec<&str> = list(&metadata, "packages").iter().map(|package| text(package, "name")).collect();
        let mut rooms: Vec<&str> = ROOMS.iter().map(|(room, _)| *room).collect();
        found.sort_unstable();
        rooms.sort_unstable();
        assert_eq!(found, rooms, "the rooms of tidy.rs are those of the workspace");
        let sources = sources(&root).expect("sources");
        assert!(sources.iter().any(|path| path.ends_with("e2e/src/tidy.rs")), "{sources:?}");
    }

    fn house(files: &[(&str, &str)]) -> tempfile::TempDir {
        let house = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = house.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        }
        house
    }

    #[test]
    fn an_untidy_file_is_named_with_what_to_do() {
        let long = format!("//! Long.\n{}", "\n".repeat(LINES_MAX));
        let marks = format!(
            "//! Marks.\n// {}: later\nlet a = {}();\nlet {}LIST = 1;\n",
            concat!("TO", "DO"),
            concat!("unimple", "mented!"),
            concat!("TO", "DO_")
        );
        let house = house(&[
            ("platform/a/src/bare.rs", "fn main() {}\n"),
            ("platform/a/src/long.rs", &long),
            ("platform/a/src/marks.rs", &marks),
            ("platform/a/src/good.rs", "//! Good.\n"),
            ("platform/a/target/built.rs", "fn main() {}\n"),
            ("plugins/p/Cargo.toml", "braid-kernel = { path = \"../../platform/kernel\" }\n"),
        ]);
        let wrong = check_files(house.path()).expect("read");
        let begins = [
            "platform/a/src/bare.rs:1: begin the file",
            "platform/a/src/long.rs: 601 lines: split",
            "platform/a/src/marks.rs:2: `",
            "platform/a/src/marks.rs:3: `",
            "plugins/p/Cargo.toml: a plugin imports nothing",
        ];
        assert_eq!(wrong.len(), begins.len(), "{wrong:#?}");
        for (line, begin) in wrong.iter().zip(begins) {
            assert!(line.starts_with(begin), "{line}");
        }
    }

    #[test]
    fn what_does_not_belong_at_the_top_is_named() {
        let mut files: Vec<(String, &str)> = TOP.iter().map(|name| (format!("{name}/x"), "")).collect();
        files.retain(|(name, _)| name != "README.md/x");
        files.extend([("notes.txt".to_owned(), ""), (".hidden".to_owned(), ""), ("docs/x".to_owned(), "")]);
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, *text)).collect();
        let wrong = check_top(house(&files).path()).expect("read");
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].starts_with("README.md: is missing"), "{wrong:?}");
        assert!(wrong[1].starts_with("notes.txt: does not belong"), "{wrong:?}");
    }

    #[test]
    fn a_case_of_no_feature_is_named() {
        let files = [
            ("docs/features.md", "| id | what |\n| L5, L6 | layouts |\n"),
            ("e2e/cases/L6-kappa/x", ""),
            ("e2e/cases/Z9-x/x", ""),
        ];
        let wrong = check_features(house(&files).path()).expect("read");
        assert_eq!(wrong, ["e2e/cases/Z9-x: its feature is not listed in docs/features.md"]);
    }

    #[test]
    fn a_wrong_import_is_named() {
        let package = |name: &str, dependencies: &[&str]| {
            let dependencies: Vec<Value> = dependencies.iter().map(|name| json!({ "name": name })).collect();
            json!({ "name": name, "manifest_path": format!("{name}/Cargo.toml"), "dependencies": dependencies })
        };
        let metadata = json!({ "packages": [
            package("braid-kernel", &["braid-spec", "arrow", "arrow-array"]),
            package("braid-serve", &["braid-engine", "axum", "datafusion-spark"]),
            package("braid-connect", &["braid-storage", "rdkafka", "parquet"]),
            package("braid", &["braid-engine", "braid-serve", "wasmtime"]),
            package("braid-new", &[]),
        ]});
        let wrong = check_crates(&metadata);
        let begins = [
            "braid-kernel/Cargo.toml: `braid-kernel` may not use `braid-spec`",
            "braid-kernel/Cargo.toml: the kernel does not know `arrow`",
            "braid-serve/Cargo.toml: `datafusion-spark` is known to braid-engine only",
            "braid-connect/Cargo.toml: `braid-connect` may not use `braid-storage`",
            "braid/Cargo.toml: `wasmtime` is known to braid-wasm-host only",
            "braid-new/Cargo.toml: `braid-new` is a new room",
        ];
        assert_eq!(wrong.len(), begins.len(), "{wrong:#?}");
        for (line, begin) in wrong.iter().zip(begins) {
            assert!(line.starts_with(begin), "{line}");
        }
    }
}
