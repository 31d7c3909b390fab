//! What a plugin says when it panics, put where the host looks for it: a panic ends in a trap, which says nothing.

use std::panic::{PanicHookInfo, set_hook};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32};

use braid_wire::PANIC_BYTES_MAX;

/// A length, and as many bytes of text.
#[repr(C)]
pub struct Said {
    length: AtomicU32,
    text: [AtomicU8; PANIC_BYTES_MAX],
}

/// Its name is [`braid_wire::PANIC`].
#[expect(unsafe_code, reason = "an export has a name")]
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static braid_panic: Said = Said { length: AtomicU32::new(0), text: [const { AtomicU8::new(0) }; PANIC_BYTES_MAX] };

/// From now on panics are kept.
pub fn keep() {
    static KEPT: AtomicBool = AtomicBool::new(false);
    if !KEPT.swap(true, Relaxed) {
        set_hook(Box::new(note));
    }
}

fn note(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or_default();
    let place = panic.location().map(|at| format!(" ({}:{})", at.file(), at.line())).unwrap_or_default();
    let mut length = 0;
    for (byte, to) in message.bytes().chain(place.bytes()).zip(&braid_panic.text) {
        to.store(byte, Relaxed);
        length += 1;
    }
    braid_panic.length.store(length, Relaxed);
}
