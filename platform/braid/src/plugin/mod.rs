//! `braid plugin`: from nothing to a plugin that was tried.

mod build;
mod check;
mod inspect;
mod new;
mod sdk;
mod service;
mod subject;
mod test;

use std::fmt;
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use tokio::runtime::Handle;
use tracing::subscriber::NoSubscriber;

use crate::cli::Output;
use crate::failure::Failure;

/// What a plugin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum World {
    /// Rows in, rows out.
    Transform,
    /// A function in SQL.
    Scalar,
    /// An aggregate in SQL.
    Aggregate,
    /// Rows in, rows out, with a memory for each key.
    Stateful,
    /// Rows that are taken away.
    Sink,
}

/// What a plugin is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    Rust,
    Js,
    Ts,
    Python,
}

impl Language {
    fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::Js => "JavaScript",
            Self::Ts => "TypeScript",
            Self::Python => "Python",
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transform => "transform",
            Self::Scalar => "scalar",
            Self::Aggregate => "aggregate",
            Self::Stateful => "stateful",
            Self::Sink => "sink",
        })
    }
}

/// What goes into a plugin, where it is not said by fixtures.
#[derive(Debug, Clone, clap::Args)]
pub struct Given {
    /// The columns that go in: `name: type, …`.
    #[arg(long, value_name = "COLUMNS")]
    pub input: Option<String>,
    /// The types of a function's arguments: `type, …`.
    #[arg(long, value_name = "TYPES", conflicts_with = "input")]
    pub arguments: Option<String>,
    /// The columns that make the key of a plugin with state.
    #[arg(long, value_delimiter = ',')]
    pub key: Vec<String>,
    /// The fixtures; without this, `fixtures.yaml` beside the component, if it is there.
    #[arg(long, value_name = "FILE")]
    pub fixtures: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Write a plugin that works, to begin with.
    New {
        /// Its name.
        name: String,
        /// What it is written in.
        #[arg(long, value_enum, default_value_t = Language::Rust)]
        lang: Language,
        /// What it is for.
        #[arg(long, value_enum, default_value_t = World::Transform)]
        world: World,
        /// Where its directory goes; without this, a directory of its name here.
        #[arg(long, value_name = "DIRECTORY")]
        to: Option<PathBuf>,
    },
    /// Make a component of a plugin's sources, or of a script and its interpreter.
    Build {
        /// Its directory, or the script.
        #[arg(default_value = ".")]
        plugin: PathBuf,
        /// Where the component goes; without this, beside the sources.
        #[arg(short = 'o', long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Say what a component is, what it asks for, and what comes out of it.
    Inspect {
        /// The component or script, or the directory where it is.
        component: PathBuf,
        #[command(flatten)]
        given: Given,
    },
    /// Run a plugin's fixtures, with their rows cut at every place.
    Test {
        /// Its component or script, or the directory where that and `fixtures.yaml` are.
        #[arg(default_value = ".")]
        plugin: PathBuf,
        /// The fixtures; without this, `fixtures.yaml` beside the component.
        #[arg(long, value_name = "FILE")]
        fixtures: Option<PathBuf>,
    },
    /// Try the laws of a plugin's world on generated rows.
    Check {
        /// Its component or script, or the directory where that and `fixtures.yaml` are.
        #[arg(default_value = ".")]
        plugin: PathBuf,
        #[command(flatten)]
        given: Given,
        /// In how many cases each law is tried.
        #[arg(long, default_value_t = 200)]
        cases: usize,
        /// What decides the cases; without this, another one each time. It is printed.
        #[arg(long)]
        seed: Option<u64>,
        /// The most rows of a case.
        #[arg(long, default_value_t = 16)]
        rows: usize,
    },
    /// Make a component of a core module that was built for wasm32-unknown-unknown.
    Componentize {
        /// The core module.
        module: PathBuf,
        /// Where the component goes.
        #[arg(short, long)]
        to: PathBuf,
    },
    /// Put other code in the place of a plugin of a running deployment.
    Swap(crate::swap_command::Swap),
}

/// Runs a command; gives its exit code. Blocks.
pub fn run(action: Plugin, output: Output) -> Result<u8, Failure> {
    // A plugin that is tried may fail on most of its rows, and says it better itself.
    let quietly =
        |work: &dyn Fn() -> Result<u8, Failure>| tracing::subscriber::with_default(NoSubscriber::default(), work);
    match action {
        Plugin::New { name, lang, world, to } => new::new(&name, lang, world, to),
        Plugin::Build { plugin, to } => build::build(&plugin, to.as_deref(), output),
        Plugin::Inspect { component, given } => inspect::inspect(&component, &given, output),
        Plugin::Test { plugin, fixtures } => quietly(&|| test::test(&plugin, fixtures.as_deref(), output)),
        Plugin::Check { plugin, given, cases, seed, rows } => {
            quietly(&|| check::check(&plugin, &given, check::Effort { cases, seed, rows }, output))
        }
        Plugin::Componentize { module, to } => {
            let component = braid_wasm_host::componentize(&read(&module)?).map_err(Failure::runtime)?;
            write(&to, &component)?;
            Ok(0)
        }
        Plugin::Swap(swap) => {
            println!("{}", Handle::current().block_on(crate::swap_command::swap(&swap, output))?);
            Ok(0)
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::Environment(format!("{}: {error}", path.display())))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).map_err(|error| Failure::Environment(format!("{}: {error}", path.display())))
}
