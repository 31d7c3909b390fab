//! Never comes back from giving the host room for its answer.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

static ARMED: AtomicBool = AtomicBool::new(false);

struct Trap;

#[global_allocator]
static ALLOCATOR: Trap = Trap;

#[expect(unsafe_code, reason = "an allocator")]
// SAFETY: what it gives is the system's.
unsafe impl GlobalAlloc for Trap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        while black_box(ARMED.load(Relaxed)) {}
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as the caller says.
        unsafe { System.dealloc(place, layout) }
    }
}

braid_evil::crime!(batch => {
    ARMED.store(true, Relaxed);
    match braid_guest::env("REGION") {
        Some(region) => Err(region),
        None => Ok(batch),
    }
});
