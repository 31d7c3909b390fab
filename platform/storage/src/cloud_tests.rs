//! Buckets that answer as real ones do on a bad day: which outcome is certain, and which is not.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

use object_store::aws::AmazonS3Builder;
use object_store::memory::InMemory;

use super::*;

/// How often the tests' stores try a request in all.
const TRIES: usize = 3;

/// What the server does with a request that it has read.
#[derive(Clone)]
enum Reply {
    Status(u16, &'static str),
    /// Promises more bytes than it sends.
    CutShort,
    /// Nothing: the connection breaks.
    Lost,
}

/// A server on loopback that gives each request the next reply, and the last one for ever. Returns what it was asked.
fn server(replies: &[Reply]) -> (CloudStore, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (mut replies, heard) = (VecDeque::from(replies.to_vec()), asked.clone());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.expect("a connection");
            heard.lock().expect("not poisoned").push(request(&mut connection));
            let reply = if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() };
            answer(&mut connection, &reply.expect("a reply"));
        }
    });
    (bucket(&format!("http://{address}")), asked)
}

fn request(connection: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&read).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split_once("content-length: ").map_or(0, |(_, rest)| {
                rest.split("\r\n").next().and_then(|digits| digits.parse().ok()).expect("a length")
            });
            if body.len() >= length {
                return text;
            }
        }
        let count = connection.read(&mut part).expect("a request");
        assert_ne!(count, 0, "the client closed: {text}");
        read.extend_from_slice(&part[..count]);
    }
}

fn answer(connection: &mut TcpStream, reply: &Reply) {
    let text = match reply {
        Reply::Status(status, body) => {
            let length = body.len();
            format!("HTTP/1.1 {status} x\r\nconnection: close\r\netag: \"1\"\r\nlast-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\ncontent-length: {length}\r\n\r\n{body}")
        }
        Reply::CutShort => {
            "HTTP/1.1 200 OK\r\nconnection: close\r\netag: \"1\"\r\nlast-modified: Mon, 01 Jan 2024 00:00:00 GMT\r\ncontent-length: 10\r\n\r\nhalf".to_owned()
        }
        Reply::Lost => return,
    };
    connection.write_all(text.as_bytes()).expect("answered");
}

fn bucket(endpoint: &str) -> CloudStore {
    let builder = AmazonS3Builder::new()
        .with_bucket_name("bucket")
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_access_key_id("key")
        .with_secret_access_key("secret")
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(1),
                max_backoff: Duration::from_millis(2),
                base: 2.0,
            },
            max_retries: TRIES - 1,
            ..retry()
        });
    let objects = builder.build().expect("a bucket");
    CloudStore::new(Arc::new(objects), Path::parse("folder").expect("a folder"))
}

fn value() -> Bytes {
    Bytes::from_static(b"value")
}

#[tokio::test]
async fn object_stores_memory_keeps_the_laws() {
    let store = CloudStore::new(Arc::new(InMemory::new()), Path::parse("some/folder").expect("a folder"));
    braid_kernel::laws_store::store_laws(&store).await;
}

#[tokio::test]
async fn a_long_object_goes_in_parts_and_comes_back_whole() {
    let store = CloudStore::new(Arc::new(InMemory::new()), Path::default());
    let long = Bytes::from_iter((0..WHOLE_BYTES_MAX + PART_BYTES / 2).map(|index| (index ^ (index >> 9)) as u8));
    store.put("long", long.clone()).await.expect("put");
    assert!(store.get("long").await.expect("get") == long);
}

#[tokio::test]
async fn names_that_leave_the_folder_are_refused() {
    let store = CloudStore::new(Arc::new(InMemory::new()), Path::parse("folder").expect("a folder"));
    for name in ["", "/a", "../a", "a/../b", "a//b", "a/", ".", "a\nb"] {
        assert!(matches!(store.put(name, value()).await, Err(StoreError::Failed { .. })), "{name:?}");
        assert!(matches!(store.create(name, value()).await, Err(StoreError::Failed { .. })), "{name:?}");
        assert!(matches!(store.get(name).await, Err(StoreError::Failed { .. })), "{name:?}");
        assert!(matches!(store.delete(name).await, Err(StoreError::Failed { .. })), "{name:?}");
    }
}

