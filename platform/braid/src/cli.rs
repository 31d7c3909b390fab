//! The command line, as types.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::plugin::Plugin;

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

/// Which tests of which deployment.
#[derive(Debug, Clone, clap::Args)]
pub struct TestTarget {
    /// The deployment's YAML file.
    pub deployment: PathBuf,
    /// The tests' names; all, if none is given.
    pub names: Vec<String>,
    /// Only this layout: lambda, kappa, or a layout's file.
    #[arg(long)]
    pub layout: Option<String>,
    /// Every cut and every crash, also of a test that has very many.
    #[arg(long)]
    pub all: bool,
}

/// When `run` ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Until {
    /// When nothing is left, also of what came meanwhile.
    CaughtUp,
    /// When everything has been processed that was there at the start.
    AvailableNow,
    /// After one epoch with everything that is there.
    Once,
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
        /// When to end. If it is not given: as the deployment's trigger says, if that one ends, else caught-up.
        #[arg(long, value_enum)]
        until: Option<Until>,
    },
    /// Run the deployment's tests in each layout, at every cut, and with a crash at each step.
    Test {
        #[command(flatten)]
        target: TestTarget,
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
    /// Look at dead letters, and read them again.
    #[command(subcommand)]
    Dlq(Dlq),
    /// Look at and stop the query of a deployment that `braid up` runs.
    #[command(subcommand)]
    Queries(Queries),
    /// Compile a component for the process that started this one, from standard input to standard output.
    #[command(hide = true)]
    Compile {
        /// The guest's stack.
        stack_bytes: u64,
    },
    /// List the places where a test can kill the process.
    #[command(hide = true)]
    Failpoints,
    /// Write, build, try and inspect plugins.
    #[command(subcommand)]
    Plugin(Plugin),
}

/// Which dead letters.
#[derive(Debug, clap::Args)]
pub struct Chosen {
    /// Those of this source only.
    #[arg(long)]
    pub source: Option<String>,
    /// Those for which this is true: SQL over epoch, source, partition, `offset`, reason and record.
    #[arg(long = "where", value_name = "SQL")]
    pub filter: Option<String>,
    /// At most so many, the oldest first.
    #[arg(long, default_value_t = 1000)]
    pub limit: usize,
}

#[derive(Debug, Subcommand)]
pub enum Dlq {
    /// The records that could not be read, or on which a plugin failed.
    List {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        chosen: Chosen,
    },
    /// Let sources read their dead letters again, each once, whether or not the deployment runs.
    Replay {
        #[command(flatten)]
        target: Target,
        #[command(flatten)]
        chosen: Chosen,
        /// A list as `dlq list --output json` prints it, with records mended: only these are replayed, as they stand there.
        #[arg(long, value_name = "FILE")]
        mended: Option<PathBuf>,
    },
}

/// Which running query.
#[derive(Debug, Clone, clap::Args)]
pub struct Which {
    /// The deployment's YAML file: its `serving.http` says where to ask.
    pub deployment: PathBuf,
    /// The query's id or name, where it is not the deployment's name.
    pub query: Option<String>,
    /// Where `braid up` listens, where the file does not say it (port 0).
    #[arg(long)]
    pub address: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Queries {
    /// All queries of the process: a deployment is one.
    List {
        #[command(flatten)]
        which: Which,
    },
    /// All about it: ids, status, layers, sources, views, the last progress.
    Get {
        #[command(flatten)]
        which: Which,
    },
    /// Its views' plans: logical, physical, and their state.
    Explain {
        #[command(flatten)]
        which: Which,
    },
    /// What it is doing, as Spark's StreamingQueryStatus.
    Status {
        #[command(flatten)]
        which: Which,
    },
    /// The reports of its last epochs, newest last.
    Progress {
        #[command(flatten)]
        which: Which,
        /// The newest so many; the last is `--limit 1`.
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Stop it, and wait for its end.
    Stop {
        #[command(flatten)]
        which: Which,
        /// Whether the epoch under way is finished and a base written, or left for the next start.
        #[arg(long, value_enum, default_value_t = StopMode::Drain)]
        mode: StopMode,
        /// How many seconds to wait for its end; for ever if not given.
        #[arg(long)]
        timeout: Option<f64>,
    },
    /// Wait until it has ended: exit code 0 if it was stopped, 1 if it failed or still runs after the timeout.
    Await {
        #[command(flatten)]
        which: Which,
        /// Any query of the process, and not a certain one.
        #[arg(long)]
        any: bool,
        /// How many seconds to wait; for ever if not given.
        #[arg(long)]
        timeout: Option<f64>,
    },
}

/// How to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StopMode {
    /// The epoch under way is finished, and a base is written.
    Drain,
    /// The epoch under way is left; the next start runs it again.
    Now,
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
