//! The page about pipelines: what it shows is planned, and becomes the SQL that it says. Cases `D…-pipeline` run them.

use crate::braid::{River, root};

/// The blocks of a page in a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let parts = page.split(&format!("```{language}\n")).skip(1).collect::<Vec<_>>();
    parts.into_iter().filter_map(|part| part.split("```").next()).collect()
}

#[test]
fn what_the_page_shows_becomes_what_it_says() {
    let page = std::fs::read_to_string(root().join("docs/pipeline.md")).expect("the page");
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut plans = Vec::new();
    for (number, yaml) in blocks(&page, "yaml").into_iter().enumerate() {
        let path = home.path().join(format!("{number}.yaml"));
        std::fs::write(&path, yaml).expect("a written deployment");
        for layout in ["kappa", "lambda"] {
            let plan = River::new(&path, home.path()).layout(layout).finish("plan", &[]);
            plans.push(plan.ok(&format!("block {number} of the page")));
        }
    }
    assert!(plans.len() >= 4, "only {} plans", plans.len());
    let unindented = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let plans = unindented(&plans.join("\n"));
    let sql = blocks(&page, "sql");
    assert!(!sql.is_empty(), "the page shows no SQL");
    for sql in sql {
        assert!(plans.contains(unindented(sql).trim()), "no plan has\n{sql}\nbut:\n{plans}");
    }
}

/// Every step of the table is one that is there, and no other.
#[test]
fn the_page_has_every_step() {
    let page = std::fs::read_to_string(root().join("docs/pipeline.md")).expect("the page");
    let schema = std::process::Command::new(crate::braid::binary()).arg("schema").output().expect("the binary starts");
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).expect("JSON");
    let views = schema["properties"]["views"]["patternProperties"].as_object().expect("views");
    let view = views.values().next().expect("a view");
    let steps = view["properties"]["pipeline"]["items"]["anyOf"][1]["properties"].as_object().expect("steps");
    let rows: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")).collect();
    let shown: Vec<&str> = rows.iter().filter_map(|row| row.split([':', '`']).next()).collect();
    for step in steps.keys() {
        assert!(shown.contains(&step.as_str()), "the page has no row for {step}");
    }
    for step in shown {
        assert!(steps.contains_key(step), "there is no step {step}");
    }
}
