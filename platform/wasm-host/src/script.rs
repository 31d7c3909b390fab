//! Scripts: a component that is an interpreter, built once for each language, is given the source and is then the plugin.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use braid_spec::model::{Grants, Language, PluginLimits};
use braid_wire::{Contract, HTTP, SCRIPT};
use sha2::{Digest, Sha256};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, ComponentType, Instance, Lift, Linker};
use wasmtime::{Engine, Store};

use crate::compile::{compile, digest};
use crate::error::PluginError;
use crate::grants::granted;
use crate::guest::{Data, Guest, Mould, World};
use crate::host::Host;
use crate::plugin::{engine_for, functions, link_http, outside};

/// The most rows that a script is given at once, so that its limit of time is for few of them, and a row that never
/// ends is found soon.
pub const SCRIPT_ROWS_MAX: usize = 1_024;

/// What an interpreter is built from, in the order of its files' paths. Its digest names the interpreter in the cache.
const JAVASCRIPT: &[&[u8]] = &[
    include_bytes!("../../../plugins/guest-js/package-lock.json"),
    include_bytes!("../../../plugins/guest-js/package.json"),
    include_bytes!("../../../plugins/guest-js/src/columns.js"),
    include_bytes!("../../../plugins/guest-js/src/http.js"),
    include_bytes!("../../../plugins/guest-js/src/interpreter.js"),
    include_bytes!("../../../plugins/guest-js/src/keyed.js"),
    include_bytes!("../../../plugins/guest-js/src/rows.js"),
    include_bytes!("../../../plugins/guest-js/src/sandbox.js"),
    include_bytes!("../../../plugins/guest-js/src/sink.js"),
    include_bytes!("../../../plugins/guest-js/src/text.js"),
    include_bytes!("../../../plugins/guest-js/src/types.js"),
    include_bytes!("../../../plugins/guest-js/src/worlds.js"),
];

const PYTHON: &[&[u8]] = &[
    include_bytes!("../../../plugins/guest-python/requirements.txt"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/__init__.py"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/columns.py"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/http.py"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/keyed.py"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/rows.py"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/sandbox.py"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/sink.py"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/types.py"),
    include_bytes!("../../../plugins/guest-python/src/braid_guest/worlds.py"),
    include_bytes!("../../../plugins/guest-python/src/interpreter.py"),
];

/// A script, as each instance of its interpreter is given it.
pub(crate) struct Script {
    name: String,
    source: String,
    load: ComponentExportIndex,
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
    pub(crate) fn load(&self, store: &mut Store<Data>, instance: &Instance) -> wasmtime::Result<Result<Kind, String>> {
        let load =
            instance.get_func(&mut *store, self.load).ok_or_else(|| wasmtime::Error::msg("there is no `load`"))?;
        let load = load.typed::<(&str, &str), (Result<Kind, String>,)>(&*store)?;
        Ok(load.call(store, (&self.name, &self.source))?.0)
    }
}

/// Where an interpreter is kept by `plugins/build --interpreter`, below Braid's cache of WebAssembly.
pub fn interpreter(language: Language, home: &Path) -> PathBuf {
    let (word, sources) = match language {
        Language::JavaScript => ("js", JAVASCRIPT),
        Language::Python => ("python", PYTHON),
    };
    let mut sha256 = Sha256::new();
    sources.iter().for_each(|source| sha256.update(source));
    braid_wire::ALL.iter().chain([&SCRIPT]).for_each(|contract| sha256.update(contract.wit));
    let digest: String = sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    home.join("interpreter").join(format!("{word}-{digest}.wasm"))
}

