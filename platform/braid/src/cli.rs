//! The command line, as types.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// The Lambda and the Kappa architecture from one YAML file.
#[derive(Debug, Parser)]
#[command(name = "braid", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// How answers and reports are printed.
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// How answers and reports are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For spreadsheets.
    Csv,
}

/// Which deployment, and what of it is overridden.
#[derive(Debug, Clone, clap::Args)]
pub struct Target {
    /// The deployment's YAML file.
    pub deployment: PathBuf,
    /// Another layout than the file says: lambda, kappa, or a layout's file.
    #[arg(long)]
    pub layout: Option<String>,
    /// Another store than the file says: an object store URL.
    #[arg(long)]
    pub store: Option<String>,
}

/// When `run` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Until {
    /// When everything that is there has been processed.
    CaughtUp,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a deployment; all mistakes at once.
    Validate {
        #[command(flatten)]
        target: Target,
    },
    /// Print the JSON Schema of deployment files.
    Schema,
    /// Say what would run: layers, operators, state, and what is stored.
    Plan {
        #[command(flatten)]
        target: Target,
    },
    /// Look at what operators remember.
    #[command(subcommand)]
    State(State),
    /// Run everything, until stopped.
    Up {
        #[command(flatten)]
        target: Target,
    },
    /// Process what is there, write a base, and exit.
    Run {
        #[command(flatten)]
        target: Target,
        /// When to end.
        #[arg(long, value_enum, default_value_t = Until::CaughtUp)]
        until: Until,
    },
    /// Answer SQL over the views, as of one commit of the store.
    Query {
        #[command(flatten)]
        target: Target,
        /// The question.
        sql: String,
    },
    /// Say how far the layers have come.
    Status {
        #[command(flatten)]
        target: Target,
    },
    /// List the places where a test can kill the process.
    #[command(hide = true)]
    Failpoints,
    /// Build and inspect plugins.
    #[command(subcommand)]
    Plugin(Plugin),
}

#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Make a component of a core module that was built for wasm32-unknown-unknown.
    Componentize {
        /// The core module.
        module: PathBuf,
        /// Where the component goes.
        #[arg(short, long)]
        to: PathBuf,
    },
}

/// What operators remember.
#[derive(Debug, Subcommand)]
pub enum State {
    /// The states with their sizes.
    Metadata {
        #[command(flatten)]
        target: Target,
    },
    /// The rows of one state as of the last commit; or what one epoch changed.
    Read {
        #[command(flatten)]
        target: Target,
        /// Its name, as `braid state metadata` says it.
        name: String,
        /// Only what this epoch changed.
        #[arg(long)]
        epoch: Option<u64>,
    },
}
