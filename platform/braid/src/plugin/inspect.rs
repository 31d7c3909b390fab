//! `braid plugin inspect`: what a component is, what it asks for, and what comes out of it.

use std::path::Path;

use arrow::datatypes::Schema;
use braid_spec::model::Language;
use braid_wasm_host::{CONTRACTS, InsideScript, Inspection, grant, type_name};
use serde_json::{Value, json};

use super::subject::{Chosen, Code};
use super::{Given, read, subject};
use crate::cli::Output;
use crate::failure::Failure;
use crate::screen::grouped;

/// Looks at a component or a script.
pub fn inspect(path: &Path, given: &Given, output: Output) -> Result<u8, Failure> {
    let chosen = subject::chosen(path, given.fixtures.as_deref())?;
    let fixtures = given.fixtures.as_deref().map(|named| subject::fixtures(&chosen, Some(named))).transpose()?;
    let fixtures = fixtures.flatten().map(|(_, fixtures)| fixtures);
    let described = match subject::input(given, fixtures.as_ref())? {
        Some(input) => {
            let keys = fixtures.as_ref().map(|fixtures| fixtures.key.clone()).unwrap_or_default();
            let keys = if given.key.is_empty() { keys } else { given.key.clone() };
            let tried = subject::subject(&chosen, &input, &keys, fixtures.as_ref())?;
            Some((Schema::clone(tried.input()), Schema::clone(tried.output()), tried.remembers()))
        }
        None => None,
    };
    match &chosen.code {
        Code::Component { bytes, .. } => {
            // How long compiling takes is said, so it is done; of a script it is that of its interpreter, which says nothing.
            let cache = subject::cache().filter(|_| chosen.script().is_some());
            let limits = subject::limits(&chosen.code)?;
            let compiled = braid_wasm_host::inspect(&chosen.name, bytes, limits, cache.as_deref());
            let compiled = compiled.map_err(Failure::runtime)?;
            print!("{}", report(&chosen.path, &compiled, chosen.world, described, output)?);
        }
        Code::Script(language) => print!("{}", of_script(&chosen, *language, described, output)?),
    }
    Ok(0)
}

/// A script's report.
fn of_script(
    chosen: &Chosen,
    language: Language,
    described: Option<Described>,
    output: Output,
) -> Result<String, Failure> {
    let (world, bytes) = (chosen.world.unwrap_or_default(), read(&chosen.path)?.len());
    if output == Output::Json {
        let text = serde_json::to_string_pretty(&json!({
            "script": chosen.path.display().to_string(),
            "language": language.name(),
            "world": world,
            "bytes": bytes,
            "described": described.as_ref().map(described_json),
        }));
        return Ok(text.map_err(Failure::runtime)? + "\n");
    }
    let path = chosen.path.display();
    let text = format!(
        "script    {path}, in {}\nworld     {world}\nsize      {} bytes\n",
        language.name(),
        grouped(bytes as u64)
    );
    Ok(text + &described.as_ref().map(described_text).unwrap_or_default())
}

fn described_json((input, output, kept): &Described) -> Value {
    let kept = kept.iter().map(|(name, kind, columns)| json!({"name": name, "kind": kind, "columns": fields(columns)}));
    json!({"input": fields(input), "output": fields(output), "keeps": kept.collect::<Vec<_>>()})
}

fn described_text((input, output, kept): &Described) -> String {
    let mut text = format!("takes     {}\ngives     {}\n", columns(input), columns(output));
    for (name, kind, schema) in kept {
        text.push_str(&format!("keeps     {name}: a {kind} of {}\n", columns(schema)));
    }
    text
}

/// What goes in, what comes out, and what is kept.
type Described = (Schema, Schema, Vec<(String, String, Schema)>);

