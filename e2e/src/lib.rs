//! Braid through its built binary, with real input: cases as folders, oracles that share no code with it, kills.

pub mod braid;
pub mod http;
pub mod oracle;
pub mod parquet;
pub mod random;
pub mod ysb;

#[cfg(test)]
mod cases;
