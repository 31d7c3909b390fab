//! When epochs run: the triggers, each through the binary, also over a crash.

use serde_json::Value;

use crate::braid::{River, Running, eventually};
use crate::http;

/// A deployment in a directory of its own that reads the files of `input` and counts their lines.
struct Bench {
    home: tempfile::TempDir,
    river: River,
}

/// A deployment's text: one file an epoch, and these lines more.
fn deployment(more: &str) -> String {
    format!(
        "apiVersion: braid/v1\nname: triggered\nlayout: kappa\nstore: memory://\n\
         sources: {{lines: {{files: {{path: \"${{INPUT}}\", max_files_per_trigger: 1}}, format: text}}}}\n\
         views: {{totals: {{sql: SELECT count(*) AS n FROM lines}}}}\n\
         serving: {{http: \"127.0.0.1:0\"}}\n{more}\n"
    )
}

impl Bench {
    fn new(more: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let (input, file) = (home.path().join("input"), home.path().join("deployment.yaml"));
        std::fs::create_dir(&input).expect("a fresh directory");
        std::fs::write(&file, deployment(more)).expect("a fresh file");
        let river = River::new(file, home.path()).env("INPUT", input.display());
        Self { home, river }
    }

    /// The deployment with other lines, on the same store.
    fn rewrite(&self, more: &str) {
        std::fs::write(&self.river.deployment, deployment(more)).expect("a written file");
    }

    /// Puts so many files of one line each, named by their number.
    fn drop_files(&self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            let beside = self.home.path().join("next");
            std::fs::write(&beside, "line\n").expect("a fresh file");
            std::fs::rename(beside, self.home.path().join(format!("input/{number:03}.txt"))).expect("a moved file");
        }
    }

    /// How many lines were counted, in how many epochs, and how many of these the base covers.
    fn counted(&self) -> (u64, u64, u64) {
        let status = self.river.finish("status", &["--output", "json"]).ok("a status");
        let status: Value = serde_json::from_str(&status).expect("JSON");
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let rows = number(&status["sources"]["lines"]["rows"]);
        (rows, number(&status["epochs"]), number(&status["base"]["horizon"]))
    }

    fn up_with(&self, failpoints: &str) -> Running {
        self.river.clone().env("FAILPOINTS", failpoints).up()
    }

    /// Runs `up` to its own end.
    fn up_ends(&self) {
        let mut running = self.river.up();
        let status = running.wait();
        assert_eq!(status.code(), Some(0), "{}", running.said());
    }
}

#[test]
fn available_now_takes_what_is_there_at_the_start_in_several_epochs() {
    let bench = Bench::new("trigger: {available_now: true}");
    bench.drop_files(0..5);
    let mut running = bench.up_with("epoch::committed=sleep(400)");
    eventually("an epoch", || match bench.river.finish("status", &[]).status.success() && bench.counted().1 > 0 {
        true => Ok(()),
        false => Err(running.said()),
    });
    bench.drop_files(5..8);
    assert!(running.ended().is_none(), "the files came too late to tell anything:\n{}", running.said());
    assert_eq!(running.wait().code(), Some(0), "{}", running.said());
    assert_eq!(bench.counted(), (5, 5, 5), "five files in five epochs, and a base of all");
    assert_eq!(bench.river.rows("SELECT n FROM totals"), ["5"]);
    bench.up_ends();
    assert_eq!(bench.counted(), (8, 8, 8));
    bench.up_ends();
    assert_eq!(bench.counted(), (8, 8, 8), "nothing new is no epoch");
}

#[test]
fn once_is_one_epoch_whatever_the_limits_say() {
    let bench = Bench::new("trigger: {once: true}");
    bench.drop_files(0..5);
    bench.up_ends();
    assert_eq!(bench.counted(), (5, 1, 1));
    bench.drop_files(5..7);
    bench.river.finish("run", &[]).ok("run goes by the trigger too");
    assert_eq!(bench.counted(), (7, 2, 2));
    bench.drop_files(7..9);
    bench.river.finish("run", &["--until", "available-now"]).ok("the command line is stronger");
    assert_eq!(bench.counted(), (9, 4, 4));
}

#[test]
fn an_epoch_that_a_crash_left_is_run_as_it_was_planned_before_the_one_of_once() {
    let bench = Bench::new("");
    bench.drop_files(0..5);
    let mut crashed = bench.up_with("epoch::read=return");
    assert_ne!(crashed.wait().code(), Some(0));
    assert_eq!(bench.counted(), (0, 0, 0), "{}", crashed.said());
    bench.rewrite("trigger: {once: true}");
    bench.up_ends();
    assert_eq!(bench.counted(), (5, 2, 2), "the one file that was planned, then the rest");
}

#[test]
fn processing_time_goes_by_the_clock_even_when_rows_wait() {
    let bench = Bench::new("trigger: {processing_time: 300ms}");
    bench.drop_files(0..6);
    let mut running = bench.river.up();
    let address = running.address();
    let progress = eventually("six epochs", || {
        let recent = http::get(&address, "/v1/queries/triggered/progress").ok()["recentProgress"].clone();
        match recent.as_array().map_or(0, Vec::len) {
            6 => Ok(recent),
            epochs => Err(format!("{epochs} epochs: {}", running.said())),
        }
    });
    let parts: Vec<i64> = progress
        .as_array()
        .into_iter()
        .flatten()
        .map(|report| millis(report["timestamp"].as_str().expect("a timestamp")) / 300)
        .collect();
    assert!(parts.windows(2).all(|two| two[0] < two[1]), "two epochs in one interval: {parts:?}");
    let described = http::get(&address, "/v1/queries/triggered").ok();
    assert_eq!(described["trigger"], "processing_time 300ms");
    running.stop();
    bench.rewrite("trigger: {processing_time: 0s}");
    bench.drop_files(6..9);
    let running = bench.river.up();
    eventually("the rest", || match bench.counted() {
        (9, 9, _) => Ok(()),
        other => Err(format!("{other:?}: {}", running.said())),
    });
}

