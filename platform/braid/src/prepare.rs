//! From a file's path to a deployment that can run: its YAML, its plugins and its queries, with every mistake found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use braid_engine::{
    Catalog, Code, DropDuplicates, Engine, EventTime, Function, Gate, Input, OutputMode, StateMemory, StaticInput,
    TimeMode, TransformWithState,
};
use braid_kernel::keyed::KeyedCode;
use braid_spec::model::{self, Delivery, Deployment, Layout, OnPluginError, PluginCode, SinkKind, TextFiles};
use braid_spec::{Diagnostics, LoadOptions, SourceMap};
use braid_wasm_host::{FunctionPlugin, Plugin, PluginError, SinkPlugin, language_inside};

use crate::cli::{Output, Target, TestTarget};
use crate::failure::Failure;
use crate::trial::{self, Case};
use crate::{continuous, pipeline, position};

/// A deployment whose parts fit together.
pub struct Prepared {
    pub deployment: Deployment,
    pub engine: Engine,
    pub plugins: BTreeMap<String, Plugin>,
    pub inputs: BTreeMap<String, Input>,
    /// The sinks that are plugins.
    pub takers: BTreeMap<String, SinkPlugin>,
    /// What must come of what.
    pub tests: Vec<Case>,
    /// Where everything stands in the file.
    pub map: SourceMap,
}

impl Prepared {
    /// The same deployment with other code for a plugin. Static tables are read again.
    pub async fn with(&self, plugin: Plugin, code: PluginCode) -> Result<Self, Failure> {
        let (mut deployment, mut plugins) = (self.deployment.clone(), self.plugins.clone());
        if let Some(declared) = deployment.plugins.get_mut(plugin.name()) {
            declared.code = code;
        }
        plugins.insert(plugin.name().to_owned(), plugin);
        let mut prepared =
            assemble(deployment, plugins, self.map.clone(), Tables::Read, Output::Table, Diagnostics::default())
                .await?;
        // What operators remember has one bound for the process.
        prepared.engine = prepared.engine.within(self.engine.memory().clone());
        Ok(prepared)
    }

    /// The same deployment under another layout.
    pub fn under(&self, layout: Layout) -> Self {
        Self {
            deployment: Deployment { layout, ..self.deployment.clone() },
            engine: self.engine.clone(),
            plugins: self.plugins.clone(),
            inputs: self.inputs.clone(),
            takers: self.takers.clone(),
            tests: self.tests.clone(),
            map: self.map.clone(),
        }
    }

    /// Gives these tests the rows of tables' files where they have none of their own.
    pub async fn read_tables(&self, cases: &mut [Case], output: Output) -> Result<(), Failure> {
        let mut mistakes = Diagnostics::default();
        for (name, table) in &self.deployment.tables {
            let mut without = cases.iter_mut().filter(|case| !case.tables.contains_key(name)).peekable();
            if without.peek().is_none() {
                continue;
            }
            match braid_connect::read_table(table).await {
                Ok(rows) => without.for_each(|case| drop(case.tables.insert(name.clone(), rows.clone()))),
                Err(error) => {
                    let hint = format!("give rows to `{name}` in each test, and the file need not be there");
                    let path = format!("tables.{name}.file");
                    mistakes.list.push(self.map.diagnostic(&path, None, error.to_string(), Some(hint)));
                }
            }
        }
        if mistakes.list.is_empty() { Ok(()) } else { Err(render(&mistakes, output)) }
    }
}

/// Whether the files of static tables are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tables {
    Read,
    /// Others will give rows.
    Empty,
}

/// Reads and checks a deployment for its tests: tables have no rows yet, and nobody asks for its store.
pub async fn prepare_tests(target: &TestTarget, output: Output) -> Result<Prepared, Failure> {
    let TestTarget { deployment, layout, .. } = target.clone();
    load(&Target { deployment, layout, store: Some("memory://".into()) }, Tables::Empty, output).await
}

