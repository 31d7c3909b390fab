//! What a crossing costs: `cargo run --release -p braid-wasm-host --example crossing`. Prints nanoseconds a row of the
//! example plugin, and of the same work in plain Rust over the same Arrow arrays.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, StringBuilder};
use braid_spec::model::{Grants, HttpLimits, PluginLimits};
use braid_wasm_host::Plugin;

const ROWS: usize = 8192;
const ROUNDS: usize = 15;
const BATCHES_PER_ROUND: u32 = 100;

const LIMITS: PluginLimits = PluginLimits {
    memory_bytes: 64 << 20,
    time: Duration::from_millis(100),
    output_bytes: 16 << 20,
    stack_bytes: 1 << 20,
    table_elements: 100_000,
    log_bytes: 1 << 10,
    module_bytes: 1 << 20,
    compile_time: Duration::from_secs(120),
    http: HttpLimits {
        requests: 10,
        time: Duration::from_secs(5),
        wait: Duration::from_secs(20),
        request_bytes: 1 << 20,
        response_bytes: 1 << 10,
    },
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = Path::new(&std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the crate is"))
        .join("../../plugins/anonymise/anonymise.wasm");
    let cache = tempfile::tempdir()?;
    let load = |kept: &str| {
        let began = Instant::now();
        let plugin = Plugin::load("anonymise", &path, LIMITS, &Grants::default(), Some(cache.path()));
        println!("load, {kept}: {:?}", began.elapsed());
        plugin
    };
    load("compiled")?;
    let plugin = load("compiled before")?;
    let batch = batch()?;
    let mut applier = plugin.applier(batch.schema_ref())?;
    let guest = applier.apply(&batch)?.batch;
    assert_eq!(guest, native(&batch)?, "the same rows");
    let mut failed = 0;
    let apply = nanoseconds_a_row(|| {
        failed += applier.apply(&batch).map_or(ROWS, |applied| applied.failed.len());
    });
    let mut rows = 0;
    let plain = nanoseconds_a_row(|| rows += native(&batch).map_or(0, |batch| batch.num_rows()));
    println!("plugin: {apply:.1} ns/row ({failed} failed)");
    println!("native: {plain:.1} ns/row ({rows} rows)");
    Ok(())
}

/// This thread's processor time: what others do on the machine is not in it.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// The best round: what the work costs where nobody disturbs it.
fn nanoseconds_a_row(mut work: impl FnMut()) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let began = thread_time();
        (0..BATCHES_PER_ROUND).for_each(|_| work());
        (thread_time() - began) / BATCHES_PER_ROUND
    });
    rounds.min().map_or(0.0, |best| best.as_secs_f64() * 1e9 / ROWS as f64)
}

/// Rows like those of an advertising stream: two identifiers, a word, a time and an address.
fn batch() -> Result<RecordBatch, arrow::error::ArrowError> {
    let numbers = || 0..ROWS as u32;
    let identifiers = || numbers().map(|n| format!("{:08x}-5a3c-4b1e-9d27-{:012x}", n.wrapping_mul(2_654_435_761), n));
    let words = numbers().map(|n| ["view", "click", "purchase"][n as usize % 3]);
    let addresses = numbers().map(|n| std::net::Ipv4Addr::from(n.wrapping_mul(2_654_435_761)).to_string());
    let columns: [(&str, ArrayRef); 5] = [
        ("user_id", Arc::new(StringArray::from_iter_values(identifiers()))),
        ("ad_id", Arc::new(StringArray::from_iter_values(identifiers()))),
        ("event_type", Arc::new(StringArray::from_iter_values(words))),
        ("event_time", Arc::new(Int64Array::from_iter_values(0..ROWS as i64))),
        ("ip", Arc::new(StringArray::from_iter_values(addresses))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
}

/// The plugin's work on IPv4 addresses, without the sandbox.
fn native(batch: &RecordBatch) -> Result<RecordBatch, arrow::error::ArrowError> {
    let ip = batch.schema().index_of("ip")?;
    let addresses = batch.column(ip).as_any().downcast_ref::<StringArray>();
    let addresses = addresses.ok_or_else(|| arrow::error::ArrowError::SchemaError("ip is text".into()))?;
    let mut networks = StringBuilder::with_capacity(ROWS, addresses.values().len());
    for address in addresses {
        match address.and_then(network) {
            Some(network) => {
                use std::fmt::Write;
                let _ = networks.write_str(network);
                networks.append_value("0");
            }
            None => networks.append_null(),
        }
    }
    let mut columns = batch.columns().to_vec();
    columns[ip] = Arc::new(networks.finish());
    RecordBatch::try_new(batch.schema(), columns)
}

fn network(address: &str) -> Option<&str> {
    let mut octets = address.split('.');
    let valid = octets.by_ref().take(4).all(|octet| octet.parse::<u8>().is_ok());
    let end = address.rfind('.')?;
    (valid && octets.next().is_none()).then(|| &address[..=end])
}
