//! Lines for the host's log, under the plugin's name. The deployment grants them: `grants: {log: true}`. Beyond a limit a
//! batch they are dropped and counted.

#[cfg(target_arch = "wasm32")]
use crate::worlds::host::log::{Level, write};

#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug)]
enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// Where there is no host, lines go to standard error.
#[cfg(not(target_arch = "wasm32"))]
fn write(level: Level, text: &str) {
    eprintln!("{level:?}: {text}");
}

/// What only its author wants to see.
pub fn debug(text: &str) {
    write(Level::Debug, text);
}

/// What is as it should be.
pub fn info(text: &str) {
    write(Level::Info, text);
}

/// What somebody should look at.
pub fn warn(text: &str) {
    write(Level::Warn, text);
}

/// What went wrong.
pub fn error(text: &str) {
    write(Level::Error, text);
}
