//! What can be said of a component without running it.

use std::path::Path;
use std::time::{Duration, Instant};

use arrow::datatypes::DataType;
use braid_spec::model::{Language, PluginLimits};
use braid_wire::Contract;

use crate::boundary::from_arrow;
use crate::compile::{compile, digest, engine};
use crate::error::PluginError;
use crate::grants::Grant;
use crate::inside::Inside;
use crate::plugin::check_header;

/// What a component is.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The contract it speaks, if it is one of ours in a version that this host knows.
    pub contract: Option<Contract>,
    /// What it exports.
    pub exports: Vec<String>,
    /// What it imports.
    pub imports: Vec<String>,
    /// Its size.
    pub bytes: usize,
    /// SHA-256, in hexadecimal digits.
    pub digest: String,
    /// How long compiling it took, if no cache was asked.
    pub compiled_in: Option<Duration>,
    /// The script that it has inside; which contract it then speaks, the script says that it is given to.
    pub script: Option<InsideScript>,
}

/// A script in a component.
#[derive(Debug, Clone)]
pub struct InsideScript {
    /// What it is called in messages.
    pub name: String,
    /// What it is written in.
    pub language: Language,
    /// Its text.
    pub text: String,
    /// SHA-256 of that, in hexadecimal digits.
    pub digest: String,
}

impl Inspection {
    /// The world's name.
    pub fn world(&self) -> Option<&'static str> {
        self.contract.map(|contract| world(&contract))
    }
}

/// The name of a contract's world: `transform`, `scalar`, `aggregate`, `stateful` or `sink`.
pub(crate) fn world(contract: &Contract) -> &'static str {
    match contract.interface {
        "transforms" => "transform",
        "scalars" => "scalar",
        "aggregates" => "aggregate",
        "keyed" => "stateful",
        _ => "sink",
    }
}

/// Looks at a component. `cache` as for [`crate::Plugin::load`].
pub fn inspect(
    name: &str,
    bytes: &[u8],
    limits: PluginLimits,
    cache: Option<&Path>,
) -> Result<Inspection, PluginError> {
    check_header(name, bytes)?;
    let stack = usize::try_from(limits.stack_bytes).unwrap_or(usize::MAX);
    let engine =
        engine(stack).map_err(|error| PluginError::Limits { plugin: name.into(), reason: error.to_string() })?;
    let inside = Inside::of(bytes);
    let interpreter = inside.as_ref().map(Inside::interpreter);
    let began = Instant::now();
    let bytes_of_code = interpreter.as_deref().unwrap_or(bytes);
    let component = compile(&engine, name, bytes_of_code, limits.stack_bytes, limits.compile_time, cache)?;
    let compiled_in = cache.is_none().then(|| began.elapsed());
    let component = component.component_type();
    let exports: Vec<String> = component.exports(&engine).map(|(export, _)| export.to_owned()).collect();
    let script = inside.map(|Inside { source, language, .. }| InsideScript {
        digest: digest(source.text.as_bytes()),
        name: source.name,
        language,
        text: source.text,
    });
    let contract = braid_wire::ALL.into_iter().find(|contract| exports.contains(&contract.to_string()));
    Ok(Inspection {
        contract: contract.filter(|_| script.is_none()),
        exports,
        imports: component.imports(&engine).map(|(import, _)| import.to_owned()).collect(),
        bytes: bytes.len(),
        digest: digest(bytes),
        compiled_in,
        script,
    })
}

/// A column's type as a deployment's schema names it, if plugins can be given it.
pub fn type_name(data_type: &DataType) -> Option<String> {
    from_arrow(data_type).map(|data_type| data_type.to_string())
}

/// What a deployment must write so that a component may import this.
pub fn grant(import: &str) -> Option<String> {
    let grant = Grant::ALL.into_iter().find(|grant| grant.import() == import)?;
    Some(format!("grants: {{{}}}", grant.yaml()))
}
