//! `braid plugin new`: a directory with a plugin that works, its fixtures, and the SDK.

use std::path::{Path, PathBuf};

use super::{Language, World, sdk};
use crate::failure::Failure;

/// What a new plugin of a world begins with.
struct Template {
    sources: [&'static str; 4],
    /// The same for every language.
    fixtures: &'static str,
    deployment: &'static str,
}

macro_rules! template {
    ($world:literal, $deployment:literal) => {
        Template {
            sources: [
                include_str!(concat!("templates/", $world, ".rs")),
                include_str!(concat!("templates/", $world, ".js")),
                include_str!(concat!("templates/", $world, ".ts")),
                include_str!(concat!("templates/", $world, ".py")),
            ],
            fixtures: include_str!(concat!("templates/", $world, ".yaml")),
            deployment: $deployment,
        }
    };
}

fn template(world: World) -> Template {
    match world {
        World::Transform => template!("transform", "streams:\n  totals: {from: orders, apply: [{{plugin}}]}"),
        World::Scalar => {
            template!("scalar", "views:\n  masked: {sql: \"SELECT {{plugin}}(card) AS card FROM payments\"}")
        }
        World::Aggregate => template!(
            "aggregate",
            "views:\n  spreads: {sql: \"SELECT sensor, {{plugin}}(value) AS spread FROM readings GROUP BY sensor\"}"
        ),
        World::Stateful => template!(
            "stateful",
            "streams:\n  spending:\n    from: orders\n    transform_with_state: {plugin: {{plugin}}, key: customer, time_mode: none}"
        ),
        World::Sink => template!(
            "sink",
            "sinks:\n  told: {from: counts, output_mode: update, plugin: {{plugin}}, options: {url: \"https://api.example.com/rows\"}}"
        ),
    }
}

impl Template {
    fn source(&self, language: Language) -> &'static str {
        self.sources[match language {
            Language::Rust => 0,
            Language::Js => 1,
            Language::Ts => 2,
            Language::Python => 3,
        }]
    }
}

const ABOUT_RUST: &str = "`src/lib.rs` is the plugin and `fixtures.yaml` what it must do. `sdk/` is Braid's SDK as it was when this directory was made:
the contracts (`sdk/wire`) and what a plugin is written with (`sdk/guest`). Nothing else of Braid is needed to build it.
`cargo test` runs the same code natively.";

const ABOUT_SCRIPT: &str = "`{{file}}` is the plugin, and nothing is built; `fixtures.yaml` is what it must do. It runs in an interpreter that is
made once on a machine, and named in the message where it is not there. `braid plugin build {{name}}` puts both into one file, to be carried
to machines without one.";

const ABOUT_TYPES: &str = "\n\n`braid.d.ts` is what a script has beside TypeScript itself, and `tsconfig.json` what an editor needs; `npx -p typescript tsc` checks the
types. Braid does not: it takes them out.";

/// What a script in TypeScript has, for editors.
const DECLARATIONS: &str = include_str!("../../../../plugins/guest-js/braid.d.ts");
const TSCONFIG: &str = include_str!("templates/tsconfig.json");

/// Writes the directory.
pub fn new(name: &str, language: Language, world: World, to: Option<PathBuf>) -> Result<u8, Failure> {
    check_name(name)?;
    let to = to.unwrap_or_else(|| PathBuf::from(name));
    check_place(&to)?;
    let template = template(world);
    let file = file(name, language);
    if language == Language::Rust {
        sdk::write(&to, name)?;
        sdk::put(&to.join(".gitignore"), "/target\n")?;
    }
    if language == Language::Ts {
        sdk::put(&to.join("braid.d.ts"), DECLARATIONS)?;
        sdk::put(&to.join("tsconfig.json"), TSCONFIG)?;
    }
    sdk::put(&to.join(file), template.source(language))?;
    sdk::put(&to.join("fixtures.yaml"), template.fixtures)?;
    sdk::put(&to.join("README.md"), &readme(name, language, world, &template))?;
    println!("{} is a plugin of the world {world}. What comes next:", to.display());
    commands(language).iter().for_each(|(command, _)| println!("  braid plugin {command} {}", to.display()));
    Ok(0)
}

/// Its source.
fn file(name: &str, language: Language) -> String {
    match language {
        Language::Rust => "src/lib.rs".to_owned(),
        Language::Js => format!("{}.js", stem(name)),
        Language::Ts => format!("{}.ts", stem(name)),
        Language::Python => format!("{}.py", stem(name)),
    }
}

/// What is done with it, and to what end.
fn commands(language: Language) -> &'static [(&'static str, &'static str)] {
    let all = &[
        ("build", "makes {{plugin}}.wasm"),
        ("test", "runs fixtures.yaml"),
        ("check", "tries the laws of its world on generated rows"),
        ("inspect", "says what it is"),
    ];
    if language == Language::Rust { all } else { &all[1..] }
}

/// The stem of its component: a crate's name without what an identifier cannot have.
pub fn stem(name: &str) -> String {
    name.replace('-', "_")
}

fn readme(name: &str, language: Language, world: World, template: &Template) -> String {
    let plugin = stem(name);
    let grants = match world {
        World::Sink => ", grants: {http: [\"https://api.example.com\"]}",
        _ => "",
    };
    let file = file(name, language);
    let about = match language {
        Language::Rust => ABOUT_RUST.to_owned(),
        Language::Js | Language::Python => ABOUT_SCRIPT.to_owned(),
        Language::Ts => format!("{ABOUT_SCRIPT}{ABOUT_TYPES}"),
    };
    let code = match language {
        Language::Rust => format!("component: {name}/{plugin}.wasm"),
        Language::Js | Language::Ts | Language::Python => format!("script: {name}/{file}"),
    };
    let deployment = format!("plugins:\n  {plugin}: {{{code}{grants}}}\n{}", template.deployment);
    let commands = commands(language).iter().filter(|(command, _)| world != World::Sink || *command != "check");
    let commands = commands.map(|(command, end)| format!("{:<24}# {end}", format!("braid plugin {command}")));
    include_str!("templates/README.md")
        .replace("{{deployment}}", &deployment)
        .replace("{{commands}}", &commands.collect::<Vec<_>>().join("\n"))
        .replace("{{about}}", &about)
        .replace("{{language}}", language.name())
        .replace("{{world}}", &world.to_string())
        .replace("{{file}}", &file)
        .replace("{{plugin}}", &plugin)
        .replace("{{name}}", name)
}

fn check_name(name: &str) -> Result<(), Failure> {
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-');
    // The SDK's crates, and those that every program has.
    let taken = ["braid-guest", "braid-wire", "wit-bindgen", "test", "core", "std", "alloc"].contains(&name);
    match (good, taken) {
        (true, false) => Ok(()),
        (false, _) => Err(Failure::Invalid(format!(
            "error: the name `{name}` is not possible: write small letters, digits, `_` and `-`, a letter first"
        ))),
        (true, true) => Err(Failure::Invalid(format!("error: the name `{name}` is another crate's: take another one"))),
    }
}

/// Nothing is written over.
fn check_place(to: &Path) -> Result<(), Failure> {
    match std::fs::read_dir(to).map(|mut entries| entries.next().is_some()) {
        Ok(true) => {
            Err(Failure::Environment(format!("{} is there and not empty: take another place with --to", to.display())))
        }
        Err(_) if to.exists() => Err(Failure::Environment(format!("{} is there and no directory", to.display()))),
        _ => Ok(()),
    }
}
