//! The SDK for authors in Rust, as it was when this binary was built.

use std::path::Path;

use crate::failure::Failure;

/// Files of `plugins/`, by their paths there.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

/// The folder beside a plugin where the SDK goes.
const FOLDER: &str = "sdk";

/// A file of `plugins/`.
fn text(path: &str) -> &'static str {
    FILES.iter().find(|(name, _)| *name == path).map_or("", |(_, text)| *text)
}

/// Writes the SDK beside a plugin, and the manifest of both.
pub fn write(plugin: &Path, name: &str) -> Result<(), Failure> {
    let hosts = ["wire/Cargo.toml", "wire/src/lib.rs", "wire/src/component.rs", "wire/src/bin/componentize.rs"];
    let sources = FILES.iter().filter(|(path, _)| path.starts_with("guest/") || path.starts_with("wire/"));
    for (path, text) in sources.filter(|(path, _)| !hosts.contains(path)) {
        put(&plugin.join(FOLDER).join(path), text)?;
    }
    put(&plugin.join(FOLDER).join("wire/Cargo.toml"), &wire())?;
    put(&plugin.join(FOLDER).join("wire/src/lib.rs"), &without_feature(text("wire/src/lib.rs")))?;
    put(&plugin.join("Cargo.toml"), &manifest(name))?;
    // The versions that the SDK was tried with; cargo adds the plugin to them.
    put(&plugin.join("Cargo.lock"), text("Cargo.lock"))
}

/// The scripts that find a compiler.
pub fn write_toolchain(to: &Path) -> Result<(), Failure> {
    ["toolchain", "debian-toolchain"].into_iter().try_for_each(|name| put(&to.join(name), text(name)))
}

/// The profile, the lints and the dependencies are those of the plugins that come with Braid; of these only what the SDK has.
fn manifest(name: &str) -> String {
    let ours = text("Cargo.toml");
    let shared = ours.find("[workspace.package]").map_or("", |at| &ours[at..]);
    let (package, rest) = shared.split_once("[workspace.dependencies]\n").unwrap_or((shared, ""));
    let (dependencies, rest) = rest.split_once("\n\n").unwrap_or((rest, ""));
    let wit = dependencies.lines().find(|line| line.starts_with("wit-bindgen")).unwrap_or("");
    format!(
        "[package]\nname = \"{name}\"\nversion.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
         publish = false\n\n[lints]\nworkspace = true\n\n# With `rlib` beside it there is no link-time optimisation.\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\nbraid-guest.workspace = true\n\n[workspace]\nresolver = \"3\"\nmembers = [\"sdk/guest\", \"sdk/wire\"]\n\n\
         {package}[workspace.dependencies]\nbraid-guest = {{ path = \"sdk/guest\" }}\nbraid-wire = {{ path = \"sdk/wire\" }}\n{wit}\n\n{rest}"
    )
}

/// The contracts without what only the host's side of them has.
fn wire() -> String {
    let ours = text("wire/Cargo.toml");
    let package = ours.find("[package]").map_or(ours, |at| &ours[at..]);
    package.split("\n[features]").next().unwrap_or(package).to_owned()
}

/// A source without the lines that a feature of the host's side has.
fn without_feature(source: &str) -> String {
    let mut kept = String::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        match line {
            "#[cfg(feature = \"componentize\")]" => drop(lines.next()),
            line => kept.extend([line, "\n"]),
        }
    }
    kept
}

/// Writes a file, and the folders above it.
pub fn put(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Environment(format!("{}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}
