//! Components that nobody wrote: random modules, and honest components with random bytes. Each is loaded, and called where it
//! loads; whatever it is, the host goes on. `BRAID_SMITH_CASES=10000` for many.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use arbitrary::Unstructured;
use braid_spec::model::{Grants, PluginLimits};
use braid_wasm_host::{Plugin, PluginError};
use wasm_smith::{Config, Module};

use crate::bombs;
use crate::support::handmade::{component, core};
use crate::support::{LIMITS, notes, plugins, schema, thread_time};

/// How many without being told.
const CASES: u64 = 300;
const SEED_BYTES: usize = 4096;

/// Small and soon over: most random programs end in a loop.
const SMALL: PluginLimits = PluginLimits {
    memory_bytes: 16 << 20,
    time: Duration::from_millis(5),
    compile_time: Duration::from_secs(20),
    ..LIMITS
};

/// What a plugin's core module exports.
const SHAPE: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "braid:plugin/transforms@0.1.0\u{23}describe") (param i32 i32) (result i32) unreachable)
    (func (export "braid:plugin/transforms@0.1.0\u{23}apply") (param i32 i32 i32) (result i32) unreachable))"#;

/// Numbers from a seed, the same everywhere (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

fn config() -> Config {
    Config {
        max_imports: 0,
        gc_enabled: false,
        exceptions_enabled: false,
        threads_enabled: false,
        memory64_enabled: false,
        relaxed_simd_enabled: false,
        reference_types_enabled: false,
        max_instructions: 500,
        ..Config::default()
    }
}

/// A random module with the exports of a plugin.
fn random_plugin(numbers: &mut Numbers) -> Vec<u8> {
    let shape = wat::parse_str(SHAPE).expect("a module");
    let config =
        Config { exports: Some(shape), max_memories: 0, allow_start_export: numbers.below(4) == 0, ..config() };
    let seed: Vec<u8> = (0..SEED_BYTES / 8).flat_map(|_| numbers.next().to_le_bytes()).collect();
    match Module::new(config, &mut Unstructured::new(&seed)) {
        Ok(module) => component(&module.to_bytes()),
        Err(_) => vec![],
    }
}

/// Any module, with whatever it exports and starts, inside a component.
fn random_module(numbers: &mut Numbers) -> Vec<u8> {
    // Now and then with what the host does not know.
    let config = if numbers.below(4) == 0 { Config { max_imports: 0, ..Config::default() } } else { config() };
    let seed: Vec<u8> = (0..SEED_BYTES / 8).flat_map(|_| numbers.next().to_le_bytes()).collect();
    let Ok(module) = Module::new(config, &mut Unstructured::new(&seed)) else { return vec![] };
    // After what looks like a plugin and has one module: another one, and an instance of it.
    let mut bytes = bombs::component("");
    let module = module.to_bytes();
    bytes.push(CORE_MODULE);
    bytes.extend(leb128(module.len()));
    bytes.extend(module);
    bytes.extend([CORE_INSTANCE, 4, 1, 0, 1, 0]);
    bytes
}

/// Sections of a component.
const CORE_MODULE: u8 = 1;
const CORE_INSTANCE: u8 = 2;

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = vec![];
    loop {
        let seven = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(seven);
            return bytes;
        }
        bytes.push(seven | 0x80);
    }
}

/// Bytes of a component, some of them others.
fn mutated(numbers: &mut Numbers, honest: &[u8]) -> Vec<u8> {
    let mut bytes = honest.to_vec();
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(bytes.len());
        match numbers.below(8) {
            0 => bytes.truncate(at.max(8)),
            1 => bytes.insert(at, numbers.next() as u8),
            2 => drop(bytes.remove(at)),
            3 => {
                let from = numbers.below(bytes.len());
                let length = numbers.below(64).min(bytes.len() - from).min(bytes.len() - at);
                bytes.copy_within(from..from + length, at);
            }
            4 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][numbers.below(5)],
            _ => bytes[at] = numbers.next() as u8,
        }
    }
    bytes
}

/// The same, but of its functions only.
fn other_code(numbers: &mut Numbers, honest: &[u8]) -> Vec<u8> {
    let mut bytes = honest.to_vec();
    let code = code_of(honest);
    for _ in 0..=numbers.below(2) {
        let at = code.start + numbers.below(code.len());
        bytes[at] = match numbers.below(3) {
            0 => [0, 1, 0x7f, 0x40, 0x0b][numbers.below(5)],
            1 => bytes[code.start + numbers.below(code.len())],
            _ => bytes[at] ^ 1 << numbers.below(7),
        };
    }
    bytes
}

