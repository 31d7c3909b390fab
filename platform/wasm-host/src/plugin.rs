//! A plugin that was read, checked and compiled.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{Schema, SchemaRef};
use braid_spec::model::{Grants, Language, OutputMode, PluginLimits};
use braid_wire::{HTTP, SCRIPT, Type};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, Linker};
use wasmtime::{Engine, StoreContextMut};

use crate::aggregate::AggregatePlugin;
use crate::applier::Applier;
use crate::boundary::{WireField, WireSchema, from_arrow};
use crate::compile::{compile, digest, engine};
use crate::error::PluginError;
use crate::grants::{Grant, granted};
use crate::guest::{Data, Failure, Guest, Mould, STACK_BYTES_MAX, World};
use crate::host::{self, Host};
use crate::http::{Outside, Request};
use crate::inside::Inside;
use crate::inspect::world;
use crate::keyed::KeyedPlugin;
use crate::lift::lift_schema;
use crate::limits::Ticker;
use crate::replace::Watched;
use crate::scalar::ScalarPlugin;
use crate::script;
use crate::sink::SinkPlugin;

/// The least stack with which a program can do anything.
const STACK_BYTES_MIN: u64 = 16 * 1024;

/// So many instances of a function are kept while nobody calls it: one for each core that does.
const IDLE_MAX: usize = 64;

/// What every WebAssembly file begins with; the version after it tells components from core modules.
const MAGIC: [u8; 4] = *b"\0asm";
const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];

/// A plugin, ready to be applied. Clones share the code; each [`Applier`] has an instance of its own.
#[derive(Clone)]
pub struct Plugin(Arc<Inner>);

struct Inner {
    name: String,
    digest: String,
    mould: Arc<Mould>,
    /// Instances that nobody uses.
    idle: Mutex<Vec<Guest>>,
    watched: Watched,
}

/// What SQL can call.
#[derive(Debug, Clone)]
pub enum FunctionPlugin {
    /// An answer for each row.
    Scalar(ScalarPlugin),
    /// An answer for each group.
    Aggregate(AggregatePlugin),
}

impl Plugin {
    /// Reads a component from a file. `cache` is a directory of Braid's own for compiled code: nothing in it may come
    /// from a user.
    pub fn load(
        name: &str,
        path: &Path,
        limits: PluginLimits,
        grants: &Grants,
        cache: Option<&Path>,
    ) -> Result<Self, PluginError> {
        Self::from_bytes(name, &read(name, path, limits)?, limits, grants, cache)
    }

    /// Reads a script, for the interpreter of its language. `home` is Braid's directory for WebAssembly, with interpreters and
    /// compiled code: nothing in it may come from a user.
    pub fn load_script(
        name: &str,
        path: &Path,
        language: Language,
        limits: PluginLimits,
        grants: &Grants,
        home: &Path,
    ) -> Result<Self, PluginError> {
        let source = script::source(name, path, read(name, path, limits)?)?;
        let (mould, digest) = script::in_interpreter(name, source, language, limits, grants, home)?;
        Ok(Self::of(name, digest, Arc::new(mould)))
    }

    /// Takes a component's bytes; it may have a script inside. `cache` as for [`Self::load`].
    pub fn from_bytes(
        name: &str,
        bytes: &[u8],
        limits: PluginLimits,
        grants: &Grants,
        cache: Option<&Path>,
    ) -> Result<Self, PluginError> {
        check_size(name, bytes.len() as u64, limits)?;
        check_header(name, bytes)?;
        let mould = match Inside::of(bytes) {
            Some(inside) => script::with_interpreter(name, &inside, limits, grants, cache)?,
            None => {
                let engine = engine_for(name, limits)?;
                let component = compile(&engine, name, bytes, limits.stack_bytes, limits.compile_time, cache)?;
                mould(name, &engine, &component, limits, grants)?
            }
        };
        Ok(Self::of(name, with_values(digest(bytes), grants), Arc::new(mould)))
    }

