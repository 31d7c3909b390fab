//! A deployment's YAML, read into types with every mistake reported at once. The only room that knows YAML.
//!
//! Text becomes a tree that knows places (`node`), the environment is put in (`env`), the tree is checked against tables of
//! keys (`keys`, `read`), and right values become the model (`build`, `check`). Each step notes mistakes and goes on.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong"))]

mod address;
mod build;
mod build_format;
mod build_kafka;
mod build_plugin;
mod build_source;
mod build_tests;
mod check;
mod columns;
mod diagnostics;
mod env;
pub mod fixtures;
mod json_schema;
mod keys;
mod keys_answers;
mod keys_formats;
mod keys_layout;
mod keys_pipeline;
mod keys_run;
mod keys_tests;
mod layout;
pub mod model;
mod node;
mod pipeline;
mod pipeline_steps;
mod read;
mod read_kafka;
mod read_pipeline;
mod read_tests;
mod source_map;
mod suggest;
mod text_of_steps;
mod units;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

pub use diagnostics::{Diagnostic, Diagnostics};
pub use json_schema::{json_schema, layout_json_schema};
pub use layout::built_in as built_in_layouts;
pub use source_map::SourceMap;
pub use suggest::did_you_mean;

use arrow_schema::SchemaRef;
use build::Builder;
use model::{Deployment, Layout, Serving, WatermarkPolicy};
use node::{FILE_BYTES_MAX, Node, Place};
use pipeline::Answers;
use read::Reader;
use value::Fields;

/// Finds the columns of a format whose schema is elsewhere, and puts in what it had to look up. Columns that are declared
/// are checked, and are the answer. The error is the reason.
pub type FindColumns = dyn Fn(&mut model::Format, Option<&SchemaRef>) -> Result<SchemaRef, String> + Sync;

/// What a deployment is read with.
pub struct LoadOptions<'a> {
    /// A layout in place of the file's: `lambda`, `kappa`, or a path from the working directory.
    pub layout: Option<String>,
    /// A store in place of the file's.
    pub store: Option<String>,
    /// The environment.
    pub env: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// What relative stores and components start from.
    pub working_dir: PathBuf,
    /// Whether a plugin's missing file is a mistake.
    pub check_files: bool,
    /// The columns of Avro and Protobuf, of which this room knows nothing.
    pub columns: &'a FindColumns,
}

impl Default for LoadOptions<'_> {
    /// The process's environment and working directory.
    fn default() -> Self {
        LoadOptions {
            layout: None,
            store: None,
            env: &|name| std::env::var(name).ok(),
            working_dir: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
            check_files: true,
            columns: &|_, declared| declared.cloned().ok_or_else(|| "the columns are not known; write `schema`".into()),
        }
    }
}

/// A deployment, and where in its file everything stands.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What is to run.
    pub deployment: Deployment,
    /// For mistakes that only the engine can find.
    pub source_map: SourceMap,
}

/// Reads a deployment file.
///
/// # Errors
/// All mistakes, in the order of the file; or the one reason why it cannot be read.
pub fn load(path: &Path, options: &LoadOptions<'_>) -> Result<Loaded, Diagnostics> {
    let name = path.display().to_string();
    let text = read_file(path).map_err(|reason| {
        let start = Place { line: 1, column: 1, width: 1 };
        let mistake = SourceMap::new(&name, "").at(start, "", format!("the file cannot be read: {reason}"));
        Diagnostics::from(mistake)
    })?;
    load_text(&text, &name, path.parent().unwrap_or(Path::new("")), options)
}

/// Reads a deployment from text. `file_name` stands in messages; layouts and components are looked for in `base_dir`.
///
/// # Errors
/// All mistakes, in the order of the file.
pub fn load_text(
    text: &str,
    file_name: &str,
    base_dir: &Path,
    options: &LoadOptions<'_>,
) -> Result<Loaded, Diagnostics> {
    let mut map = SourceMap::new(file_name, text);
    let mut mistakes = Vec::new();
    let Some(tree) = tree(text, options.env, &mut map, &mut mistakes) else {
        return Err(Diagnostics::sorted(mistakes));
    };
    let root = Reader { map: &mut map, mistakes: &mut mistakes }.file(&tree, &keys::DEPLOYMENT);
    if mistakes.len() >= diagnostics::MISTAKES_MAX {
        return Err(Diagnostics::sorted(mistakes));
    }
    let deployment = deployment(&root, &mut map, &mut mistakes, base_dir, options);
    match deployment {
        Some(deployment) if mistakes.is_empty() => Ok(Loaded { deployment, source_map: map }),
        _ => Err(Diagnostics::sorted(mistakes)),
    }
}