/// A script and its interpreter's code, ready to be called; and the digest of both.
pub(crate) fn mould(
    name: &str,
    file: &Path,
    source: Vec<u8>,
    language: Language,
    limits: PluginLimits,
    grants: &Grants,
    home: &Path,
) -> Result<(Mould, String), PluginError> {
    let wrong = |reason: String| PluginError::Script { plugin: name.into(), reason };
    let called = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let source = String::from_utf8(source).map_err(|_| wrong(format!("{called}: it is no text (UTF-8)")))?;
    let interpreter = interpreter(language, home);
    // By what it was built from, which is the same on every machine; its own bytes are not.
    let of_interpreter = interpreter.file_stem().unwrap_or_default().as_encoded_bytes();
    let digest = digest(&[of_interpreter, source.as_bytes()].concat());
    let component = compiled(name, language, &interpreter, limits, home)?;
    let engine = component.engine().clone();
    let load = load(&engine, &component).map_err(|reason| PluginError::Compile { plugin: name.into(), reason })?;
    let failed = |reason: String| PluginError::Compile { plugin: name.into(), reason };
    let mut linker = Linker::new(&engine);
    link_http(&mut linker).map_err(|error| failed(format!("{error:#}")))?;
    let mut mould = Mould {
        world: World::Transform,
        functions: functions(name, &component, World::Transform)?,
        pre: linker.instantiate_pre(&component).map_err(|error| failed(format!("{error:#}")))?,
        limits,
        outside: outside(name, limits, grants)?,
        host: Arc::new(Host::new(name, grants, limits)),
        ticker: crate::limits::Ticker::start(engine).map_err(|error| failed(error.to_string()))?,
        script: Some(Script { name: called, source, load }),
        rows_max: SCRIPT_ROWS_MAX,
    };
    let kind = Guest::start(&mould).map_err(|failure| wrong(failure.reason))?.kind();
    let kind = kind.ok_or_else(|| wrong("bug: nothing was loaded".into()))?;
    let found = World::ALL.into_iter().find(|world| world.contract().package == kind.contract().package);
    mould.world = found.ok_or_else(|| PluginError::World {
        plugin: name.into(),
        found: format!("`{}`", kind.contract()),
        expected: World::ALL.map(|world| format!("`{}`", world.contract())).join(", "),
    })?;
    mould.functions = functions(name, &component, mould.world)?;
    // An interpreter imports requests whatever the script is; only a sink that was granted some asks for them.
    let asks: &[&str] = if mould.world == World::Sink && !grants.http.is_empty() { &[HTTP] } else { &[] };
    granted(name, asks, Some(mould.world), grants)?;
    Ok((mould, digest))
}

/// An interpreter's code. The scripts of a process share it: it is megabytes.
fn compiled(
    name: &str,
    language: Language,
    interpreter: &Path,
    limits: PluginLimits,
    home: &Path,
) -> Result<Component, PluginError> {
    static COMPILED: Mutex<BTreeMap<(PathBuf, u64), Component>> = Mutex::new(BTreeMap::new());
    let key = (interpreter.to_owned(), limits.stack_bytes);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = compiled.get(&key) {
        return Ok(found.clone());
    }
    let bytes = fs::read(interpreter).map_err(|error| PluginError::Interpreter {
        plugin: name.into(),
        language: language.name(),
        path: interpreter.display().to_string(),
        reason: error.to_string(),
        word: language.word(),
    })?;
    let engine = engine_for(name, limits)?;
    let component =
        compile(&engine, name, &bytes, limits.stack_bytes, limits.compile_time, Some(&home.join("compiled")))?;
    compiled.insert(key, component.clone());
    Ok(component)
}

/// The function that takes a script. The interpreter is ours: that it imports nothing but requests is a test.
fn load(engine: &Engine, component: &Component) -> Result<ComponentExportIndex, String> {
    let contract = SCRIPT.to_string();
    let (_, interface) = component.get_export(None, &contract).ok_or_else(|| {
        let exports = component.component_type();
        let exports: Vec<String> = exports.exports(engine).map(|(export, _)| export.to_owned()).collect();
        format!("its interpreter exports {}, and not `{contract}`", exports.join(", "))
    })?;
    match component.get_export(Some(&interface), "load") {
        Some((ComponentItem::ComponentFunc(_), index)) => Ok(index),
        _ => Err(format!("its interpreter's `{contract}` has no function `load`")),
    }
}
