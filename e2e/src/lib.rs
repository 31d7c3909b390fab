//! Braid through its built binary, with real input: cases as folders, oracles that share no code with it, kills.

pub mod braid;
pub mod broker;
pub mod browser;
pub mod hook;
pub mod http;
pub mod oracle;
pub mod parquet;
pub mod random;
pub mod registry;
pub mod ysb;

#[cfg(test)]
mod avro_sink_tests;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod compiler;
#[cfg(test)]
mod console;
#[cfg(test)]
mod continuous;
#[cfg(test)]
mod course;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod deployments;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod dlq_tests;
#[cfg(test)]
mod door;
#[cfg(test)]
mod exactly_once;
#[cfg(test)]
mod format_tests;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod kafka_faults;
#[cfg(test)]
mod kafka_option_tests;
#[cfg(test)]
mod kafka_sink_tests;
#[cfg(test)]
mod kafka_tests;
#[cfg(test)]
mod keyed;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod managed;
#[cfg(test)]
mod numbered;
#[cfg(test)]
mod pipelines;
#[cfg(test)]
mod plugin_grants;
#[cfg(test)]
mod plugin_laws;
#[cfg(test)]
mod plugin_sinks;
#[cfg(test)]
mod plugin_tools;
#[cfg(test)]
mod prefixes;
#[cfg(test)]
mod quickstart;
#[cfg(test)]
mod quijote;
#[cfg(test)]
mod restarts;
#[cfg(test)]
mod retail;
#[cfg(test)]
mod scripts;
#[cfg(test)]
mod sink_swap;
#[cfg(test)]
mod source_tests;
#[cfg(test)]
mod state;
#[cfg(test)]
mod swap;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod trials;
#[cfg(test)]
mod triggers;
#[cfg(test)]
mod yahoo;
