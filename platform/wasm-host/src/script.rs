//! Scripts: a component that is an interpreter, built once for each language, is given the source and is then the plugin.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use braid_spec::model::{Grants, Language, PluginLimits};
use braid_wire::{Contract, HOST, SCRIPT};
use sha2::{Digest, Sha256};
use wasmtime::Store;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, ComponentType, Func, Instance, Lift, Linker};

use crate::compile::{compile, digest};
use crate::error::PluginError;
use crate::grants::{Grant, granted as check};
use crate::guest::{Data, Guest, Limited, Mould, World};
use crate::host::{self, Host};
use crate::inside::Inside;
use crate::plugin::{engine_for, functions, link_http, outside, with_values};

/// The most rows that a script is given at once, so that its limit of time is for few of them, and a row that never
/// ends is found soon.
pub const SCRIPT_ROWS_MAX: usize = 1_024;

/// What an interpreter is built from, in the order of its files' paths. Its digest names the interpreter in the cache.
const JAVASCRIPT: &[&[u8]] = &[
    include_bytes!("../../../plugins/guest-js/package-lock.json"),
    include_bytes!("../../../plugins/guest-js/package.json"),
    include_bytes!("../../../plugins/guest-js/src/columns.js"),
    include_bytes!("../../../plugins/guest-js/src/grants.js"),
    include_bytes!("../../../plugins/guest-js/src/http.js"),
    include_bytes!("../../../plugins/guest-js/src/interpreter.js"),
    include_bytes!("../../../plugins/guest-js/src/keyed.js"),
    include_bytes!("../../../plugins/guest-js/src/rows.js"),
    include_bytes!("../../../plugins/guest-js/src/sandbox.js"),
    include_bytes!("../../../plugins/guest-js/src/sink.js"),
    include_bytes!("../../../plugins/guest-js/src/text.js"),
    include_bytes!("../../../plugins/guest-js/src/types.js"),
    include_bytes!("../../../plugins/guest-js/src/typescript.js"),
    include_bytes!("../../../plugins/guest-js/src/worlds.js"),
];

const PYTHON: &[&[u8]] = &[
    include_bytes!("../../../plugins/guest-python/requirements.txt"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/__init__.py"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/columns.py"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/grants.py"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/http.py"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/keyed.py"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/rows.py"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/sandbox.py"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/sink.py"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/types.py"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/worlds.py"),
    include_bytes!("../../../plugins/guest-python/src/interpreter.py"),
];

/// A script's text, and what it is called in messages.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A script, as each instance of its interpreter is given it.
pub(crate) struct Script {
    source: Source,
    granted: Vec<Grant>,
    read: ComponentExportIndex,
    load: ComponentExportIndex,
    /// What the interpreter made of the text: the first instance is asked.
    prepared: OnceLock<String>,
}

/// What an interpreter says that a script is.
#[derive(ComponentType, Lift, Debug, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "made by what is derived")]
pub(crate) enum Kind {
    #[component(name = "transform")]
    Transform,
    #[component(name = "scalar")]
    Scalar,
    #[component(name = "aggregate")]
    Aggregate,
    #[component(name = "keyed")]
    Keyed,
    #[component(name = "sink")]
    Sink,
}

impl Kind {
    fn contract(self) -> Contract {
        match self {
            Self::Transform => braid_wire::TRANSFORM,
            Self::Scalar => braid_wire::SCALAR,
            Self::Aggregate => braid_wire::AGGREGATE,
            Self::Keyed => braid_wire::KEYED,
            Self::Sink => braid_wire::SINK,
        }
    }
}

impl Script {
    /// Hands the script to a fresh instance. The inner error is the script's own.
    pub(crate) fn load(
        &self,
        store: &mut Store<Data>,
        instance: &Instance,
        limits: PluginLimits,
    ) -> wasmtime::Result<Result<Kind, String>> {
        let called = self.source.name.as_str();
        let text = match self.prepared.get() {
            Some(text) => text,
            None => {
                store.data_mut().begin(Limited::CompileTime(limits.compile_time));
                let read =
                    function(store, instance, self.read)?.typed::<(&str, &str), (Result<String, String>,)>(&*store)?;
                match read.call(&mut *store, (called, &self.source.text))?.0 {
                    Ok(text) => self.prepared.get_or_init(|| text),
                    Err(reason) => return Ok(Err(reason)),
                }
            }
        };
        store.data_mut().begin(Limited::Time(limits.time));
        let load = function(store, instance, self.load)?;
        let load = load.typed::<(&str, &str, &[Grant]), (Result<Kind, String>,)>(&*store)?;
        Ok(load.call(store, (called, text, &self.granted))?.0)
    }
}

