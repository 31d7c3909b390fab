//! Braid's answers to the queries of `e2e/differential` against Spark's, which `run --golden` wrote: no Spark is needed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::braid::{River, eventually, root};
use crate::http::{get, request};
use crate::oracle::files;

/// Into how many files a source's lines are cut, and how many of them an epoch takes.
const CUTS: usize = 7;

/// A query and Spark's answer, as canonical lines in order.
struct Asked {
    view: String,
    sql: String,
    rows: Vec<String>,
}

fn folder() -> PathBuf {
    root().join("e2e/differential")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The blocks of a file, each under a line `-- name`.
fn blocks(text: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("-- ") {
            blocks.push((name.split(' ').next().expect("a name").to_owned(), Vec::new()));
        } else if let Some((_, lines)) = blocks.last_mut()
            && !line.trim().is_empty()
            && !line.starts_with("---")
        {
            lines.push(line.to_owned());
        }
    }
    blocks
}

/// Every query that has an answer.
fn asked() -> Vec<Asked> {
    let mut asked = Vec::new();
    for golden in files(&folder().join("golden"), "txt") {
        let topic = golden.file_stem().expect("it has a name").to_string_lossy().into_owned();
        let queries = blocks(&read(&folder().join(format!("queries/{topic}.sql"))));
        for (name, rows) in blocks(&read(&golden)) {
            let (_, lines) = queries
                .iter()
                .find(|(query, _)| *query == name)
                .unwrap_or_else(|| panic!("{topic}.{name} has an answer and is no query"));
            asked.push(Asked { view: format!("{topic}_{name}"), sql: lines.join("\n"), rows });
        }
    }
    asked
}

/// The deployment of some queries, its input in files below `home`.
fn deployment(home: &Path, asked: &[&Asked]) -> PathBuf {
    let declared: Value = serde_json::from_str(&read(&folder().join("datasets.json"))).expect("JSON");
    let mut sources = serde_json::Map::new();
    for name in ["types", "events"] {
        let input = home.join(name);
        std::fs::create_dir_all(&input).expect("a fresh directory");
        let text = read(&folder().join(format!("data/{name}.jsonl")));
        let lines: Vec<&str> = text.lines().collect();
        for (number, part) in lines.chunks(lines.len().div_ceil(CUTS)).enumerate() {
            std::fs::write(input.join(format!("{number}.json")), part.join("\n") + "\n").expect("a fresh file");
        }
        let source = &declared["sources"][name];
        let declared = json!({
            "files": {"path": input, "max_files_per_trigger": 2}, "format": source["format"], "schema": source["schema"]
        });
        sources.insert(name.to_owned(), declared);
    }
    let tables = declared["tables"].as_object().expect("tables").iter().map(|(name, table)| {
        let file = folder().join(format!("data/{name}.csv"));
        (name.clone(), json!({"file": {"path": file}, "format": "csv", "schema": table["schema"]}))
    });
    let views = asked.iter().map(|asked| (asked.view.clone(), json!({"sql": asked.sql})));
    let deployment = json!({
        "apiVersion": "braid/v1", "name": "differential", "layout": "kappa", "store": "memory://",
        "sources": sources, "tables": tables.collect::<serde_json::Map<_, _>>(),
        "views": views.collect::<serde_json::Map<_, _>>(), "serving": {"http": "127.0.0.1:0"},
    });
    let path = home.join("deployment.yaml");
    std::fs::write(&path, deployment.to_string()).expect("a fresh file");
    path
}

/// A double as Python writes it.
fn double(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "NaN".into() } else { format!("{value}") };
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("it has an exponent");
    let exponent: i32 = exponent.parse().expect("a number");
    if (-4..16).contains(&exponent) {
        let plain = format!("{value}");
        return if plain.contains('.') { plain } else { format!("{plain}.0") };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// The canonical text of a value, as `e2e/differential/canonical.py` writes it.
fn text(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => double(number.as_f64().expect("a double")),
        Value::Array(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            let fields = fields.iter().map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), text(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

/// All rows of a view as canonical lines, in order. JSON has no NaN, so floats are asked for as text.
fn rows(address: &str, view: &str) -> Vec<String> {
    let about = get(address, &format!("/v1/views/{view}")).ok();
    let columns = about["columns"].as_array().expect("columns");
    let floats: Vec<bool> =
        columns.iter().map(|column| ["double", "float"].contains(&column["type"].as_str().unwrap_or(""))).collect();
    let items = columns.iter().zip(&floats).map(|(column, float)| {
        let name = column["name"].as_str().expect("a name");
        if *float { format!("CAST(CAST(`{name}` AS DOUBLE) AS STRING) AS `{name}`") } else { format!("`{name}`") }
    });
    let sql = format!("SELECT {} FROM {view}", items.collect::<Vec<_>>().join(", "));
    let body = json!({ "sql": sql }).to_string();
    let answer = request(address, "POST", "/v1/sql?limit=10000", "application/json", body.as_bytes());
    let answer = answer.unwrap_or_else(|error| panic!("{sql}: {error}")).ok();
    let mut lines: Vec<String> = answer["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| {
            let cells =
                row.as_object().expect("a row").values().zip(&floats).map(|(value, float)| match value.as_str() {
                    Some(digits) if *float => double(digits.replace("Infinity", "inf").parse().expect("a double")),
                    _ => text(value),
                });
            format!("[{}]", cells.collect::<Vec<_>>().join(","))
        })
        .collect();
    lines.sort();
    lines
}

fn check(layout: &str, part: usize, parts: usize) {
    let asked = asked();
    assert!(asked.len() >= 250, "only {} queries have an answer", asked.len());
    let asked: Vec<&Asked> = asked.iter().skip(part).step_by(parts).collect();
    let home = tempfile::tempdir().expect("a temporary directory");
    let river = River::new(deployment(home.path(), &asked), home.path()).layout(layout);
    river.catch_up().ok(layout);
    let mut up = river.up();
    let address = up.address();
    eventually("it is ready", || match get(&address, "/readyz") {
        ready if ready.status == 200 => Ok(()),
        not_yet => {
            std::thread::sleep(Duration::from_millis(20));
            Err(not_yet.body)
        }
    });
    let mut wrong = Vec::new();
    for asked in asked {
        let found = rows(&address, &asked.view);
        let mut wanted = asked.rows.clone();
        wanted.sort();
        if found != wanted {
            wrong.push(format!("{}: {}\n  Spark {wanted:?}\n  Braid {found:?}", asked.view, asked.sql));
        }
    }
    assert!(wrong.is_empty(), "{} answers are not Spark's:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn spark_gives_the_same_rows_under_kappa() {
    check("kappa", 0, 2);
}

#[test]
fn spark_gives_the_same_rows_under_lambda() {
    check("lambda", 1, 2);
}

#[test]
fn doubles_are_written_as_python_writes_them() {
    let texts = [1.0, -0.0, 1e16, 1e15, 1e-5, 0.0001, 1.5e300, 0.1, f64::INFINITY].map(double);
    assert_eq!(texts, ["1.0", "-0.0", "1e+16", "1000000000000000.0", "1e-05", "0.0001", "1.5e+300", "0.1", "inf"]);
}