/// Reads and checks a deployment. Static tables are read too: their rows are part of the plans.
pub async fn prepare(target: &Target, output: Output) -> Result<Prepared, Failure> {
    load(target, Tables::Read, output).await
}

async fn load(target: &Target, tables: Tables, output: Output) -> Result<Prepared, Failure> {
    let options = LoadOptions {
        layout: target.layout.clone(),
        store: target.store.clone(),
        columns: &braid_connect::columns_of,
        ..LoadOptions::default()
    };
    let loaded = braid_spec::load(&target.deployment, &options).map_err(|mistakes| render(&mistakes, output))?;
    let mut mistakes = Diagnostics::default();
    let plugins = load_plugins(&loaded.deployment, &loaded.source_map, &mut mistakes);
    assemble(loaded.deployment, plugins, loaded.source_map, tables, output, mistakes).await
}

/// Fits the parts together.
async fn assemble(
    mut deployment: Deployment,
    plugins: BTreeMap<String, Plugin>,
    map: SourceMap,
    tables: Tables,
    output: Output,
    mut mistakes: Diagnostics,
) -> Result<Prepared, Failure> {
    let inputs = inputs(&deployment, &plugins, &map, &mut mistakes);
    let statics = statics(&deployment, tables, &map, &mut mistakes).await;
    let functions = functions(&deployment, &plugins, &map, &mut mistakes);
    pipeline::check(&deployment, &functions, &map, &mut mistakes);
    if !mistakes.list.is_empty() {
        return Err(render(&mistakes, output));
    }
    let views = deployment.views.iter().map(|(name, view)| (name.clone(), view.sql.clone())).collect();
    let engine = match Engine::compile(Catalog { inputs: inputs.clone(), statics, functions, views }).await {
        Ok(engine) => {
            let directory = deployment.state.directory.clone().unwrap_or_else(std::env::temp_dir);
            engine.within(StateMemory::new(deployment.state.memory_bytes, directory))
        }
        Err(errors) => {
            for error in errors {
                let path = match deployment.plugins.contains_key(&error.view) {
                    true => format!("plugins.{}", error.view),
                    false => format!("views.{}.sql", error.view),
                };
                let position = error.position.map(|(line, column)| (line as u64, column as u64));
                let called = error.message.strip_prefix("Invalid function '").and_then(|rest| rest.split('\'').next());
                let place = called.and_then(|name| plugins.get(name)).map(Plugin::place);
                let hint = place.or(error.hint);
                mistakes.list.push(map.diagnostic(&path, position, error.message, hint));
            }
            return Err(render(&mistakes, output));
        }
    };
    for (name, sink) in &deployment.sinks {
        if let Err(reason) = engine.output(&sink.from, output_mode(sink.output_mode)) {
            let path = format!("sinks.{name}.output_mode");
            mistakes.list.push(map.diagnostic(&path, None, reason, None));
        }
        let info =
            engine.views().get(&sink.from).filter(|_| matches!(sink.to, SinkKind::Text(TextFiles::Folder { .. })));
        if let Some(info) = info.filter(|info| !is_text(&info.schema)) {
            let message =
                format!("a text sink writes one column of text, and `{}` is {}", info.name, columns(&info.schema));
            let hint = "write one of them all, e.g. `SELECT concat_ws(',', …) AS value`".to_owned();
            mistakes.list.push(map.diagnostic(&format!("sinks.{name}.text"), None, message, Some(hint)));
        }
    }
    let takers = takers(&mut deployment, &engine, &plugins, &map, &mut mistakes);
    continuous::check(&deployment, engine.views(), &map, &mut mistakes);
    let tests = trial::cases(&deployment, &engine, &map, &mut mistakes);
    if !mistakes.list.is_empty() {
        return Err(render(&mistakes, output));
    }
    Ok(Prepared { deployment, engine, plugins, inputs, takers, tests, map })
}

/// All mistakes, as they are printed.
pub fn render(mistakes: &Diagnostics, output: Output) -> Failure {
    match output {
        Output::Json => {
            Failure::Invalid(serde_json::to_string_pretty(mistakes).unwrap_or_else(|_| mistakes.to_string()))
        }
        _ => Failure::Invalid(mistakes.to_string()),
    }
}