    /// The same code, with instances of its own, of which nothing is known yet.
    pub fn twin(&self) -> Self {
        Self::of(&self.0.name, self.0.digest.clone(), Arc::clone(&self.0.mould))
    }

    fn of(name: &str, digest: String, mould: Arc<Mould>) -> Self {
        Self(Arc::new(Inner { name: name.into(), digest, mould, idle: Mutex::default(), watched: Watched::default() }))
    }

    /// The name it has in the deployment.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// SHA-256 of the component's bytes, and of the values it was granted if there are any, in hexadecimal digits: what an
    /// answer's provenance names.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// The name of its world.
    pub fn world(&self) -> &'static str {
        world(&self.0.mould.world.contract())
    }

    /// Asks the plugin which columns come out where these go in.
    pub fn describe(&self, input: &Schema) -> Result<SchemaRef, PluginError> {
        self.must_be(World::Transform)?;
        let mould = &self.0.mould;
        let schema = self.wire_schema(input)?;
        let described = Guest::start(mould).and_then(|mut guest| guest.describe(mould, (&schema,)));
        let described = described.map_err(|failure| self.refused(failure.reason))?;
        lift_schema(described).map_err(|reason| self.refused(reason))
    }

    /// Asks a plugin with state what comes out and what it keeps, where these columns go in, `keys` make a key, and
    /// `initial` is the table of initial states.
    pub fn keyed(
        &self,
        input: &SchemaRef,
        keys: &[String],
        initial: Option<&SchemaRef>,
    ) -> Result<KeyedPlugin, PluginError> {
        self.must_be(World::Keyed)?;
        KeyedPlugin::describe(self, input, keys, initial)
    }

    /// Asks a plugin that takes rows away whether the sink `name` can be had with these options, for rows of these columns that
    /// come by `mode`.
    pub fn sink(
        &self,
        name: &str,
        options: &BTreeMap<String, String>,
        input: &SchemaRef,
        mode: OutputMode,
    ) -> Result<SinkPlugin, PluginError> {
        self.must_be(World::Sink)?;
        SinkPlugin::describe(self, name, options.clone(), input, mode)
    }

    /// What SQL can call, where the plugin is a function or an aggregate.
    pub fn function(&self) -> Option<FunctionPlugin> {
        match self.0.mould.world {
            World::Scalar => Some(FunctionPlugin::Scalar(ScalarPlugin::new(self.clone()))),
            World::Aggregate => Some(FunctionPlugin::Aggregate(AggregatePlugin::new(self.clone()))),
            World::Transform | World::Keyed | World::Sink => None,
        }
    }

    /// Throws away the instances of a function: what comes next has a fresh one.
    pub fn renew(&self) {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn watched(&self) -> &Watched {
        &self.0.watched
    }

    /// Has an instance do something. Instances are kept for whoever comes next, but for those that broke.
    pub(crate) fn with_guest<T>(
        &self,
        work: impl FnOnce(&mut Guest, &Mould) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let worn = idle.is_some();
        let mut guest = match idle {
            Some(guest) => guest,
            None => Guest::start(&self.0.mould)?,
        };
        let done = work(&mut guest, &self.0.mould);
        let whole = done.as_ref().map_or_else(|failure| self.0.mould.survives(failure), |_| true);
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if whole && idle.len() < IDLE_MAX {
            idle.push(guest);
        }
        done.map_err(|failure| failure.in_worn(worn && !whole))
    }

    /// Where it stands in a deployment, in words.
    pub fn place(&self) -> String {
        let world = self.0.mould.world;
        format!("the plugin `{}` {}: it stands in {}", self.0.name, world.does(), world.stands())
    }

    fn must_be(&self, world: World) -> Result<(), PluginError> {
        let is = self.0.mould.world;
        if is == world {
            return Ok(());
        }
        let what = format!("{}: it stands in {}, not in {}", is.does(), is.stands(), world.stands());
        Err(PluginError::Place { plugin: self.0.name.clone(), what })
    }

    pub(crate) fn refused(&self, reason: String) -> PluginError {
        PluginError::Describe { plugin: self.0.name.clone(), reason }
    }

    pub(crate) fn wire_schema(&self, schema: &Schema) -> Result<WireSchema, PluginError> {
        let fields = schema.fields().iter().zip(self.types(schema)?);
        let fields =
            fields.map(|(field, data_type)| WireField { name: field.name().clone(), data_type: data_type.into() });
        Ok(WireSchema { fields: fields.collect() })
    }

    /// Makes ready to apply the plugin to batches of this schema. Several may run side by side.
    pub fn applier(&self, input: &SchemaRef) -> Result<Applier, PluginError> {
        let output = self.describe(input)?;
        let types = self.types(input)?;
        Ok(Applier::new(self.clone(), Arc::clone(input), types, output))
    }

    pub(crate) fn mould(&self) -> &Mould {
        &self.0.mould
    }

    pub(crate) fn types(&self, schema: &Schema) -> Result<Vec<Type>, PluginError> {
        let types = schema.fields().iter().map(|field| {
            from_arrow(field.data_type()).ok_or_else(|| PluginError::Type {
                plugin: self.0.name.clone(),
                column: field.name().clone(),
                data_type: field.data_type().to_string(),
            })
        });
        types.collect()
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plugin({} {})", self.0.name, self.0.digest)
    }
}

