//! A web service for tests: takes what is posted over loopback, keeps it, and answers as it is told.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;

/// What was posted.
#[derive(Debug, Clone, PartialEq)]
pub struct Posted {
    /// The header `braid-sink`.
    pub sink: String,
    /// The header `braid-epoch`.
    pub epoch: u64,
    /// The header `idempotency-key`.
    pub key: String,
    /// The rows, or the row, as lines of JSON, sorted: an epoch that comes again may have them in another order.
    pub rows: Vec<String>,
    /// The status that was answered; 0 where there was no answer.
    pub status: u16,
}

/// An answer.
#[derive(Debug, Clone)]
pub enum Answer {
    /// This status.
    Status(u16),
    /// To another place.
    Moved(String),
    /// None, until the connection ends.
    Never,
}

#[derive(Default)]
struct State {
    next: VecDeque<Answer>,
    posted: Vec<Posted>,
}

/// A service that listens until the process ends.
#[derive(Clone)]
pub struct Hook {
    address: String,
    state: Arc<Mutex<State>>,
}

impl Hook {
    /// One that answers 200.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let hook = Self { address, state: Arc::default() };
        let ours = hook.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let hook = ours.clone();
                std::thread::spawn(move || hook.serve(&stream));
            }
        });
        hook
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no request panics")
    }

    /// What a deployment grants.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next requests are answered so, each by one; those after them by 200.
    pub fn answers(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state().next = answers.into_iter().collect();
    }

    /// All that was posted.
    pub fn posted(&self) -> Vec<Posted> {
        self.state().posted.clone()
    }

    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while self.request(stream, &mut reader).is_some() {}
    }

    /// One request of a connection; nothing where it has ended.
    fn request(&self, mut stream: &TcpStream, reader: &mut BufReader<&TcpStream>) -> Option<()> {
        let (mut request, mut length) = (String::new(), 0);
        reader.read_line(&mut request).ok().filter(|bytes| *bytes > 0)?;
        let mut posted = Posted { sink: String::new(), epoch: u64::MAX, key: String::new(), rows: vec![], status: 0 };
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            let value = value.trim().to_owned();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().ok()?,
                "braid-epoch" => posted.epoch = value.parse().ok()?,
                "braid-sink" => posted.sink = value,
                "idempotency-key" => posted.key = value,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body: Value = serde_json::from_slice(&body).ok()?;
        posted.rows = match body["rows"].as_array() {
            Some(rows) => rows.iter().map(Value::to_string).collect(),
            None => vec![body.to_string()],
        };
        posted.rows.sort();
        let answer = self.state().next.pop_front().unwrap_or(Answer::Status(200));
        let (status, head) = match answer {
            Answer::Status(status) => (status, String::new()),
            Answer::Moved(to) => (302, format!("location: {to}\r\n")),
            Answer::Never => (0, String::new()),
        };
        posted.status = status;
        self.state().posted.push(posted);
        if status == 0 {
            // The other side ends the connection when it is killed, or has waited long enough.
            let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
            let _ = reader.read(&mut [0]);
            return None;
        }
        write!(stream, "HTTP/1.1 {status} x\r\n{head}content-length: 0\r\n\r\n").ok()
    }
}
