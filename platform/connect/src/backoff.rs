//! Waiting between tries: longer each time, up to a cap, and never in step with others.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The first wait is up to this long; it doubles.
const DELAY_MIN: Duration = Duration::from_millis(100);
/// No wait is longer.
const DELAY_MAX: Duration = Duration::from_secs(5);

/// The waits of one outage.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// How long to wait now: between half and all of the doubled delay.
    pub(crate) fn next(&mut self) -> Duration {
        let delay = DELAY_MIN.saturating_mul(1 << self.tries.min(16)).min(DELAY_MAX);
        self.tries += 1;
        // A fresh hasher is seeded at random: chance enough for a jitter.
        let chance = RandomState::new().hash_one(self.tries) % 1024;
        delay / 2 + delay.mul_f64(chance as f64 / 2048.0)
    }

    /// Whether nothing failed since the last success.
    pub(crate) fn is_first(&self) -> bool {
        self.tries == 0
    }

    pub(crate) fn reset(&mut self) {
        self.tries = 0;
    }
}