/// The digest of code and of the values that it was granted.
pub(crate) fn with_values(code: String, grants: &Grants) -> String {
    match grants.env.is_empty() {
        true => code,
        false => digest(format!("{code} {:?}", grants.env).as_bytes()),
    }
}

/// A file's bytes, if they are not too many.
fn read(name: &str, path: &Path, limits: PluginLimits) -> Result<Vec<u8>, PluginError> {
    let unreadable = |error: std::io::Error| PluginError::File {
        plugin: name.into(),
        path: path.display().to_string(),
        reason: error.to_string(),
    };
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let mut bytes = Vec::new();
    // One byte more than allowed is read, in case the file grows meanwhile: enough to see that it is too much.
    if length <= limits.module_bytes {
        let mut bounded = file.take(limits.module_bytes.saturating_add(1));
        bounded.read_to_end(&mut bytes).map_err(unreadable)?;
    }
    check_size(name, length.max(bytes.len() as u64), limits)?;
    Ok(bytes)
}

/// An engine with the stack that the limits allow.
pub(crate) fn engine_for(name: &str, limits: PluginLimits) -> Result<Engine, PluginError> {
    let wrong = |reason: String| PluginError::Limits { plugin: name.into(), reason };
    if !(STACK_BYTES_MIN..=STACK_BYTES_MAX).contains(&limits.stack_bytes) {
        return Err(wrong(format!(
            "a stack of {} bytes is not possible: {STACK_BYTES_MIN} to {STACK_BYTES_MAX} are",
            limits.stack_bytes
        )));
    }
    engine(usize::try_from(limits.stack_bytes).unwrap_or(usize::MAX)).map_err(|error| wrong(error.to_string()))
}

fn check_size(plugin: &str, bytes: u64, limits: PluginLimits) -> Result<(), PluginError> {
    if bytes <= limits.module_bytes {
        return Ok(());
    }
    Err(PluginError::TooLarge { plugin: plugin.into(), bytes, bytes_max: limits.module_bytes })
}

pub(crate) fn check_header(plugin: &str, bytes: &[u8]) -> Result<(), PluginError> {
    let reason = match bytes.get(..8) {
        Some(header) if header[..4] == MAGIC && header[4..] == COMPONENT => return Ok(()),
        Some(header) if header[..4] == MAGIC => "it is a core module: build it with `plugins/build`",
        _ => "it is not WebAssembly",
    };
    Err(PluginError::NotAComponent { plugin: plugin.into(), reason: reason.into() })
}

