//! Kills: `kill -9` at random moments, and an abort at every failpoint. What is committed is always the answer to a
//! prefix of the input, and in the end nothing is lost or doubled.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::braid::{PATIENCE, River, binary, count, eventually};
use crate::cases::same;
use crate::http;
use crate::oracle::files;
use crate::parquet::parquet_rows;
use crate::random::Random;

const ROWS_PER_FILE: u64 = 40;
const KEYS: [&str; 3] = ["a", "b", "c"];
const START_MS: i64 = 1_767_225_600_000;

/// Event `id`: when, of which key, and its value. Ids count from 0 over all files; time grows, a little out of order.
fn event(id: u64) -> (i64, &'static str, i64) {
    let mut random = Random::new(id);
    let at = START_MS + id as i64 * 50 - random.below(2000) as i64;
    (at, KEYS[random.below(3) as usize], random.below(1000) as i64 - 300)
}

/// A deployment's input, output and store in a directory of its own.
struct Bench {
    home: tempfile::TempDir,
    river: River,
    files: u64,
}

impl Bench {
    fn new(layout: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(home.path().join("input")).expect("a fresh directory");
        let river = River::new("e2e/kill/windows.yaml", home.path())
            .layout(layout)
            .env("INPUT", home.path().join("input").display())
            .env("OUTPUT", home.path().join("output").display());
        Self { home, river, files: 0 }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.home.path().join(below)
    }

    /// Drops more files, whole: each is written beside the directory and moved into it.
    fn drop_files(&mut self, many: u64) {
        for _ in 0..many {
            let mut text = String::new();
            for id in self.files * ROWS_PER_FILE..(self.files + 1) * ROWS_PER_FILE {
                let (at, k, v) = event(id);
                text.push_str(&format!("{{\"id\":{id},\"at\":{at},\"k\":\"{k}\",\"v\":{v}}}\n"));
            }
            let beside = self.path("next.json");
            std::fs::write(&beside, text).expect("a fresh file");
            let name = format!("input/{:05}.json", self.files);
            std::fs::rename(beside, self.path(&name)).expect("a moved file");
            self.files += 1;
        }
    }

    /// What is committed is the answer to the first so many files: returns how many.
    fn check_prefix(&self, before: u64) -> u64 {
        let asked = self.river.finish("query", &["SELECT k, n, total FROM totals ORDER BY k", "--output", "csv"]);
        if !asked.status.success() {
            assert_eq!(before, 0, "the committed answers cannot be read any more:\n{}", asked.err);
            return 0;
        }
        let totals: Vec<String> = asked.out.lines().skip(1).map(str::to_owned).collect();
        let rows: u64 = totals.iter().filter_map(|row| row.split(',').nth(1)?.parse::<u64>().ok()).sum();
        assert_eq!(rows % ROWS_PER_FILE, 0, "half an epoch is visible: {totals:?}");
        let files = rows / ROWS_PER_FILE;
        assert!(files >= before, "{before} files were committed, now {files}");
        same("totals of a prefix", &totals, oracle_totals(files));
        files
    }

    /// Everything that was dropped is answered and written, once.
    fn check_all(&self) {
        same("totals", &self.river.rows("SELECT k, n, total FROM totals ORDER BY k"), oracle_totals(self.files));
        let (windows, last) = oracle_windows(self.files);
        let sql = "SELECT unix_millis(w.start) AS start, k, n, total FROM windows";
        let wanted: Vec<String> =
            windows.iter().map(|((start, k), (n, total))| format!("{start},{k},{n},{total}")).collect();
        let mut wanted_sorted = wanted.clone();
        wanted_sorted.sort();
        same("windows", &self.river.sorted(sql), wanted_sorted);
        self.check_even(self.files, self.files);
        let (firsts, pairs) = oracle_remembered(self.files);
        same("first rows", &self.river.sorted("SELECT id, v FROM firsts"), firsts);
        same("joined rows", &self.river.sorted("SELECT one, other FROM pairs"), pairs);
        same("running counts", &self.river.sorted("SELECT k, count FROM rises"), oracle_rises(self.files));
        let finals = windows.iter().filter(|((start, _), _)| start + 10_000 <= last - 10_000);
        let counted: u64 = finals.clone().map(|(_, (n, _))| n).sum();
        let written = parquet_rows(&self.path("output/final"));
        assert_eq!(written.len(), finals.clone().count(), "final windows: {written:?}");
        let found: u64 = written.iter().filter_map(|row| row.rsplit(',').nth(1)?.trim().parse::<u64>().ok()).sum();
        assert_eq!(found, counted, "rows in final windows");
    }