/// Where the functions of the first core module are.
fn code_of(component: &[u8]) -> Range<usize> {
    const MODULE: [u8; 8] = *b"\0asm\x01\0\0\0";
    const CODE: u8 = 10;
    let module = component.windows(MODULE.len()).position(|bytes| bytes == MODULE).expect("it has a module");
    let mut at = module + MODULE.len();
    loop {
        let section = component[at];
        let (mut length, mut shift) = (0, 0);
        loop {
            at += 1;
            length |= usize::from(component[at] & 0x7f) << shift;
            shift += 7;
            if component[at] < 0x80 {
                break;
            }
        }
        at += 1;
        if section == CODE {
            return at..at + length;
        }
        at += length;
    }
}

/// How far a component came.
fn run(bytes: &[u8]) -> String {
    let plugin = match Plugin::from_bytes("smith", bytes, SMALL, &Grants::default(), None) {
        Ok(plugin) => plugin,
        Err(error) => {
            let name = format!("{error:?}");
            let name = name.split([' ', '{']).next().unwrap_or_default();
            return match error {
                PluginError::Compile { reason, .. } => format!("1 refused: {name}: {}", kind(&reason)),
                _ => format!("1 refused: {name}"),
            };
        }
    };
    let mut applier = match plugin.applier(&schema()) {
        Ok(applier) => applier,
        Err(PluginError::Describe { reason, .. }) => return format!("2 failed to describe: {}", kind(&reason)),
        Err(error) => return format!("2 failed to describe: {error}"),
    };
    let (rows, began) = (64, thread_time());
    let applied = applier.apply(&notes(rows, &[3])).expect("the schema is that of the batch");
    let took = thread_time() - began;
    assert!(took < SMALL.time * 40 + Duration::from_secs(2), "{took:?}");
    match applied.failed.first() {
        None => "4 applied, and no record failed".into(),
        Some(failed) => format!("3 failed on {} records: {}", applied.failed.len(), kind(&failed.reason)),
    }
}

/// A reason without its numbers and names.
fn kind(reason: &str) -> String {
    let reason = reason.rsplit(" is at fault was over: ").next().unwrap_or_default();
    let reason = reason.split(['\n', '[', '`']).next().unwrap_or_default().split(" (in ").next().unwrap_or_default();
    let reason = reason.split(" (at offset ").next().unwrap_or_default().rsplit(": ").next().unwrap_or_default();
    let reason: String = reason.chars().filter(|letter| !letter.is_control()).collect();
    let mut kind: String = reason.chars().map(|letter| if letter.is_ascii_digit() { '#' } else { letter }).collect();
    while kind.contains("##") {
        kind = kind.replace("##", "#");
    }
    kind.chars().take(60).collect()
}

#[test]
fn whatever_is_loaded_the_host_goes_on() {
    let cases = std::env::var("BRAID_SMITH_CASES").ok();
    let cases: u64 = cases.map_or(CASES, |cases| cases.parse().expect("BRAID_SMITH_CASES is a number"));
    let (honest, real) =
        (component(&core("")), std::fs::read(plugins().join("anonymise/anonymise.wasm")).expect("kept"));
    let (mut came_to, mut slowest) = (BTreeMap::<String, u64>::new(), (Duration::ZERO, 0));
    let began = Instant::now();
    for case in 0..cases {
        let mut numbers = Numbers(case);
        let (family, bytes) = match case % 100 {
            0 => ("real, mutated", mutated(&mut numbers, &real)),
            1..25 => ("module", random_module(&mut numbers)),
            25..60 => ("plugin", random_plugin(&mut numbers)),
            60..75 => ("honest, mutated", mutated(&mut numbers, &honest)),
            _ => ("honest, other code", other_code(&mut numbers, &honest)),
        };
        let this = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| run(&bytes)));
        let outcome = result.unwrap_or_else(|_| panic!("the host panicked on case {case} ({family})"));
        slowest = slowest.max((this.elapsed(), case));
        *came_to.entry(format!("{family}: {outcome}")).or_default() += 1;
    }
    println!("{cases} cases in {:?}; the slowest, {}, took {:?}", began.elapsed(), slowest.1, slowest.0);
    for (outcome, count) in &came_to {
        println!("{count:>7}  {outcome}");
    }
    assert!(came_to.keys().any(|outcome| outcome.contains("4 applied")), "some are honest enough: {came_to:#?}");
    assert!(came_to.keys().any(|outcome| outcome.contains("3 failed on")), "some fail at work: {came_to:#?}");
}
