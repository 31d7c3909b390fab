//! Files through the binary: which are taken, in which order, and what becomes of them. Generated rows.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::braid::{River, eventually, root};
use crate::http;

/// A deployment of `e2e/sources/files.yaml` in a directory of its own.
struct Folder {
    home: tempfile::TempDir,
    river: River,
}

impl Folder {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(home.path().join("in")).expect("a fresh directory");
        let river = River::new("e2e/sources/files.yaml", home.path())
            .env("INPUT", home.path().join("in").display())
            .env("ARCHIVE", home.path().join("done").display());
        Self { home, river }
    }

    /// Drops a file of the number, modified so many seconds after some time.
    fn drop_file(&self, number: u64, second: u64) {
        let path = self.home.path().join(format!("in/{number}.json"));
        std::fs::write(&path, format!("{{\"n\":{number}}}\nend of {number}\n")).expect("a fresh file");
        let file = std::fs::File::options().write(true).open(path).expect("it is there");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second))
            .expect("its time is set");
    }

    /// The files in the order of the epochs that took them.
    fn taken(&self) -> Vec<String> {
        self.river.rows("SELECT record FROM dead_letters ORDER BY epoch, partition")
    }

    fn archived(&self, number: u64) -> PathBuf {
        let input = self.home.path().join(format!("in/{number}.json"));
        self.home.path().join("done").join(input.strip_prefix("/").expect("it is absolute"))
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().expect("a readable directory");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn files_are_archived_once_their_epoch_is_committed_and_after_a_kill_too() {
    let folder = Folder::new();
    let input = folder.home.path().join("in");
    folder.drop_file(1, 0);
    folder.drop_file(2, 1);
    let river = folder.river.clone().env("FAILPOINTS", "epoch::sinks::written=return");
    assert_eq!(river.catch_up().status.code(), None, "it is killed before the commit");
    assert_eq!(names(&input), ["1.json", "2.json"]);
    let river = folder.river.clone().env("FAILPOINTS", "epoch::committed=return");
    assert_eq!(river.catch_up().status.code(), None, "it is killed between the commit and the archiving");
    assert_eq!(names(&input), ["1.json", "2.json"]);
    folder.river.catch_up().ok("after the kills");
    assert_eq!(names(&input), [""; 0]);
    folder.drop_file(3, 2);
    folder.river.catch_up().ok("another file");
    for number in 1..=3 {
        assert!(folder.archived(number).is_file(), "{number} is not in the archive");
    }
    assert_eq!(folder.river.rows("SELECT n, total FROM seen"), ["3,6"]);
}

#[test]
fn the_newest_files_come_first_and_their_age_does_not_count() {
    let mut folder = Folder::new();
    folder.river = folder.river.env("MAX_FILES", 1).env("LATEST_FIRST", true).env("MAX_AGE", "10s");
    for (number, second) in [(1, 0), (2, 50), (3, 100)] {
        folder.drop_file(number, second);
    }
    folder.river.catch_up().ok("the newest first");
    folder.drop_file(4, 1);
    folder.river.catch_up().ok("an old one");
    assert_eq!(folder.taken(), ["end of 3", "end of 2", "end of 1", "end of 4"]);
}

/// A server that speaks S3, on loopback. It ends when this is dropped.
struct S3 {
    process: Child,
    address: String,
}

impl S3 {
    fn start() -> Self {
        let mut process = Command::new(root().join("e2e/setup/s3"))
            .args(["run", "--die-with-parent"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("e2e/setup/s3 runs");
        let mut url = String::new();
        BufReader::new(process.stdout.take().expect("it was piped")).read_line(&mut url).expect("it prints its URL");
        let address = url.trim().strip_prefix("http://").expect("a URL").to_owned();
        Self { process, address }
    }

    fn put(&self, key: &str, body: &str) {
        let answer = http::request(&self.address, "PUT", &format!("/braid/{key}"), "text/plain", body.as_bytes());
        assert_eq!(answer.expect("it answers").status, 200);
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn objects_are_archived_in_their_bucket() {
    let s3 = S3::start();
    let home = tempfile::tempdir().expect("a temporary directory");
    let river = River::new("e2e/sources/files.yaml", home.path())
        .env("INPUT", "s3://braid/in/*.json")
        .env("ARCHIVE", "s3://braid/done")
        .env("AWS_ENDPOINT", format!("http://{}", s3.address))
        .env("AWS_ALLOW_HTTP", true)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "us-east-1");
    for (key, body) in [("in/1.json", "{\"n\":1}\n"), ("in/2.json", "{\"n\":2}\n"), ("in/3.txt", "")] {
        s3.put(key, body);
    }
    let killed = river.clone().env("FAILPOINTS", "epoch::committed=return").catch_up();
    assert_eq!(killed.status.code(), None, "{}", killed.err);
    // As if it had died between the copy and the deletion of one of them.
    s3.put("done/in/1.json", "{\"n\":1}\n");
    river.catch_up().ok("what was left is archived");
    s3.put("in/4.json", "{\"n\":4}\n");
    river.catch_up().ok("another object");
    assert_eq!(river.rows("SELECT n, total FROM seen"), ["3,7"]);
    // What is in the archive, and what is left, as deployments of their own read it.
    let reads = |input: &str| {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut other = River { store: format!("file://{}", home.path().join("store").display()), ..river.clone() };
        other.env.push(("INPUT".to_owned(), input.to_owned()));
        other.env.push(("ARCHIVE".to_owned(), "s3://braid/again".to_owned()));
        other.catch_up().ok(input)
    };
    assert!(reads("s3://braid/in/*").starts_with("caught up: 0 rows in"), "3.txt is empty, and all else is gone");
    assert!(reads("s3://braid/done/in/*").starts_with("caught up: 3 rows in"));
}

/// Rows are a function of their number, over kills and restarts: of the first instant at a speed, of nothing by the epoch.
#[test]
fn generated_rows_are_the_same_after_a_kill() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let river = River::new("e2e/sources/rate.yaml", home.path());
    for least in [1, 500, 1500] {
        let mut running = river.up();
        running.address();
        eventually("more rows", || {
            let asked = river.finish("query", &["SELECT count(*) FROM ticked", "--output", "csv"]);
            match asked.out.lines().nth(1).and_then(|n| n.parse::<u64>().ok()) {
                Some(n) if n >= least => Ok(()),
                n => Err(format!("{n:?} rows, not {least} yet; {}", running.said())),
            }
        });
        running.kill();
    }
    // The speed grows evenly for two seconds: 1000 rows by then, the rest in half a second; row 250 after one second.
    let sql = "SELECT count(*), count(DISTINCT value), min(value), max(value), \
               (max(unix_millis(timestamp)) - min(unix_millis(timestamp))) BETWEEN 2490 AND 2500 FROM ticked";
    assert_eq!(river.rows(sql), ["1500,1500,0,1499,true"]);
    let first = "(SELECT min(unix_millis(timestamp)) FROM ticked)";
    let sql =
        format!("SELECT value FROM ticked WHERE value = 250 AND unix_millis(timestamp) - {first} BETWEEN 999 AND 1001");
    assert_eq!(river.rows(&sql), ["250"]);
    let wrong =
        "SELECT value FROM stepped WHERE unix_millis(timestamp) <> 1000 + 10 * CAST(floor(value / 7.0) AS bigint)";
    assert_eq!(river.rows(wrong), [""; 0]);
    let sql = "SELECT count(*) = count(DISTINCT value) AND count(*) = max(value) + 1 AND count(*) % 7 = 0 FROM stepped";
    assert_eq!(river.rows(sql), ["true"]);
}

#[test]
fn files_that_come_too_late_are_left_out() {
    let mut folder = Folder::new();
    folder.river = folder.river.env("MAX_FILES", 1).env("MAX_AGE", "10s");
    for (number, second) in [(1, 0), (2, 50), (3, 100)] {
        folder.drop_file(number, second);
    }
    folder.river.catch_up().ok("what is there at the start is read, however old");
    folder.drop_file(4, 89);
    folder.drop_file(5, 90);
    folder.river.catch_up().ok("one is too old");
    assert_eq!(folder.taken(), ["end of 1", "end of 2", "end of 3", "end of 5"]);
    assert_eq!(names(&folder.home.path().join("in")), ["4.json"]);
}
