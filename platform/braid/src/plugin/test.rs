//! `braid plugin test`: an author's fixtures.

use std::path::Path;

use braid_laws::{Ended, Tested};
use serde_json::json;

use super::{service, subject};
use crate::cli::Output;
use crate::failure::Failure;

/// Runs a plugin's fixtures.
pub fn test(plugin: &Path, named: Option<&Path>, output: Output) -> Result<u8, Failure> {
    let chosen = subject::chosen(plugin, named)?;
    let Some((path, fixtures)) = subject::fixtures(&chosen, named)? else {
        return Err(Failure::Environment(format!(
            "there is no fixtures.yaml beside {}: name one with --fixtures",
            chosen.path.display()
        )));
    };
    let tested = match chosen.world {
        Some("sink") => service::test(&chosen, &fixtures)?,
        _ => braid_laws::test(
            &mut subject::subject(&chosen, &fixtures.input, &fixtures.key, Some(&fixtures))?,
            &fixtures,
        ),
    };
    if tested.is_empty() {
        return Err(Failure::Invalid(format!("error: {} has no fixtures", path.display())));
    }
    let failed = tested.iter().filter(|tested| matches!(tested.ended, Ended::Failed { .. })).count();
    match output {
        Output::Json => println!("{}", json(&chosen.path, &path, &tested)?),
        _ => print!("{}", text(&tested, failed)),
    }
    Ok(u8::from(failed > 0))
}

fn text(tested: &[Tested], failed: usize) -> String {
    let mut text = String::new();
    for Tested { name, ended } in tested {
        match ended {
            Ended::Passed { cuts: 1 } => text.push_str(&format!("ok      {name}\n")),
            Ended::Passed { cuts } => text.push_str(&format!("ok      {name} (rows cut in {cuts} ways)\n")),
            Ended::Failed { why } => {
                text.push_str(&format!("FAILED  {name}\n"));
                why.lines().for_each(|line| text.push_str(&format!("        {line}\n")));
            }
        }
    }
    text + &format!("{} passed, {failed} failed\n", tested.len() - failed)
}

fn json(component: &Path, path: &Path, tested: &[Tested]) -> Result<String, Failure> {
    let fixtures = tested.iter().map(|Tested { name, ended }| match ended {
        Ended::Passed { cuts } => json!({"name": name, "ok": true, "cuts": cuts}),
        Ended::Failed { why } => json!({"name": name, "ok": false, "why": why}),
    });
    let text = serde_json::to_string_pretty(&json!({
        "plugin": component.display().to_string(),
        "file": path.display().to_string(),
        "fixtures": fixtures.collect::<Vec<_>>(),
    }));
    text.map_err(Failure::runtime)
}
