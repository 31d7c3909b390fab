//! Which plugin is meant, what goes into it, and how it is made ready to be tried.

use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use braid_laws::{Adding, Calling, Remembering, Subject};
use braid_spec::LoadOptions;
use braid_spec::fixtures::{Fixtures, arguments_of, columns_of};
use braid_spec::model::{Grants, Language, Limits, PluginLimits};
use braid_wasm_host::{CLOCK, FunctionPlugin, Inspection, LOG, Plugin, RANDOM};

use super::{Given, inspect, read};
use crate::failure::Failure;
use crate::prepare::wasm_home;

/// The file of fixtures beside a component.
const FIXTURES: &str = "fixtures.yaml";

/// A component or a script, and where it is.
pub struct Chosen {
    pub path: PathBuf,
    pub name: String,
    pub code: Code,
    /// Its world, if it is one that this Braid knows.
    pub world: Option<&'static str>,
}

/// What a plugin is.
pub enum Code {
    Component { bytes: Vec<u8>, inspection: Inspection },
    Script(Language),
}

impl Chosen {
    /// The language of the script that it is, or has inside.
    pub fn script(&self) -> Option<Language> {
        match &self.code {
            Code::Component { inspection, .. } => inspection.script.as_ref().map(|script| script.language),
            Code::Script(language) => Some(*language),
        }
    }
}

/// Where compiled code is kept, so that the second command is quick.
pub fn cache() -> Option<PathBuf> {
    Some(wasm_home()?.join("compiled"))
}

/// What it asks for, of what needs nobody else; values are those that the fixtures have. A script may ask for all of it.
pub fn grants(chosen: &Chosen, fixtures: Option<&Fixtures>) -> Grants {
    let imports: Option<&[String]> = match &chosen.code {
        Code::Component { inspection, .. } if inspection.script.is_none() => Some(&inspection.imports),
        _ => None,
    };
    let asks = |name: &str| imports.is_none_or(|imports| imports.iter().any(|import| import == name));
    let is_sink = chosen.world == Some("sink");
    Grants {
        log: asks(LOG),
        env: fixtures.map(|fixtures| fixtures.env.clone()).unwrap_or_default(),
        clock: is_sink && asks(CLOCK),
        random: is_sink && asks(RANDOM),
        ..Grants::default()
    }
}

/// The plugin that is meant: a file, or the only one in a directory. `named` are the fixtures that are, if any.
pub fn chosen(plugin: &Path, named: Option<&Path>) -> Result<Chosen, Failure> {
    let path = code_file(plugin)?;
    let name = inspect::stem(&path);
    let code = match Language::of(&path) {
        Some(language) => Code::Script(language),
        None => {
            let bytes = read(&path)?;
            let limits = default_limits()?.of_component();
            let inspection = braid_wasm_host::inspect(&name, &bytes, limits, cache().as_deref());
            Code::Component { bytes, inspection: inspection.map_err(Failure::runtime)? }
        }
    };
    let world = match &code {
        Code::Component { inspection, .. } if inspection.script.is_none() => inspection.world(),
        _ => None,
    };
    let mut chosen = Chosen { path, name, code, world };
    if chosen.script().is_some() {
        chosen.world = Some(world_of_script(&mut chosen, named)?);
    }
    Ok(chosen)
}

/// What a script is, it says when it is loaded; its top level may need what a sink may have, or only others.
fn world_of_script(chosen: &mut Chosen, named: Option<&Path>) -> Result<&'static str, Failure> {
    let fixtures = fixtures(chosen, named)?.map(|(_, fixtures)| fixtures);
    chosen.world = Some("sink");
    if let Ok(loaded) = load(chosen, &grants(chosen, fixtures.as_ref())) {
        return Ok(loaded.world());
    }
    chosen.world = None;
    Ok(load(chosen, &grants(chosen, fixtures.as_ref()))?.world())
}