/// A component's report.
pub fn report(
    path: &Path,
    inspection: &Inspection,
    world: Option<&'static str>,
    described: Option<Described>,
    output: Output,
) -> Result<String, Failure> {
    let contract = inspection.contract.map(|contract| contract.to_string());
    if output == Output::Json {
        let imports: Vec<Value> =
            inspection.imports.iter().map(|import| json!({"import": import, "grant": grant(import)})).collect();
        let text = serde_json::to_string_pretty(&json!({
            "component": path.display().to_string(),
            "world": world,
            "contract": contract,
            "script": inspection.script.as_ref().map(script_json),
            "exports": inspection.exports,
            "imports": imports,
            "bytes": inspection.bytes,
            "sha256": inspection.digest,
            "compileMs": inspection.compiled_in.map(|time| time.as_millis() as u64),
            "described": described.as_ref().map(described_json),
        }));
        return Ok(text.map_err(Failure::runtime)? + "\n");
    }
    let known = world.unwrap_or("none that this Braid knows");
    let mut text = format!("component {}\nworld     {known}", path.display());
    match contract {
        Some(contract) => text.push_str(&format!(" ({contract})\n")),
        None if inspection.script.is_some() => text.push('\n'),
        None => text.push_str(&format!("; it exports {}; known are {}\n", inspection.exports.join(", "), contracts())),
    }
    text.push_str(&format!("size      {} bytes\nsha256    {}\n", grouped(inspection.bytes as u64), inspection.digest));
    if let Some(time) = inspection.compiled_in {
        text.push_str(&format!("compiled  in {} ms\n", time.as_millis()));
    }
    if let Some(script) = &inspection.script {
        let (bytes, digest) = (grouped(script.text.len() as u64), &script.digest);
        text.push_str(&format!("script    {}, in {}\n", script.name, script.language.name()));
        text.push_str(&format!("          {bytes} bytes, sha256 {digest}\n"));
    }
    match inspection.imports.as_slice() {
        // An interpreter imports all that can be granted; whether its script asks, shows when it runs.
        _ if inspection.script.is_some() => text.push_str("imports   what it is granted\n"),
        [] => text.push_str("imports   nothing\n"),
        imports => imports.iter().for_each(|import| {
            let needs =
                grant(import).map_or("which cannot be granted".to_owned(), |grant| format!("which needs `{grant}`"));
            text.push_str(&format!("imports   {import}, {needs}\n"));
        }),
    }
    text.push_str(&described.as_ref().map(described_text).unwrap_or_default());
    Ok(text)
}

fn script_json(script: &InsideScript) -> Value {
    let InsideScript { name, language, text, digest } = script;
    json!({"name": name, "language": language.name(), "bytes": text.len(), "sha256": digest, "text": text})
}

/// Every contract that is spoken here.
pub fn contracts() -> String {
    CONTRACTS.map(|contract| contract.to_string()).join(", ")
}

/// How a deployment uses it.
pub fn usage(path: &Path, inspection: &Inspection, world: Option<&str>) -> String {
    let name = stem(path);
    let imports = inspection.imports.iter().filter(|_| inspection.script.is_none());
    let grants: Vec<String> = imports.filter_map(|import| grant(import)).collect();
    let grants = grants.iter().filter_map(|grant| grant.strip_prefix("grants: {")?.strip_suffix('}'));
    let grants = match grants.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => none,
        some => format!(", grants: {{{some}}}"),
    };
    let place = match world {
        Some("transform") => format!("streams:\n  STREAM: {{from: SOURCE, apply: [{name}]}}\n"),
        Some("stateful") => {
            format!(
                "streams:\n  STREAM: {{from: SOURCE, transform_with_state: {{plugin: {name}, key: COLUMN, time_mode: none}}}}\n"
            )
        }
        Some("scalar") => format!("views:\n  VIEW: {{sql: \"SELECT {name}(COLUMN) FROM SOURCE\"}}\n"),
        Some("aggregate") => format!("views:\n  VIEW: {{sql: \"SELECT {name}(COLUMN) FROM SOURCE GROUP BY KEY\"}}\n"),
        Some("sink") => format!("sinks:\n  SINK: {{from: VIEW, plugin: {name}}}\n"),
        _ => String::new(),
    };
    format!("plugins:\n  {name}: {{component: {}{grants}}}\n{place}", path.display())
}

/// A component's name in messages and deployments.
pub fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(|| "plugin".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

fn columns(schema: &Schema) -> String {
    let columns = schema.fields().iter().map(|field| {
        let data_type = type_name(field.data_type()).unwrap_or_else(|| field.data_type().to_string());
        format!("{}: {data_type}", field.name())
    });
    columns.collect::<Vec<_>>().join(", ")
}

fn fields(schema: &Schema) -> Vec<Value> {
    let fields = schema.fields().iter();
    fields.map(|field| json!({"name": field.name(), "type": type_name(field.data_type())})).collect()
}
