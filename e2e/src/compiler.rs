//! The compiler of plugins is a process of its own, which ends when it is given up, and with the process that started it.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::braid::{River, Running, TERMINATED, eventually};
use crate::http;
use crate::scripts::interpreters;
use crate::swap::{Bench, component};

/// A function in Python: its interpreter takes many seconds to compile, where nothing is kept of it.
const FUNCTION: &str = "output = \"long\"\n\ndef call(n):\n    return n\n";

const DEPLOYMENT: &str = r#"
apiVersion: braid/v1
name: compiled
layout: kappa
store: memory://
sources:
  ticks: {rate: {rows_per_second: 10}}
plugins:
  same: {script: same.py, limits: {compile_time: "${COMPILE_TIME}"}}
views:
  numbers: {sql: "SELECT same(value) AS n FROM ticks"}
"#;

const SWAPPED: &str = r#"
apiVersion: braid/v1
name: swapped
layout: kappa
store: memory://
sources:
  ticks: {rate: {rows_per_second: 10}}
plugins:
  grade: {component: "${GRADE}", limits: {time: 20s, compile_time: "${COMPILE_TIME}"}}
views:
  grades: {sql: "SELECT grade(value) AS n FROM ticks"}
serving: {http: "127.0.0.1:0"}
"#;

/// A cache with interpreters, and nothing compiled.
fn cache(home: &Path) -> String {
    interpreters();
    let braid = std::env::var("BRAID_CACHE")
        .unwrap_or_else(|_| format!("{}/.cache/braid", std::env::var("HOME").expect("there is a home")));
    let wasm = home.join("cache/wasm");
    fs::create_dir_all(&wasm).expect("a fresh directory");
    std::os::unix::fs::symlink(Path::new(&braid).join("wasm/interpreter"), wasm.join("interpreter")).expect("a link");
    home.join("cache").display().to_string()
}

/// The compilers that a process has started.
fn compilers(parent: u32) -> Vec<u32> {
    let numbers = fs::read_dir("/proc").expect("Linux").flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let compiles = |process: &u32| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let child = status.lines().any(|line| line == format!("PPid:\t{parent}"));
        let called = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        child && called.starts_with(b"braid\0compile\0")
    };
    numbers.filter(compiles).collect()
}

fn is_there(process: u32) -> bool {
    Path::new(&format!("/proc/{process}/cmdline")).exists()
        && fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|called| !called.is_empty())
}

#[test]
fn a_compiler_that_is_given_up_ends() {
    let bench = Bench::new(SWAPPED, "kappa");
    let cache = cache(bench.home.path());
    fs::write(bench.home.path().join("same.py"), FUNCTION).expect("a fresh file");
    let river = bench.river.clone().env("BRAID_CACHE", &cache).env("GRADE", component("grade1"));
    river.clone().env("COMPILE_TIME", "2m").finish("validate", &[]).ok("the first is compiled and kept");
    let river = river.env("COMPILE_TIME", "300ms");
    let bench = Bench { river: river.env("RUST_LOG", "warn,braid_wasm_host=info"), home: bench.home };
    let mut running = bench.river.up();
    let address = running.address();
    let parent = running.id();
    let (over, seen) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                seen.fetch_or(!compilers(parent).is_empty(), Ordering::Relaxed);
            }
        });
        let script = bench.home.path().join("same.py").display().to_string();
        bench.refused(&address, "grade", &script, &[], "was not compiled within its limit of 300ms (`compile_time`)");
        over.store(true, Ordering::Relaxed);
    });
    assert!(seen.into_inner(), "the compiler was a process");
    eventually("no compiler works on", || match compilers(parent).as_slice() {
        [] => Ok(()),
        some => Err(format!("{some:?}")),
    });
    println!("{}", running.said());
    http::get(&address, "/v1/queries").ok();
    assert_eq!(running.stop().code(), Some(TERMINATED));
}

#[test]
fn a_compiler_ends_with_who_started_it() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let cache = cache(home.path());
    fs::write(home.path().join("deployment.yaml"), DEPLOYMENT).expect("a fresh file");
    fs::write(home.path().join("same.py"), FUNCTION).expect("a fresh file");
    let river = River::new(home.path().join("deployment.yaml"), home.path()).env("BRAID_CACHE", cache);
    let mut running: Running = river.env("COMPILE_TIME", "2m").start_run();
    let compiler = eventually("a compiler", || compilers(running.id()).pop().ok_or_else(|| running.said()));
    assert!(running.kill(), "it was still compiling:\n{}", running.said());
    eventually("it is gone", || if is_there(compiler) { Err(format!("{compiler} works on")) } else { Ok(()) });
}
