//! A river in memory and a client of a few lines, for tests over real loopback HTTP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use arrow::array::{Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use axum::body::Bytes;
use braid_engine::{Catalog, Engine, EventTime, Input, Reader};
use braid_kernel::manifest::{Change, Counts, Edit, EpochCommit, Manifest, Open, Plan};
use braid_kernel::memory::MemorySegments;
use braid_kernel::notices::{DEAD_LETTERS, dead_letters_schema};
use braid_kernel::offsets::SourcePlan;
use braid_kernel::serve::{Board, Snapshot};
use braid_kernel::{EpochStart, Ingest, Segments, SourceError, TableKind};
use braid_serve::{QueryState, QueryStatus, ServeError, ServeState, bind};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const WRITER: &str = "test";
const VIEWS: [(&str, &str); 5] = [
    ("by_country", "SELECT country, count(*) AS n, sum(amount) AS total FROM orders GROUP BY country"),
    (
        "by_window",
        "SELECT country, window(at, '10 seconds') AS w, count(*) AS n FROM orders GROUP BY country, window(at, '10 seconds')",
    ),
    ("all", "SELECT count(*) AS n, max(amount) AS most FROM orders"),
    ("sizes", "SELECT count(*) AS n FROM orders GROUP BY country, amount"),
    ("large", "SELECT country, amount FROM orders WHERE amount >= 100"),
];

/// Country, amount, seconds since the Unix epoch.
pub type Order = (&'static str, i64, i64);

/// A deployment without loops: tests commit epochs themselves.
pub struct River {
    pub state: ServeState,
    pub journal: Arc<Journal>,
    segments: Arc<MemorySegments>,
    manifest: Manifest,
    read: i64,
}

impl River {
    /// Views compiled, the store opened, nothing read.
    pub async fn new() -> Self {
        let inputs = BTreeMap::from([(
            "orders".to_owned(),
            Input {
                schema: orders_schema(),
                watermark: Some(EventTime { column: "at".into(), delay_ms: 0 }),
                gate: None,
            },
        )]);
        let engine = Engine::compile(Catalog {
            inputs,
            statics: BTreeMap::new(),
            views: VIEWS.map(|(name, sql)| (name.to_owned(), sql.to_owned())).into(),
            ..Catalog::default()
        })
        .await
        .unwrap();
        let segments = Arc::new(MemorySegments::default());
        let reader = Reader::new(engine.clone(), segments.clone()).with_ledger(DEAD_LETTERS, dead_letters_schema());
        let journal = Arc::new(Journal::default());
        let ingest: Arc<dyn Ingest> = journal.clone();
        let state = ServeState {
            deployment: "shop".into(),
            layout: "kappa".into(),
            id: "q-1".into(),
            run_id: "r-1".into(),
            trigger: "default".into(),
            engine,
            reader: Arc::new(reader),
            board: Board::new(Snapshot::default()),
            ingest: BTreeMap::from([("orders".to_owned(), ingest)]),
            plugins: BTreeMap::from([("anonymise".to_owned(), "sha-1234".to_owned())]),
            status: Arc::new(QueryStatus::default()),
        };
        let mut river = Self { state, journal, segments, manifest: Manifest::default(), read: 0 };
        let mut open = Open {
            deployment: "shop".into(),
            layout: "kappa".into(),
            definitions: BTreeMap::new(),
            described: BTreeMap::new(),
            kinds: BTreeMap::from([(DEAD_LETTERS.to_owned(), TableKind::Ledger)]),
        };
        for (name, info) in river.state.engine.views() {
            open.kinds.insert(name.clone(), info.kind);
            open.definitions.insert(name.clone(), format!("digest of {name}"));
        }
        river.apply(Change::Open(open));
        river.publish(BTreeMap::new());
        river.state.status.set(QueryState::Running);
        river
    }

    fn apply(&mut self, change: Change) {
        let writer = WRITER.to_owned();
        self.manifest.apply(&Edit { writer, change }).unwrap();
    }

    fn publish(&self, hot: BTreeMap<String, Vec<RecordBatch>>) {
        let epoch = self.manifest.next.checked_sub(1).map(|epoch| (epoch, &hot));
        self.state.board.advance(Arc::new(self.manifest.clone()), epoch);
    }

    /// One epoch of these orders, with the watermark at the greatest event time.
    pub async fn epoch(&mut self, orders: &[Order]) {
        let batch = RecordBatch::try_new(
            orders_schema(),
            vec![
                Arc::new(StringArray::from_iter_values(orders.iter().map(|o| o.0))),
                Arc::new(Int64Array::from_iter_values(orders.iter().map(|o| o.1))),
                Arc::new(TimestampMicrosecondArray::from_iter_values(orders.iter().map(|o| o.2 * 1_000_000))),
            ],
        )
        .unwrap();
        let epoch = self.manifest.next;
        let mut job = self.state.engine.job().unwrap();
        job.begin(EpochStart { epoch, late_before: self.manifest.watermark, planned_at: 0 });
        job.feed("orders", &batch).await.unwrap();
        let result = job.finish(None).await.unwrap();
        let mut deltas = BTreeMap::new();
        for (view, batches) in &result.deltas {
            let name = format!("delta/{view}/{epoch}");
            let segment = self.segments.write(&name, batches).await.unwrap();
            deltas.insert(view.clone(), vec![segment]);
        }
        let end = self.read + orders.len() as i64;
        let plan = SourcePlan {
            start: BTreeMap::from([("0".to_owned(), self.read)]),
            end: BTreeMap::from([("0".to_owned(), end)]),
            ..SourcePlan::default()
        };
        self.read = end;
        self.apply(Change::Plan(Plan { epoch, sources: BTreeMap::from([("orders".to_owned(), plan)]), at_ms: 0 }));
        let most = orders.iter().map(|o| o.2 * 1_000).max().unwrap_or(0);
        let watermark = self.manifest.watermark.unwrap_or(0).max(most);
        self.apply(Change::Commit(EpochCommit {
            epoch,
            deltas,
            log: None,
            event_time: BTreeMap::from([("orders".to_owned(), (most, watermark))]),
            watermark: Some(watermark),
            counts: Counts { rows: BTreeMap::from([("orders".to_owned(), orders.len() as u64)]), ..Counts::default() },
            at_ms: 1_700_000_000_000,
        }));
        self.publish(result.deltas);
    }

    /// Shows a manifest in which a delta is missing.
    pub fn tear(&mut self, view: &str) {
        let mut torn = self.manifest.clone();
        torn.tables.get_mut(view).unwrap().deltas.remove(0);
        let hot = self.state.board.snapshot().hot.clone();
        let manifest = Arc::new(torn);
        self.state.board.publish(Snapshot { manifest, hot });
    }

    /// Serves it on a free loopback port.
    pub async fn serve(&self) -> Served {
        let server = bind("127.0.0.1:0", self.state.clone()).await.unwrap();
        let address = server.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Served { address, stop, running }
    }
}

fn orders_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("country", DataType::Utf8, true),
        Field::new("amount", DataType::Int64, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
    ]))
}

