//! What went wrong in a guest, in the user's words: the limit it passed, what it said when it panicked, and where.

use std::time::Duration;

use braid_spec::model::PluginLimits;
use braid_wire::{PANIC, PANIC_BYTES_MAX};
use wasmtime::{Extern, Store, Trap, WasmBacktrace, WasmCoreDump};

use crate::guest::{Data, Failure, Limited};
use crate::limits::thread_time;

/// How much of a guest's own error is kept.
pub const REASON_BYTES_MAX: usize = 1024;

/// How many of the plugin's functions are named, the innermost first.
const FRAMES_MAX: usize = 4;

/// Crates whose functions only say that something failed, not where in the plugin.
const NOT_THE_PLUGIN: [&str; 9] = [
    "core::",
    "std::",
    "alloc::",
    "dlmalloc",
    "__rustc",
    "__rust_",
    "__rdl_",
    "braid_guest::worlds::",
    "wit_bindgen::",
];

/// Why a call of `function`, begun at `began`, came to an error.
pub(crate) fn failure(
    function: &str,
    error: &wasmtime::Error,
    store: &mut Store<Data>,
    limits: PluginLimits,
    began: Duration,
) -> Failure {
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let dump = error.downcast_ref::<WasmCoreDump>();
    let frames = backtrace.map(WasmBacktrace::frames).or(dump.map(WasmCoreDump::frames)).unwrap_or_default();
    let what = if store.data().timed_out() {
        match store.data().limited() {
            Limited::Time(time) => format!("ran longer than its limit of {time:?} (`time`)"),
            Limited::CompileTime(time) => format!("was read for longer than its limit of {time:?} (`compile_time`)"),
        }
    } else if let Some(denied) = store.data().denied() {
        denied.to_owned()
    } else if let Some(trap) = error.downcast_ref::<Trap>() {
        match trap {
            Trap::StackOverflow => format!("used more than its {} bytes of stack (`stack`)", limits.stack_bytes),
            Trap::UnreachableCodeReached if store.data().is_script() => {
                "reached for what no plugin has: a clock, randomness, files, a terminal".into()
            }
            Trap::UnreachableCodeReached => match dump.and_then(|dump| said(dump, store)) {
                Some(said) => format!("panicked: {said}"),
                None => "panicked, or reached what it held for unreachable".into(),
            },
            other => other.to_string(),
        }
    } else {
        let cause = error.root_cause().to_string();
        match (cause.contains("fuel"), frames.is_empty()) {
            (true, true) => format!("returned more than its limit of {} bytes (`output`)", limits.output_bytes),
            (true, false) => {
                format!("gave the host more than its limit of {} bytes at once (`output`)", limits.output_bytes)
            }
            // An interpreter's own way to it says what to write; this is the way around that.
            (false, _) => match cause.strip_prefix("unknown import: ").and_then(|rest| rest.split('`').nth(1)) {
                Some(import) => format!("reached for `{import}`, which was not granted"),
                None => cause,
            },
        }
    };
    // What an interpreter's own functions are called says nothing to who wrote a script.
    let is_script = store.data().is_script();
    let names = frames.iter().filter_map(|frame| frame.func_name()).filter(|_| !is_script);
    let reason = match places(names) {
        Some(places) => format!("{function}: {what} (in {places})"),
        None => format!("{function}: {what}"),
    };
    Failure { reason: shortened(&reason), spent: thread_time().saturating_sub(began), broke: true, worn: false }
}

/// The innermost functions of the plugin's own, by name.
fn places<'a>(frames: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<String> = frames.map(|name| format!("{:#}", rustc_demangle::demangle(name))).collect();
    let own = names.iter().filter(|name| {
        let name = name.trim_start_matches('<');
        !NOT_THE_PLUGIN.iter().any(|prefix| name.starts_with(prefix)) && !name.contains('#')
    });
    let mut own: Vec<&str> = own.map(String::as_str).collect();
    own.dedup();
    own.truncate(FRAMES_MAX);
    match own.as_slice() {
        [] => names.into_iter().next(),
        own => Some(own.join(" < ")),
    }
}

/// What the plugin put where the host looks for it when it panicked. Nothing of it is believed.
fn said(dump: &WasmCoreDump, store: &mut Store<Data>) -> Option<String> {
    let place = dump.instances().iter().find_map(|instance| match instance.get_export(&mut *store, PANIC) {
        Some(Extern::Global(global)) => global.get(&mut *store).i32(),
        _ => None,
    })?;
    let [memory] = dump.memories() else { return None };
    let data = memory.data(&*store).get(usize::try_from(place.cast_unsigned()).ok()?..)?;
    let (length, text) = data.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let text = text.get(..length.min(PANIC_BYTES_MAX)).filter(|text| !text.is_empty())?;
    let printable = |letter: char| if letter.is_control() { ' ' } else { letter };
    Some(String::from_utf8_lossy(text).chars().map(printable).collect())
}

pub(crate) fn shortened(reason: &str) -> String {
    if reason.len() <= REASON_BYTES_MAX {
        return reason.to_owned();
    }
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    format!("{}…", &reason[..end])
}