#[tokio::test]
async fn a_create_asks_for_a_free_name_and_is_tried_again_when_the_server_is_busy() {
    let (store, asked) = server(&[Reply::Status(503, "SlowDown"), Reply::Status(200, "")]);
    store.create("a b", value()).await.expect("the second try succeeds");
    let asked = asked.lock().expect("not poisoned");
    assert_eq!(asked.len(), 2);
    for request in asked.iter() {
        assert!(request.starts_with("put /bucket/folder/a%20b http/1.1"), "{request}");
        assert!(request.contains("if-none-match: *"), "{request}");
    }
}

/// The first try succeeded and its reply was lost: the second is told that the name is taken, and so is the caller,
/// who has to look whose value it is.
#[tokio::test]
async fn a_create_whose_reply_was_lost_is_found_to_exist() {
    let (store, asked) = server(&[Reply::Lost, Reply::Status(412, "PreconditionFailed")]);
    assert!(matches!(store.create("a", value()).await, Err(StoreError::Exists(name)) if name == "a"));
    assert_eq!(asked.lock().expect("not poisoned").len(), 2);
}

#[tokio::test]
async fn every_outcome_of_a_write_has_its_kind() {
    let conflict = Reply::Status(409, "<Error><Code>ConditionalRequestConflict</Code></Error>");
    let cases = [
        (Reply::Status(412, "PreconditionFailed"), "exists"),
        (conflict, "unknown"),
        (Reply::Status(500, "InternalError"), "unknown"),
        (Reply::Status(503, "SlowDown"), "unknown"),
        (Reply::Status(429, "TooManyRequests"), "unknown"),
        (Reply::Status(408, "RequestTimeout"), "unknown"),
        (Reply::Lost, "unknown"),
        (Reply::Status(400, "InvalidRequest"), "failed"),
        (Reply::Status(401, "Unauthorized"), "failed"),
        (Reply::Status(403, "AccessDenied"), "failed"),
        (Reply::Status(404, "NoSuchBucket"), "failed"),
        (Reply::Status(405, "MethodNotAllowed"), "failed"),
        (Reply::Status(301, "PermanentRedirect"), "failed"),
    ];
    for (reply, expected) in cases {
        let (store, asked) = server(&[reply]);
        for outcome in [store.create("a", value()).await, store.put("a", value()).await] {
            let error = outcome.expect_err("no success");
            let found = match &error {
                StoreError::Exists(_) => "exists",
                StoreError::Unknown { .. } => "unknown",
                StoreError::Failed { .. } => "failed",
                StoreError::NotFound(_) | StoreError::Corrupt { .. } => "wrong",
            };
            assert_eq!(found, expected, "{error}");
        }
        assert!(asked.lock().expect("not poisoned").len() <= 2 * TRIES, "tries have a bound");
    }
}

#[tokio::test]
async fn a_server_that_is_away_leaves_the_outcome_open() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let store = bucket(&format!("http://{}", listener.local_addr().expect("an address")));
    drop(listener);
    assert!(matches!(store.get("a").await, Err(StoreError::Unknown { .. })));
    assert!(matches!(store.put("a", value()).await, Err(StoreError::Unknown { .. })));
    assert!(matches!(store.create("a", value()).await, Err(StoreError::Unknown { .. })));
    assert!(matches!(store.list("a/").await, Err(StoreError::Unknown { .. })));
    assert!(matches!(store.delete("a").await, Err(StoreError::Unknown { .. })));
}

#[tokio::test]
async fn a_read_is_whole_or_an_error() {
    let (store, _) = server(&[Reply::Status(404, "NoSuchKey")]);
    assert!(matches!(store.get("a").await, Err(StoreError::NotFound(name)) if name == "a"));
    let (store, _) = server(&[Reply::CutShort]);
    assert!(matches!(store.get("a").await, Err(StoreError::Unknown { .. })));
    let (store, _) = server(&[Reply::Status(503, "SlowDown"), Reply::Status(200, "value")]);
    assert_eq!(store.get("a").await.expect("the second try"), "value");
    let (store, _) = server(&[Reply::Status(403, "AccessDenied")]);
    assert!(matches!(store.list("a/").await, Err(StoreError::Failed { .. })));
}
