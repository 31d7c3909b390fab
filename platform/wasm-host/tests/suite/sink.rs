//! Plugins that take rows away, through the host: what they are told, what they may reach, and what it costs them not to
//! come back.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use braid_kernel::SinkError;
use braid_spec::model::{Grants, HttpLimits, OutputMode, PluginLimits};
use braid_wasm_host::{Plugin, SinkPlugin};

use crate::kept::rebuilt;
use crate::support::{LIMITS, cache, evil_granted, notes, plugins, schema};

/// A service on loopback: `/ok`, `/moved` to wherever it is told, `/large`, `/never`; and what it was sent.
struct Service {
    origin: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Service {
    fn start(moved_to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let origin = format!("http://{}", listener.local_addr().expect("it is bound"));
        let seen = Arc::new(Mutex::new(vec![]));
        let (ours, moved_to) = (seen.clone(), moved_to.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, moved_to) = (ours.clone(), moved_to.clone());
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(&stream);
                    let (mut request, mut length) = (String::new(), 0);
                    let _ = reader.read_line(&mut request);
                    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                    loop {
                        let mut line = String::new();
                        let read = reader.read_line(&mut line);
                        if !read.is_ok_and(|bytes| bytes > 2) {
                            break;
                        }
                        let line = line.to_ascii_lowercase();
                        if let Some(value) = line.strip_prefix("content-length:") {
                            length = value.trim().parse().unwrap_or(0);
                        }
                        for name in ["braid-epoch", "idempotency-key", "authorization"] {
                            if line.starts_with(name) {
                                request.push_str(&line);
                            }
                        }
                    }
                    let mut body = vec![0; length];
                    let _ = reader.read_exact(&mut body);
                    seen.lock().expect("no panic").push(format!("{request}{}", String::from_utf8_lossy(&body)));
                    let (status, head, body) = match path.as_str() {
                        "/moved" => (302, format!("location: {moved_to}\r\n"), String::new()),
                        "/large" => (200, String::new(), "x".repeat(1 << 16)),
                        "/never" => {
                            std::thread::sleep(Duration::from_secs(60));
                            return;
                        }
                        "/wrong" => (500, String::new(), "it is Monday".to_owned()),
                        _ => (200, String::new(), String::new()),
                    };
                    let length = body.len();
                    let _ = write!(
                        &stream,
                        "HTTP/1.1 {status} x\r\n{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
                    );
                });
            }
        });
        Self { origin, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").clone()
    }
}

fn to(origin: &str) -> Grants {
    Grants { http: vec![origin.to_owned()], ..Grants::default() }
}

fn sink(plugin: &Plugin, options: &[(&str, &str)]) -> Result<SinkPlugin, String> {
    let options: BTreeMap<String, String> = options.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    plugin.sink("alerts", &options, &schema(), OutputMode::Update).map_err(|error| error.to_string())
}

fn requests(grants: &Grants, limits: PluginLimits) -> SinkPlugin {
    sink(&evil_granted("sink_requests", limits, grants).expect("it loads"), &[]).expect("it has no options")
}

/// Rows that are URLs, in one epoch: why it failed, and whether it may pass.
fn asked(sink: &SinkPlugin, urls: &[&str]) -> Result<(), (bool, String)> {
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values(urls));
    let ids = notes(urls.len(), &[]).column(0).clone();
    let rows = RecordBatch::try_new(schema(), vec![ids, texts]).expect("columns of the schema");
    sink.write("h", 7, &[rows]).map_err(|error| match error {
        SinkError::Retry(reason) => (true, reason),
        SinkError::Fatal(reason) => (false, reason),
    })
}

fn notify(service: &Service) -> Plugin {
    let path = plugins().join("notify/notify.wasm");
    Plugin::load("notify", &path, LIMITS, &to(&service.origin), Some(&cache())).expect("the kept component loads")
}

#[test]
fn the_kept_component_is_what_its_source_builds_to() {
    rebuilt("notify");
}

#[test]
fn an_epoch_is_a_request_with_its_number() {
    let service = Service::start("");
    let url = format!("{}/hook", service.origin);
    let sink = sink(&notify(&service), &[("url", &url), ("token", "s3cret")]).expect("its options are right");
    assert!(!sink.is_idempotent());
    sink.write("h", 7, &[notes(1, &[]), notes(0, &[]), notes(2, &[1])]).expect("it is taken");
    sink.write("h", 8, &[notes(0, &[])]).expect("there is nothing to take");
    sink.write("h", 9, &[]).expect("there is nothing to take");
    let seen = service.seen();
    let [one] = seen.as_slice() else { panic!("{seen:?}") };
    for part in
        ["POST /hook ", "braid-epoch: 7\r\n", "idempotency-key: alerts-h-7\r\n", "authorization: bearer s3cret\r\n"]
    {
        assert!(one.contains(part), "{one}");
    }
    let body = "{\"sink\":\"alerts\",\"epoch\":7,\"rows\":[{\"id\":0,\"note\":\"good\"},{\"id\":0,\"note\":\"good\"},{\"id\":1,\"note\":\"evil\"}]}";
    assert!(one.ends_with(body), "{one}");
}

