//! Cases as deployments: what a failing one is printed as, and what the binary is given.

use std::fmt::Write as _;

use super::Case;
use super::data::{DELAYS_MS, Row};
use super::query::{Query, TEAMS, Type};

/// The deployment of some queries, as views `v0`, `v1` …: `${INPUT}` holds the folders `events`, `other` and `teams`.
pub fn yaml(queries: &[&Query]) -> String {
    let mut yaml = String::from("apiVersion: braid/v1\nname: prefix\nlayout: kappa\nstore: file://./store\nsources:\n");
    for (name, delay) in ["events", "other"].iter().zip(DELAYS_MS) {
        let _ = write!(
            yaml,
            "  {name}:\n    files: {{path: \"${{INPUT}}/{name}\"}}\n    format: json\n    \
             schema: {{id: long, name: string, n: long, at: timestamp_millis}}\n    \
             watermark: {{event_time: at, delay: {delay}ms}}\n"
        );
    }
    yaml.push_str(
        "tables:\n  teams: {file: {path: \"${INPUT}/teams\"}, format: json, schema: {name: string, team: string}}\n\
         streams:\n  once: {from: events, drop_duplicates: {columns: [id, at]}}\n  \
         within: {from: events, drop_duplicates: {columns: [id], within_watermark: true}}\n  \
         ever: {from: events, drop_duplicates: {columns: [name]}}\nviews:\n",
    );
    for (number, query) in queries.iter().enumerate() {
        let _ = writeln!(yaml, "  v{number}:\n    sql: |\n      {}", query.sql());
    }
    yaml
}

/// What is asked of a view so that its cells are the oracle's, behind a first column of zeros (a line of one null says
/// little): instants are milliseconds, and a window is two of them.
pub fn question(query: &Query, view: &str) -> String {
    let cells = query.names().into_iter().zip(query.columns()).map(|(name, of)| match of {
        Type::Time => format!("unix_millis({name}) AS {name}"),
        Type::Window => {
            format!("concat(unix_millis({name}.start), '..', unix_millis({name}.end)) AS {name}")
        }
        _ => name,
    });
    format!("SELECT 0 AS zero, {} FROM {view}", cells.collect::<Vec<_>>().join(", "))
}

/// The rows of an input as JSON lines.
pub fn json(rows: &[Row], input: usize) -> String {
    let mut text = String::new();
    for row in rows.iter().filter(|row| row.input == input) {
        let _ = write!(text, "{{\"id\": {}", row.id);
        let _ = row.name.map(|name| write!(text, ", \"name\": \"{name}\""));
        let _ = row.n.map(|n| write!(text, ", \"n\": {n}"));
        let _ = row.at.map(|at| write!(text, ", \"at\": {at}"));
        text.push_str("}\n");
    }
    text
}

/// The static table as JSON lines.
pub fn teams() -> String {
    TEAMS.iter().map(|(name, team)| format!("{{\"name\": \"{name}\", \"team\": \"{team}\"}}\n")).collect()
}

/// A shell script that makes the deployment and its epochs in the working directory, and asks after each.
pub fn script(case: &Case) -> String {
    let mut script = format!(
        "mkdir -p input/events input/other input/teams\ncat > deployment.yaml <<'END'\n{}END\n",
        yaml(&[&case.query])
    );
    let _ = write!(script, "cat > input/teams/teams.json <<'END'\n{}END\n", teams());
    for epoch in 0..case.data.ends.len() {
        for (input, name) in ["events", "other"].iter().enumerate() {
            let rows = json(case.data.epoch(epoch), input);
            if !rows.is_empty() {
                let _ = write!(script, "cat > input/{name}/{epoch}.json <<'END'\n{rows}END\n");
            }
        }
        let _ = writeln!(script, "INPUT=input braid run deployment.yaml");
        let _ = writeln!(script, "INPUT=input braid query deployment.yaml \"{}\"", question(&case.query, "v0"));
    }
    script
}
