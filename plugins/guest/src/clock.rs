//! The time, for a sink. The deployment grants it: `grants: {clock: true}`.

use std::time::{Duration, SystemTime};

/// Now.
#[cfg(target_arch = "wasm32")]
pub fn now() -> SystemTime {
    let micros = crate::worlds::host::clock::now();
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// Now, by this machine's clock.
#[cfg(not(target_arch = "wasm32"))]
pub fn now() -> SystemTime {
    let whole = |since: Duration| Duration::from_micros(since.as_micros() as u64);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    SystemTime::UNIX_EPOCH + since.map_or(Duration::ZERO, whole)
}
