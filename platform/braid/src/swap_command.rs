//! `braid plugin swap`: asks a running `braid up` to put another component in the place of a plugin.

use std::path::PathBuf;
use std::time::Duration;

use braid_serve::{CANARY_ROWS_DEFAULT, CANARY_SECONDS_DEFAULT, PROBATION_EPOCHS_DEFAULT};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::cli::{Output, Which};
use crate::failure::Failure;
use crate::queries::Remote;

/// How long compiling and starting may take beside the canary: compiling has a limit of its own.
const SWAP_TIME: Duration = Duration::from_secs(300);

/// Which plugin, by what, and how careful.
#[derive(Debug, clap::Args)]
pub struct Swap {
    /// The deployment's YAML file: its `serving.http` says where to ask.
    deployment: PathBuf,
    /// The plugin's name in it.
    plugin: String,
    /// The new component or script, on the machine of `braid up`.
    component: PathBuf,
    /// Whether the new one may answer otherwise than the old one.
    #[arg(long, value_enum, default_value_t = Expect::Any)]
    expect: Expect,
    /// What a new aggregate may make of states that the old one kept.
    #[arg(long, value_enum, default_value_t = States::Same)]
    states: States,
    /// Rows that both are given first, of which only the old one's answers count; 0 for none.
    #[arg(long, default_value_t = CANARY_ROWS_DEFAULT)]
    canary_rows: u64,
    /// How many seconds to wait for so many rows; then those that came have to do.
    #[arg(long, default_value_t = CANARY_SECONDS_DEFAULT)]
    canary_seconds: u64,
    /// For so many epochs the old one comes back if the new one fails more often.
    #[arg(long, default_value_t = PROBATION_EPOCHS_DEFAULT)]
    probation_epochs: u64,
    /// Where `braid up` listens, where the file does not say it (port 0).
    #[arg(long)]
    address: Option<String>,
}

/// Whether the new plugin may answer otherwise than the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Expect {
    /// It may; how often is said.
    Any,
    /// Then it is not taken.
    Same,
}

/// What may become of the answers of epochs before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum States {
    /// Nothing: tried on generated rows, and otherwise it is not taken.
    Same,
    /// Whatever it makes of them.
    Any,
}

/// Asks, and says what came of it.
pub async fn swap(wanted: &Swap, output: Output) -> Result<String, Failure> {
    let which = Which { deployment: wanted.deployment.clone(), query: None, address: wanted.address.clone() };
    let remote = Remote::of(&which)?;
    // The other process may stand in another directory; a path that is not here is taken as it is.
    let component = wanted.component.canonicalize().unwrap_or_else(|_| wanted.component.clone());
    let body = json!({
        "component": component,
        "expect": if wanted.expect == Expect::Same { "same" } else { "any" },
        "states": if wanted.states == States::Any { "any" } else { "same" },
        "canary_rows": wanted.canary_rows,
        "canary_seconds": wanted.canary_seconds,
        "probation_epochs": wanted.probation_epochs,
    });
    let path = remote.of_query(&format!("/plugins/{}/swap", wanted.plugin));
    let done = remote.post(&path, &body, SWAP_TIME + Duration::from_secs(wanted.canary_seconds)).await?;
    match output {
        Output::Table => Ok(said(&done)),
        _ => serde_json::to_string_pretty(&done).map_err(Failure::runtime),
    }
}

fn said(done: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let short = |digest: &Value| text(digest).chars().take(12).collect::<String>();
    let canary = match &done["canary"] {
        Value::Null => "no canary: what takes rows away is not asked twice".to_owned(),
        canary => format!(
            "canary: {} rows, {} of them with another answer ({:.2} %)",
            canary["rows"],
            canary["differing"],
            canary["differingShare"].as_f64().unwrap_or_default() * 100.0,
        ),
    };
    let states = match &done["states"] {
        Value::Null => String::new(),
        states => format!("states of before: {}\n", text(states)),
    };
    format!(
        "{} is {} from epoch {} on, and was {}; the pause was {:.1} ms\n{canary}\n{states}\
         write {} into the deployment, as its code, before the next start",
        text(&done["plugin"]),
        short(&done["to"]),
        done["epoch"],
        short(&done["from"]),
        done["pauseMs"].as_f64().unwrap_or_default(),
        text(&done["file"]),
    )
}