    /// The stateless sinks hold the even ids of the first `least` to `most` files, each once.
    fn check_even(&self, least: u64, most: u64) {
        check_even_rows(&parquet_rows(&self.path("output/even")), least, most);
        check_even_rows(&text_lines(&self.path("output/text")), least, most);
    }
}

fn check_even_rows(written: &[String], least: u64, most: u64) {
    let ids: BTreeSet<u64> = written.iter().filter_map(|row| row.split(',').next()?.parse().ok()).collect();
    assert_eq!(ids.len(), written.len(), "a row was written twice");
    let files = (ids.len() as u64).div_ceil(ROWS_PER_FILE / 2);
    assert!((least..=most).contains(&files), "{files} files are in the sink, {least} to {most} should be");
    let mut wanted: Vec<String> =
        (0..files * ROWS_PER_FILE).step_by(2).map(|id| format!("{id},{}", event(id).1.to_uppercase())).collect();
    wanted.sort();
    same("a stateless sink", written, wanted);
}

/// The lines of the text files in a directory, sorted.
fn text_lines(directory: &Path) -> Vec<String> {
    if !directory.exists() {
        return Vec::new();
    }
    let texts = files(directory, "txt").into_iter().map(|path| std::fs::read_to_string(path).expect("a readable file"));
    let mut lines: Vec<String> = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    lines.sort();
    lines
}

fn oracle_totals(files: u64) -> Vec<String> {
    let mut totals = BTreeMap::<&str, (u64, i64)>::new();
    for id in 0..files * ROWS_PER_FILE {
        let (_, k, v) = event(id);
        let entry = totals.entry(k).or_default();
        *entry = (entry.0 + 1, entry.1 + v);
    }
    totals.into_iter().map(|(k, (n, total))| format!("{k},{n},{total}")).collect()
}