/// Proves that the component imports nothing that was not granted, and speaks our contract.
fn mould(
    name: &str,
    engine: &Engine,
    component: &Component,
    limits: PluginLimits,
    grants: &Grants,
) -> Result<Mould, PluginError> {
    let component_type = component.component_type();
    let exports: Vec<String> = component_type.exports(engine).map(|(export, _)| format!("`{export}`")).collect();
    if exports.contains(&format!("`{SCRIPT}`")) {
        let reason = "it is an interpreter, and has no script inside: `braid plugin build` puts one there".into();
        return Err(PluginError::Script { plugin: name.into(), reason });
    }
    let found = World::ALL.into_iter().find(|world| exports.contains(&format!("`{}`", world.contract())));
    let imports: Vec<&str> = component_type.imports(engine).map(|(import, _)| import).collect();
    let granted = granted(name, &imports, found, grants)?;
    let spoken = World::ALL.map(|world| format!("`{}`", world.contract()));
    let other = |found: String| PluginError::World { plugin: name.into(), found, expected: spoken.join(", ") };
    let Some(world) = found else {
        return Err(other(match exports.as_slice() {
            [] => "nothing".into(),
            exports => exports.join(", "),
        }));
    };
    let failed = |reason: String| PluginError::Compile { plugin: name.into(), reason };
    let mut linker = Linker::new(engine);
    for grant in granted {
        let linked = match grant {
            Grant::Http => link_http(&mut linker),
            other => host::link(&mut linker, other.import()),
        };
        linked.map_err(|error| failed(format!("{error:#}")))?;
    }
    Ok(Mould {
        world,
        functions: functions(name, component, world)?,
        pre: linker.instantiate_pre(component).map_err(|error| failed(format!("{error:#}")))?,
        limits,
        outside: outside(name, limits, grants)?,
        host: Arc::new(Host::new(name, grants, limits)),
        ticker: Ticker::start(engine.clone()).map_err(|error| failed(error.to_string()))?,
        script: None,
        rows_max: usize::MAX,
    })
}

/// The functions of a world.
pub(crate) fn functions(
    name: &str,
    component: &Component,
    world: World,
) -> Result<Vec<ComponentExportIndex>, PluginError> {
    let spoken = World::ALL.map(|world| format!("`{}`", world.contract()));
    let other = |found: String| PluginError::World { plugin: name.into(), found, expected: spoken.join(", ") };
    let expected = world.contract().to_string();
    let (_, interface) = component.get_export(None, &expected).ok_or_else(|| other("nothing".into()))?;
    let functions = world.functions().iter().map(|name| match component.get_export(Some(&interface), name) {
        Some((ComponentItem::ComponentFunc(_), index)) => Ok(index),
        _ => Err(other(format!("`{expected}` without the function `{name}`"))),
    });
    functions.collect()
}

/// What is reached by who was granted something.
pub(crate) fn outside(name: &str, limits: PluginLimits, grants: &Grants) -> Result<Option<Arc<Outside>>, PluginError> {
    if grants.http.is_empty() {
        return Ok(None);
    }
    let failed = |reason: String| PluginError::Compile { plugin: name.into(), reason };
    let outside = Outside::new(name, grants, limits.http);
    Ok(Some(Arc::new(outside.map_err(|reason| failed(format!("the host's client: {reason}")))?)))
}

/// What a sink may reach.
pub(crate) fn link_http(linker: &mut Linker<Data>) -> wasmtime::Result<()> {
    let mut http = linker.instance(HTTP)?;
    http.func_wrap("granted", |mut store: StoreContextMut<'_, Data>, (url,): (String,)| {
        Ok((store.data_mut().granted(&url),))
    })?;
    http.func_wrap("send", |mut store: StoreContextMut<'_, Data>, (request,): (Request,)| {
        Ok((store.data_mut().send(request),))
    })
}
