//! The compiler, in a process of its own where the program says how it is started: one that is given up is ended, and what
//! it needs of memory, or a crash, is not ours. Elsewhere it is a thread, which cannot be ended and is left behind.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use wasmtime::Engine;

use crate::cache::CACHE_BYTES_MAX;
use crate::compile::engine;
use crate::error::PluginError;

/// The compiler recurses over a function's blocks.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// How much memory a compiler may have: the larger interpreter of scripts needs 370 MB.
pub const COMPILER_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// How often it is looked at how much it has.
const LOOK: Duration = Duration::from_millis(10);

/// A compiler that refuses says why in the place of the code.
const REFUSED: u8 = 1;

/// How this program is started as a compiler: with this word, and the guest's stack in bytes.
static WORD: OnceLock<&str> = OnceLock::new();

/// From now on this program compiles in processes of its own: it is started with `word` and a number, and then calls
/// [`compiler`] with that.
pub fn compile_aside(word: &'static str) {
    let _ = WORD.set(word);
}

/// What a process that compiles does: a component comes on its standard input, code goes to its standard output. It ends when
/// whoever started it is gone.
pub fn compiler(stack_bytes: u64) -> ExitCode {
    let mut input = io::stdin();
    let mut length = [0; 8];
    let mut bytes = Vec::new();
    let read = input.read_exact(&mut length).and_then(|()| {
        let length = u64::from_le_bytes(length);
        input.by_ref().take(length).read_to_end(&mut bytes)
    });
    if read.is_err() {
        return ExitCode::from(REFUSED);
    }
    // Nothing more comes, but an end.
    thread::spawn(move || {
        let _ = input.read(&mut [0]);
        std::process::exit(i32::from(REFUSED));
    });
    let made = engine(usize::try_from(stack_bytes).unwrap_or(usize::MAX));
    let compiled = made.map_err(|error| format!("{error:#}")).and_then(|engine| {
        let thread = on_large_stack(move || precompile(&engine, &bytes)).map_err(|error| error.to_string())?;
        thread.join().unwrap_or_else(|_| Err(PANICKED.into()))
    });
    let (said, code) = match &compiled {
        Ok(code) => (code.as_slice(), ExitCode::SUCCESS),
        Err(reason) => (reason.as_bytes(), ExitCode::from(REFUSED)),
    };
    let mut output = io::stdout();
    match output.write_all(said).and_then(|()| output.flush()) {
        Ok(()) => code,
        Err(_) => ExitCode::from(REFUSED),
    }
}

const PANICKED: &str = "the compiler panicked";

fn precompile(engine: &Engine, bytes: &[u8]) -> Result<Vec<u8>, String> {
    engine.precompile_component(bytes).map_err(|error| format!("{error:#}"))
}

fn on_large_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<thread::JoinHandle<T>> {
    thread::Builder::new().name("braid-wasm-compile".into()).stack_size(STACK_BYTES).spawn(work)
}

/// A component's code, if it can be had in time.
pub(crate) fn code(
    engine: &Engine,
    plugin: &str,
    bytes: &[u8],
    stack_bytes: u64,
    time_max: Duration,
) -> Result<Vec<u8>, PluginError> {
    let began = Instant::now();
    let compiled = match WORD.get() {
        Some(word) => in_process(word, stack_bytes, bytes.to_vec(), began + time_max),
        None => in_thread(engine.clone(), bytes.to_vec(), began + time_max),
    };
    match compiled {
        Ok(Some(code)) => Ok(code),
        Ok(None) => {
            tracing::info!(plugin, took = ?began.elapsed(), "a compiler is given up");
            Err(PluginError::CompileTime { plugin: plugin.into(), time_max })
        }
        Err(reason) => Err(PluginError::Compile { plugin: plugin.into(), reason }),
    }
}

/// A thread that is too slow is left behind: it cannot be stopped, and its result is dropped.
fn in_thread(engine: Engine, bytes: Vec<u8>, deadline: Instant) -> Result<Option<Vec<u8>>, String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    on_large_stack(move || sender.send(precompile(&engine, &bytes))).map_err(|error| error.to_string())?;
    match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(compiled) => compiled.map(Some),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(RecvTimeoutError::Disconnected) => Err(PANICKED.into()),
    }
}

/// A process that is too slow, or too large, is ended.
fn in_process(word: &str, stack_bytes: u64, bytes: Vec<u8>, deadline: Instant) -> Result<Option<Vec<u8>>, String> {
    // Also where the file was replaced since this process began, this is the same program. It needs nothing of our environment.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("braid").args([word, &stack_bytes.to_string()]).env_clear();
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = started.map_err(|error| format!("no compiler can be started: {error}"))?;
    let (sender, receiver) = mpsc::sync_channel(1);
    if let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) {
        thread::spawn(move || sender.send(exchange(input, output, &bytes)));
    }
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left.min(LOOK)) {
            Ok(said) => return ended(child, said).map(Some),
            Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                end(child);
                return Ok(None);
            }
            Err(RecvTimeoutError::Timeout) if resident_bytes(child.id()) > COMPILER_BYTES_MAX => {
                end(child);
                return Err(format!("the compiler needs more than {COMPILER_BYTES_MAX} bytes of memory"));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                end(child);
                return Err("bug: nobody listens to the compiler".into());
            }
        }
    }
}

/// Hands a component over, and takes what comes back. The input stays open until then: its end is that of the process.
fn exchange(mut input: ChildStdin, output: ChildStdout, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    let length = bytes.len() as u64;
    input.write_all(&length.to_le_bytes()).and_then(|()| input.write_all(bytes)).and_then(|()| input.flush())?;
    output.take(CACHE_BYTES_MAX).read_to_end(&mut said)?;
    Ok(said)
}

/// What a compiler that has said all said.
fn ended(mut child: Child, said: io::Result<Vec<u8>>) -> Result<Vec<u8>, String> {
    let status = child.wait().map_err(|error| error.to_string())?;
    match said {
        Ok(code) if status.success() => Ok(code),
        Ok(reason) if status.code() == Some(i32::from(REFUSED)) && !reason.is_empty() => {
            Err(String::from_utf8_lossy(&reason).into_owned())
        }
        Ok(_) => Err(format!("the compiler crashed ({status})")),
        Err(error) => Err(format!("the compiler crashed ({status}): {error}")),
    }
}

/// Ends a process. To give its memory back takes time, for which nobody waits.
fn end(mut child: Child) {
    let _ = child.kill();
    thread::spawn(move || child.wait());
}

/// How much memory a process has, as far as that is known.
fn resident_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim_end().parse::<u64>().ok());
    kib.unwrap_or_default().saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_and_one_that_is_not_there_has_none() {
        assert!(resident_bytes(std::process::id()) > 1 << 20);
        assert_eq!(resident_bytes(u32::MAX), 0);
    }
}
