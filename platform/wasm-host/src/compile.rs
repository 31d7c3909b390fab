//! From a component's bytes to machine code: within a time limit, and at most once where a cache is given.

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Config, Engine};

use crate::cache::{Cache, cache_name};
use crate::error::PluginError;

/// The compiler recurses over a function's blocks.
const COMPILER_STACK_BYTES: usize = 16 * 1024 * 1024;

/// An engine in which a program computes the same bits everywhere, and can be stopped.
pub(crate) fn engine(stack_bytes: usize) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.cranelift_nan_canonicalization(true);
    config.wasm_relaxed_simd(false);
    config.epoch_interruption(true);
    config.max_wasm_stack(stack_bytes);
    // What a guest said when it panicked is in its memory.
    config.coredump_on_trap(true);
    Engine::new(&config)
}

/// SHA-256, in hexadecimal digits.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Compiles bytes of this digest, or takes what was compiled before out of `cache`, a directory that only Braid writes to.
pub(crate) fn compile(
    engine: &Engine,
    plugin: &str,
    bytes: &[u8],
    time_max: Duration,
    cache: Option<&Path>,
) -> Result<Component, PluginError> {
    let Some(cache) = cache else { return compile_in_time(engine, plugin, bytes, time_max) };
    let opened = Cache::open(cache).inspect_err(|reason| {
        tracing::warn!(plugin, directory = %cache.display(), reason, "compiled code is not cached");
    });
    let Ok(cache) = opened else { return compile_in_time(engine, plugin, bytes, time_max) };
    let name = cache_name(engine, bytes);
    if let Some(component) = cache.get(engine, &name) {
        return Ok(component);
    }
    let component = compile_in_time(engine, plugin, bytes, time_max)?;
    if let Err(reason) = cache.keep(&component, &name) {
        tracing::warn!(plugin, reason, "compiled code is not cached");
    }
    Ok(component)
}

/// A thread that is too slow is left behind: it cannot be stopped, and its result is dropped.
fn compile_in_time(engine: &Engine, plugin: &str, bytes: &[u8], time_max: Duration) -> Result<Component, PluginError> {
    let failed = |reason: String| PluginError::Compile { plugin: plugin.into(), reason };
    let (sender, receiver) = mpsc::sync_channel(1);
    let (theirs, bytes) = (engine.clone(), bytes.to_vec());
    thread::Builder::new()
        .name("braid-wasm-compile".into())
        .stack_size(COMPILER_STACK_BYTES)
        .spawn(move || sender.send(Component::new(&theirs, bytes)))
        .map_err(|error| failed(error.to_string()))?;
    match receiver.recv_timeout(time_max) {
        Ok(Ok(component)) => Ok(component),
        Ok(Err(error)) => Err(failed(format!("{error:#}"))),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(PluginError::CompileTime { plugin: plugin.into(), time_max }),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(failed("the compiler panicked".into())),
    }
}
