//! The binary: the command line, supervision, and the wiring of a layout.

mod cli;
mod clock;
mod continuous;
mod dlq;
mod door;
mod failure;
mod job;
mod lanes;
mod layers;
mod outlet;
mod pipeline;
mod plugin;
mod position;
mod prepare;
mod promises;
mod queries;
mod report;
mod restarts;
mod running;
mod screen;
mod state;
mod swap;
mod swap_command;
mod swaps;
mod trial;
mod up;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command, Dlq, Output, Target};
use crate::failure::Failure;
use crate::prepare::{Prepared, prepare};
use crate::up::{End, Signal};

/// A deployment that does not fit its store is as invalid as one with a mistake in it.
const REFUSED_CODE: u8 = 2;
/// The word of [`Command::Compile`].
const COMPILE: &str = "compile";
/// What a shell reports for a process that a signal ended.
const SIGNAL_CODE: u8 = 128;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Compile { stack_bytes } = cli.command {
        return braid_wasm_host::compiler(stack_bytes);
    }
    braid_wasm_host::compile_aside(COMPILE);
    // RUST_LOG overrides; by default warnings are seen, and what plugins say that may. In tests they would say it in each run.
    let usual = if matches!(cli.command, Command::Test { .. }) { "off" } else { "warn,plugin=info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let _failpoints = fail::FailScenario::setup();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no runtime: {error}");
            return ExitCode::from(3);
        }
    };
    let code = match runtime.block_on(command(cli)) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            failure.code()
        }
    };
    // Blocking reads that wait for more input must not hold the process.
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// A deployment whose plugins keep what they promise.
async fn ready(target: &Target, output: Output) -> Result<Prepared, Failure> {
    let prepared = prepare(target, output).await?;
    promises::kept(&prepared, None, output).await?;
    Ok(prepared)
}

async fn command(cli: Cli) -> Result<u8, Failure> {
    let output = cli.output;
    match cli.command {
        Command::Validate { target } => {
            let prepared = prepare(&target, output).await?;
            let deployment = &prepared.deployment;
            println!(
                "{} is valid: {} sources, {} views, {} sinks, layout {}",
                target.deployment.display(),
                deployment.sources.len(),
                deployment.views.len(),
                deployment.sinks.len(),
                deployment.layout.name
            );
        }
        Command::Schema => {
            let schema = serde_json::to_string_pretty(&braid_spec::json_schema()).map_err(Failure::runtime)?;
            println!("{schema}");
        }
        Command::Plan { target } => {
            let prepared = ready(&target, output).await?;
            let seen = restarts::seen(&prepared).await;
            print!("{}", report::plan(&prepared, &seen, output)?);
            return Ok(if seen.refused() { REFUSED_CODE } else { 0 });
        }
        Command::Query { target, sql } => {
            print!("{}", report::query(&prepare(&target, output).await?, &sql, output).await?);
        }
        Command::State(cli::State::Metadata { target }) => {
            print!("{}", state::metadata(&prepare(&target, output).await?, output).await?);
        }
        Command::State(cli::State::Read { target, name, epoch }) => {
            print!("{}", state::read(&prepare(&target, output).await?, &name, epoch, output).await?);
        }
        Command::Status { target } => print!("{}", report::status(&prepare(&target, output).await?, output).await?),
        Command::Dlq(Dlq::List { target, chosen }) => {
            print!("{}", dlq::list(&prepare(&target, output).await?, &chosen, output).await?);
        }
        Command::Dlq(Dlq::Replay { target, chosen, mended }) => {
            let prepared = prepare(&target, output).await?;
            print!("{}", dlq::again(&prepared, &chosen, mended.as_deref(), output).await?);
        }
        Command::Up { target } => {
            return Ok(match up::up(Arc::new(ready(&target, output).await?)).await? {
                End::Signal(Signal::Interrupt) => SIGNAL_CODE + 2,
                End::Signal(Signal::Terminate) => SIGNAL_CODE + 15,
                End::Done => 0,
            });
        }
        Command::Run { target, until } => {
            let manifest = up::run(Arc::new(ready(&target, output).await?), until).await?;
            print!("{}", report::closing(&manifest, output));
        }
        Command::Test { target } => return trial::test(&target, output).await,
        Command::Queries(action) => {
            let (text, code) = queries::queries(&action, output).await?;
            println!("{text}");
            return Ok(code);
        }
        // Has been done.
        Command::Compile { .. } => {}
        Command::Failpoints => {
            for point in braid_kernel::failpoint::POINTS {
                println!("{point}");
            }
        }
        Command::Plugin(action) => {
            let done = tokio::task::spawn_blocking(move || plugin::run(action, output)).await;
            return done.map_err(Failure::runtime)?;
        }
    }
    Ok(0)
}
