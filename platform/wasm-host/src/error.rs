//! Why a plugin cannot be used. Every message names the plugin, what was found and what was expected.

use std::time::Duration;

use braid_wire::{CLOCK, ENV, HTTP, LOG, RANDOM};
use thiserror::Error;

/// Why a plugin cannot be used. None of these gets better by trying again.
#[derive(Debug, Error)]
pub enum PluginError {
    /// Its file cannot be read.
    #[error("plugin `{plugin}`: cannot read {path}: {reason}")]
    File { plugin: String, path: String, reason: String },
    /// It is larger than its limit allows.
    #[error("plugin `{plugin}` has {bytes} bytes; its limit is {bytes_max} (`limits: {{module: …}}`)")]
    TooLarge { plugin: String, bytes: u64, bytes_max: u64 },
    /// A limit is beyond what the host itself can bear.
    #[error("plugin `{plugin}`: {reason}")]
    Limits { plugin: String, reason: String },
    /// It is not a WebAssembly component.
    #[error("plugin `{plugin}` is not a component: {reason}")]
    NotAComponent { plugin: String, reason: String },
    /// It is not valid, or the compiler refuses it.
    #[error("plugin `{plugin}` does not compile: {reason}")]
    Compile { plugin: String, reason: String },
    /// Compiling took too long.
    #[error("plugin `{plugin}` was not compiled within its limit of {time_max:?} (`compile_time`)")]
    CompileTime { plugin: String, time_max: Duration },
    /// A script that is none: it does not parse, or its top level fails.
    #[error("plugin `{plugin}`: {reason}")]
    Script { plugin: String, reason: String },
    /// What runs scripts of a language was not built on this machine.
    #[error(
        "plugin `{plugin}` is written in {language}, whose interpreter is not there: cannot read {path}: {reason}; \
         `plugins/build --interpreter {word}` makes it"
    )]
    Interpreter { plugin: String, language: &'static str, path: String, reason: String, word: &'static str },
    /// It wants something from outside.
    #[error(
        "plugin `{plugin}` imports `{import}`, which cannot be granted: what can be is `{LOG}`, `{ENV}`, and for sinks \
         `{CLOCK}`, `{RANDOM}`, `{HTTP}`"
    )]
    Import { plugin: String, import: String },
    /// It wants something that can be granted, and was not.
    #[error("plugin `{plugin}` imports `{import}`, which was not granted: write `grants: {{{yaml}}}`")]
    NotGranted { plugin: String, import: &'static str, yaml: &'static str },
    /// It wants what would have it answer otherwise the next time.
    #[error(
        "plugin `{plugin}` imports `{import}`, which only a plugin of a sink may have: others are asked again about rows of \
         the past, and must answer as before; {instead}"
    )]
    History { plugin: String, import: &'static str, instead: &'static str },
    /// It wants to reach something, and nothing was granted.
    #[error(
        "plugin `{plugin}` sends requests, and was granted none: say to whom, such as \
         `grants: {{http: [\"https://api.example.com\"]}}`"
    )]
    Grant { plugin: String },
    /// It reaches nothing.
    #[error("plugin `{plugin}` sends no requests: take its `grants` out")]
    NeedlessGrant { plugin: String },
    /// It does not want what was granted.
    #[error("plugin `{plugin}` does not import `{import}`: take `{key}` out of its `grants`")]
    NeedlessGrantOf { plugin: String, key: &'static str, import: &'static str },
    /// It does not speak our contract, or another version of it.
    #[error("plugin `{plugin}` exports {found}; this host speaks {expected}")]
    World { plugin: String, found: String, expected: String },
    /// It is of another world than its place.
    #[error("plugin `{plugin}` {what}")]
    Place { plugin: String, what: String },
    /// A column's type cannot cross the boundary.
    #[error(
        "plugin `{plugin}`: column `{column}` has type {data_type}, which plugins cannot be given: select its fields, or its `to_json`"
    )]
    Type { plugin: String, column: String, data_type: String },
    /// It refused the input's schema, or failed when asked for the output's.
    #[error("plugin `{plugin}`: {reason}")]
    Describe { plugin: String, reason: String },
    /// A batch was given that does not have the schema the plugin was asked about.
    #[error("plugin `{plugin}` was asked about {expected}, and given {found}")]
    Schema { plugin: String, expected: String, found: String },
    /// What is left of a batch cannot be one batch (its text is larger than 2 GiB).
    #[error("plugin `{plugin}`: the output of one batch cannot be joined: {reason}")]
    Output { plugin: String, reason: String },
}
