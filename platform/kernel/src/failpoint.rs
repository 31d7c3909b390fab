//! Places where a test can kill the process: before and after each durable step.
//!
//! `FAILPOINTS='manifest::create::after=3*off->return'` aborts at the fourth time that the place is reached.

/// Every place, in the order in which an epoch meets them. A test kills the process at each.
pub const POINTS: &[&str] = &[
    "journal::put::before",
    "journal::put::after",
    "manifest::create::before",
    "manifest::create::after",
    "manifest::snapshot::before",
    "manifest::snapshot::after",
    "manifest::trim::before",
    "flow::given",
    "flow::closing",
    "epoch::planned",
    "epoch::read",
    "epoch::log::written",
    "epoch::deltas::written",
    "epoch::sinks::before",
    "epoch::sinks::written",
    "epoch::committed",
    "epoch::acked",
    "base::segments::written",
    "base::index::written",
    "base::committed",
    "swap::index::written",
    "swap::committed",
    "gc::delete::before",
    "gc::delete::after",
];

/// Aborts the process if a test asked for it here. Without one it costs the look-up in an empty map.
pub fn hit(name: &str) {
    debug_assert!(POINTS.contains(&name), "{name} is not in POINTS");
    fail::fail_point!(name, |_| std::process::abort());
}

/// Names a place where a test can kill the process; see [`failpoint`](crate::failpoint).
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        $crate::failpoint::hit($name)
    };
}
