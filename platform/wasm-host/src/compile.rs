//! From a component's bytes to machine code: within a time limit, and at most once where a cache is given.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Config, Engine};

use crate::error::PluginError;

/// How long compiling one component may take. A component of a megabyte needs a few seconds.
pub const COMPILE_TIME_MAX: Duration = Duration::from_secs(120);

/// The compiler recurses over a function's blocks.
const COMPILER_STACK_BYTES: usize = 16 * 1024 * 1024;

/// Length of the checksum that stands before cached code.
const CHECKSUM_BYTES: usize = 32;

/// An engine in which a program computes the same bits everywhere, and can be stopped.
pub(crate) fn engine(stack_bytes: usize) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.cranelift_nan_canonicalization(true);
    config.wasm_relaxed_simd(false);
    config.epoch_interruption(true);
    config.max_wasm_stack(stack_bytes);
    Engine::new(&config)
}

/// SHA-256, in hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compiles, or takes what was compiled before out of `cache`, a directory that only Braid writes to.
pub(crate) fn compile(
    engine: &Engine,
    plugin: &str,
    bytes: &[u8],
    cache: Option<&Path>,
) -> Result<Component, PluginError> {
    let place = cache.map(|directory| place(engine, bytes, directory));
    if let Some(component) = place.as_deref().and_then(|place| cached(engine, place)) {
        return Ok(component);
    }
    let component = compile_in_time(engine, plugin, bytes)?;
    if let Some(place) = place
        && let Err(reason) = keep(&component, &place)
    {
        tracing::warn!(plugin, reason, "compiled code is not cached");
    }
    Ok(component)
}

/// A thread that is too slow is left behind: it cannot be stopped, and its result is dropped.
fn compile_in_time(engine: &Engine, plugin: &str, bytes: &[u8]) -> Result<Component, PluginError> {
    let failed = |reason: String| PluginError::Compile { plugin: plugin.into(), reason };
    let (sender, receiver) = mpsc::sync_channel(1);
    let (theirs, bytes) = (engine.clone(), bytes.to_vec());
    thread::Builder::new()
        .name("braid-wasm-compile".into())
        .stack_size(COMPILER_STACK_BYTES)
        .spawn(move || sender.send(Component::new(&theirs, bytes)))
        .map_err(|error| failed(error.to_string()))?;
    match receiver.recv_timeout(COMPILE_TIME_MAX) {
        Ok(Ok(component)) => Ok(component),
        Ok(Err(error)) => Err(failed(format!("{error:#}"))),
        Err(mpsc::RecvTimeoutError::Timeout) => {
            Err(PluginError::CompileTime { plugin: plugin.into(), time_max: COMPILE_TIME_MAX })
        }
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(failed("the compiler panicked".into())),
    }
}

/// Code is only of use to the same compiler with the same settings on the same kind of machine.
fn place(engine: &Engine, bytes: &[u8], directory: &Path) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    directory.join(format!("{}-{:016x}.cwasm", digest(bytes), hasher.finish()))
}

fn cached(engine: &Engine, place: &Path) -> Option<Component> {
    let bytes = fs::read(place).ok()?;
    let (checksum, code) = bytes.split_at_checked(CHECKSUM_BYTES)?;
    if Sha256::digest(code).as_slice() != checksum {
        return None;
    }
    // The checksum finds a file that was not written to its end. Who can write here could also replace Braid itself.
    #[expect(unsafe_code, reason = "code that `keep` wrote, never a file of the user's")]
    // SAFETY: the bytes are what `Component::serialize` gave to `keep`, in a directory that only Braid writes to.
    unsafe { Component::deserialize(engine, code) }.ok()
}

fn keep(component: &Component, place: &Path) -> Result<(), String> {
    let words = |error: std::io::Error| error.to_string();
    let code = component.serialize().map_err(|error| error.to_string())?;
    let directory = place.parent().ok_or("the cache has no directory")?;
    fs::create_dir_all(directory).map_err(words)?;
    let mut bytes = Sha256::digest(&code).to_vec();
    bytes.extend_from_slice(&code);
    let unique = format!("{}-{:?}", std::process::id(), thread::current().id());
    let unfinished = place.with_extension(unique);
    fs::write(&unfinished, bytes).map_err(words)?;
    fs::rename(&unfinished, place).map_err(words)
}
