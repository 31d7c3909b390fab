//! After every run a view answers what a batch over all rows so far answers, through the binary: tens of the cases of
//! which the engine's tests do thousands. `BRAID_PREFIX_DEPLOYMENTS` (6) says how many deployments of eight views.

use crate::braid::{River, count};
use crate::cases::same;

#[path = "../../platform/engine/src/tests/prefix/mod.rs"]
#[expect(dead_code, reason = "cases are made smaller where they can be run in no time")]
mod prefix;

use prefix::data::Data;
use prefix::query::Query;
use prefix::{Case, Random, deployment, generate, oracle};

const VIEWS: usize = 8;

/// Each epoch is a run of its own, and the layout changes at every other.
fn check(seed: u64) -> usize {
    let mut random = Random(seed);
    let data = Data::any(&mut random);
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = |below: &str| home.path().join(below);
    for folder in ["input/events", "input/other", "input/teams"] {
        std::fs::create_dir_all(path(folder)).expect("a fresh directory");
    }
    std::fs::write(path("input/teams/teams.json"), deployment::teams()).expect("a fresh file");
    let river = River::new(path("deployment.yaml"), home.path()).env("INPUT", path("input").display());
    let mut queries: Vec<Query> = Vec::new();
    while queries.len() < VIEWS {
        let query = generate::query(&mut random);
        std::fs::write(path("deployment.yaml"), deployment::yaml(&[&query])).expect("a file");
        let said = river.finish("validate", &[]);
        match said.err.contains("the view can never have a row") || said.out.contains("the view can never have a row") {
            true => {}
            false => queries.push(query),
        }
    }
    std::fs::write(path("deployment.yaml"), deployment::yaml(&queries.iter().collect::<Vec<_>>())).expect("a file");
    for epoch in 0..data.ends.len() {
        for (input, name) in ["events", "other"].iter().enumerate() {
            let rows = deployment::json(data.epoch(epoch), input);
            if !rows.is_empty() {
                std::fs::write(path(&format!("input/{name}/{epoch}.json")), rows).expect("a fresh file");
            }
        }
        let layout = if (epoch / 2) % 2 == 0 { "kappa" } else { "lambda" };
        river.clone().layout(layout).catch_up().ok("a run");
        for (number, query) in queries.iter().enumerate() {
            if query.waits_behind_a_join() && epoch + 1 < data.ends.len() {
                continue;
            }
            let rows = river.sorted(&deployment::question(query, &format!("v{number}")));
            let wanted: Vec<String> =
                oracle::answer(query, &data, epoch).iter().map(|row| format!("0,{row}")).collect();
            if rows != wanted {
                let case = Case { query: query.clone(), data: data.clone() };
                let what =
                    format!("seed {seed}, epoch {epoch}, {layout}: {}\n{}", query.sql(), deployment::script(&case));
                same(&what, &rows, wanted);
            }
        }
    }
    queries.len()
}

#[test]
fn every_prefix_is_answered_as_a_batch_of_it() {
    let deployments = count("BRAID_PREFIX_DEPLOYMENTS", 6);
    let checked: usize = (0..deployments).map(|number| check(100 + number)).sum();
    eprintln!("{checked} cases in {deployments} deployments");
}
