//! `braid plugin`: from nothing to a plugin that runs, with the binary and cargo and nothing else; and wrong ones, refused.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::braid::{Ended, River, binary, root};

/// `braid plugin …` in a directory.
fn plugin(here: &Path, arguments: &[&str]) -> Ended {
    run(&mut command(here, arguments))
}

fn command(here: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("plugin").args(arguments).current_dir(here);
    // What is built here is built once, and nothing of the cargo that runs this test is seen.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO") && name != "CARGO_HOME") {
            command.env_remove(name);
        }
    }
    command.env("CARGO_TARGET_DIR", target());
    command
}

fn run(command: &mut Command) -> Ended {
    let done = command.output().expect("the binary runs");
    Ended {
        status: done.status,
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        err: String::from_utf8_lossy(&done.stderr).into_owned(),
    }
}

/// Beside what cargo built for this test.
fn target() -> PathBuf {
    let me = std::env::current_exe().expect("a test knows its own path");
    let profile = me.ancestors().find(|path| path.join("deps").is_dir()).expect("below its profile's directory");
    profile.parent().expect("a profile is in a target directory").join("plugin-tools")
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Ends with this code, and says this.
fn refused(ended: &Ended, code: i32, parts: &[&str]) {
    assert_eq!(ended.status.code(), Some(code), "{}\n{}", ended.out, ended.err);
    for part in parts {
        assert!(ended.out.contains(part) || ended.err.contains(part), "no `{part}`:\n{}\n{}", ended.out, ended.err);
    }
}

/// A new plugin of a world goes through every command.
fn all_the_way(world: &str) -> tempfile::TempDir {
    let home = home();
    let here = home.path();
    plugin(here, &["new", "my-plugin", "--world", world]).ok("new");
    let built = plugin(here, &["build", "my-plugin"]).ok("build");
    assert!(
        built.contains(&format!("world     {world}")) && built.contains("component: my-plugin/my_plugin.wasm"),
        "{built}"
    );
    let tested = plugin(here, &["test", "my-plugin"]).ok("test");
    assert!(tested.contains(", 0 failed"), "{tested}");
    let fixtures: &[&str] = if world == "sink" { &[] } else { &["--fixtures", "my-plugin/fixtures.yaml"] };
    let seen = plugin(here, &[&["inspect", "my-plugin", "--output", "json"], fixtures].concat());
    let seen: Value = serde_json::from_str(&seen.ok("inspect")).expect("JSON");
    assert_eq!(seen["world"], world);
    home
}

fn holds(home: &Path, laws: usize) {
    let checked = plugin(home, &["check", "my-plugin", "--cases", "40"]).ok("check");
    assert_eq!(checked.matches("ok      ").count(), laws, "{checked}");
}

#[test]
fn a_new_transform_is_built_tested_checked_and_runs() {
    let home = all_the_way("transform");
    holds(home.path(), 3);
    let input = home.path().join("input");
    std::fs::create_dir(&input).expect("a fresh directory");
    let rows = "{\"id\":1,\"price\":2.5,\"pieces\":4}\n{\"id\":2,\"price\":9,\"pieces\":0}\n{\"id\":3,\"price\":1}\n";
    std::fs::write(input.join("1.json"), rows).expect("a fresh file");
    let deployment = home.path().join("deployment.yaml");
    let text = "apiVersion: braid/v1\nname: orders\nlayout: kappa\nstore: memory://\n\
        sources:\n  orders: {files: {path: \"${INPUT}\"}, format: json, schema: {id: long, price: double, pieces: long}}\n\
        plugins:\n  my_plugin: {component: \"${COMPONENT}\"}\n\
        streams:\n  totals: {from: orders, apply: [my_plugin]}\n\
        views:\n  all: {sql: \"SELECT id, total FROM totals\"}\n";
    std::fs::write(&deployment, text).expect("a fresh file");
    let river = River::new(&deployment, home.path())
        .env("INPUT", input.display())
        .env("COMPONENT", home.path().join("my-plugin/my_plugin.wasm").display());
    river.catch_up().ok("the new plugin runs");
    assert_eq!(river.rows("SELECT id, total FROM all"), ["1,10.0"]);
    assert_eq!(river.rows("SELECT reason LIKE '%does not say how many%' AS named FROM dead_letters"), ["true"]);
}

/// What a new function or aggregate answers in a view over one column, `value`.
fn in_sql(home: &Path, column: &str, rows: &str, view: &str) -> Vec<String> {
    let input = home.join("input");
    std::fs::create_dir(&input).expect("a fresh directory");
    std::fs::write(input.join("1.json"), rows).expect("a fresh file");
    let deployment = home.join("deployment.yaml");
    let text = format!(
        "apiVersion: braid/v1\nname: sql\nlayout: kappa\nstore: memory://\n\
         sources:\n  rows: {{files: {{path: \"${{INPUT}}\"}}, format: json, schema: {{k: string, value: {column}}}}}\n\
         plugins:\n  my_plugin: {{component: \"${{COMPONENT}}\"}}\nviews:\n  answers: {{sql: \"{view}\"}}\n"
    );
    std::fs::write(&deployment, text).expect("a fresh file");
    let river = River::new(&deployment, home)
        .env("INPUT", input.display())
        .env("COMPONENT", home.join("my-plugin/my_plugin.wasm").display());
    river.catch_up().ok("the new plugin runs");
    river.sorted("SELECT * FROM answers")
}

#[test]
fn a_new_function_is_built_tested_checked_and_runs_in_sql() {
    let home = all_the_way("scalar");
    holds(home.path(), 3);
    let rows = "{\"k\":\"a\",\"value\":\"4111 1111 1111 1234\"}\n{\"k\":\"b\"}\n";
    let answers = in_sql(home.path(), "string", rows, "SELECT k, my_plugin(value) AS card FROM rows");
    assert_eq!(answers, ["a,**** **** **** 1234", "b,"]);
}

#[test]
fn a_new_aggregate_is_built_tested_checked_and_runs_in_sql() {
    let home = all_the_way("aggregate");
    holds(home.path(), 10);
    let rows = "{\"k\":\"a\",\"value\":3}\n{\"k\":\"a\",\"value\":-4}\n{\"k\":\"b\",\"value\":1}\n{\"k\":\"c\"}\n";
    let answers = in_sql(home.path(), "long", rows, "SELECT k, my_plugin(value) AS spread FROM rows GROUP BY k");
    assert_eq!(answers, ["a,7", "b,0", "c,"]);
}

/// An aggregate that keeps a float, and whether there was any.
fn wrong_aggregate(here: &Path, merge: &str) -> Ended {
    plugin(here, &["new", "wrong", "--world", "aggregate"]).ok("new");
    let source = format!(
        "//! Wrong.\nuse braid_guest::Aggregate;\n#[derive(Default)]\nstruct Wrong {{ value: f64, any: bool }}\n\
         impl Aggregate for Wrong {{\n    type Arguments<'a> = (f64,);\n    type Answer = Option<f64>;\n    \
         fn accumulate(&mut self, (value,): (f64,)) -> Result<(), String> {{ self.merge(Self {{ value, any: true }}) }}\n    \
         fn merge(&mut self, other: Self) -> Result<(), String> {{ {merge} Ok(()) }}\n    \
         fn finish(self) -> Option<f64> {{ self.any.then_some(self.value) }}\n}}\n\
         braid_guest::aggregate!(Wrong {{ value: f64, any: bool }});\n"
    );
    std::fs::write(here.join("wrong/src/lib.rs"), source).expect("a file");
    plugin(here, &["build", "wrong"]).ok("build");
    plugin(here, &["check", "wrong", "--arguments", "double", "--seed", "3"])
}

#[test]
fn a_mean_of_means_is_no_aggregate_and_three_rows_show_it() {
    let home = home();
    let merge = "if other.any { self.value = if self.any { (self.value + other.value) / 2.0 } else { other.value }; self.any = true; }";
    let expected = [
        "ok      merge is commutative",
        "BROKEN  merge is associative (case ",
        "        merge(merge(a, b), c):\n",
        "          | 0.5   | true |\n",
        "        merge(a, merge(b, c)):\n",
        "          | 0.25  | true |\n",
        "BROKEN  rows added to a state are rows added to none, and merged",
        "2 of 10 laws do not hold",
    ];
    refused(&wrong_aggregate(home.path(), merge), 1, &expected);
}

#[test]
fn a_sum_of_floats_and_the_last_value_are_no_aggregates() {
    let home_of_sum = home();
    let sum = "self.value += other.value; self.any |= other.any;";
    refused(
        &wrong_aggregate(home_of_sum.path(), sum),
        1,
        &["ok      merge is commutative", "BROKEN  merge is associative"],
    );
    let home_of_last = home();
    let last = "if other.any { *self = other; }";
    refused(
        &wrong_aggregate(home_of_last.path(), last),
        1,
        &["BROKEN  merge is commutative", "ok      merge is associative"],
    );
}

#[test]
fn a_new_stateful_plugin_is_built_tested_and_checked() {
    holds(all_the_way("stateful").path(), 3);
}

#[test]
fn a_new_sink_is_built_and_its_requests_are_tested() {
    let home = all_the_way("sink");
    let fixtures = home.path().join("my-plugin/fixtures.yaml");
    let text = std::fs::read_to_string(&fixtures).expect("it was written");
    std::fs::write(&fixtures, text.replacen("body: {name: bob, n: 2}", "body: {name: bob, n: 3}", 1)).expect("a file");
    let expected =
        ["FAILED  each row is posted", "  POST /rows", "- POST /rows {\"name\":\"bob\",\"n\":3}", "1 passed, 1 failed"];
    refused(&plugin(home.path(), &["test", "my-plugin"]), 1, &expected);
    refused(&plugin(home.path(), &["check", "my-plugin"]), 2, &["takes rows away", "braid plugin test"]);
}

/// Adds a column to each row, computed by this.
fn wrong(here: &Path, statics: &str, compute: &str) {
    plugin(here, &["new", "wrong"]).ok("new");
    let source = format!(
        "//! Wrong.\nuse braid_guest::{{Batch, Field, FixedBuilder, Schema, Transform, Type}};\n{statics}\nstruct Wrong;\n\
         impl Transform for Wrong {{\n    fn describe(mut input: Schema) -> Result<Schema, String> {{\n        \
         input.fields.push(Field {{ name: \"more\".into(), data_type: Type::Int64 }});\n        Ok(input)\n    }}\n    \
         fn apply(mut batch: Batch) -> Result<Batch, String> {{\n        let mut more = FixedBuilder::with_capacity(batch.rows);\n        \
         (0..batch.rows).for_each(|_| more.push(Some({compute})));\n        batch.set(more.finish(\"more\", Type::Int64));\n        \
         Ok(batch)\n    }}\n}}\nbraid_guest::transform!(Wrong);\n"
    );
    std::fs::write(here.join("wrong/src/lib.rs"), source).expect("a file");
    plugin(here, &["build", "wrong"]).ok("build");
}

#[test]
fn a_plugin_that_sees_its_batches_is_refused_with_the_smallest_rows() {
    let home = home();
    wrong(home.path(), "", "batch.rows as i64");
    let checked = plugin(home.path(), &["check", "wrong", "--input", "id: long", "--seed", "1", "--cases", "60"]);
    let expected = [
        "seed 1\n",
        "ok      the same bytes again, from a used instance (60 cases",
        "BROKEN  the same rows, however they are cut into batches (case ",
        "| 0  | 2    |\n          | 0  | 2    |\n",
        "cut before row 2:",
        "| 0  | 1    |\n          | 0  | 1    |\n",
        "1 of 3 laws do not hold; --seed 1 shows it again",
    ];
    refused(&checked, 1, &expected);
    let again = plugin(home.path(), &["check", "wrong", "--input", "id: long", "--seed", "1", "--cases", "60"]);
    assert_eq!(checked.out, again.out, "a seed decides everything");
}

#[test]
fn a_plugin_that_counts_its_calls_is_refused_with_the_smallest_rows() {
    let home = home();
    let statics = "use std::sync::atomic::{AtomicI64, Ordering};\nstatic CALLS: AtomicI64 = AtomicI64::new(0);";
    wrong(home.path(), statics, "CALLS.fetch_add(1, Ordering::Relaxed)");
    let checked = plugin(home.path(), &["check", "wrong", "--input", "id: long", "--seed", "1", "--output", "json"]);
    refused(&checked, 1, &[]);
    let report: Value = serde_json::from_str(&checked.out).expect("JSON");
    let law = &report["laws"][1];
    assert_eq!((&law["law"], &law["ok"]), (&"the same bytes again, from a used instance".into(), &false.into()));
    let sides = law["counterExample"]["sides"].as_array().expect("two sides");
    assert!(sides[0]["text"].as_str().is_some_and(|text| text.contains("| 0  | 0    |")), "{law}");
    assert!(sides[1]["text"].as_str().is_some_and(|text| text.contains("| 0  | 1    |")), "{law}");
}

/// Fixtures of a plugin that is kept in the repository.
fn kept(name: &str, fixtures: &str) -> Ended {
    let home = home();
    let file = home.path().join("fixtures.yaml");
    std::fs::write(&file, fixtures).expect("a fresh file");
    let component = root().join(format!("plugins/{name}/{name}.wasm")).display().to_string();
    plugin(home.path(), &["test", &component, "--fixtures", &file.display().to_string()])
}

#[test]
fn a_fixture_that_is_not_met_shows_what_came_out() {
    let ended = kept(
        "anonymise",
        "input: {ip: string, n: long}\nfixtures:\n\
         - name: networks\n  rows: [[203.0.113.7, 1], [nonsense, 2], ['2001:db8:1:2::3', 3]]\n  expect: [[203.0.113.0, 1], ['2001:db8:1::', 3]]\n\
         - name: wrong\n  rows: [[203.0.113.7, 1], [203.0.113.8, 2]]\n  expect: [[203.0.113.0, 1], [203.0.113.8, 2]]\n\
         - name: also wrong\n  rows: [[203.0.113.7, 1]]\n  expect: [[203.0.113.0, 1]]\n  failed: [{row: 1, reason: whatever}]\n",
    );
    let expected = [
        "ok      networks (rows cut in 4 ways)",
        "FAILED  wrong\n        all rows at once:",
        "  ip: \"203.0.113.0\", n: 1\n",
        "- ip: \"203.0.113.8\", n: 2\n",
        "+ ip: \"203.0.113.0\", n: 2\n",
        "- row 1 fails: …whatever…",
        "1 passed, 2 failed",
    ];
    refused(&ended, 1, &expected);
}

#[test]
fn fixtures_of_state_have_epochs_and_timers() {
    let ended = kept(
        "visits",
        "input: {visitor: string, at: timestamp, page: string}\nkey: visitor\ntime_mode: event_time\nfixtures:\n\
         - name: a visit ends after half an hour\n  epochs:\n\
         \x20 - rows: [[ada, '2026-01-01T10:00:00', home], [ada, '2026-01-01T10:10:00', shop], [ada, '2026-01-01T10:11:00', null]]\n\
         \x20   time: '2026-01-01T10:30:00'\n\
         \x20   failed: [{row: 3, reason: without a page}]\n\
         \x20 - time: '2026-01-01T10:40:00'\n\
         \x20   expect: [{visitor: ada, first: '2026-01-01T10:00:00', last: '2026-01-01T10:10:00', clicks: 2, path: home shop, favourite: home}]\n",
    );
    assert_eq!(
        ended.ok("visits"),
        "ok      a visit ends after half an hour (rows cut in 4 ways)\n1 passed, 0 failed\n"
    );
}

#[test]
fn mistakes_are_said_with_what_to_do() {
    let home = home();
    let here = home.path();
    let component = root().join("plugins/anonymise/anonymise.wasm").display().to_string();
    let asked = |arguments: &[&str]| plugin(here, arguments);
    refused(&asked(&["new", "Two Words"]), 2, &["`Two Words` is not possible", "small letters"]);
    refused(&asked(&["new", "std"]), 2, &["another crate's"]);
    std::fs::create_dir(here.join("full")).expect("a fresh directory");
    std::fs::write(here.join("full/x"), "").expect("a fresh file");
    refused(&asked(&["new", "full"]), 3, &["full is there and not empty", "--to"]);
    refused(&asked(&["build", "full"]), 3, &["full has no Cargo.toml and no script", "braid plugin new"]);
    refused(&asked(&["test", "full"]), 3, &["full has no component: `braid plugin build full` makes it"]);
    refused(&asked(&["check", &component]), 2, &["--input 'name: type, …'"]);
    refused(&asked(&["check", &component, "--input", "ip: strng"]), 2, &["no type `strng`; did you mean `string`?"]);
    refused(&asked(&["check", &component, "--input", "n: long"]), 1, &["needs a column `ip` of type string"]);
    refused(&asked(&["inspect", "full/x"]), 1, &["it is not WebAssembly"]);
    let keyed = root().join("plugins/visits/visits.wasm").display().to_string();
    refused(&asked(&["check", &keyed, "--input", "at: timestamp"]), 2, &["--key"]);
    plugin(here, &["new", "no-cargo"]).ok("new");
    refused(
        &run(command(here, &["build", "no-cargo"]).env("PATH", here)),
        3,
        &["there is no `cargo`", "https://rustup.rs"],
    );
    let fixtures = "input: {ip: string}\nfixtures:\n- {name: x, rows: [[a]], expects: []}\n";
    refused(&kept("anonymise", fixtures), 2, &["expects", "line 3"]);
    let fixtures = "input: {ip: string}\nfixtures:\n- {name: x, rows: [{it: a}], expect: []}\n";
    refused(&kept("anonymise", fixtures), 1, &["row 1", "there is no column `it`; there are: ip"]);
}

#[test]
fn what_a_plugin_imports_is_said_with_its_grant_and_is_there_when_it_is_tried() {
    let home = home();
    let here = home.path();
    plugin(here, &["new", "region", "--world", "scalar"]).ok("new");
    let source = "//! Logs, and takes a value of the deployment.\nbraid_guest::function! {\n    \
        fn region(text: &str) -> Result<String, String> {\n        braid_guest::log::info(\"called\");\n        \
        let region = braid_guest::env(\"REGION\").ok_or(\"no region\")?;\n        Ok(format!(\"{text} {region}\"))\n    }\n}\n";
    std::fs::write(here.join("region/src/lib.rs"), source).expect("a file");
    let fixtures =
        "arguments: [string]\nenv: {REGION: eu}\nfixtures:\n- {name: x, calls: [{arguments: [a], answer: a eu}]}\n";
    std::fs::write(here.join("region/fixtures.yaml"), fixtures).expect("a file");
    let built = plugin(here, &["build", "region"]).ok("build");
    assert!(built.contains("imports   braid:host/log@0.1.0, which needs `grants: {log: true}`"), "{built}");
    assert!(built.contains("{component: region/region.wasm, grants: {log: true, env: {NAME: value}}}"), "{built}");
    assert_eq!(plugin(here, &["test", "region"]).ok("test"), "ok      x\n1 passed, 0 failed\n");
    plugin(here, &["check", "region", "--cases", "20"]).ok("check");
}

/// A new script of each world does what the same in Rust does: the fixtures are the same.
fn scripts(language: &str) {
    crate::scripts::interpreters();
    for (world, laws) in [("transform", 3), ("scalar", 3), ("aggregate", 10), ("stateful", 3), ("sink", 0)] {
        let home = home();
        let here = home.path();
        plugin(here, &["new", "my-plugin", "--lang", language, "--world", world]).ok("new");
        let tested = plugin(here, &["test", "my-plugin"]).ok(world);
        assert!(tested.contains(", 0 failed"), "{tested}");
        if laws > 0 {
            let checked = plugin(here, &["check", "my-plugin", "--cases", "10", "--seed", "1"]).ok(world);
            assert_eq!(checked.matches("ok      ").count(), laws, "{checked}");
        }
        let seen = plugin(here, &["inspect", "my-plugin", "--output", "json"]).ok(world);
        let seen: Value = serde_json::from_str(&seen).expect("JSON");
        assert_eq!(seen["world"], world);
    }
}

#[test]
fn new_plugins_in_javascript_meet_the_fixtures_of_those_in_rust() {
    scripts("js");
}

#[test]
fn new_plugins_in_typescript_meet_the_fixtures_of_those_in_rust() {
    scripts("ts");
}

#[test]
fn new_plugins_in_python_meet_the_fixtures_of_those_in_rust() {
    scripts("python");
}

#[test]
fn a_script_that_remembers_rows_is_refused() {
    crate::scripts::interpreters();
    let home = home();
    let script = "let rows = 0;\nexport const output = {id: \"long\", n: \"int\"};\nexport const map = ({id}) => ({id, n: ++rows});\n";
    std::fs::write(home.path().join("wrong.js"), script).expect("a fresh file");
    let checked = plugin(home.path(), &["check", "wrong.js", "--input", "id: long", "--seed", "1", "--cases", "20"]);
    refused(&checked, 1, &["BROKEN  the same bytes again, from a used instance", "| 0  | 1 |", "| 0  | 2 |"]);
}

#[test]
fn a_script_and_its_interpreter_are_one_component() {
    crate::scripts::interpreters();
    for (language, name) in [("ts", "TypeScript"), ("python", "Python")] {
        let home = home();
        let here = home.path();
        plugin(here, &["new", "mine", "--lang", language]).ok("new");
        let built = plugin(here, &["build", "mine"]).ok("build");
        assert!(built.contains("world     transform\n") && built.contains("component: mine/mine.wasm}"), "{built}");
        // The script stays what is meant by the directory; the component is what is carried away.
        assert!(plugin(here, &["inspect", "mine"]).ok("inspect").starts_with("script "), "it is the script");
        std::fs::create_dir(here.join("away")).expect("a fresh directory");
        std::fs::rename(here.join("mine/mine.wasm"), here.join("away/mine.wasm")).expect("it was built");
        std::fs::rename(here.join("mine/fixtures.yaml"), here.join("away/fixtures.yaml")).expect("it was written");
        // It needs no interpreter. (That of Python is only compiled once for all tests: it is large.)
        let away = |arguments: &[&str]| match language {
            "ts" => run(command(here, arguments).env("BRAID_CACHE", here.join("cache"))),
            _ => plugin(here, arguments),
        };
        assert!(away(&["test", "away"]).ok("test").contains("3 passed, 0 failed"));
        assert_eq!(away(&["check", "away", "--cases", "10", "--seed", "1"]).ok("check").matches("ok      ").count(), 3);
        let seen = away(&["inspect", "away/mine.wasm", "--output", "json"]).ok("inspect");
        let seen: Value = serde_json::from_str(&seen).expect("JSON");
        assert_eq!((&seen["world"], &seen["script"]["language"]), (&"transform".into(), &name.into()));
        let file = here.join("mine").join(seen["script"]["name"].as_str().expect("a name"));
        assert_eq!(seen["script"]["text"], std::fs::read_to_string(file).expect("the script"));
    }
}

#[test]
fn an_interpreter_without_a_script_is_no_plugin() {
    let home = home();
    let interpreter = crate::scripts::interpreter("js").display().to_string();
    let said = "it is an interpreter, and has no script inside: `braid plugin build` puts one there";
    refused(&plugin(home.path(), &["check", &interpreter, "--input", "id: long"]), 1, &[said]);
}

#[test]
fn a_script_that_is_none_is_not_built() {
    crate::scripts::interpreters();
    let home = home();
    let here = home.path();
    std::fs::write(here.join("wrong.ts"), "export function map(row): void {\n  return row.;\n}\n")
        .expect("a fresh file");
    refused(&plugin(here, &["build", "wrong.ts"]), 1, &["wrong.ts:2:14: SyntaxError"]);
    assert!(!here.join("wrong.wasm").exists());
    std::fs::write(here.join("good.py"), "def map(row):\n    return row\n").expect("a fresh file");
    refused(&plugin(here, &["build", "good.py", "-o", "good.py"]), 2, &["write `-o FILE.wasm`"]);
    std::fs::write(here.join("notes.txt"), "").expect("a fresh file");
    refused(&plugin(here, &["build", "notes.txt"]), 2, &["neither a directory with a Cargo.toml nor a script"]);
    let bare = |arguments: &[&str]| run(command(here, arguments).env("BRAID_CACHE", here.join("nothing")));
    refused(&bare(&["build", "good.py"]), 1, &["`plugins/build --interpreter python` makes it"]);
    refused(
        &bare(&["test", "wrong.ts"]),
        1,
        &["is written in TypeScript", "`plugins/build --interpreter js` makes it"],
    );
}

#[test]
fn a_script_that_is_tried_has_its_values_and_its_log() {
    crate::scripts::interpreters();
    let home = home();
    let here = home.path();
    let fixtures =
        "arguments: [string]\nenv: {REGION: eu}\nfixtures:\n- {name: x, calls: [{arguments: [a], answer: a eu}]}\n";
    std::fs::write(here.join("fixtures.yaml"), fixtures).expect("a file");
    for (name, script) in [
        (
            "region.js",
            "console.log('here');\nconst REGION = env('REGION');\nexport const output = 'string';\nexport const call = (text) => `${text} ${REGION}`;\n",
        ),
        (
            "region.py",
            "from braid_guest import env\nprint('here')\nREGION = env('REGION')\noutput = 'string'\ndef call(text):\n    return f'{text} {REGION}'\n",
        ),
    ] {
        std::fs::write(here.join(name), script).expect("a file");
        assert_eq!(plugin(here, &["test", name]).ok(name), "ok      x\n1 passed, 0 failed\n");
        plugin(here, &["check", name, "--cases", "10"]).ok(name);
    }
}

#[test]
fn a_new_plugin_in_rust_names_only_what_it_is_built_with() {
    let home = home();
    plugin(home.path(), &["new", "lean"]).ok("new");
    let read = |file: &str| std::fs::read_to_string(home.path().join("lean").join(file)).expect(file);
    for file in ["Cargo.toml", "sdk/wire/Cargo.toml", "sdk/guest/Cargo.toml"] {
        let text = read(file);
        assert!(!["wit-component", "memchr", "componentize"].iter().any(|word| text.contains(word)), "{file}: {text}");
    }
    assert!(!read("sdk/wire/src/lib.rs").contains("componentize"));
    let shown = run(command(home.path(), &["build", "lean"]).env("RUSTFLAGS", "")).ok("build");
    assert!(shown.contains("world     transform"), "{shown}");
}
