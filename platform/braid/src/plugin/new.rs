//! `braid plugin new`: a directory with a plugin that works, its fixtures, and the SDK.

use std::path::{Path, PathBuf};

use super::{Language, World, sdk};
use crate::failure::Failure;

/// What a new plugin of a world begins with.
struct Template {
    source: &'static str,
    fixtures: &'static str,
    deployment: &'static str,
}

fn rust(world: World) -> Template {
    match world {
        World::Transform => Template {
            source: include_str!("templates/transform.rs"),
            fixtures: include_str!("templates/transform.yaml"),
            deployment: "streams:\n  totals: {from: orders, apply: [{{plugin}}]}",
        },
        World::Scalar => Template {
            source: include_str!("templates/scalar.rs"),
            fixtures: include_str!("templates/scalar.yaml"),
            deployment: "views:\n  masked: {sql: \"SELECT {{plugin}}(card) AS card FROM payments\"}",
        },
        World::Aggregate => Template {
            source: include_str!("templates/aggregate.rs"),
            fixtures: include_str!("templates/aggregate.yaml"),
            deployment: "views:\n  spreads: {sql: \"SELECT sensor, {{plugin}}(value) AS spread FROM readings GROUP BY sensor\"}",
        },
        World::Stateful => Template {
            source: include_str!("templates/stateful.rs"),
            fixtures: include_str!("templates/stateful.yaml"),
            deployment: "streams:\n  spending:\n    from: orders\n    transform_with_state: {plugin: {{plugin}}, key: customer, time_mode: none}",
        },
        World::Sink => Template {
            source: include_str!("templates/sink.rs"),
            fixtures: include_str!("templates/sink.yaml"),
            deployment: "sinks:\n  told: {from: counts, output_mode: update, plugin: {{plugin}}, options: {url: \"https://api.example.com/rows\"}}",
        },
    }
}

const ABOUT_RUST: &str = "`src/lib.rs` is the plugin and `fixtures.yaml` what it must do. `sdk/` is Braid's SDK as it was when this directory was made:
the contracts (`sdk/wire`) and what a plugin is written with (`sdk/guest`). Nothing else of Braid is needed to build it.
`cargo test` runs the same code natively.";

/// Writes the directory.
pub fn new(name: &str, language: Language, world: World, to: Option<PathBuf>) -> Result<u8, Failure> {
    check_name(name)?;
    let to = to.unwrap_or_else(|| PathBuf::from(name));
    check_place(&to)?;
    let Language::Rust = language;
    let template = rust(world);
    sdk::write(&to, name)?;
    sdk::put(&to.join("src/lib.rs"), template.source)?;
    sdk::put(&to.join("fixtures.yaml"), template.fixtures)?;
    sdk::put(&to.join(".gitignore"), "/target\n")?;
    sdk::put(&to.join("README.md"), &readme(name, world, &template))?;
    println!("{} is a plugin of the world {world}. What comes next:", to.display());
    println!("  braid plugin build {0}\n  braid plugin test {0}\n  braid plugin check {0}", to.display());
    Ok(0)
}

/// The stem of its component: a crate's name without what an identifier cannot have.
pub fn stem(name: &str) -> String {
    name.replace('-', "_")
}

fn readme(name: &str, world: World, template: &Template) -> String {
    let plugin = stem(name);
    let grants = match world {
        World::Sink => ", grants: {http: [\"https://api.example.com\"]}",
        _ => "",
    };
    let deployment =
        format!("plugins:\n  {plugin}: {{component: {name}/{plugin}.wasm{grants}}}\n{}", template.deployment);
    let commands = "braid plugin build      # makes {{plugin}}.wasm\nbraid plugin test       # runs fixtures.yaml\n\
                    braid plugin check      # tries the laws of its world on generated rows\nbraid plugin inspect {{plugin}}.wasm";
    include_str!("templates/README.md")
        .replace("{{deployment}}", &deployment)
        .replace("{{commands}}", commands)
        .replace("{{about}}", ABOUT_RUST)
        .replace("{{language}}", "Rust")
        .replace("{{world}}", &world.to_string())
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
