//! Prefix consistency: generated cases of a query, data and a split into epochs, and what each prefix's answer is.
//!
//! This folder is plain Rust that knows neither the engine nor Arrow: the engine's tests and those through the binary
//! both use it. A case's rows are late by less than the delay, so that nothing is ever too late, and the answer after
//! an epoch is a function of the rows until then, and of the watermark where a row is given out when it is final.

pub mod data;
pub mod deployment;
pub mod generate;
pub mod oracle;
pub mod query;
pub mod shrink;

use data::Data;
use query::Query;

/// A query and the data that it is asked of.
#[derive(Debug, Clone)]
pub struct Case {
    pub query: Query,
    pub data: Data,
}

/// Numbers from a seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    /// A number from `least` to `most`.
    pub fn between(&mut self, least: i64, most: i64) -> i64 {
        least + self.below((most - least + 1) as u64) as i64
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of them.
    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }
}
