//! W6: what a plugin costs per row, by function and rows of a batch, beside the same source as native code.
//!
//! The least of many runs, of the processor time of one thread, limits on. Answers of both are compared first.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use braid_kernel::JobError;
use braid_kernel::functions::ScalarCode;
use braid_kernel::keyed::{Entries, KeyedCode, Memory, Outcome, Turn, What};
use braid_spec::model::{Grants, HttpLimits, PluginLimits};
use braid_wasm_host::{FunctionPlugin, Plugin};
use rustix::time::{ClockId, clock_gettime};

#[path = "../../../plugins/speed/src/lib.rs"]
mod native;

const ROWS: [usize; 4] = [1, 64, 1024, 8192];
/// Each measurement processes so many rows at least, so often.
const ROWS_MIN: usize = 200_000;
const RUNS: usize = 15;

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Nanoseconds a row: the least of the runs.
fn measure(rows: usize, mut work: impl FnMut()) -> f64 {
    let calls = ROWS_MIN.div_ceil(rows).min(20_000);
    let mut least = f64::MAX;
    for _ in 0..RUNS {
        let began = cpu();
        (0..calls).for_each(|_| work());
        least = least.min((cpu() - began).as_nanos() as f64 / (calls * rows) as f64);
    }
    least
}

fn limits() -> PluginLimits {
    let http =
        HttpLimits { requests: 0, time: Duration::ZERO, wait: Duration::ZERO, request_bytes: 0, response_bytes: 0 };
    PluginLimits {
        memory_bytes: 64 << 20,
        time: Duration::from_millis(100),
        output_bytes: 64 << 20,
        stack_bytes: 512 << 10,
        table_elements: 100_000,
        log_bytes: 1 << 10,
        module_bytes: 8 << 20,
        compile_time: Duration::from_secs(120),
        http,
    }
}

fn plugin(room: &str, name: &str) -> Plugin {
    let root =
        std::path::Path::new(&std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where")).join("../../plugins");
    let out = std::env::temp_dir().join("braid-w6");
    let done = Command::new(root.join("build")).args(["--out"]).arg(&out).arg(room).status();
    assert!(done.expect("plugins/build runs").success());
    Plugin::load(name, &out.join(format!("{name}.wasm")), limits(), &Grants::default(), None).expect("it loads")
}

fn scalar(room: &str, name: &str) -> impl ScalarCode {
    match plugin(room, name).function() {
        Some(FunctionPlugin::Scalar(code)) => code,
        other => panic!("{other:?}"),
    }
}

/// Numbers that are the same in every run.
fn numbers(seed: u64, rows: usize) -> impl Iterator<Item = u64> {
    let mut state = seed;
    (0..rows).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    })
}

fn integers(seed: u64, rows: usize) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(numbers(seed, rows).map(|n| (n % 1_000_000) as i32 + 1)))
}

fn urls(rows: usize) -> ArrayRef {
    let url = |n: u64| {
        format!(
            "https://www{}.example-{:05}.com/products/{:09}?session={:06}",
            n % 10,
            n % 99_999,
            n % 999_999_999,
            n % 999_999
        )
    };
    Arc::new(StringArray::from_iter_values(numbers(3, rows).map(url)))
}

fn objects(rows: usize) -> RecordBatch {
    let object = |n: u64| {
        format!(
            r#"{{"at":"2026-01-01T00:00:{:02}Z","user":"user-{:06}","page":"/page/{}","ms":{},"referrer":"https://example.com/{}"}}"#,
            n % 60,
            n % 999_999,
            n % 1000,
            n % 5000,
            n % 100
        )
    };
    let column = StringArray::from_iter_values(numbers(4, rows).map(object));
    RecordBatch::try_from_iter_with_nullable([("value", Arc::new(column) as ArrayRef, true)]).expect("one column")
}

fn integers_natively(f: impl Fn(i32, i32) -> i32, a: &ArrayRef, b: &ArrayRef) -> ArrayRef {
    let (a, b) = (a.as_primitive::<Int32Type>(), b.as_primitive::<Int32Type>());
    Arc::new(Int32Array::from_iter_values(a.values().iter().zip(b.values()).map(|(a, b)| f(*a, *b))))
}

fn hosts_natively(urls: &ArrayRef) -> ArrayRef {
    let mut hosts = StringBuilder::with_capacity(urls.len(), urls.len() * 24);
    for url in urls.as_string::<i32>() {
        hosts.append_option(url.and_then(native::url_host));
    }
    Arc::new(hosts.finish())
}

fn fields_natively(batch: &RecordBatch, schema: &Arc<Schema>) -> RecordBatch {
    let rows = batch.num_rows();
    let (mut users, mut pages) = (StringBuilder::with_capacity(rows, 0), StringBuilder::with_capacity(rows, 0));
    let mut times = Int64Array::builder(rows);
    for text in batch.column(0).as_string::<i32>() {
        let fields = text.and_then(native::json_fields).unwrap_or_default();
        users.append_option(fields.user);
        pages.append_option(fields.page);
        times.append_option(fields.ms);
    }
    RecordBatch::try_new(
        schema.clone(),
        vec![Arc::new(users.finish()), Arc::new(pages.finish()), Arc::new(times.finish())],
    )
    .expect("the described columns")
}

