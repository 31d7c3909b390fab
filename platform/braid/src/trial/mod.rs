//! `braid test`: the tests of a deployment, run through its own layers in each layout, at every cut, and with a crash at
//! each durable step. Sources are replaced by what is given, sinks and the store by memory.

mod case;
mod plan;
mod run;
mod typed;
mod verdict;
mod world;

use std::sync::Arc;
use std::time::Instant;

use braid_engine::StateMemory;
use braid_spec::{built_in_layouts, did_you_mean};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tokio_util::task::AbortOnDropHandle;

pub use case::{Case, cases};

use crate::cli::{Output, TestTarget};
use crate::failure::Failure;
use crate::prepare::{Prepared, prepare_tests};
use plan::{Bounds, Runs};
use run::{How, Outcome, Stage};
use verdict::{Failed, Verdict};

/// Runs the chosen tests. The exit code says whether all passed.
pub async fn test(target: &TestTarget, output: Output) -> Result<u8, Failure> {
    let mut prepared = prepare_tests(target, output).await?;
    let mut chosen = chosen(&prepared.tests, &target.names, target)?;
    prepared.read_tables(&mut chosen, output).await?;
    let states = StateMemory::new(prepared.deployment.state.memory_bytes, std::env::temp_dir());
    prepared.engine = prepared.engine.within(states).keeping_plans();
    let bench = Arc::new(Bench {
        stages: stages(prepared, target.layout.is_some()),
        bounds: if target.all { Bounds::NONE } else { Bounds::USUAL },
    });
    let mut verdicts = vec![];
    for case in chosen {
        let verdict = bench.test(case).await?;
        if output != Output::Json {
            print!("{}", verdict.text());
        }
        verdicts.push(verdict);
    }
    let failed = verdicts.iter().filter(|verdict| verdict.failure.is_some()).count();
    let layouts: Vec<&str> = bench.stages.iter().map(Stage::layout).collect();
    let runs: usize = verdicts.iter().map(|verdict| verdict.runs).sum();
    match output {
        Output::Json => {
            let tests: Vec<_> = verdicts.iter().map(Verdict::json).collect();
            let all = json!({
                "deployment": target.deployment.display().to_string(), "layouts": layouts, "runs": runs,
                "passed": tests.len() - failed, "failed": failed, "tests": tests,
            });
            println!("{}", serde_json::to_string_pretty(&all).map_err(Failure::runtime)?);
        }
        _ => println!("{} passed, {failed} failed; {runs} runs in {}", verdicts.len() - failed, layouts.join(" and ")),
    }
    Ok(u8::from(failed > 0))
}

/// The tests with these names; all, if none is named.
fn chosen(cases: &[Case], names: &[String], target: &TestTarget) -> Result<Vec<Case>, Failure> {
    if cases.is_empty() {
        let file = target.deployment.display();
        return Err(Failure::Invalid(format!("error: {file} has no tests: write some under `tests:`")));
    }
    for name in names {
        if !cases.iter().any(|case| case.name == *name) {
            let known = cases.iter().map(|case| case.name.as_str());
            let hint = did_you_mean(name, known.clone()).unwrap_or_else(|| {
                let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
                format!("there are {}", known.join(", "))
            });
            return Err(Failure::Invalid(format!("error: there is no test `{name}`\n  = help: {hint}")));
        }
    }
    let named = |case: &&Case| names.is_empty() || names.contains(&case.name);
    Ok(cases.iter().filter(named).cloned().collect())
}

/// The deployment under each layout: its own, and those that are built in, unless one is asked for.
fn stages(prepared: Prepared, only: bool) -> Vec<Stage> {
    let own = prepared.deployment.layout.name.clone();
    let others = built_in_layouts().into_iter().filter(|layout| !only && layout.name != own);
    let others: Vec<Prepared> = others.map(|layout| prepared.under(layout)).collect();
    std::iter::once(prepared).chain(others).map(Stage::new).collect()
}

struct Bench {
    stages: Vec<Stage>,
    bounds: Bounds,
}

impl Bench {
    async fn test(self: &Arc<Self>, case: Case) -> Result<Verdict, Failure> {
        let began = Instant::now();
        // All stages share one engine, whose tables these are.
        let engine = &self.stages[0].prepared.engine;
        for (table, rows) in &case.tables {
            engine.refresh(table, rows.clone()).await.map_err(|error| Failure::Runtime(error.message))?;
        }
        let case = Arc::new(case);
        let bar = bar(&case.name);
        let cuts = plan::cuts(&case, &self.stages, self.bounds);
        bar.set_length(cuts.hows.len() as u64);
        let done = self.runs(&case, cuts.hows, &bar, |_| false).await?;
        let mut left_out: Vec<String> = cuts.left_out.into_iter().collect();
        let mut runs = done.len();
        let mut failure = Failed::among(&done, &case, &self.stages);
        if failure.is_none() {
            let Runs { hows, left_out: more } = plan::crashes(&case, &done, self.bounds);
            bar.inc_length(hows.len() as u64);
            left_out.extend(more);
            let done = self.runs(&case, hows, &bar, |outcome| outcome.wrong.is_some()).await?;
            runs += done.len();
            failure = Failed::among(&done, &case, &self.stages);
        }
        bar.finish_and_clear();
        Ok(Verdict { case: Case::clone(&case), runs, left_out, time: began.elapsed(), failure })
    }

    /// Makes runs, as many at once as there are processors, up to the first that is enough.
    async fn runs(
        self: &Arc<Self>,
        case: &Arc<Case>,
        hows: Vec<How>,
        bar: &ProgressBar,
        enough: impl Fn(&Outcome) -> bool,
    ) -> Result<Vec<(How, Outcome)>, Failure> {
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        let made = hows.into_iter().map(|how| {
            let (bench, case) = (self.clone(), case.clone());
            AbortOnDropHandle::new(tokio::spawn(async move {
                let outcome = run::run(&bench.stages[how.stage], &case, &how).await;
                (how, outcome)
            }))
        });
        let mut made = futures::stream::iter(made).buffered(at_once);
        let mut done = vec![];
        while let Some(made) = made.next().await {
            let (how, outcome) = made.map_err(|panic| Failure::Runtime(format!("bug: a run ended badly: {panic}")))?;
            bar.inc(1);
            let enough = enough(&outcome);
            done.push((how, outcome));
            if enough {
                break;
            }
        }
        Ok(done)
    }
}

/// A bar for a test that takes long.
fn bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos} of {human_len} runs, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style);
    bar.with_message(name.to_owned())
}
