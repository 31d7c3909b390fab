//! W2f: the Yahoo benchmark from JSON-lines files on one core, Braid beside Spark and a hand-written loop.
//!
//!     cargo bench -p braid-e2e --bench w2f
//!
//! `BRAID_BENCH` is the peers' kit with its `venv` (Spark) and `ysb-loop`; without it Braid runs alone, on events of
//! our own generator. `W2F_ROUNDS` (5) says how often each runs, in turn, after a warm-up. Results are compared with
//! the oracle first. It writes the section W2f of `docs/benchmarks.md`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use braid_e2e::braid::{River, binary, count, root};
use braid_e2e::ysb::{Campaigns, World};
use serde_json::Value;

/// The core that everything is pinned to.
const CORE: &str = "0";
/// How often a running process is looked at: its peak memory and, once it has ended, its CPU time.
const LOOK: Duration = Duration::from_millis(10);
/// The kernel's clock ticks per second, in `/proc/<pid>/stat`.
const TICKS_PER_SECOND: f64 = 100.0;
const VIEW: &str = "SELECT campaign_id, unix_millis(w.start) AS start, views FROM campaign_counts";

/// One run.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    cpu_s: f64,
    seconds: f64,
    peak_mb: f64,
}

/// Whoever runs the workload.
struct Runner<'a> {
    name: &'static str,
    costs: Vec<Cost>,
    run: Box<dyn FnMut() -> Cost + 'a>,
}

fn main() {
    let kit = std::env::var_os("BRAID_BENCH").map(PathBuf::from);
    let home = tempfile::tempdir().expect("a temporary directory");
    let data = match &kit {
        Some(kit) if kit.join("data/ysb/ads.csv").exists() => kit.join("data/ysb"),
        _ => {
            let events = count("W2F_EVENTS", 4_000_000);
            let data = home.path().join("ysb");
            World::new(1).write(&data, 40, events / 40).expect("the events can be written");
            data
        }
    };
    println!("{} on {}", binary().display(), data.display());
    let oracle = Campaigns::of(&data).expect("the events can be read");
    let rows = oracle.rows();
    let records = lines(&data);

    let mut start_up = Vec::new();
    for _ in 0..3 {
        start_up.push(braid(&empty(home.path(), &data), home.path(), None));
    }
    let mut runners =
        vec![Runner { name: "Braid", costs: Vec::new(), run: Box::new(|| braid(&data, home.path(), Some(&rows))) }];
    if let Some(kit) = &kit {
        let looped = build_loop(kit);
        let counted: u64 = oracle.views.values().sum();
        let (data, home, rows) = (&data, home.path(), &rows);
        runners.push(Runner {
            name: "hand-written loop",
            costs: Vec::new(),
            run: Box::new(move || hand_loop(&looped, data, counted)),
        });
        runners.push(Runner {
            name: "Spark 4.3 Structured Streaming",
            costs: Vec::new(),
            run: Box::new(move || spark(kit, data, home, rows)),
        });
    }
    let rounds = count("W2F_ROUNDS", 5);
    for round in 0..=rounds {
        for runner in &mut runners {
            let cost = (runner.run)();
            println!("{} {} {cost:?}", if round == 0 { "warm-up" } else { "round" }, runner.name);
            if round > 0 {
                runner.costs.push(cost);
            }
        }
    }
    let report = report(&runners, &start_up, records, rounds);
    println!("\n{report}");
    keep(&report);
}

/// Runs Braid to the end of the files, and compares its answers with the oracle's.
fn braid(data: &Path, home: &Path, rows: Option<&[String]>) -> Cost {
    let place = home.join("braid");
    if place.exists() {
        std::fs::remove_dir_all(&place).expect("the run before can be removed");
    }
    let river = River::new("deploy/ysb-files.yaml", &place)
        .layout("kappa")
        .env("YSB_DATA", data.display())
        .env("BRAID_HTTP", "127.0.0.1:0");
    let plain = river.command("run", &["--until", "caught-up"]);
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", CORE]).arg(plain.get_program()).args(plain.get_args());
    pinned.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    pinned.current_dir(root()).stdin(Stdio::null()).stdout(Stdio::null());
    let cost = watch(pinned.spawn().expect("taskset runs"));
    if let Some(rows) = rows {
        assert_eq!(river.sorted(VIEW), rows, "Braid's answers differ from the oracle's");
    }
    cost
}

/// The same deployment with no events: what starting and stopping costs.
fn empty(home: &Path, data: &Path) -> PathBuf {
    let place = home.join("empty");
    std::fs::create_dir_all(place.join("events")).expect("a directory");
    std::fs::copy(data.join("ads.csv"), place.join("ads.csv")).expect("a copied table");
    place
}

fn build_loop(kit: &Path) -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet"])
        .current_dir(kit.join("ysb-loop"))
        .env_remove("CARGO_TARGET_DIR")
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the loop cannot be built");
    kit.join("ysb-loop/target/release/ysb-loop")
}

