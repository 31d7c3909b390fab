//! What the tests share: guests built from source, limits, and batches.

pub mod handmade;
pub mod lines;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use braid_spec::model::{Grants, HttpLimits, PluginLimits};
use braid_wasm_host::{Plugin, PluginError, componentize};

pub const LIMITS: PluginLimits = PluginLimits {
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

pub fn plugins() -> PathBuf {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the crate is")).join("../../plugins")
}

/// What `plugins/build` prints.
pub fn run_build(arguments: &[&str]) -> String {
    let output = Command::new(plugins().join("build")).args(arguments).output();
    let output = output.expect("plugins/build can be run");
    assert!(output.status.success(), "plugins/build {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// The components of a crate under `plugins/`, built from source, by name.
pub fn built(name: &str) -> BTreeMap<String, Vec<u8>> {
    let directory = run_build(&["--core", name]);
    let files = std::fs::read_dir(&directory).expect("the build made a directory");
    files
        .map(|file| {
            let path = file.expect("a file").path();
            let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let module = std::fs::read(&path).expect("a core module");
            (stem, componentize(&module).expect("a guest's core module"))
        })
        .collect()
}

/// A guest that commits a crime on records marked with the text `evil`.
pub fn evil(crime: &str, limits: PluginLimits) -> Result<Plugin, PluginError> {
    evil_granted(crime, limits, &Grants::default())
}

/// One that may reach something.
pub fn evil_granted(crime: &str, limits: PluginLimits, grants: &Grants) -> Result<Plugin, PluginError> {
    static EVIL: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
    let components = EVIL.get_or_init(|| built("evil"));
    Plugin::from_bytes(crime, &components[crime], limits, grants, Some(&cache()))
}

/// The processor time that this thread has used.
pub fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Compiled code, kept from one test to the next.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled")
}

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("note", DataType::Utf8, true)]))
}

/// Numbered rows with a text each; those of `marked` are marked.
pub fn notes(rows: usize, marked: &[usize]) -> RecordBatch {
    notes_of(rows, marked, "evil")
}

/// The same with this mark.
pub fn notes_of(rows: usize, marked: &[usize], mark: &str) -> RecordBatch {
    let texts = (0..rows).map(|row| if marked.contains(&row) { mark } else { "good" });
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from_iter_values(0..rows as i64)), Arc::new(StringArray::from_iter_values(texts))];
    RecordBatch::try_new(schema(), columns).expect("columns of the schema")
}

/// The same batch without some rows.
pub fn without(batch: &RecordBatch, rows: &[usize]) -> RecordBatch {
    let keep = (0..batch.num_rows()).map(|row| Some(!rows.contains(&row)));
    arrow::compute::filter_record_batch(batch, &keep.collect()).expect("as many marks as rows")
}