/// The engine's word for an output mode.
pub fn output_mode(mode: model::OutputMode) -> OutputMode {
    match mode {
        model::OutputMode::Append => OutputMode::Append,
        model::OutputMode::Update => OutputMode::Update,
        model::OutputMode::Complete => OutputMode::Complete,
    }
}

/// Braid's directory for WebAssembly, with interpreters and compiled code: `${BRAID_CACHE:-~/.cache/braid}/wasm`.
pub fn wasm_home() -> Option<PathBuf> {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = given("BRAID_CACHE").or_else(|| Some(given("HOME")?.join(".cache/braid")))?;
    std::path::absolute(cache.join("wasm")).ok()
}

/// Reads a plugin's code.
pub fn load_plugin(name: &str, plugin: &model::Plugin) -> Result<Plugin, PluginError> {
    let home = wasm_home();
    match &plugin.code {
        PluginCode::Component(file) => {
            let cache = home.as_ref().map(|home| home.join("compiled"));
            let limits = match language_inside(file) {
                Some(language) => plugin.limits.of_script_inside(language),
                None => plugin.limits.of_component(),
            };
            Plugin::load(name, file, limits, &plugin.grants, cache.as_deref())
        }
        PluginCode::Script { file, language } => {
            let home = home.as_deref().unwrap_or(Path::new(""));
            Plugin::load_script(name, file, *language, plugin.limits.of_script(*language), &plugin.grants, home)
        }
    }
}

fn load_plugins(deployment: &Deployment, map: &SourceMap, mistakes: &mut Diagnostics) -> BTreeMap<String, Plugin> {
    let mut plugins = BTreeMap::new();
    for (name, plugin) in &deployment.plugins {
        match load_plugin(name, plugin) {
            Ok(loaded) => {
                plugins.insert(name.clone(), loaded);
            }
            Err(error) => {
                let key = match (&error, &plugin.code) {
                    (PluginError::NeedlessGrant { .. } | PluginError::NeedlessGrantOf { .. }, _) => "grants",
                    (PluginError::History { .. }, _) if map.has(&format!("plugins.{name}.grants")) => "grants",
                    (PluginError::CompileTime { .. }, _) if map.has(&format!("plugins.{name}.limits")) => "limits",
                    (_, PluginCode::Component(_)) => "component",
                    (_, PluginCode::Script { .. }) => "script",
                };
                let path = format!("plugins.{name}.{key}");
                mistakes.list.push(map.diagnostic(&path, None, error.to_string(), None));
            }
        }
    }
    plugins
}

/// The plugins that SQL can call by their names.
fn functions(
    deployment: &Deployment,
    plugins: &BTreeMap<String, Plugin>,
    map: &SourceMap,
    mistakes: &mut Diagnostics,
) -> Vec<Function> {
    let mut functions = vec![];
    for (name, plugin) in plugins {
        let Some(function) = plugin.function() else { continue };
        if name.contains('-') {
            let message = format!("SQL cannot call a function `{name}`");
            let hint = format!("name it `{}`", name.replace('-', "_"));
            mistakes.list.push(map.diagnostic(&format!("plugins.{name}"), None, message, Some(hint)));
        }
        functions.push(Function {
            name: name.clone(),
            code: match function {
                FunctionPlugin::Scalar(code) => Code::Scalar(Arc::new(code)),
                FunctionPlugin::Aggregate(code) => Code::Aggregate(Arc::new(code)),
            },
            definition: plugin.digest().to_owned(),
            fails: deployment.plugins[name].on_error == OnPluginError::Fail,
        });
    }
    functions
}

