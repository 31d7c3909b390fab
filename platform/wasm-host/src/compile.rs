//! From a component's bytes to machine code: within a time limit, and at most once where a cache is given.

use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::component::Component;
use wasmtime::{Config, Engine};

use crate::cache::{Cache, cache_name};
use crate::compiler;
use crate::error::PluginError;

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
    stack_bytes: u64,
    time_max: Duration,
    cache: Option<&Path>,
) -> Result<Component, PluginError> {
    let kept = cache.and_then(|directory| {
        let opened = Cache::open(directory);
        let opened = opened.inspect_err(|reason| {
            tracing::warn!(plugin, directory = %directory.display(), reason, "compiled code is not cached");
        });
        Some((opened.ok()?, cache_name(engine, bytes)))
    });
    if let Some(component) = kept.as_ref().and_then(|(cache, name)| cache.get(engine, name)) {
        return Ok(component);
    }
    let code = compiler::code(engine, plugin, bytes, stack_bytes, time_max)?;
    if let Some((cache, name)) = kept
        && let Err(reason) = cache.keep(&code, &name)
    {
        tracing::warn!(plugin, reason, "compiled code is not cached");
    }
    // SAFETY: this program's own compiler made it just now, in this process or in one that it started.
    #[expect(unsafe_code, reason = "code that our own compiler has just made")]
    let component = unsafe { Component::deserialize(engine, &code) };
    component.map_err(|error| PluginError::Compile { plugin: plugin.into(), reason: format!("{error:#}") })
}