/// Milliseconds of the day of an RFC 3339 instant with milliseconds; the tests do not run over midnight twice.
fn millis(instant: &str) -> i64 {
    let time = instant.split_once('T').expect("a date and a time").1.trim_end_matches('Z');
    let parts: Vec<i64> = time.split([':', '.']).map(|part| part.parse().expect("a number")).collect();
    ((parts[0] * 60 + parts[1]) * 60 + parts[2]) * 1000 + parts[3]
}

#[test]
fn a_trigger_is_one_of_three() {
    for (trigger, said) in [
        ("{once: false}", "`once` is `true` or not there"),
        ("{once: true, available_now: true}", "exactly one of"),
        ("{proccessing_time: 1s}", "processing_time"),
        ("{processing_time: soon}", "soon"),
    ] {
        let bench = Bench::new(&format!("trigger: {trigger}"));
        let ended = bench.river.finish("validate", &[]);
        assert_eq!(ended.status.code(), Some(2), "{trigger}: {}", ended.err);
        assert!(ended.err.contains(said), "{trigger}: {}", ended.err);
    }
    let bench = Bench::new("sinks: {out: {from: totals, output_mode: complete, console: {}, trigger: {once: true}}}");
    let ended = bench.river.finish("validate", &[]);
    assert!(ended.status.code() == Some(2) && ended.err.contains("a deployment is one query"), "{}", ended.err);
    let bench = Bench::new("trigger: {once: true}");
    let plan = bench.river.finish("plan", &[]).ok("a plan");
    assert!(plan.contains("trigger       once"), "{plan}");
}

/// A deployment of many generated rows, whose epochs take 200 ms however few rows they have.
fn pressed(more: &str) -> (tempfile::TempDir, River) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let (layout, file) = (home.path().join("quick.yaml"), home.path().join("deployment.yaml"));
    let quick = "speed: {epoch: {every: 50ms, rows: 100000}}\nlog: {keep: until_folded}\nbase: {by: fold}\n";
    std::fs::write(&layout, quick).expect("a fresh file");
    let text = format!(
        "apiVersion: braid/v1\nname: pressed\nlayout: {}\nstore: memory://\n\
         sources: {{ticks: {{rate: {{rows_per_second: 10000000, rows_max: 3000000}}}}}}\n\
         views: {{totals: {{sql: \"SELECT count(*) AS n, sum(value) AS total FROM ticks\"}}}}\n\
         serving: {{http: \"127.0.0.1:0\"}}\n{more}\n",
        layout.display()
    );
    std::fs::write(&file, text).expect("a fresh file");
    let river = River::new(file, home.path());
    (home, river)
}

#[test]
fn the_intake_shrinks_until_an_epoch_takes_its_time() {
    let (_home, river) = pressed("backpressure: {enabled: true, min_rate: 2000}");
    let mut running = river.clone().env("FAILPOINTS", "epoch::read=sleep(200)").up();
    let address = running.address();
    let sizes: Vec<u64> = eventually("epochs", || {
        let recent = http::get(&address, "/v1/queries/pressed/progress").ok()["recentProgress"].clone();
        let all = recent.as_array().cloned().unwrap_or_default();
        let limit = all.last().and_then(|last| last["sources"][0]["metrics"]["rateLimit"].as_str().map(str::to_owned));
        // An epoch that takes as long however little it reads leads down to the least rate.
        match limit.as_deref() {
            Some("2000") => Ok(all.iter().map(|report| report["numInputRows"].as_u64().unwrap_or_default()).collect()),
            _ => Err(format!("{limit:?} after {} epochs: {}", all.len(), running.said())),
        }
    });
    let full = sizes.iter().position(|rows| *rows == 100_000).expect("an epoch without an estimate is full");
    let after = &sizes[full + 2..];
    assert!(after.first().is_some_and(|rows| *rows < 50_000), "{sizes:?}");
    assert!(after.windows(2).all(|two| two[1] <= two[0]), "the intake grows under pressure: {sizes:?}");
    running.kill();
    river.finish("run", &[]).ok("the rest, with nothing in the way");
    assert_eq!(river.rows("SELECT n, total FROM totals"), ["3000000,4499998500000"]);
}

#[test]
fn the_first_epoch_takes_the_initial_rate() {
    let (_home, river) = pressed("backpressure: {enabled: true, initial_rate: 20000, min_rate: 1}");
    let mut running = river.up();
    let address = running.address();
    let first = eventually("an epoch", || {
        let recent = http::get(&address, "/v1/queries/pressed/progress").ok()["recentProgress"].clone();
        if recent[0].is_null() { Err(running.said()) } else { Ok(recent[0].clone()) }
    });
    assert_eq!(first["numInputRows"], 1000, "20,000 rows a second for 50 ms");
}