/// Keeps counts by key, as the engine's state does, and measures only the plugin's side of it.
struct Counts {
    turn: Turn,
}

impl Memory for Counts {
    fn turn(&mut self, _: std::ops::Range<usize>) -> Result<Turn, JobError> {
        Ok(self.turn.clone())
    }
    fn settle(&mut self, outcome: Outcome) -> Result<(), JobError> {
        assert_eq!(outcome.rows.num_rows(), self.turn.rows.keys.len());
        Ok(())
    }
}

fn keyed(rows: usize) -> f64 {
    let plugin = plugin("running_count", "running_count");
    let names = StringArray::from_iter_values(numbers(5, rows).map(|n| format!("key-{:05}", n % 10_000)));
    let schema = Arc::new(Schema::new(vec![Field::new("word", DataType::Utf8, true)]));
    let code = plugin.keyed(&schema, &["word".to_owned()], None).expect("it takes text");
    let mut distinct: Vec<&str> = names.iter().flatten().collect();
    distinct.sort_unstable();
    distinct.dedup();
    let mut order: Vec<u32> =
        names.iter().flatten().map(|name| distinct.partition_point(|other| *other < name) as u32).collect();
    order.sort_unstable();
    let of = |name: &str, texts: Vec<&str>| {
        RecordBatch::try_from_iter_with_nullable([(name, Arc::new(StringArray::from(texts)) as ArrayRef, true)])
            .expect("one column")
    };
    let keys = of("word", distinct.clone());
    let words = of("word", order.iter().map(|key| distinct[*key as usize]).collect());
    let variable = code.program().variables[0].columns.clone();
    let counts = RecordBatch::try_new(variable, vec![Arc::new(Int64Array::from_iter_values(0..distinct.len() as i64))])
        .expect("counts");
    let state = Entries { keys: (0..distinct.len() as u32).collect(), rows: counts };
    let turn =
        Turn { what: What::Input, keys, rows: Entries { keys: order, rows: words }, states: vec![state], now: None };
    let mut memory = Counts { turn };
    let mut running = code.start().expect("it starts");
    measure(rows, || assert_eq!(running.run(rows, &mut memory).expect("it runs"), vec![]))
}

/// The same by a hash map.
fn keyed_natively(rows: usize) -> f64 {
    let names: Vec<String> = numbers(5, rows).map(|n| format!("key-{:05}", n % 10_000)).collect();
    let names = StringArray::from_iter_values(names);
    let mut counts = std::collections::HashMap::<String, i64>::new();
    measure(rows, || {
        let mut out = Vec::with_capacity(rows);
        for name in names.iter().flatten() {
            let count = match counts.get_mut(name) {
                Some(count) => count,
                None => counts.entry(name.to_owned()).or_default(),
            };
            *count += 1;
            out.push(*count);
        }
        std::hint::black_box((names.clone(), Int64Array::from(out)));
    })
}

fn main() {
    println!("| function | rows a batch | plugin, ns/row | native, ns/row | ratio | difference, ns/row |");
    println!("|---|---|---|---|---|---|");
    let line = |name: &str, rows: usize, guest: f64, native: f64| {
        println!("| {name} | {rows} | {guest:.1} | {native:.1} | {:.2} | {:.2} |", guest / native, guest - native);
    };
    for (name, function) in [("add", native::add as fn(i32, i32) -> i32), ("gcd", native::gcd)] {
        let code = scalar("speed", name);
        for rows in ROWS {
            let (a, b) = (integers(1, rows), integers(2, rows));
            let arguments = [a.clone(), b.clone()];
            let call = || code.call(&arguments, rows, &DataType::Int32).expect("it answers").0;
            // The least the compiler must not look through is the function pointer.
            let natively = || match name {
                "add" => integers_natively(native::add, &a, &b),
                _ => integers_natively(native::gcd, &a, &b),
            };
            assert_eq!(&call(), &integers_natively(function, &a, &b));
            let guest = measure(rows, || drop(std::hint::black_box(call())));
            line(&format!("`{name}(int, int)`"), rows, guest, measure(rows, || drop(std::hint::black_box(natively()))));
        }
    }
    let code = scalar("speed", "url_host");
    for rows in ROWS {
        let urls = urls(rows);
        let arguments = [urls.clone()];
        let call = || code.call(&arguments, rows, &DataType::Utf8).expect("it answers").0;
        assert_eq!(&call(), &hosts_natively(&urls));
        let guest = measure(rows, || drop(std::hint::black_box(call())));
        line(
            "host of a URL of 62 bytes",
            rows,
            guest,
            measure(rows, || drop(std::hint::black_box(hosts_natively(&urls)))),
        );
    }
    let plugin = plugin("speed", "json_fields");
    for rows in ROWS {
        let batch = objects(rows);
        let mut applier = plugin.applier(batch.schema_ref()).expect("it takes text");
        let schema = applier.output_schema().clone();
        assert_eq!(applier.apply(&batch).expect("it applies").batch, fields_natively(&batch, &schema));
        let guest = measure(rows, || drop(std::hint::black_box(applier.apply(&batch))));
        line(
            "3 fields of a JSON object",
            rows,
            guest,
            measure(rows, || drop(std::hint::black_box(fields_natively(&batch, &schema)))),
        );
    }
    for rows in ROWS {
        line("count by key", rows, keyed(rows), keyed_natively(rows));
    }
}
