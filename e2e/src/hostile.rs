//! Hostile input and hostile plugins: contained, counted, named in the error, and the other views go on.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::braid::{River, root};

/// The longest line.
const GIB: u64 = 1 << 30;

/// A file of a good record, a line of so many zero bytes (a hole, which takes no room on the disk), and a good record.
fn with_a_giant(path: &Path, head: &str, bytes: u64, good: [&str; 2]) {
    std::fs::create_dir_all(path.parent().expect("it is in a directory")).expect("a directory");
    let mut file = File::create(path).expect("a fresh file");
    writeln!(file, "{head}{}", good[0]).expect("room");
    file.seek(SeekFrom::Current(bytes as i64)).expect("a hole");
    write!(file, "\n{}\n", good[1]).expect("room");
}

#[test]
fn a_line_of_a_gibibyte_is_a_dead_letter() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let input = home.path().join("input");
    with_a_giant(&input.join("json/1.json"), "", GIB, ["{\"id\":1}", "{\"id\":2}"]);
    with_a_giant(&input.join("csv/1.csv"), "id\n", GIB, ["1", "2"]);
    with_a_giant(&input.join("text/1.txt"), "", GIB, ["a", "bc"]);
    let river = River::new("e2e/hostile/lines.yaml", home.path()).env("INPUT", input.display());
    river.catch_up().ok("three giants");
    assert_eq!(river.rows("SELECT n, ids FROM json_ids"), ["2,3"]);
    assert_eq!(river.rows("SELECT n, ids FROM csv_ids"), ["2,3"]);
    assert_eq!(river.rows("SELECT n, characters FROM text_ids"), ["2,3"]);
    assert_eq!(
        river.rows("SELECT source, `offset`, length(record) <= 65536 AS cut FROM dead_letters ORDER BY source"),
        ["csv_lines,2,true", "json_lines,1,true", "text_lines,1,true"]
    );
}

/// The evil components, built from source once.
pub fn crimes() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let out = std::env::temp_dir().join(format!("braid-crimes-{}", std::process::id()));
        std::fs::create_dir_all(&out).expect("a fresh directory");
        let built = Command::new(root().join("plugins/build"))
            .arg("--out")
            .arg(&out)
            .arg("evil")
            .status()
            .expect("plugins/build runs");
        assert!(built.success(), "the evil plugins cannot be built");
        out
    })
}

/// Runs the crime on twenty rows of which two are marked for it: these are dead letters whose reason names the plugin,
/// the others pass, and the view beside answers.
fn contained(crime: &str) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let input = home.path().join("input");
    std::fs::create_dir(&input).expect("a fresh directory");
    for (n, file) in [("1", 0..10u64), ("2", 10..20)] {
        let ip = |n: u64| if n % 10 == 4 { "evil".to_owned() } else { format!("203.0.113.{n}") };
        let text: String = file.map(|n| format!("{{\"ip\":\"{}\",\"n\":{n}}}\n", ip(n))).collect();
        std::fs::write(input.join(format!("{n}.json")), text).expect("a fresh file");
    }
    let component = crimes().join(format!("{crime}.wasm"));
    assert!(component.exists(), "{} was not built", component.display());
    let river = River::new("e2e/hostile/plugin.yaml", home.path())
        .env("INPUT", input.display())
        .env("COMPONENT", component.display());
    river.catch_up().ok(crime);
    assert_eq!(river.rows("SELECT n, total FROM beside"), ["20,190"], "{crime}: the view beside it");
    assert_eq!(river.rows("SELECT n FROM through"), ["18"], "{crime}: what passed");
    let kept = river.rows("SELECT `offset`, reason LIKE '%crime%' AS named FROM dead_letters WHERE source = 'hits'");
    assert_eq!(kept, ["4,true", "4,true"], "{crime}: the records on which it was committed");
}

#[test]
fn a_plugin_that_loops_for_ever_is_contained() {
    contained("endless_loop");
}

#[test]
fn a_plugin_that_eats_memory_is_contained() {
    contained("memory_bomb");
}

#[test]
fn a_plugin_that_traps_is_contained() {
    contained("trap");
}

#[test]
fn batches_come_out_of_a_plugin_in_the_order_in_which_they_went_in() {
    let rows: u64 = 60_000;
    let is_evil = |n: &u64| n % 9_973 == 7;
    let home = tempfile::tempdir().expect("a temporary directory");
    let (input, output) = (home.path().join("input"), home.path().join("output"));
    std::fs::create_dir(&input).expect("a fresh directory");
    let line = |n: u64| format!("{{\"ip\":\"{}\",\"n\":{n}}}\n", if is_evil(&n) { "evil" } else { "203.0.113.1" });
    std::fs::write(input.join("1.json"), (0..rows).map(line).collect::<String>()).expect("a fresh file");
    for layout in ["kappa", "lambda"] {
        let home = home.path().join(layout);
        std::fs::create_dir(&home).expect("a fresh directory");
        let output = output.join(layout);
        let river = River::new("e2e/hostile/lanes.yaml", &home)
            .layout(layout)
            .env("INPUT", input.display())
            .env("OUTPUT", output.display())
            .env("COMPONENT", crimes().join("trap.wasm").display());
        river.catch_up().ok(layout);
        let good: Vec<u64> = (0..rows).filter(|n| !is_evil(n)).collect();
        let through = [format!("{},{}", good.len(), good.iter().sum::<u64>())];
        assert_eq!(river.rows("SELECT n, total FROM through"), through, "{layout}");
        let evil: Vec<String> = (0..rows).filter(is_evil).map(|n| n.to_string()).collect();
        assert_eq!(river.rows("SELECT `offset` FROM dead_letters ORDER BY `offset`"), evil, "{layout}");
        let mut files: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(&output).expect("the sink's directory") {
            files.push(entry.expect("a file").path());
        }
        files.retain(|file| file.extension().is_some_and(|of| of == "txt"));
        files.sort();
        let lines: Vec<String> = (files.iter())
            .flat_map(|file| {
                std::fs::read_to_string(file).expect("text").lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect();
        let good: Vec<String> = good.iter().map(u64::to_string).collect();
        assert!(lines == good, "{layout}: the sink has {} rows of {}, or in another order", lines.len(), good.len());
    }
}