#[test]
fn a_row_is_a_request_with_a_key_that_no_order_changes() {
    let service = Service::start("");
    let url = format!("{}/hook", service.origin);
    let options = [("url", url.as_str()), ("each", "row"), ("idempotent", "true")];
    let sink = sink(&notify(&service), &options).expect("its options are right");
    assert!(sink.is_idempotent());
    let rows = notes(3, &[1]);
    sink.write("h", 7, &[rows.slice(0, 1), rows.clone()]).expect("it is taken");
    sink.write("h", 7, &[rows.slice(1, 2), rows.slice(0, 1), rows.slice(0, 1)]).expect("it is taken again");
    let (mut one, mut other) = (service.seen()[..4].to_vec(), service.seen()[4..].to_vec());
    one.sort();
    other.sort();
    assert_eq!(one, other);
    one.dedup();
    assert_eq!(one.len(), 4, "a row that is there twice has two keys");
}

#[test]
fn options_are_looked_at_when_it_is_planned() {
    let service = Service::start("");
    let notify = notify(&service);
    let refused = |options: &[(&str, &str)]| sink(&notify, options).expect_err("it is refused");
    assert_eq!(refused(&[]), "plugin `notify`: needs the option `url`");
    let url = format!("{}/hook", service.origin);
    assert_eq!(
        refused(&[("url", &url), ("eech", "row")]),
        "plugin `notify`: has no option `eech`; there are: url, each, token, idempotent"
    );
    assert_eq!(
        refused(&[("url", "https://example.com/x")]),
        "plugin `notify`: https://example.com was not granted: write `grants: {http: [\"https://example.com\"]}` for the plugin `notify`"
    );
    let early = evil_granted("sink_requests", LIMITS, &to(&service.origin)).expect("it loads");
    let early = sink(&early, &[("early", &url)]).expect_err("nothing is sent when it is planned");
    assert!(early.contains("not when a deployment is planned"), "{early}");
    assert_eq!(service.seen(), Vec::<String>::new());
}

#[test]
fn what_is_not_granted_is_not_reached() {
    let other = Service::start("");
    let service = Service::start(&format!("{}/ok", other.origin));
    let sink = requests(&to(&service.origin), LIMITS);
    let url = |path: &str| format!("{}{path}", service.origin);
    assert_eq!(asked(&sink, &[&url("/ok"), &url("/ok")]), Ok(()));
    let (passes, reason) = asked(&sink, &[&format!("{}/ok", other.origin)]).expect_err("it was not granted");
    assert!(!passes && reason.contains("was not granted: write `grants: {http: ["), "{reason}");
    let (passes, reason) = asked(&sink, &[&url("/moved")]).expect_err("it is not followed");
    assert!(passes && reason.ends_with("status 302"), "{reason}");
    let (passes, reason) = asked(&sink, &[&url("/ok|Host=other")]).expect_err("a name beside the URL's");
    assert!(!passes && reason.contains("has the header `host`"), "{reason}");
    assert_eq!(other.seen(), Vec::<String>::new());
}

#[test]
fn a_name_for_this_machine_is_not_meant() {
    let service = Service::start("");
    let port = service.origin.rsplit(':').next().expect("a port");
    // Whatever resolves this machine's own name, or nothing does: nothing of it is public.
    let name = std::fs::read_to_string("/etc/hostname").map_or("ip6-loopback".into(), |name| name.trim().to_owned());
    let origin = format!("http://{}:{port}", name.to_ascii_lowercase());
    let (_, reason) = asked(&requests(&to(&origin), LIMITS), &[&origin]).expect_err("it stands for this machine");
    assert!(reason.contains("stands for") || reason.contains("does not answer"), "{reason}");
    assert_eq!(service.seen(), Vec::<String>::new());
    let origin = format!("http://localhost:{port}");
    assert_eq!(asked(&requests(&to(&origin), LIMITS), &[&origin]), Ok(()), "localhost is this machine by its name");
}

