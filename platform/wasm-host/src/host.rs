//! What a plugin may have of the host beside its rows: lines in the log, values, and for sinks the time and randomness.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use braid_spec::model::{Grants, PluginLimits};
use braid_wire::{CLOCK, ENV, LOG, RANDOM, RANDOM_BYTES_MAX};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, WasmStr};

use crate::guest::Data;

/// What a line of the log costs of the limit beside its text: lines without any are lines too.
const LINE_BYTES: u64 = 32;

/// What a plugin was granted, shared by its instances.
#[derive(Debug)]
pub(crate) struct Host {
    plugin: String,
    env: BTreeMap<String, String>,
    log_bytes: u64,
    /// How much of the log is left in the batch at hand.
    left: AtomicU64,
    dropped: AtomicU64,
}

// Made by what is derived.
#[expect(dead_code)]
#[derive(ComponentType, Lift, Debug, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

impl Host {
    pub(crate) fn new(plugin: &str, grants: &Grants, limits: PluginLimits) -> Self {
        Self {
            plugin: plugin.into(),
            env: grants.env.clone(),
            log_bytes: limits.log_bytes,
            left: AtomicU64::new(limits.log_bytes),
            dropped: AtomicU64::new(0),
        }
    }

    /// A batch begins: the log has its limit again. It ends when what is returned is dropped.
    pub(crate) fn batch(self: &Arc<Self>) -> LoggedBatch {
        self.left.store(self.log_bytes, Relaxed);
        LoggedBatch(Arc::clone(self))
    }

    /// Takes a line of so many bytes; gives how many of them may be written.
    fn take(&self, bytes: usize) -> usize {
        let wanted = (bytes as u64).saturating_add(LINE_BYTES);
        let left = self.left.update(Relaxed, Relaxed, |left| left.saturating_sub(wanted));
        usize::try_from(left.saturating_sub(LINE_BYTES)).unwrap_or(usize::MAX).min(bytes)
    }

    fn write(&self, level: Level, text: &str) {
        let taken = self.take(text.len());
        if taken == 0 && !text.is_empty() {
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        let shown = printable(&text[..text.floor_char_boundary(taken)]);
        let cut = if taken < text.len() { "…" } else { "" };
        let plugin = self.plugin.as_str();
        match level {
            Level::Debug => tracing::debug!(target: "plugin", plugin, "{shown}{cut}"),
            Level::Info => tracing::info!(target: "plugin", plugin, "{shown}{cut}"),
            Level::Warn => tracing::warn!(target: "plugin", plugin, "{shown}{cut}"),
            Level::Error => tracing::error!(target: "plugin", plugin, "{shown}{cut}"),
        }
    }
}

/// A batch that is under way. At its end it is said, once, how many lines were dropped.
#[derive(Debug)]
pub(crate) struct LoggedBatch(Arc<Host>);

impl Drop for LoggedBatch {
    fn drop(&mut self) {
        let lines = self.0.dropped.swap(0, Relaxed);
        if lines > 0 {
            let (plugin, limit) = (self.0.plugin.as_str(), self.0.log_bytes);
            tracing::warn!(
                target: "plugin",
                plugin,
                lines,
                "lines of its log were dropped: its limit is {limit} bytes a batch (`log`)"
            );
        }
    }
}

/// One line: what would move the cursor or begin another one is written out.
fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_control() {
            true => drop(write!(line, "{}", letter.escape_default())),
            false => line.push(letter),
        }
    }
    line
}

/// Has a linker offer one of the host's interfaces.
pub(crate) fn link(linker: &mut Linker<Data>, import: &str) -> wasmtime::Result<()> {
    let mut interface = linker.instance(import)?;
    match import {
        LOG => interface.func_wrap("write", |store: StoreContextMut<'_, Data>, (level, text): (Level, WasmStr)| {
            let host = Arc::clone(store.data().host());
            match host.left.load(Relaxed) {
                // What is not shown is not read either.
                0 => drop(host.dropped.fetch_add(1, Relaxed)),
                _ => host.write(level, &text.to_str(&store)?),
            }
            Ok(())
        }),
        ENV => interface.func_wrap("get", |store: StoreContextMut<'_, Data>, (name,): (WasmStr,)| {
            Ok((store.data().host().env.get(text_of(&name, &store)?.as_str()).cloned(),))
        }),
        CLOCK => interface.func_wrap("now", |_: StoreContextMut<'_, Data>, (): ()| {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            Ok((since.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),))
        }),
        RANDOM => interface.func_wrap("bytes", |_: StoreContextMut<'_, Data>, (length,): (u32,)| {
            let length = length as usize;
            if length > RANDOM_BYTES_MAX {
                let reason = format!("asked for {length} random bytes at once; {RANDOM_BYTES_MAX} are possible");
                return Err(wasmtime::Error::msg(reason));
            }
            let mut bytes = vec![0; length];
            getrandom::fill(&mut bytes).map_err(|error| wasmtime::Error::msg(format!("no randomness: {error}")))?;
            Ok((bytes,))
        }),
        other => Err(wasmtime::Error::msg(format!("bug: the host has no `{other}`"))),
    }
}

fn text_of(text: &WasmStr, store: &StoreContextMut<'_, Data>) -> wasmtime::Result<String> {
    Ok(text.to_str(store)?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line() {
        assert_eq!(printable("a\nb\u{1b}[2J µ"), "a\\nb\\u{1b}[2J µ");
    }
}