/// By window and key the count and the sum; and the greatest event time.
#[allow(clippy::type_complexity)]
fn oracle_windows(files: u64) -> (BTreeMap<(i64, &'static str), (u64, i64)>, i64) {
    let (mut windows, mut last) = (BTreeMap::<_, (u64, i64)>::new(), i64::MIN);
    for id in 0..files * ROWS_PER_FILE {
        let (at, k, v) = event(id);
        last = last.max(at);
        let entry = windows.entry((at.div_euclid(10_000) * 10_000, k)).or_default();
        *entry = (entry.0 + 1, entry.1 + v);
    }
    (windows, last)
}

/// The first event of each value; and the pairs of equal values, the later at most five seconds after.
fn oracle_remembered(files: u64) -> (Vec<String>, Vec<String>) {
    let mut of_value = BTreeMap::<i64, Vec<(u64, i64)>>::new();
    for id in 0..files * ROWS_PER_FILE {
        let (at, _, v) = event(id);
        of_value.entry(v).or_default().push((id, at));
    }
    let mut firsts: Vec<String> = of_value.iter().map(|(v, events)| format!("{},{v}", events[0].0)).collect();
    let mut pairs = vec![];
    for events in of_value.values() {
        for (one, from) in events {
            let others = events.iter().filter(|(other, at)| one < other && (*from..=from + 5_000).contains(at));
            pairs.extend(others.map(|(other, _)| format!("{one},{other}")));
        }
    }
    firsts.sort();
    pairs.sort();
    (firsts, pairs)
}

/// What the count of each key rose to, row by row.
fn oracle_rises(files: u64) -> Vec<String> {
    let mut counts = BTreeMap::<&str, u64>::new();
    let risen = (0..files * ROWS_PER_FILE).map(|id| {
        let count = counts.entry(event(id).1).or_default();
        *count += 1;
        format!("{},{count}", event(id).1)
    });
    let mut rises: Vec<String> = risen.collect();
    rises.sort();
    rises
}

/// Kills `run` at random moments until it was running at so many of them, checking after each.
fn random_kills(layout: &str, seed: u64) {
    random_kills_of(Bench::new(layout), layout, seed);
}

fn random_kills_of(mut bench: Bench, layout: &str, seed: u64) {
    let kills = count("BRAID_KILLS", 5);
    let mut random = Random::new(seed);
    bench.drop_files(6);
    let began = Instant::now();
    bench.river.catch_up().ok("the first turn");
    let mut turn = began.elapsed();
    let (mut killed, mut turns, mut committed) = (0, 0, bench.check_prefix(0));
    while killed < kills {
        turns += 1;
        assert!(turns < 20 * kills + 20, "it always ends before it is killed");
        if committed == bench.files {
            bench.drop_files(6);
        }
        let began = Instant::now();
        let mut running = bench.river.start_run();
        std::thread::sleep(turn.mul_f64(random.below(1000) as f64 / 1000.0));
        if running.kill() {
            killed += 1;
        } else {
            // The turn ended by itself: it is the newest measure of how long one takes.
            turn = began.elapsed().min(turn).max(Duration::from_millis(20));
        }
        let now = bench.check_prefix(committed);
        bench.check_even(now, now + 1);
        committed = now;
    }
    bench.river.catch_up().ok("the last turn");
    bench.check_all();
    eprintln!("{layout}: {killed} kills in {turns} turns, {} files, nothing lost or doubled", bench.files);
}

#[test]
fn random_kills_under_kappa() {
    random_kills("kappa", 1);
}

#[test]
fn random_kills_under_lambda() {
    random_kills("lambda", 2);
}

/// With memory for no row: whatever is remembered is on the local disk, which each kill leaves as it is.
#[test]
fn random_kills_with_state_on_disk() {
    for (layout, seed) in [("kappa", 4), ("lambda", 5)] {
        let mut bench = Bench::new(layout);
        bench.river = bench.river.env("STATE_MEMORY", "1KiB");
        let folder = bench.path("output-state");
        random_kills_of(bench, layout, seed);
        assert!(
            !folder.exists() || folder.read_dir().is_ok_and(|mut left| left.next().is_none()),
            "{folder:?} is left"
        );
    }
}

/// The same with a long log and nothing new: what is killed is the recomputation of the base.
#[test]
fn random_kills_of_a_batch_run() {
    let kills = count("BRAID_KILLS", 5);
    let mut random = Random::new(3);
    let mut bench = Bench::new("lambda");
    bench.drop_files(count("BRAID_BATCH_FILES", 60));
    bench.river.clone().layout("lambda").catch_up().ok("the log");
    let began = Instant::now();
    bench.drop_files(1);
    bench.river.catch_up().ok("one recomputation");
    let turn = began.elapsed();
    let (mut killed, mut turns) = (0, 0);
    while killed < kills {
        turns += 1;
        assert!(turns < 20 * kills + 20, "it always ends before it is killed");
        bench.drop_files(1);
        let mut running = bench.river.start_run();
        std::thread::sleep(turn.mul_f64(0.2 + random.below(800) as f64 / 1000.0));
        killed += u64::from(running.kill());
        bench.check_prefix(bench.files - 1);
        bench.river.catch_up().ok("after a kill");
        bench.check_all();
    }
    eprintln!("{killed} kills of a batch run in {turns} turns, the answers equal the oracle's each time");
}

/// All failpoints that the binary has.
fn failpoints() -> BTreeSet<String> {
    let listed = std::process::Command::new(binary()).arg("failpoints").output().expect("the binary starts");
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    let points: BTreeSet<String> = text.split_whitespace().map(str::to_owned).collect();
    assert!(points.len() > 10, "{text}");
    points
}

/// Runs with an abort at the point's `hits + 1`th pass; whether it was reached.
fn aborts_at(river: &River, point: &str, hits: u64) -> bool {
    let mut river = river.clone().env("FAILPOINTS", format!("{point}={hits}*off->return"));
    if hits == 0 {
        river = river.env("FAILPOINTS", format!("{point}=return"));
    }
    let ended = river.catch_up();
    if ended.status.success() {
        return false;
    }
    assert_eq!(ended.status.code(), None, "{point}: {} and no abort:\n{}", ended.status, ended.err);
    true
}

/// Every durable step of `run`, at its first and at a later pass, under a layout. Returns the points that were reached.
fn abort_everywhere(layout: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let elsewhere = |point: &str| ["journal::", "flow::", "swap::"].iter().any(|start| point.starts_with(start));
    for point in failpoints().into_iter().filter(|point| !elsewhere(point)) {
        let mut bench = Bench::new(layout);
        let mut committed = 0;
        // Snapshots of the manifest come after many commits.
        let many = if point.starts_with("manifest::snapshot") { 70 } else { 3 };
        for hits in [0, 2] {
            bench.drop_files(many);
            if aborts_at(&bench.river, &point, hits) {
                reached.insert(point.clone());
            }
            committed = bench.check_prefix(committed);
            bench.check_even(committed, committed + 1);
        }
        bench.drop_files(1);
        bench.river.catch_up().ok(&point);
        bench.check_all();
    }
    reached
}

#[test]
fn an_abort_at_every_failpoint_under_kappa() {
    let reached = abort_everywhere("kappa");
    for point in ["manifest::create::after", "epoch::sinks::written", "epoch::committed", "base::committed"] {
        assert!(reached.contains(point), "{point} was not reached: {reached:?}");
    }
}

/// Under Lambda every step of a run is reached but those of the journal and the trimming of edits (both below), of
/// continuous processing (`continuous.rs`), and of a plugin's swap (`swap.rs`).
#[test]
fn an_abort_at_every_failpoint_under_lambda() {
    let mut missed = failpoints();
    for point in abort_everywhere("lambda") {
        missed.remove(&point);
    }
    let elsewhere = ["journal::", "flow::", "swap::", "manifest::trim::before"];
    missed.retain(|point| !elsewhere.iter().any(|start| point.starts_with(start)));
    assert_eq!(missed, BTreeSet::new(), "never reached");
}

/// Edits are trimmed at the first snapshot that comes a minute after another, so that a writer that slept is fenced:
/// files drop in until then.
#[test]
fn an_abort_at_the_trimming_of_edits() {
    let mut bench = Bench::new("kappa");
    // Beyond the first snapshot of the manifest.
    bench.drop_files(70);
    let mut running = bench.river.clone().env("FAILPOINTS", "manifest::trim::before=return").up();
    let began = Instant::now();
    let ended = loop {
        match running.ended() {
            Some(ended) => break ended,
            None => bench.drop_files(1),
        }
        assert!(began.elapsed() < PATIENCE, "it is not reached:\n{}", running.said());
        std::thread::sleep(Duration::from_millis(400));
    };
    assert_eq!(ended.code(), None, "{ended} and no abort:\n{}", running.said());
    bench.check_prefix(70);
    bench.river.catch_up().ok("after the abort");
    bench.check_all();
}

/// A record that was acknowledged is there after a kill; one that was not is there once or not at all.
fn abort_in_the_journal(point: &str) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let river = River::new("e2e/kill/journal.yaml", home.path());
    let (mut acknowledged, mut tried) = (BTreeSet::new(), 0u64);
    for hits in [0, 2, 5] {
        let action = if hits == 0 { "return".to_owned() } else { format!("{hits}*off->return") };
        let mut running = river.clone().env("FAILPOINTS", format!("{point}={action}")).up();
        let address = running.address();
        for _ in 0..=hits {
            let id = tried;
            tried += 1;
            match http::ingest(&address, "posted", format!("{{\"id\":{id}}}\n").as_bytes()) {
                Ok(answer) if answer.status == 200 => drop(acknowledged.insert(id)),
                _ => break,
            }
        }
        assert_eq!(running.wait().code(), None, "{point} was not reached:\n{}", running.said());
    }
    let mut running = river.up();
    running.address();
    eventually(point, || {
        let rows = river.finish("query", &["SELECT id, n FROM ids", "--output", "csv"]);
        let found: BTreeMap<u64, u64> = rows
            .out
            .lines()
            .skip(1)
            .filter_map(|row| row.split_once(','))
            .filter_map(|(id, n)| Some((id.parse().ok()?, n.parse().ok()?)))
            .collect();
        assert!(found.values().all(|n| *n == 1), "a record was doubled: {found:?}");
        assert!(found.keys().all(|id| *id < tried), "a record that nobody sent: {found:?}");
        match acknowledged.iter().all(|id| found.contains_key(id)) {
            true => Ok(()),
            false => Err(format!("{acknowledged:?} were acknowledged, {found:?} are there; {}", rows.err)),
        }
    });
}

#[test]
fn an_abort_in_the_journal_loses_nothing_acknowledged() {
    let points: Vec<String> = failpoints().into_iter().filter(|point| point.starts_with("journal::")).collect();
    assert!(!points.is_empty());
    for point in points {
        abort_in_the_journal(&point);
    }
}

/// Generated rows are a function of their number: a killed rate source goes on where it was committed.
#[test]
fn a_rate_source_is_killed_and_goes_on() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let river = River::new("e2e/kill/rate.yaml", home.path());
    let counted = |said: String| -> Result<u64, String> {
        let asked = river.finish("query", &["SELECT n FROM totals", "--output", "csv"]);
        asked.out.lines().nth(1).and_then(|n| n.parse().ok()).ok_or(format!("{}\n{said}", asked.err))
    };
    for least in [1, 10_000, 30_000] {
        let mut running = river.up();
        running.address();
        eventually("more rows", || match counted(running.said())? {
            n if n >= least => Ok(()),
            n => Err(format!("{n} rows, not {least} yet; {}", running.said())),
        });
        running.kill();
    }
    assert_eq!(river.rows("SELECT n, total, least, most FROM totals"), ["30000,449985000,0,29999"]);
}