/// The sinks that are plugins, each asked for what it promises.
fn takers(
    deployment: &mut Deployment,
    engine: &Engine,
    plugins: &BTreeMap<String, Plugin>,
    map: &SourceMap,
    mistakes: &mut Diagnostics,
) -> BTreeMap<String, SinkPlugin> {
    let mut takers = BTreeMap::new();
    for (name, sink) in &mut deployment.sinks {
        let SinkKind::Plugin { plugin, options } = &sink.to else { continue };
        let (Some(loaded), Some(view)) = (plugins.get(plugin), engine.views().get(&sink.from)) else { continue };
        let mut wrong = |path: String, message: String, hint: &str| {
            let hint = (!hint.is_empty()).then(|| hint.to_owned());
            mistakes.list.push(map.diagnostic(&path, None, message, hint));
        };
        let on_error = format!("plugins.{plugin}.on_error");
        if map.has(&on_error) {
            let message = format!("`{plugin}` takes rows away, and a row on which it fails cannot be left out");
            wrong(on_error, message, "take `on_error` out: the epoch is tried again");
        }
        let laws = format!("plugins.{plugin}.laws");
        if map.has(&laws) {
            let message = format!("`{plugin}` takes rows away, and there are no laws of that");
            wrong(laws, message, "take `laws` out");
        }
        match loaded.sink(name, options, &view.schema, sink.output_mode) {
            Ok(taker) => {
                let written = map.has(&format!("sinks.{name}.delivery"));
                if sink.delivery == Delivery::ExactlyOnce && !taker.is_idempotent() {
                    if written {
                        let message =
                            format!("`{plugin}` does not promise that an epoch that comes again has the effect of one");
                        let hint = "write `at_least_once`, leave it out, or have the plugin promise it";
                        wrong(format!("sinks.{name}.delivery"), message, hint);
                    }
                    sink.delivery = Delivery::AtLeastOnce;
                }
                takers.insert(name.clone(), taker);
            }
            Err(error) => wrong(format!("sinks.{name}.plugin"), error.to_string(), ""),
        }
    }
    takers
}

/// Everything that SQL can read from: sources as they are, and streams as their plugins leave them.
fn inputs(
    deployment: &Deployment,
    plugins: &BTreeMap<String, Plugin>,
    map: &SourceMap,
    mistakes: &mut Diagnostics,
) -> BTreeMap<String, Input> {
    let mut inputs: BTreeMap<String, Input> = deployment
        .sources
        .iter()
        .map(|(name, source)| {
            let watermark = source.watermark.as_ref().map(|watermark| EventTime {
                column: watermark.event_time.clone(),
                delay_ms: watermark.delay.as_millis() as i64,
            });
            (name.clone(), Input { schema: source.schema.clone(), watermark, gate: None })
        })
        .collect();
    for stream in &deployment.streams {
        let parents: Vec<&Input> = stream.from.iter().filter_map(|name| inputs.get(name)).collect();
        let Some(first) = parents.first() else { continue };
        if let Some((other, name)) =
            parents.iter().zip(&stream.from).find(|(other, _)| other.schema.fields() != first.schema.fields())
        {
            let message = format!(
                "`{}` has the columns {} and `{name}` has {}",
                stream.from[0],
                columns(&first.schema),
                columns(&other.schema)
            );
            let hint = Some("streams that are joined into one have the same columns in the same order".to_string());
            mistakes.list.push(map.diagnostic(&format!("streams.{}.from", stream.name), None, message, hint));
            continue;
        }
        let mut schema = first.schema.clone();
        let watermark = first.watermark.clone();
        for plugin in stream.apply.iter().filter_map(|name| plugins.get(name)) {
            match plugin.describe(&schema) {
                Ok(described) => schema = described,
                Err(error) => {
                    let path = format!("streams.{}.apply", stream.name);
                    mistakes.list.push(map.diagnostic(&path, None, error.to_string(), None));
                }
            }
        }
        let watermark = watermark.filter(|watermark| schema.field_with_name(&watermark.column).is_ok());
        let input = if let Some(unique) = &stream.drop_duplicates {
            let unique = DropDuplicates { columns: unique.columns.clone(), within_watermark: unique.within_watermark };
            Input { schema, watermark, gate: Some(Gate::Unique(unique)) }
        } else if let Some(keyed) = &stream.transform_with_state {
            let Some(plugin) = plugins.get(&keyed.plugin) else { continue };
            let initial = keyed.initial_state.as_ref().and_then(|table| deployment.tables.get(table));
            match transform_with_state(keyed, plugin, schema, watermark, initial) {
                Ok(input) => input,
                Err((key, message, hint)) => {
                    let path = format!("streams.{}.transform_with_state.{key}", stream.name);
                    mistakes.list.push(map.diagnostic(&path, None, message, hint));
                    continue;
                }
            }
        } else {
            Input { schema, watermark, gate: None }
        };
        inputs.insert(stream.name.clone(), input);
    }
    inputs
}

