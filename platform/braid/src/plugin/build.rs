//! `braid plugin build`: cargo makes a core module, and a component is made of it here; or a script is put into one.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use braid_spec::model::Language;
use braid_wasm_host::componentize;
use serde_json::Value;

use super::subject::Code;
use super::{inspect, read, sdk, subject, write};
use crate::cli::Output;
use crate::failure::Failure;
use crate::prepare::wasm_home;

const TARGET: &str = "wasm32-unknown-unknown";
/// Between flags, in `CARGO_ENCODED_RUSTFLAGS`.
const FLAG_SEPARATOR: &str = "\u{1f}";

/// Builds the plugin in a directory, or of a script.
pub fn build(plugin: &Path, to: Option<&Path>, output: Output) -> Result<u8, Failure> {
    let directory = plugin;
    if !directory.join("Cargo.toml").is_file() {
        return match subject::code_file(plugin) {
            Ok(file) if Language::of(&file).is_some() => of_script(&file, to, output),
            _ if plugin.is_file() => Err(Failure::Invalid(format!(
                "error: {} is neither a directory with a Cargo.toml nor a script",
                plugin.display()
            ))),
            _ => Err(Failure::Environment(format!(
                "{} has no Cargo.toml and no script: `braid plugin new NAME` writes a plugin to begin with",
                plugin.display()
            ))),
        };
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    if Command::new(&cargo).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        return Err(Failure::Environment(format!(
            "there is no `{}`: Rust is needed to build a plugin in Rust, and https://rustup.rs says how to get it",
            cargo.display()
        )));
    }
    let rustc = toolchain()?;
    let module = core_module(directory, &cargo, &rustc)?;
    let component = componentize(&read(&module)?).map_err(Failure::runtime)?;
    let beside = module.file_name().map(|name| directory.join(name)).unwrap_or_else(|| directory.join("plugin.wasm"));
    let to = to.unwrap_or(&beside);
    write(to, &component)?;
    let inspection = braid_wasm_host::inspect(
        &inspect::stem(to),
        &component,
        subject::default_limits()?.of_component(),
        subject::cache().as_deref(),
    )
    .map_err(Failure::runtime)?;
    print!("{}", inspect::report(to, &inspection, inspection.world(), None, output)?);
    if output == Output::Table {
        print!("\n{}", inspect::usage(to, &inspection, inspection.world()));
    }
    Ok(0)
}

/// A component of a script and its interpreter. A script that is none is refused first.
fn of_script(file: &Path, to: Option<&Path>, output: Output) -> Result<u8, Failure> {
    let chosen = subject::chosen(file, None)?;
    let Code::Script(language) = chosen.code else { return Err(Failure::Runtime("bug: it is no script".into())) };
    let beside = file.with_extension("wasm");
    let to = to.unwrap_or(&beside);
    if Language::of(to).is_some() {
        return Err(Failure::Invalid(format!("error: {} is a script's name: write `-o FILE.wasm`", to.display())));
    }
    let home = wasm_home().unwrap_or_default();
    let component = braid_wasm_host::component_of(&chosen.name, file, read(file)?, language, &home);
    let component = component.map_err(Failure::runtime)?;
    write(to, &component)?;
    let limits = subject::default_limits()?.of_script_inside(language);
    let inspection = braid_wasm_host::inspect(&chosen.name, &component, limits, subject::cache().as_deref());
    let inspection = inspection.map_err(Failure::runtime)?;
    print!("{}", inspect::report(to, &inspection, chosen.world, None, output)?);
    if output == Output::Table {
        print!("\n{}", inspect::usage(to, &inspection, chosen.world));
    }
    Ok(0)
}

/// A compiler that has the target: the script says which, and gets one where there is none.
fn toolchain() -> Result<OsString, Failure> {
    let scripts = env::temp_dir().join(format!("braid-toolchain-{}", std::process::id()));
    sdk::write_toolchain(&scripts)?;
    let found = Command::new("bash").arg(scripts.join("toolchain")).stderr(Stdio::inherit()).output();
    // Only scratch: what is left of it harms nobody.
    let _ = std::fs::remove_dir_all(&scripts);
    let found = found.map_err(|error| Failure::Environment(format!("bash, which looks for a compiler: {error}")))?;
    if !found.status.success() {
        return Err(Failure::Environment(format!(
            "there is no Rust compiler for {TARGET}: `rustup target add {TARGET}` gets it"
        )));
    }
    Ok(String::from_utf8_lossy(&found.stdout).trim().into())
}

/// What cargo makes, and where it is.
fn core_module(directory: &Path, cargo: &OsString, rustc: &OsString) -> Result<PathBuf, Failure> {
    let root = directory.canonicalize().map_err(Failure::environment)?;
    let manifest = root.join("Cargo.toml");
    let mut child = Command::new(cargo)
        .current_dir(&root)
        .args(["build", "--lib", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .env("RUSTC", rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", no_paths(&root, rustc))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::Environment(format!("{}: {error}", cargo.display())))?;
    let mut module = None;
    if let Some(messages) = child.stdout.take() {
        for line in BufReader::new(messages).lines() {
            let message: Value = serde_json::from_str(&line.map_err(Failure::environment)?).unwrap_or_default();
            let ours = message["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest);
            if message["reason"] == "compiler-artifact" && ours {
                let files = message["filenames"].as_array().map_or(&[] as &[Value], Vec::as_slice);
                let files = files.iter().filter_map(Value::as_str);
                module =
                    files.map(PathBuf::from).find(|file| file.extension().is_some_and(|end| end == "wasm")).or(module);
            }
        }
    }
    let ended = child.wait().map_err(Failure::environment)?;
    match module {
        Some(module) if ended.success() => Ok(module),
        _ if !ended.success() => Err(Failure::Runtime(format!("cargo cannot build {}", directory.display()))),
        _ => Err(Failure::Invalid(format!(
            "error: {} is no `cdylib`: write `[lib] crate-type = [\"cdylib\"]`",
            manifest.display()
        ))),
    }
}

/// The paths of this machine do not get into the bytes.
fn no_paths(root: &Path, rustc: &OsString) -> OsString {
    let sysroot =
        Command::new(rustc).args(["--print", "sysroot"]).output().map(|found| found.stdout).unwrap_or_default();
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::home_dir().map(|home| home.join(".cargo"))).unwrap_or_default();
    let paths = [
        (String::from_utf8_lossy(&sysroot).trim().to_owned(), "/rust"),
        (home.display().to_string(), "/cargo"),
        (root.display().to_string(), "/plugin"),
    ];
    let flags = paths.iter().filter(|(path, _)| !path.is_empty());
    let flags: Vec<String> = flags.map(|(path, name)| format!("--remap-path-prefix={path}={name}")).collect();
    flags.join(FLAG_SEPARATOR).into()
}
