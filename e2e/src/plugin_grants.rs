//! What a plugin may have beside its rows, through the binary: what is said before anything runs, values that are part of
//! what a view is made of, lines of its log, and code that is compiled once.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::braid::River;
use crate::hostile::crimes;

/// A deployment with this plugin in a stream, and these lines about it.
fn river(home: &Path, crime: &str, more: &str) -> River {
    let file = home.join("deployment.yaml");
    let component = crimes().join(format!("{crime}.wasm"));
    let text = format!(
        "apiVersion: braid/v1\nname: granted\nlayout: kappa\nstore: memory://\n\
         sources: {{lines: {{files: {{path: \"${{INPUT}}\"}}, format: json, schema: {{note: string}}}}}}\n\
         plugins: {{guest: {{component: \"{}\", {more}}}}}\n\
         streams: {{changed: {{from: lines, apply: [guest]}}}}\n\
         views: {{rows: {{sql: SELECT note FROM changed}}}}\n",
        component.display()
    );
    fs::write(file, text).expect("a file");
    let input = home.join("input");
    fs::create_dir_all(&input).expect("a directory");
    River::new(home.join("deployment.yaml"), home)
        .env("INPUT", input.display())
        .env("BRAID_CACHE", home.join("cache").display())
}

fn write(home: &Path, name: &str, notes: &[&str]) {
    let rows: String = notes.iter().map(|note| format!("{{\"note\":\"{note}\"}}\n")).collect();
    fs::write(home.join("input").join(name), rows).expect("a fresh file");
}

#[test]
fn grants_that_do_not_fit_are_said_before_anything_runs() {
    for (crime, more, place, says) in [
        (
            "log_lines",
            "on_error: fail",
            "plugins.guest.component",
            "imports `braid:host/log@0.1.0`, which was not granted: write `grants: {log: true}`",
        ),
        (
            "env_region",
            "on_error: fail",
            "plugins.guest.component",
            "imports `braid:host/env@0.1.0`, which was not granted: write `grants: {env: {NAME: value}}`",
        ),
        ("trap", "grants: {log: true}", "plugins.guest.grants", "take `log` out of its `grants`"),
        ("trap", "grants: {env: {A: b}}", "plugins.guest.grants", "take `env` out of its `grants`"),
        (
            "knows_the_time",
            "grants: {clock: true}",
            "plugins.guest.grants",
            "others are asked again about rows of the past, and must answer as before; give it a column of event time",
        ),
        ("rolls_dice", "on_error: skip", "plugins.guest.component", "have it make a hash of the row"),
        ("forbidden_import", "on_error: skip", "plugins.guest.component", "imports `evil:watch/clock`, which cannot"),
        (
            "trap",
            "limits: {compile_time: 1ms}",
            "plugins.guest.limits",
            "was not compiled within its limit of 1ms (`compile_time`)",
        ),
        ("trap", "limits: {table: 2}", "streams.changed.apply", "its limit is 2 (`table`)"),
    ] {
        let home = tempfile::tempdir().expect("a temporary directory");
        let ended = river(home.path(), crime, more).finish("plan", &[]);
        assert_eq!(ended.status.code(), Some(2), "{crime}, {more}: {}", ended.out);
        assert!(ended.err.contains(says) && ended.err.contains(place), "{crime}, {more}: {}", ended.err);
    }
}

#[test]
fn a_value_is_part_of_what_a_view_is_made_of() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let with = |region: &str| river(home.path(), "env_region", &format!("grants: {{env: {{REGION: {region}}}}}"));
    let first = with("eu");
    write(home.path(), "1.json", &["evil"]);
    first.catch_up().ok("it has its value");
    assert_eq!(with("eu").rows("SELECT note FROM rows"), ["eu"]);
    let ended = with("us").catch_up();
    assert_eq!(ended.status.code(), Some(3), "{}", ended.err);
    assert!(ended.err.contains("streams.changed.apply"), "{}", ended.err);
    assert!(ended.err.contains("other bytes or `env` of them"), "{}", ended.err);
    write(home.path(), "2.json", &["evil"]);
    with("eu").catch_up().ok("it goes on with the value of before");
    assert_eq!(with("eu").sorted("SELECT note FROM rows"), ["eu", "eu"]);
}

#[test]
fn lines_of_its_log_are_seen_and_bounded() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let talks = river(home.path(), "log_lines", "limits: {log: 200}, grants: {log: true}");
    write(home.path(), "1.json", &["evil"; 20]);
    let ended = talks.catch_up();
    let lines: Vec<&str> = ended.err.lines().filter(|line| line.contains("plugin=\"guest\"")).collect();
    let said = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!(said("one\\nWARN two"), 4, "{}", ended.err);
    assert_eq!(said("its limit is 200 bytes a batch (`log`)"), 1, "{}", ended.err);
    ended.ok("it only talks");
}

#[test]
fn a_plugin_is_compiled_once() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let cache = home.path().join("cache/wasm/compiled");
    let honest = river(home.path(), "trap", "on_error: skip");
    let plan = || honest.finish("plan", &[]);
    let files = || -> Vec<_> {
        let files = fs::read_dir(&cache).expect("the cache is there").map(|file| file.expect("a file"));
        files.map(|file| (file.file_name(), file.metadata().expect("a file").len())).collect()
    };
    plan().ok("it is compiled");
    let first = files();
    assert_eq!(first.len(), 1);
    assert_eq!(fs::metadata(&cache).expect("it is there").permissions().mode() & 0o777, 0o700);
    plan().ok("it was compiled");
    assert_eq!(files(), first);
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let ended = plan();
    assert!(ended.err.contains("compiled code is not cached"), "{}", ended.err);
    ended.ok("it does without");
    fs::remove_dir_all(home.path().join("cache"))
        .and_then(|()| fs::write(home.path().join("cache"), ""))
        .expect("a file");
    let ended = plan();
    assert!(ended.err.contains("compiled code is not cached"), "{}", ended.err);
    ended.ok("it does without");
}
