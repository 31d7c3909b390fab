//! Which plugin is meant, what goes into it, and how it is made ready to be tried.

use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use braid_laws::{Adding, Calling, Remembering, Subject};
use braid_spec::LoadOptions;
use braid_spec::fixtures::{Fixtures, arguments_of, columns_of};
use braid_spec::model::{Grants, PluginLimits};
use braid_wasm_host::{CLOCK, FunctionPlugin, Inspection, LOG, Plugin, RANDOM};

use super::{Given, inspect, read};
use crate::failure::Failure;

/// The file of fixtures beside a component.
const FIXTURES: &str = "fixtures.yaml";

/// A deployment of which only the limits of its plugin are wanted: the defaults stand in one place.
const DEFAULTS: &str = "{apiVersion: braid/v1, name: limits, layout: kappa, store: 'memory://', sources: {s: {rate: {}}}, \
    plugins: {plugin: {component: plugin.wasm}}, streams: {t: {from: s, apply: [plugin]}}, views: {v: {sql: 'SELECT 1 FROM t'}}}";

/// A component and where it is.
pub struct Component {
    pub path: PathBuf,
    pub name: String,
    pub bytes: Vec<u8>,
    pub inspection: Inspection,
}

/// Where compiled code is kept, so that the second command is quick.
pub fn cache() -> Option<PathBuf> {
    crate::prepare::compiled_code()
}

/// What it asks for, of what needs nobody else; values are those that the fixtures have.
pub fn grants(component: &Component, fixtures: Option<&Fixtures>) -> Grants {
    let asks = |name: &str| component.inspection.imports.iter().any(|import| import == name);
    let is_sink = component.inspection.world() == Some("sink");
    Grants {
        log: asks(LOG),
        env: fixtures.map(|fixtures| fixtures.env.clone()).unwrap_or_default(),
        clock: is_sink && asks(CLOCK),
        random: is_sink && asks(RANDOM),
        ..Grants::default()
    }
}

/// The component that is meant: a file, or the only one in a directory.
pub fn component(plugin: &Path) -> Result<Component, Failure> {
    let path = if plugin.is_dir() { only(plugin)? } else { plugin.to_owned() };
    let (name, bytes) = (inspect::stem(&path), read(&path)?);
    let inspection =
        braid_wasm_host::inspect(&name, &bytes, limits()?, cache().as_deref()).map_err(Failure::runtime)?;
    Ok(Component { path, name, bytes, inspection })
}

fn only(directory: &Path) -> Result<PathBuf, Failure> {
    let entries = std::fs::read_dir(directory)
        .map_err(|error| Failure::Environment(format!("{}: {error}", directory.display())))?;
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "wasm")).collect();
    found.sort();
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::Environment(format!(
            "{0} has no component: `braid plugin build {0}` makes it",
            directory.display()
        ))),
        several => {
            let names: Vec<String> = several.iter().map(|path| path.display().to_string()).collect();
            Err(Failure::Environment(format!("which one? There are {}", names.join(", "))))
        }
    }
}

/// The fixtures that are named, or those beside the component.
pub fn fixtures(component: &Component, named: Option<&Path>) -> Result<Option<(PathBuf, Fixtures)>, Failure> {
    let beside = component.path.parent().map(|folder| folder.join(FIXTURES)).filter(|path| path.is_file());
    let Some(path) = named.map(Path::to_owned).or(beside) else { return Ok(None) };
    match Fixtures::load(&path) {
        Ok(fixtures) => Ok(Some((path, fixtures))),
        Err(reason) => Err(Failure::Invalid(format!("error: {}: {reason}", path.display()))),
    }
}

/// The columns that go in, as they are given; or else as the fixtures say.
pub fn input(given: &Given, fixtures: Option<&Fixtures>) -> Result<Option<SchemaRef>, Failure> {
    let read = match (&given.input, &given.arguments) {
        (Some(columns), _) => Some(columns_of(columns)),
        (None, Some(types)) => Some(arguments_of(types)),
        (None, None) => None,
    };
    match read {
        Some(read) => read.map(Some).map_err(|reason| Failure::Invalid(format!("error: {reason}"))),
        None => Ok(fixtures.map(|fixtures| fixtures.input.clone())),
    }
}

/// The limits of a deployment that says nothing of them.
pub fn limits() -> Result<PluginLimits, Failure> {
    let options = LoadOptions { check_files: false, ..LoadOptions::default() };
    let loaded = braid_spec::load_text(DEFAULTS, "limits", Path::new(""), &options);
    let deployment = loaded.map_err(|mistakes| Failure::Runtime(format!("bug: no limits: {mistakes}")))?.deployment;
    let plugin = deployment.plugins.get("plugin").ok_or_else(|| Failure::Runtime("bug: no limits".into()))?;
    Ok(plugin.limits)
}

/// The component as the host has it.
pub fn load(component: &Component, grants: &Grants) -> Result<Plugin, Failure> {
    let cache = cache();
    Plugin::from_bytes(&component.name, &component.bytes, limits()?, grants, cache.as_deref()).map_err(Failure::runtime)
}

/// Makes a plugin ready, with these columns.
pub fn subject(
    component: &Component,
    input: &SchemaRef,
    keys: &[String],
    fixtures: Option<&Fixtures>,
) -> Result<Subject, Failure> {
    let grants = grants(component, fixtures);
    match component.inspection.world() {
        Some("transform") => {
            let applier = load(component, &grants)?.applier(input).map_err(Failure::runtime)?;
            Ok(Subject::Transform(Box::new(applier)))
        }
        Some("stateful") => {
            if keys.is_empty() {
                return Err(Failure::Invalid("error: it keeps state: say the columns of its key, with --key or `key:`".into()));
            }
            let code = load(component, &grants)?.keyed(input, keys, None).map_err(Failure::runtime)?;
            Remembering::new(code, input, keys).map(Subject::Keyed).map_err(Failure::runtime)
        }
        Some("scalar" | "aggregate") => {
            let plugin = load(component, &grants)?;
            match plugin.function() {
                Some(FunctionPlugin::Scalar(code)) => Calling::new(plugin, code, input).map(Subject::Scalar),
                Some(FunctionPlugin::Aggregate(code)) => Adding::new(plugin, code, input).map(Subject::Aggregate),
                None => Err("it is no function".into()),
            }
            .map_err(|reason| Failure::Runtime(format!("plugin `{}`: {reason}", component.name)))
        }
        Some("sink") => Err(Failure::Invalid(
            "error: it takes rows away: `braid plugin test` runs its fixtures, and there are no laws to try without its service".into(),
        )),
        _ => Err(Failure::Runtime(unknown(component))),
    }
}

/// Why a component is of no world that is known here.
pub fn unknown(component: &Component) -> String {
    let exports = &component.inspection.exports;
    let exports = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
    let known = inspect::contracts();
    format!("{} exports {exports}; this Braid speaks {known}", component.path.display())
}