fn hand_loop(program: &Path, data: &Path, counted: u64) -> Cost {
    let mut child = Command::new("taskset")
        .args(["-c", CORE])
        .arg(program)
        .arg(data)
        .stdout(Stdio::piped())
        .spawn()
        .expect("taskset runs");
    let out = child.stdout.take().expect("it was piped");
    let cost = watch(child);
    let said = std::io::read_to_string(out).expect("it says what it did");
    assert!(said.contains(&format!("counted {counted} ")), "the loop counted something else: {said}");
    cost
}

fn spark(kit: &Path, data: &Path, home: &Path, rows: &[String]) -> Cost {
    let dump = home.join("spark.csv");
    let done = Command::new(kit.join("venv/bin/python3"))
        .arg(kit.join("peers/spark_ysb_stream.py"))
        .args(["--cores", "1", "--cpu", CORE, "--data"])
        .arg(data)
        .arg("--out")
        .arg(home.join("spark"))
        .arg("--dump")
        .arg(&dump)
        .stderr(Stdio::null())
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    let line = said.lines().rev().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("Spark failed: {said}"));
    let report: Value = serde_json::from_str(line).expect("the peer reports JSON");
    let dumped = std::fs::read_to_string(&dump).expect("the peer dumps its rows");
    assert!(dumped.lines().eq(rows.iter()), "Spark's answers differ from the oracle's");
    let number = |name: &str| report[name].as_f64().unwrap_or_else(|| panic!("no {name} in {line}"));
    Cost { cpu_s: number("cpu_s"), seconds: number("seconds"), peak_mb: number("peak_rss_mb") }
}

/// Waits for a process, and reads what it cost before it is buried.
fn watch(mut child: Child) -> Cost {
    let (began, mut cost) = (Instant::now(), Cost::default());
    let proc = PathBuf::from(format!("/proc/{}", child.id()));
    loop {
        let status = std::fs::read_to_string(proc.join("status")).unwrap_or_default();
        if let Some(line) = status.lines().find(|line| line.starts_with("VmHWM:")) {
            let kib: f64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0.0);
            cost.peak_mb = cost.peak_mb.max(kib / 1024.0);
        }
        if status.contains("State:\tZ") {
            break;
        }
        std::thread::sleep(LOOK);
    }
    cost.seconds = began.elapsed().as_secs_f64();
    let stat = std::fs::read_to_string(proc.join("stat")).expect("it is not buried yet");
    let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    cost.cpu_s = ticks / TICKS_PER_SECOND;
    let ended = child.wait().expect("it ended");
    assert!(ended.success(), "it ended with {ended}");
    cost
}

fn lines(data: &Path) -> u64 {
    let files = braid_e2e::ysb::event_files(data).expect("the events can be listed");
    files
        .iter()
        .map(|path| std::fs::read(path).expect("a readable file"))
        .map(|bytes| bytes.iter().filter(|byte| **byte == b'\n').count() as u64)
        .sum()
}

/// Median, least and greatest.
fn spread(costs: &[Cost], of: impl Fn(&Cost) -> f64) -> (f64, f64, f64) {
    let mut values: Vec<f64> = costs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

fn report(runners: &[Runner<'_>], start_up: &[Cost], records: u64, rounds: u64) -> String {
    let (start, _, _) = spread(start_up, |cost| cost.cpu_s);
    let mut text = format!(
        "## W2f: Yahoo events from JSON files, one core\n\n{records} events, pinned to one core (`taskset -c {CORE}`), runs interleaved, {rounds} each after a warm-up; all results equal the\noracle's. Braid writes deltas, a manifest and a base to disk, and feeds an update sink in memory; Spark checkpoints, and\nfeeds its memory sink in update mode; the loop does neither. Braid's time is of the whole process, of which starting and\nstopping (measured without events) is {start:.2} CPU s; Spark's is without its start.\n\n| | CPU s: median (min–max) | records per CPU-second | seconds | peak memory, MB | CPU time beside Braid's |\n|---|---|---|---|---|---|\n"
    );
    let (braid, _, _) = spread(&runners[0].costs, |cost| cost.cpu_s);
    for runner in runners {
        let (cpu, least, most) = spread(&runner.costs, |cost| cost.cpu_s);
        let (seconds, _, _) = spread(&runner.costs, |cost| cost.seconds);
        let (peak, _, _) = spread(&runner.costs, |cost| cost.peak_mb);
        writeln!(
            text,
            "| {} | {cpu:.2} ({least:.2}–{most:.2}) | {:.0} | {seconds:.2} | {peak:.0} | {:.2}× |",
            runner.name,
            records as f64 / cpu,
            cpu / braid
        )
        .expect("a String takes all");
    }
    text
}

/// Replaces this workload's section in `docs/benchmarks.md`.
fn keep(section: &str) {
    let path = root().join("docs/benchmarks.md");
    let head = "# Benchmarks\n\nMeasured by `cargo bench -p braid-e2e`; the machine is shared, so CPU time is what counts.\n\n";
    let old = std::fs::read_to_string(&path).unwrap_or_else(|_| head.to_owned());
    let begin = old.find("## W2f").unwrap_or(old.len());
    let end = old[begin..].find("\n## ").map_or(old.len(), |next| begin + next + 1);
    let new = format!("{}{section}{}", &old[..begin], &old[end.max(begin)..]);
    std::fs::write(&path, new).expect("docs/benchmarks.md can be written");
}