fn function(store: &mut Store<Data>, instance: &Instance, index: ComponentExportIndex) -> wasmtime::Result<Func> {
    instance.get_func(store, index).ok_or_else(|| wasmtime::Error::msg("an interpreter without its functions"))
}

/// Where an interpreter is kept by `plugins/build --interpreter`, below Braid's cache of WebAssembly.
pub fn interpreter(language: Language, home: &Path) -> PathBuf {
    let sources = match language {
        Language::JavaScript | Language::TypeScript => JAVASCRIPT,
        Language::Python => PYTHON,
    };
    let mut sha256 = Sha256::new();
    sources.iter().for_each(|source| sha256.update(source));
    braid_wire::ALL.iter().chain([&HOST, &SCRIPT]).for_each(|contract| sha256.update(contract.wit));
    let digest: String = sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    home.join("interpreter").join(format!("{}-{digest}.wasm", language.interpreter()))
}

/// An interpreter's bytes.
pub(crate) fn interpreter_bytes(name: &str, language: Language, home: &Path) -> Result<Vec<u8>, PluginError> {
    let path = interpreter(language, home);
    fs::read(&path).map_err(|error| PluginError::Interpreter {
        plugin: name.into(),
        language: language.name(),
        path: path.display().to_string(),
        reason: error.to_string(),
        word: language.interpreter(),
    })
}

/// A script's text.
pub(crate) fn source(plugin: &str, file: &Path, bytes: Vec<u8>) -> Result<Source, PluginError> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { name, text }),
        Err(_) => Err(PluginError::Script { plugin: plugin.into(), reason: format!("{name}: it is no text (UTF-8)") }),
    }
}

/// A script in the interpreter of its language that this machine has; and the digest of both.
pub(crate) fn in_interpreter(
    name: &str,
    source: Source,
    language: Language,
    limits: PluginLimits,
    grants: &Grants,
    home: &Path,
) -> Result<(Mould, String), PluginError> {
    let interpreter = interpreter(language, home);
    // By what it was built from, which is the same on every machine; its own bytes are not.
    let of_interpreter = interpreter.file_stem().unwrap_or_default().as_encoded_bytes();
    let digest = digest(&[of_interpreter, source.text.as_bytes()].concat());
    let bytes = || interpreter_bytes(name, language, home);
    let key = interpreter.display().to_string();
    let component = compiled(name, key, bytes, limits, Some(&home.join("compiled")))?;
    Ok((mould(name, &component, source, limits, grants)?, with_values(digest, grants)))
}

/// A script that came with its interpreter.
pub(crate) fn with_interpreter(
    name: &str,
    inside: &Inside<'_>,
    limits: PluginLimits,
    grants: &Grants,
    cache: Option<&Path>,
) -> Result<Mould, PluginError> {
    let interpreter = inside.interpreter();
    let component = compiled(name, digest(&interpreter), || Ok(interpreter), limits, cache)?;
    mould(name, &component, inside.source.clone(), limits, grants)
}

