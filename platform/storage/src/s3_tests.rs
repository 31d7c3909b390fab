//! The laws over a real S3-speaking server on loopback, through the environment and [`open`] as a user would.
//!
//! `BRAID_TEST_S3` names a server that is there already (its bucket `braid`, its rights in `AWS_…`); otherwise
//! `e2e/setup/s3` installs and runs one.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use braid_kernel::laws_store::{segments_laws, store_laws};
use braid_kernel::{Manifest, StoreError};
use bytes::Bytes;

use crate::{ParquetSegments, collect, open};

const THIS_TEST: &str = "s3_tests::a_real_server_keeps_the_laws";
/// Set in the process that has the server's address in its environment.
const INSIDE: &str = "BRAID_TEST_S3_INSIDE";

struct Server(Child);

impl Server {
    fn start() -> (Self, String) {
        let script = Path::new(&std::env::var("CARGO_MANIFEST_DIR").expect("cargo says where the crate is"))
            .join("../../e2e/setup/s3");
        let mut process = Command::new(&script)
            .args(["run", "--die-with-parent"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", script.display()));
        let mut url = String::new();
        let output = process.stdout.take().expect("piped");
        let server = Self(process);
        BufReader::new(output).read_line(&mut url).expect("the server's output");
        assert!(url.starts_with("http://"), "e2e/setup/s3 did not start a server: see its messages above");
        (server, url.trim().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().expect("stopped");
        self.0.wait().expect("ended");
    }
}

/// Runs itself once more with the server in the environment: only a new process can have another one.
#[test]
fn a_real_server_keeps_the_laws() {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        return runtime.block_on(laws());
    }
    let (_server, endpoint) = match std::env::var("BRAID_TEST_S3") {
        Ok(endpoint) => (None, endpoint),
        Err(_) => {
            let (server, endpoint) = Server::start();
            (Some(server), endpoint)
        }
    };
    let mut inside = Command::new(std::env::current_exe().expect("this program"));
    inside.args([THIS_TEST, "--exact", "--nocapture"]);
    inside.env(INSIDE, "1").env("AWS_ENDPOINT", endpoint).env("AWS_ALLOW_HTTP", "true");
    for (key, value) in [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_REGION", "us-east-1")]
    {
        if std::env::var_os(key).is_none() {
            inside.env(key, value);
        }
    }
    let output = inside.output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

async fn laws() {
    let url = format!("s3://braid/laws/{}", uuid::Uuid::new_v4());
    let store = open(&url).expect("opens");
    store_laws(&*store).await;

    let numbers = Arc::new(Int64Array::from_iter_values(0..1_000)) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("number", numbers)]).expect("a batch");
    segments_laws(&ParquetSegments::new(store.clone()), &[batch]).await;

    let long = Bytes::from_iter((0..40 * 1024 * 1024).map(|index: usize| (index ^ (index >> 9)) as u8));
    store.put("long", long.clone()).await.expect("put in parts");
    assert!(store.get("long").await.expect("get") == long);

    // More than one page of a listing, and a collection of all of it but the epochs to come.
    let name = |epoch: u64| format!("tables/t/delta/{epoch:020}-w.parquet");
    let mut expected: Vec<String> = (0..1_010).map(name).collect();
    for name in &expected {
        store.put(name, Bytes::from_static(b"x")).await.expect("put");
    }
    assert_eq!(store.list("tables/").await.expect("list"), expected);
    let manifest = Manifest { next: 1_000, ..Manifest::default() };
    let report = collect(&*store, &manifest, &[]).await.expect("collects");
    assert_eq!(report.removed, expected[..1_000]);
    expected.drain(..1_000);
    assert_eq!(store.list("tables/").await.expect("list"), expected);

    let absent = open("s3://no-such-bucket/x").expect("opens: the bucket is only asked when it is used");
    let outcomes = [
        absent.put("a", Bytes::new()).await,
        absent.create("a", Bytes::new()).await,
        absent.list("a/").await.map(drop),
    ];
    for outcome in outcomes {
        match outcome {
            Err(StoreError::Failed { reason, .. }) => assert!(reason.contains("NoSuchBucket"), "{reason}"),
            other => panic!("a bucket that does not exist: {other:?}"),
        }
    }
}