#[test]
fn requests_have_limits() {
    let service = Service::start("");
    let url = |path: &str| format!("{}{path}", service.origin);
    let limits = |http: HttpLimits| requests(&to(&service.origin), PluginLimits { http, ..LIMITS });
    let few = limits(HttpLimits { requests: 2, ..LIMITS.http });
    let (passes, reason) = asked(&few, &[&url("/ok"); 3].map(|url| url.as_str())).expect_err("one too many");
    assert!(!passes && reason.contains("more than 2 requests in one epoch (`http_requests`)"), "{reason}");
    assert_eq!(service.seen().len(), 2);
    let (passes, reason) = asked(&limits(LIMITS.http), &[&url("/large")]).expect_err("its answer is too large");
    assert!(passes && reason.contains("answers with more than 1024 bytes (`http_response`)"), "{reason}");
    let hasty = limits(HttpLimits { time: Duration::from_millis(300), ..LIMITS.http });
    let (passes, reason) = asked(&hasty, &[&url("/never")]).expect_err("it never answers");
    assert!(passes && reason.contains("did not answer within 300ms"), "{reason}");
    let waits = limits(HttpLimits { wait: Duration::from_millis(300), ..LIMITS.http });
    let (passes, reason) = asked(&waits, &[&url("/never")]).expect_err("it never answers");
    assert!(passes && reason.contains("did not answer within 300ms"), "the wait of the epoch: {reason}");
}

#[test]
fn waiting_is_not_the_plugins_time() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let origin = format!("http://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::sleep(LIMITS.time * 3);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    assert_eq!(asked(&requests(&to(&origin), LIMITS), &[&origin]), Ok(()));
}

#[test]
fn an_epoch_that_is_done_is_not_taken_again() {
    let service = Service::start("");
    let plugin = evil_granted("sink_requests", LIMITS, &to(&service.origin)).expect("it loads");
    let sink = sink(&plugin, &[("done", "7"), ("idempotent", "yes")]).expect("it takes what it is told");
    assert!(sink.is_idempotent());
    assert_eq!(asked(&sink, &["http://nowhere"]), Ok(()));
}

#[test]
fn its_own_errors_may_pass_and_its_crimes_do_not() {
    let service = Service::start("");
    let (passes, reason) =
        asked(&requests(&to(&service.origin), LIMITS), &[&format!("{}/wrong", service.origin)]).expect_err("an error");
    assert_eq!((passes, reason.as_str()), (true, "plugin `sink_requests`: status 500"));
    let plugin = evil_granted("sink_loop", LIMITS, &Grants::default()).expect("it loads without a grant");
    let endless = sink(&plugin, &[]).expect("it has no options");
    endless.write("h", 1, &[notes(8192, &[])]).expect("innocent rows pass");
    let error = endless.write("h", 2, &[notes(8192, &[5000])]).expect_err("it never comes back");
    assert!(
        matches!(&error, SinkError::Fatal(reason) if reason.contains("ran longer than its limit of 100ms")),
        "{error}"
    );
    endless.write("h", 3, &[notes(8192, &[])]).expect("it goes on");
    let traps =
        sink(&evil_granted("sink_trap", LIMITS, &Grants::default()).expect("it loads"), &[]).expect("no options");
    let error = traps.write("h", 1, &[notes(10, &[5])]).expect_err("it panics").to_string();
    assert!(error.contains("plugin `sink_trap`: process: panicked: "), "{error}");
    assert!(error.contains("such a row is not taken"), "{error}");
    traps.write("h", 2, &[notes(10, &[])]).expect("it goes on");
}

#[test]
fn grants_are_asked_for_and_not_given_in_vain() {
    let error = evil_granted("sink_requests", LIMITS, &Grants::default()).expect_err("it sends requests");
    assert!(error.to_string().contains("was granted none: say to whom"), "{error}");
    let error = evil_granted("sink_loop", LIMITS, &to("http://127.0.0.1:1")).expect_err("it sends none");
    assert_eq!(error.to_string(), "plugin `sink_loop` sends no requests: take its `grants` out");
    let error = evil_granted("trap", LIMITS, &to("http://127.0.0.1:1")).expect_err("a transform sends none");
    assert!(error.to_string().contains("sends no requests"), "{error}");
}

#[test]
fn a_plugin_that_takes_rows_away_has_its_place() {
    let plugin = evil_granted("sink_loop", LIMITS, &Grants::default()).expect("it loads");
    let error = plugin.describe(&schema()).expect_err("it gives nothing out");
    assert_eq!(error.to_string(), "plugin `sink_loop` takes rows away: it stands in a sink, not in `apply`");
    let plugin = evil_granted("trap", LIMITS, &Grants::default()).expect("it loads");
    assert_eq!(
        sink(&plugin, &[]).expect_err("it gives rows out"),
        "plugin `trap` gives rows out: it stands in `apply`, not in a sink"
    );
}