/// An interpreter's code with a script, ready to be called.
fn mould(
    name: &str,
    component: &Component,
    source: Source,
    limits: PluginLimits,
    grants: &Grants,
) -> Result<Mould, PluginError> {
    let wrong = |reason: String| PluginError::Script { plugin: name.into(), reason };
    let failed = |reason: String| PluginError::Compile { plugin: name.into(), reason };
    let engine = component.engine();
    let granted = Grant::ALL.into_iter().filter(|grant| grant.is_granted(grants)).collect();
    let script = Script {
        source,
        granted,
        read: exported(component, "read").map_err(failed)?,
        load: exported(component, "load").map_err(failed)?,
        prepared: OnceLock::new(),
    };
    let linker = linked(name, component, &script.granted)?;
    let mut mould = Mould {
        world: World::Transform,
        functions: functions(name, component, World::Transform)?,
        pre: linker.instantiate_pre(component).map_err(|error| failed(format!("{error:#}")))?,
        limits,
        outside: outside(name, limits, grants)?,
        host: Arc::new(Host::new(name, grants, limits)),
        ticker: crate::limits::Ticker::start(engine.clone()).map_err(|error| failed(error.to_string()))?,
        script: Some(script),
        rows_max: SCRIPT_ROWS_MAX,
    };
    let kind = {
        let _log = mould.host.batch();
        Guest::start(&mould).map_err(|failure| wrong(failure.reason))?.kind()
    };
    let kind = kind.ok_or_else(|| wrong("bug: nothing was loaded".into()))?;
    let found = World::ALL.into_iter().find(|world| world.contract().package == kind.contract().package);
    mould.world = found.ok_or_else(|| PluginError::World {
        plugin: name.into(),
        found: format!("`{}`", kind.contract()),
        expected: World::ALL.map(|world| format!("`{}`", world.contract())).join(", "),
    })?;
    mould.functions = functions(name, component, mould.world)?;
    // An interpreter imports everything, whatever the script is: what it was granted is what it may ask for.
    let asks = Grant::ALL.into_iter().filter(|grant| grant.is_granted(grants) && grant.is_for(mould.world));
    let asks: Vec<&str> = asks.map(Grant::import).collect();
    check(name, &asks, Some(mould.world), grants)?;
    Ok(mould)
}

/// What is granted, and nothing behind the other imports: who calls them nevertheless is ended.
fn linked(name: &str, component: &Component, granted: &[Grant]) -> Result<Linker<Data>, PluginError> {
    let failed = |error: wasmtime::Error| PluginError::Compile { plugin: name.into(), reason: format!("{error:#}") };
    let imports = component.component_type();
    let mut imports = imports.imports(component.engine()).map(|(import, _)| import);
    if let Some(other) = imports.find(|import| Grant::ALL.iter().all(|grant| grant.import() != *import)) {
        return Err(PluginError::Import { plugin: name.into(), import: other.into() });
    }
    let mut linker = Linker::new(component.engine());
    for grant in granted {
        match grant {
            Grant::Http => link_http(&mut linker),
            other => host::link(&mut linker, other.import()),
        }
        .map_err(failed)?;
    }
    linker.define_unknown_imports_as_traps(component).map_err(failed)?;
    Ok(linker)
}

/// An interpreter's code. The scripts of a process share it: it is megabytes.
fn compiled(
    name: &str,
    key: String,
    bytes: impl FnOnce() -> Result<Vec<u8>, PluginError>,
    limits: PluginLimits,
    cache: Option<&Path>,
) -> Result<Component, PluginError> {
    static COMPILED: Mutex<BTreeMap<(String, u64), Component>> = Mutex::new(BTreeMap::new());
    let key = (key, limits.stack_bytes);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = compiled.get(&key) {
        return Ok(found.clone());
    }
    let engine = engine_for(name, limits)?;
    let component = compile(&engine, name, &bytes()?, limits.stack_bytes, limits.compile_time, cache)?;
    compiled.insert(key, component.clone());
    Ok(component)
}

/// A function of the contract between an interpreter and its host.
fn exported(component: &Component, function: &str) -> Result<ComponentExportIndex, String> {
    let contract = SCRIPT.to_string();
    let (_, interface) = component.get_export(None, &contract).ok_or_else(|| {
        let exports = component.component_type();
        let exports: Vec<String> = exports.exports(component.engine()).map(|(export, _)| export.to_owned()).collect();
        format!("its interpreter exports {}, and not `{contract}`", exports.join(", "))
    })?;
    match component.get_export(Some(&interface), function) {
        Some((ComponentItem::ComponentFunc(_), index)) => Ok(index),
        _ => Err(format!("its interpreter's `{contract}` has no function `{function}`")),
    }
}