fn deployment(
    root: &Fields,
    source_map: &mut SourceMap,
    mistakes: &mut Vec<Diagnostic>,
    folder: &Path,
    options: &LoadOptions<'_>,
) -> Option<Deployment> {
    let map = &*source_map;
    let layout = find_layout(root, map, mistakes, folder, options);
    let mut builder = Builder {
        map,
        mistakes,
        folder,
        working: &options.working_dir,
        check_files: options.check_files,
        columns: options.columns,
        flows: root.fields("trigger").is_some_and(|trigger| trigger.has("continuous")),
    };
    for section in ["sources", "views"] {
        if root.has(section) && !root.is_bad(section) && root.named(section).next().is_none() {
            let mistake = map.at_key(section, format!("`{section}` is empty"));
            builder.mistakes.push(mistake.expected("at least one"));
        }
    }
    let name = builder.name(root);
    let store = builder.store(root, &name, options.store.as_deref());
    let sources: BTreeMap<_, _> =
        root.named("sources").map(|(name, fields)| (name.clone(), builder.source(fields))).collect();
    let tables: BTreeMap<_, _> =
        root.named("tables").map(|(name, fields)| (name.clone(), builder.table(fields))).collect();
    let plugins = root.named("plugins").map(|(name, fields)| (name.clone(), builder.plugin(fields))).collect();
    let sinks = root.named("sinks").map(|(name, fields)| (name.clone(), builder.sink(fields))).collect();
    let streams = builder.streams(root, &sources);
    let mut answers = Answers { streams, sinks, ..Answers::default() };
    builder.views(root, &mut answers);
    builder.names(root);
    builder.sinks(root);
    let serving = Serving { http: root.fields("serving").and_then(|serving| serving.text_maybe("http")) };
    let watermark_policy = match root.text("watermark_policy").as_str() {
        "max" => WatermarkPolicy::Max,
        _ => WatermarkPolicy::Min,
    };
    let trigger = builder.trigger(root);
    let (backpressure, restart, state) = (builder.backpressure(root), builder.restart(root), builder.state(root));
    let Answers { streams, views, sinks, made, moved } = answers;
    let of_tables: BTreeSet<&str> = tables.keys().map(String::as_str).collect();
    let given = sources.keys().map(String::as_str).chain(of_tables.iter().copied()).collect();
    let answers = views.keys().chain(sinks.keys()).map(String::as_str).chain(check::RESERVED.iter().copied());
    let tests = builder.tests(root, &given, &of_tables, &answers.collect());
    made.into_iter().for_each(|(path, text)| source_map.made(path, text));
    moved.into_iter().for_each(|(path, to)| source_map.moved(path, to));
    Some(Deployment {
        name,
        layout: layout?,
        store,
        watermark_policy,
        sources,
        tables,
        plugins,
        streams,
        views,
        sinks,
        serving,
        trigger,
        backpressure,
        restart,
        state,
        tests,
    })
}

fn find_layout(
    root: &Fields,
    map: &SourceMap,
    mistakes: &mut Vec<Diagnostic>,
    folder: &Path,
    options: &LoadOptions<'_>,
) -> Option<Layout> {
    let given = options.layout.as_deref();
    let word = given.map(str::to_owned).or_else(|| root.text_maybe("layout"))?;
    let folder = if given.is_some() { options.working_dir.as_path() } else { folder };
    match layout::find(&word, folder) {
        Ok(found) => Some(layout::read(&found, options.env, mistakes)),
        Err(problem) => {
            let mut mistake = map.at_value("layout", problem.message).expected(problem.expected).hint(problem.hint);
            if given.is_some() {
                mistake = mistake.outside("--layout");
            }
            mistakes.push(mistake);
            None
        }
    }
}

/// The tree of a file with the environment put in. Notes why there is none.
fn tree(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    map: &mut SourceMap,
    mistakes: &mut Vec<Diagnostic>,
) -> Option<Node> {
    match node::parse(text) {
        Ok(mut node) => {
            read::put_environment(&mut node, env, map, "", "", mistakes);
            map.index(&node, "", None);
            Some(node)
        }
        Err(node::Unreadable { place, message, hint }) => {
            mistakes.push(map.at(place, "", message).hint(hint));
            None
        }
    }
}

/// A file's text, of bounded size. The error is the reason.
fn read_file(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(format!("it has more than {FILE_BYTES_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line =
            error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8")
    })
}
