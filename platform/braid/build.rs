//! Puts the SDK's sources into the binary, so that `braid plugin new` needs nothing beside it.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What of `plugins/` a plugin elsewhere is built with.
const KEPT: [&str; 7] = ["Cargo.toml", "Cargo.lock", "toolchain", "debian-toolchain", "guest", "wire/src", "wire/wit"];

fn main() -> io::Result<()> {
    let here =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or_else(|| io::Error::other("cargo says where this is"))?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo says where to write"))?);
    let plugins = here.join("../../plugins").canonicalize()?;
    let mut files = vec![plugins.join("wire/Cargo.toml")];
    for kept in KEPT {
        let path = plugins.join(kept);
        println!("cargo::rerun-if-changed={}", path.display());
        collect(&path, &mut files)?;
    }
    println!("cargo::rerun-if-changed={}", plugins.join("wire/Cargo.toml").display());
    files.sort();
    let mut text = String::from("&[\n");
    for file in &files {
        let name = file.strip_prefix(&plugins).map_err(io::Error::other)?.display().to_string();
        writeln!(text, "    ({name:?}, include_str!({:?})),", file.display().to_string()).map_err(io::Error::other)?;
    }
    text.push_str("]\n");
    fs::write(out.join("sdk.rs"), text)
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if !path.ends_with("target") {
            collect(&path, files)?;
        }
    }
    Ok(())
}
