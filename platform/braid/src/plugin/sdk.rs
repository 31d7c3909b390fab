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
    let sources = FILES.iter().filter(|(path, _)| path.starts_with("guest/") || path.starts_with("wire/"));
    for (path, text) in sources {
        put(&plugin.join(FOLDER).join(path), text)?;
    }
    put(&plugin.join("Cargo.toml"), &manifest(name))?;
    // The versions that the SDK was tried with; cargo adds the plugin to them.
    put(&plugin.join("Cargo.lock"), text("Cargo.lock"))
}

/// The scripts that find a compiler.
pub fn write_toolchain(to: &Path) -> Result<(), Failure> {
    ["toolchain", "debian-toolchain"].into_iter().try_for_each(|name| put(&to.join(name), text(name)))
}

/// The profile, the lints and the dependencies are those of the plugins that come with Braid.
fn manifest(name: &str) -> String {
    let ours = text("Cargo.toml");
    let shared = ours.find("[workspace.package]").map_or("", |at| &ours[at..]);
    let shared =
        shared.replace("path = \"guest\"", "path = \"sdk/guest\"").replace("path = \"wire\"", "path = \"sdk/wire\"");
    // What only the host's side of the contract needs is named, and not built.
    let shared =
        shared.replacen("[workspace.dependencies]\n", "[workspace.dependencies]\nwit-component = \"0.254\"\n", 1);
    format!(
        "[package]\nname = \"{name}\"\nversion.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
         publish = false\n\n[lints]\nworkspace = true\n\n# With `rlib` beside it there is no link-time optimisation.\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
         [dependencies]\nbraid-guest.workspace = true\n\n[workspace]\nresolver = \"3\"\nmembers = [\"sdk/guest\", \"sdk/wire\"]\n\n{shared}"
    )
}

/// Writes a file, and the folders above it.
pub fn put(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Environment(format!("{}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}