/// A journal that counts lines, or is full.
#[derive(Default)]
pub struct Journal {
    pub lines: Mutex<i64>,
    pub full: Mutex<bool>,
}

#[async_trait]
impl Ingest for Journal {
    async fn append(&self, body: Bytes) -> Result<Range<i64>, SourceError> {
        if *self.full.lock().unwrap() {
            return Err(SourceError::Retry("the journal is full".into()));
        }
        let mut lines = self.lines.lock().unwrap();
        let start = *lines;
        *lines += body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count() as i64;
        Ok(start..*lines)
    }
}

/// A running server.
pub struct Served {
    pub address: SocketAddr,
    pub stop: oneshot::Sender<()>,
    pub running: JoinHandle<Result<(), ServeError>>,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The problem's code, which is also in its type and stands with its status.
    pub fn problem(&self) -> (u16, String) {
        let json = self.json();
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(json["status"], self.status);
        let code = json["code"].as_str().unwrap().to_owned();
        assert_eq!(json["type"], format!("urn:braid:problem:{code}"));
        (self.status, code)
    }
}

impl Served {
    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"").await
    }

    pub async fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Reply {
        self.send("POST", path, &[], body.as_ref()).await
    }

    pub async fn sql(&self, sql: &str) -> Reply {
        self.post("/v1/sql", serde_json::json!({"sql": sql}).to_string()).await
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Reply {
        Self::reply(self.open(method, path, headers, body).await).await
    }

    /// Sends a head whose body is as long as `length` says, and nothing of the body.
    pub async fn send_length(&self, path: &str, length: usize) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("POST {path} HTTP/1.0\r\nhost: {}\r\ncontent-length: {length}\r\n\r\n", self.address);
        stream.write_all(head.as_bytes()).await.unwrap();
        Self::reply(stream).await
    }

    /// All of a reply.
    pub async fn reply(mut stream: TcpStream) -> Reply {
        let mut bytes = vec![];
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        Reply { status, headers, text: body.to_owned() }
    }

    /// Sends a request as HTTP/1.0, so that the body comes as it is and ends with the connection.
    pub async fn open(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut head = format!("{method} {path} HTTP/1.0\r\ncontent-length: {}\r\n", body.len());
        if !headers.iter().any(|header| header.starts_with("host:")) {
            head += &format!("host: {}\r\n", self.address);
        }
        for header in headers {
            head += &format!("{header}\r\n");
        }
        head += "\r\n";
        // A server that refuses early may close before it has read all of a body.
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(body).await;
        stream
    }

    /// Follows a view's changes.
    pub async fn follow(&self, path: &str) -> Events {
        let stream = self.open("GET", path, &["accept: text/event-stream"], b"").await;
        let mut events = Events { stream, buffer: vec![] };
        let head = events.until("\r\n\r\n").await.unwrap();
        assert!(head.contains(" 200 OK"), "{head}");
        assert!(head.to_lowercase().contains("content-type: text/event-stream"), "{head}");
        events
    }
}

/// Server-sent events.
pub struct Events {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Events {
    async fn until(&mut self, end: &str) -> Option<String> {
        let end = end.as_bytes();
        loop {
            if let Some(place) = self.buffer.windows(end.len()).position(|here| here == end) {
                let rest = self.buffer.split_off(place + end.len());
                let text = std::mem::replace(&mut self.buffer, rest);
                return Some(String::from_utf8(text).unwrap());
            }
            if self.stream.read_buf(&mut self.buffer).await.unwrap() == 0 {
                return None;
            }
        }
    }

    /// The next event's name, id and data; `None` when the stream has ended.
    pub async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            let text = self.until("\n\n").await?;
            let field = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name));
                line.map(|value| value.trim().to_owned())
            };
            // A comment keeps the connection alive and is no event.
            if let Some(name) = field("event:") {
                let data = serde_json::from_str(&field("data:").unwrap()).unwrap();
                return Some((name, field("id:").unwrap_or_default(), data));
            }
        }
    }
}