/// The input that user code makes of rows; or the key that is wrong, why, and what to do.
fn transform_with_state(
    keyed: &model::TransformWithState,
    plugin: &Plugin,
    schema: SchemaRef,
    watermark: Option<EventTime>,
    initial: Option<&model::StaticTable>,
) -> Result<Input, (&'static str, String, Option<String>)> {
    for column in &keyed.key {
        let tables = initial.map(|table| (&table.schema, "the table of initial states"));
        for (of, what) in [(&schema, "the stream")].into_iter().chain(tables) {
            if of.field_with_name(column).is_err() {
                return Err(("key", format!("there is no column `{column}` in {what}: {}", columns(of)), None));
            }
        }
    }
    let code = plugin.keyed(&schema, &keyed.key, initial.map(|table| &table.schema));
    let code = code.map_err(|error| ("plugin", error.to_string(), None))?;
    let output = code.program().output.clone();
    let after = match (&keyed.event_time, &watermark) {
        (None, _) => None,
        (Some(column), Some(watermark)) => {
            if !output.field_with_name(column).is_ok_and(|field| matches!(field.data_type(), DataType::Timestamp(_, _)))
            {
                let message = format!("the plugin gives no timestamp `{column}` out, but {}", columns(&output));
                return Err(("event_time", message, None));
            }
            Some(EventTime { column: column.clone(), delay_ms: watermark.delay_ms })
        }
        (Some(_), None) => {
            let hint = "declare a watermark on the source, or leave `event_time` out";
            return Err(("event_time", "the stream has no event time".into(), Some(hint.into())));
        }
    };
    let gate = TransformWithState {
        code: Arc::new(code),
        schema: position::with_columns(&schema),
        watermark,
        keys: keyed.key.clone(),
        time_mode: match keyed.time_mode {
            model::TimeMode::None => TimeMode::None,
            model::TimeMode::EventTime => TimeMode::EventTime,
            model::TimeMode::ProcessingTime => TimeMode::ProcessingTime,
        },
        initial: keyed.initial_state.clone(),
    };
    Ok(Input { schema: output, watermark: after, gate: Some(Gate::Keyed(Box::new(gate))) })
}

/// Whether rows are lines of text.
fn is_text(schema: &SchemaRef) -> bool {
    matches!(schema.fields().as_ref(), [only] if only.data_type() == &DataType::Utf8)
}

fn columns(schema: &SchemaRef) -> String {
    let columns: Vec<_> =
        schema.fields().iter().map(|field| format!("{}: {}", field.name(), field.data_type())).collect();
    format!("({})", columns.join(", "))
}

async fn statics(
    deployment: &Deployment,
    tables: Tables,
    map: &SourceMap,
    mistakes: &mut Diagnostics,
) -> BTreeMap<String, StaticInput> {
    let mut statics = BTreeMap::new();
    for (name, table) in &deployment.tables {
        let read = match tables {
            Tables::Read => braid_connect::read_table(table).await,
            Tables::Empty => Ok(vec![]),
        };
        match read {
            Ok(batches) => {
                statics.insert(name.clone(), StaticInput { schema: table.schema.clone(), batches });
            }
            Err(error) => {
                let path = format!("tables.{name}.file");
                mistakes.list.push(map.diagnostic(&path, None, error.to_string(), None));
            }
        }
    }
    statics
}
