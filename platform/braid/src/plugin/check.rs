//! `braid plugin check`: the laws of a plugin's world, on generated rows.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use braid_laws::{Counter, Generator, Settings, Subject, Verdict, examples};
use serde_json::{Value, json};

use super::{Given, subject};
use crate::cli::Output;
use crate::failure::Failure;
use crate::screen::grouped;

/// How much is tried.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    pub cases: usize,
    pub seed: Option<u64>,
    pub rows: usize,
}

/// Tries the laws of a plugin.
pub fn check(plugin: &Path, given: &Given, effort: Effort, output: Output) -> Result<u8, Failure> {
    let chosen = subject::chosen(plugin, given.fixtures.as_deref())?;
    let fixtures = subject::fixtures(&chosen, given.fixtures.as_deref())?.map(|(_, fixtures)| fixtures);
    let Some(input) = subject::input(given, fixtures.as_ref())? else {
        return Err(Failure::Invalid(
            "error: what goes in? Say it with --input 'name: type, …', of a function with --arguments 'type, …', or in fixtures.yaml"
                .into(),
        ));
    };
    let told = fixtures.as_ref().filter(|fixtures| fixtures.input == input);
    let keys = match (given.key.as_slice(), &fixtures) {
        ([], Some(fixtures)) => fixtures.key.clone(),
        (keys, _) => keys.to_vec(),
    };
    let mut tried = subject::subject(&chosen, &input, &keys, fixtures.as_ref())?;
    let mut generator = Generator::new(&input);
    if let Subject::Keyed(keyed) = &tried {
        generator = generator.keys(keyed.keys().to_vec());
    }
    if let Some(fixtures) = told {
        generator = generator.examples(&examples(&input, fixtures).map_err(Failure::runtime)?);
    }
    let seed = effort.seed.unwrap_or_else(a_seed);
    let settings = Settings { cases: effort.cases.max(1), seed, rows_max: effort.rows.max(1), until: None };
    let verdicts = braid_laws::check(&mut tried, &generator, settings).map_err(Failure::runtime)?;
    match output {
        Output::Json => println!("{}", json(&chosen.path, seed, &verdicts)?),
        _ => print!("{}", text(&chosen.path, seed, &verdicts)),
    }
    Ok(u8::from(!verdicts.iter().all(holds)))
}

/// Another one each time.
fn a_seed() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64 % 1_000_000)
}

/// A law that was tried on nothing does not hold.
fn holds(verdict: &Verdict) -> bool {
    verdict.counter.is_none() && verdict.through > 0
}

fn text(path: &Path, seed: u64, verdicts: &[Verdict]) -> String {
    let mut text = format!("{}, seed {seed}\n", path.display());
    for Verdict { law, cases, through, counter } in verdicts {
        match counter {
            None if *through == 0 => text.push_str(&format!(
                "EMPTY   {law}: no row went through in {cases} cases; give some in fixtures.yaml, whose values are then used\n"
            )),
            None => text.push_str(&format!("ok      {law} ({cases} cases, {} rows)\n", grouped(*through as u64))),
            Some(counter) => {
                text.push_str(&format!("BROKEN  {law} (case {}, made small)\n", counter.case));
                counter.text().lines().for_each(|line| text.push_str(&format!("        {line}\n")));
            }
        }
    }
    let broken = verdicts.iter().filter(|verdict| !holds(verdict)).count();
    match broken {
        0 => text,
        broken => text + &format!("{broken} of {} laws do not hold; --seed {seed} shows it again\n", verdicts.len()),
    }
}

fn json(path: &Path, seed: u64, verdicts: &[Verdict]) -> Result<String, Failure> {
    let laws = verdicts.iter().map(|Verdict { law, cases, through, counter }| {
        let counter = counter.as_ref().map(|Counter { case, inputs, sides }| {
            let shown = |shown: &braid_laws::Shown| json!({"title": shown.title, "text": shown.text});
            json!({
                "case": case,
                "inputs": inputs.iter().map(shown).collect::<Vec<Value>>(),
                "sides": sides.iter().map(shown).collect::<Vec<Value>>(),
            })
        });
        json!({"law": law, "ok": counter.is_none() && *through > 0, "cases": cases, "rows": through, "counterExample": counter})
    });
    let text = serde_json::to_string_pretty(&json!({
        "plugin": path.display().to_string(),
        "seed": seed,
        "laws": laws.collect::<Vec<_>>(),
    }));
    text.map_err(Failure::runtime)
}
