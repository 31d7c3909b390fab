//! The built binary, as a user would start it: found or built once, run to its end, left running, or killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up: far above what it needs, so that it only ends what hangs.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The repository's root: where this runs, and not where it was built, which may be a checkout that shares its target.
pub fn root() -> PathBuf {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the crate is"))
        .parent()
        .expect("the e2e crate stands in the repository")
        .to_path_buf()
}

/// The binary under test: `BRAID_BIN`, or built by cargo in the profile and target directory of this test.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(given) = std::env::var_os("BRAID_BIN") {
            return PathBuf::from(given);
        }
        let me = std::env::current_exe().expect("a test knows its own path");
        let profile = me
            .ancestors()
            .find(|path| path.join("deps").is_dir())
            .expect("a test stands below its profile's directory");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "braid", "--target-dir"]);
        // What cargo told this test about itself makes some build scripts run again, and all that depends on them.
        for (name, _) in std::env::vars_os() {
            let told = name.to_str().is_some_and(|name| name.starts_with("CARGO_") && name != "CARGO_HOME");
            if told {
                cargo.env_remove(name);
            }
        }
        cargo.arg(profile.parent().expect("a profile is in a target directory"));
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        let built = cargo.current_dir(root()).status().expect("cargo runs");
        assert!(built.success(), "cargo could not build the binary");
        profile.join("braid")
    })
}

/// Where the checks' big inputs are (`BRAID_SHARED`); without it, says which check is left out.
pub fn shared(check: &str) -> Option<PathBuf> {
    let given = std::env::var_os("BRAID_SHARED").map(PathBuf::from);
    if given.is_none() {
        eprintln!("LEFT OUT: {check}: set BRAID_SHARED to the folder that holds data/");
    }
    given
}

/// A number from the environment, so that a show can be longer than CI.
pub fn count(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
        Err(_) => default,
    }
}

/// A command's end.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it wrote to its standard output.
    pub out: String,
    /// What it wrote to its standard error.
    pub err: String,
}

impl Ended {
    /// Its standard output, where it succeeded.
    pub fn ok(self, what: &str) -> String {
        assert!(self.status.success(), "{what}: {}\n--- stdout\n{}\n--- stderr\n{}", self.status, self.out, self.err);
        self.out
    }
}

/// One deployment with its store: what each command of a test has in common.
#[derive(Debug, Clone)]
pub struct River {
    /// The deployment file.
    pub deployment: PathBuf,
    /// The store's URL.
    pub store: String,
    /// The layout, if it is not the file's.
    pub layout: Option<String>,
    /// The environment that the file reads.
    pub env: Vec<(String, String)>,
}

impl River {
    /// A deployment whose store is the folder `store` in `home`.
    pub fn new(deployment: impl Into<PathBuf>, home: &Path) -> Self {
        Self {
            deployment: deployment.into(),
            store: format!("file://{}", home.join("store").display()),
            layout: None,
            env: Vec::new(),
        }
    }

    /// Under this layout.
    pub fn layout(mut self, layout: &str) -> Self {
        self.layout = Some(layout.to_owned());
        self
    }

    /// With this in the environment.
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.push((name.to_owned(), value.to_string()));
        self
    }

    /// `braid <verb> <deployment> <more>`, not yet started. A verb may be two words.
    pub fn command(&self, verb: &str, more: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(verb.split(' ')).arg(&self.deployment).args(more);
        if let (Some(layout), "run" | "up" | "validate" | "plan") = (&self.layout, verb) {
            command.args(["--layout", layout]);
        }
        if let "run" | "up" | "query" | "status" = verb {
            command.args(["--store", &self.store]);
        }
        command.current_dir(root());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn finish(&self, verb: &str, more: &[&str]) -> Ended {
        let done = self
            .command(verb, more)
            .output()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", binary().display()));
        Ended {
            status: done.status,
            out: String::from_utf8_lossy(&done.stdout).into_owned(),
            err: String::from_utf8_lossy(&done.stderr).into_owned(),
        }
    }

    /// Processes what is there and writes a base.
    pub fn catch_up(&self) -> Ended {
        self.finish("run", &["--until", "caught-up"])
    }

    /// The answer to a question, as CSV with a header line.
    pub fn csv(&self, sql: &str) -> String {
        self.finish("query", &[sql, "--output", "csv"]).ok(sql)
    }

    /// The answer's rows, without the header; fields are not unquoted.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        self.csv(sql).lines().skip(1).map(str::to_owned).collect()
    }

    /// The answer's rows in an order of their own, so that the question needs none.
    pub fn sorted(&self, sql: &str) -> Vec<String> {
        let mut rows = self.rows(sql);
        rows.sort();
        rows
    }

    /// Starts it and leaves it running.
    pub fn up(&self) -> Running {
        Running::start(self.command("up", &[]))
    }

    /// Starts `run --until caught-up` and leaves it running, for a test that ends it early.
    pub fn start_run(&self) -> Running {
        Running::start(self.command("run", &["--until", "caught-up"]))
    }
}

/// A binary that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Arc<Mutex<String>>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", binary().display()));
        let (send, lines) = channel();
        let seen = Arc::new(Mutex::new(String::new()));
        let out = child.stdout.take().expect("it was piped");
        let err = child.stderr.take().expect("it was piped");
        for stream in [Box::new(out) as Box<dyn std::io::Read + Send>, Box::new(err)] {
            let (send, seen) = (send.clone(), seen.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let mut all = seen.lock().expect("no reader panics");
                    all.push_str(&line);
                    all.push('\n');
                    drop(all);
                    let _ = send.send(line);
                }
            });
        }
        Self { child, lines, seen }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it has said.
    pub fn said(&self) -> String {
        self.seen.lock().expect("no reader panics").clone()
    }

    /// Waits for the HTTP address that it prints: `127.0.0.1:1234`.
    pub fn address(&mut self) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line =
                self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("it printed no address:\n{}", self.said()));
            if let Some((_, rest)) = line.split_once("http://") {
                let address: String = rest.chars().take_while(|c| c.is_ascii_digit() || ".:[]".contains(*c)).collect();
                return address.trim_end_matches('.').to_owned();
            }
        }
    }

    /// Whether it has ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(Instant::now() < until, "it does not end:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// `kill -9`. Says whether it was still running.
    pub fn kill(&mut self) -> bool {
        let ran = self.ended().is_none();
        let _ = self.child.kill();
        let _ = self.child.wait();
        ran
    }

    /// Asks it to stop (SIGTERM) and waits; it ends with [`TERMINATED`].
    pub fn stop(mut self) -> ExitStatus {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().expect("kill runs");
        assert!(asked.success(), "it had ended:\n{}", self.said());
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The exit code of a process that finished what was under way and ended because of SIGTERM.
pub const TERMINATED: i32 = 143;

/// Asks until the answer is there, and panics with the last one where it never comes.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(last) => assert!(Instant::now() < until, "{what}: {last}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