/// A file, or the only one in a directory: the script, of which a component may have been made; or else the component.
pub fn code_file(plugin: &Path) -> Result<PathBuf, Failure> {
    if !plugin.is_dir() {
        return Ok(plugin.to_owned());
    }
    let directory = plugin;
    let entries = std::fs::read_dir(directory)
        .map_err(|error| Failure::Environment(format!("{}: {error}", directory.display())))?;
    let files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let mut found: Vec<&PathBuf> = files.iter().filter(|path| Language::of(path).is_some()).collect();
    if found.is_empty() {
        found = files.iter().filter(|path| path.extension().is_some_and(|end| end == "wasm")).collect();
    }
    found.sort();
    match found.as_slice() {
        [one] => Ok(PathBuf::clone(one)),
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
pub fn fixtures(chosen: &Chosen, named: Option<&Path>) -> Result<Option<(PathBuf, Fixtures)>, Failure> {
    let beside = chosen.path.parent().map(|folder| folder.join(FIXTURES)).filter(|path| path.is_file());
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
pub fn limits(code: &Code) -> Result<PluginLimits, Failure> {
    let limits = default_limits()?;
    Ok(match code {
        Code::Component { inspection, .. } => match &inspection.script {
            Some(script) => limits.of_script_inside(script.language),
            None => limits.of_component(),
        },
        Code::Script(language) => limits.of_script(*language),
    })
}

/// The defaults stand in one place.
pub fn default_limits() -> Result<Limits, Failure> {
    let text = "{apiVersion: braid/v1, name: limits, layout: kappa, store: 'memory://', sources: {s: {rate: {}}}, \
         plugins: {plugin: {component: plugin.wasm}}, streams: {t: {from: s, apply: [plugin]}}, views: {v: {sql: 'SELECT 1 FROM t'}}}";
    let options = LoadOptions { check_files: false, ..LoadOptions::default() };
    let loaded = braid_spec::load_text(text, "limits", Path::new(""), &options);
    let deployment = loaded.map_err(|mistakes| Failure::Runtime(format!("bug: no limits: {mistakes}")))?.deployment;
    let plugin = deployment.plugins.get("plugin").ok_or_else(|| Failure::Runtime("bug: no limits".into()))?;
    Ok(plugin.limits)
}

/// The plugin as the host has it.
pub fn load(chosen: &Chosen, grants: &Grants) -> Result<Plugin, Failure> {
    let (name, limits) = (&chosen.name, limits(&chosen.code)?);
    let loaded = match &chosen.code {
        Code::Component { bytes, .. } => Plugin::from_bytes(name, bytes, limits, grants, cache().as_deref()),
        Code::Script(language) => {
            Plugin::load_script(name, &chosen.path, *language, limits, grants, &wasm_home().unwrap_or_default())
        }
    };
    loaded.map_err(Failure::runtime)
}

/// Makes a plugin ready, with these columns.
pub fn subject(
    chosen: &Chosen,
    input: &SchemaRef,
    keys: &[String],
    fixtures: Option<&Fixtures>,
) -> Result<Subject, Failure> {
    let grants = grants(chosen, fixtures);
    match chosen.world {
        Some("transform") => {
            let applier = load(chosen, &grants)?.applier(input).map_err(Failure::runtime)?;
            Ok(Subject::Transform(Box::new(applier)))
        }
        Some("stateful") => {
            if keys.is_empty() {
                return Err(Failure::Invalid("error: it keeps state: say the columns of its key, with --key or `key:`".into()));
            }
            let code = load(chosen, &grants)?.keyed(input, keys, None).map_err(Failure::runtime)?;
            Remembering::new(code, input, keys).map(Subject::Keyed).map_err(Failure::runtime)
        }
        Some("scalar" | "aggregate") => {
            let plugin = load(chosen, &grants)?;
            match plugin.function() {
                Some(FunctionPlugin::Scalar(code)) => Calling::new(plugin, code, input).map(Subject::Scalar),
                Some(FunctionPlugin::Aggregate(code)) => Adding::new(plugin, code, input).map(Subject::Aggregate),
                None => Err("it is no function".into()),
            }
            .map_err(|reason| Failure::Runtime(format!("plugin `{}`: {reason}", chosen.name)))
        }
        Some("sink") => Err(Failure::Invalid(
            "error: it takes rows away: `braid plugin test` runs its fixtures, and there are no laws to try without its service".into(),
        )),
        _ => Err(Failure::Runtime(unknown(chosen))),
    }
}

/// Why a component is of no world that is known here.
fn unknown(chosen: &Chosen) -> String {
    let exports = match &chosen.code {
        Code::Component { inspection, .. } if !inspection.exports.is_empty() => inspection.exports.join(", "),
        _ => "nothing".to_owned(),
    };
    format!("{} exports {exports}; this Braid speaks {}", chosen.path.display(), inspect::contracts())
}
