//! A sink's fixtures: its epochs are written, and a service on loopback writes down what it was sent.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use braid_laws::{Ended, Tested, difference, from_json};
use braid_spec::fixtures::{Fixture, Fixtures, Requested, Told};
use braid_spec::model::Grants;
use braid_wasm_host::{HTTP, SinkPlugin};
use serde_json::Value;

use super::subject::{self, Chosen, Code};
use crate::failure::Failure;

/// What fixtures call the service.
const SERVICE: &str = "${SERVICE}";
/// The sink's name, and the history in which its epochs count.
const NAME: &str = "fixture";
/// The largest body that is taken.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// A request that came.
struct Got {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: String,
}

#[derive(Default)]
struct Board {
    answers: VecDeque<u16>,
    got: Vec<Got>,
}

/// A service that answers what it is told to.
#[derive(Clone)]
struct Service {
    address: SocketAddr,
    board: Arc<Mutex<Board>>,
}

/// Runs a sink's fixtures.
pub fn test(chosen: &Chosen, fixtures: &Fixtures) -> Result<Vec<Tested>, Failure> {
    let service = Service::start().map_err(Failure::environment)?;
    let origin = format!("http://{}", service.address);
    let asks = match &chosen.code {
        Code::Component { inspection, .. } => inspection.imports.iter().any(|import| import == HTTP),
        Code::Script(_) => true,
    };
    let http = if asks { vec![origin.clone()] } else { Vec::new() };
    let grants = Grants { http, ..subject::grants(chosen, Some(fixtures)) };
    let plugin = subject::load(chosen, &grants)?;
    let options = fixtures.options.iter().map(|(key, value)| (key.clone(), value.replace(SERVICE, &origin))).collect();
    let sink = plugin.sink(NAME, &options, &fixtures.input, fixtures.output_mode).map_err(Failure::runtime)?;
    let tested = fixtures.fixtures.iter().map(|fixture| {
        let ended = match run(&service, &sink, fixtures, fixture) {
            Ok(()) => Ended::Passed { cuts: 1 },
            Err(why) => Ended::Failed { why },
        };
        Tested { name: fixture.name.clone(), ended }
    });
    Ok(tested.collect())
}

fn run(service: &Service, sink: &SinkPlugin, fixtures: &Fixtures, fixture: &Fixture) -> Result<(), String> {
    for (number, told) in fixture.epochs.iter().enumerate() {
        let rows = from_json(&fixtures.input, &told.rows)?;
        service.expect(&told.requests);
        let ended = sink.write(NAME, number as u64, &[rows]).map_err(|error| error.to_string());
        let wrong = [wrong_end(told, ended), wrong_requests(&told.requests, &service.take())];
        let wrong: Vec<String> = wrong.into_iter().flatten().collect();
        if !wrong.is_empty() {
            return Err(format!("epoch {}:\n{}", number + 1, wrong.join("\n")));
        }
    }
    Ok(())
}

fn wrong_end(told: &Told, ended: Result<(), String>) -> Option<String> {
    match (&told.fails, ended) {
        (None, Ok(())) => None,
        (None, Err(reason)) => Some(format!("it failed: {reason}")),
        (Some(part), Ok(())) => Some(format!("it did not fail, and should with …{part}…")),
        (Some(part), Err(reason)) => {
            (!reason.contains(part.as_str())).then(|| format!("it should fail with …{part}…, and said: {reason}"))
        }
    }
}

/// Requests as lines; of what came only what is asked of it is compared.
fn wrong_requests(told: &[Requested], got: &[Got]) -> Option<String> {
    let expected: Vec<String> = told.iter().map(line).collect();
    let came = got.iter().enumerate().map(|(number, got)| match told.get(number) {
        Some(told) => line(&got.as_asked(told)),
        None => line(&got.as_asked(&Requested::default())),
    });
    let came: Vec<String> = came.collect();
    (expected != came).then(|| format!("(- expected, + sent)\n{}", difference(&expected, &came)))
}

fn line(request: &Requested) -> String {
    let mut line = format!("{} {}", request.method, request.path);
    request.headers.iter().for_each(|(name, value)| line.push_str(&format!(" [{}: {value}]", name.to_lowercase())));
    match &request.body {
        None => {}
        Some(Value::String(text)) => line.push_str(&format!(" {text}")),
        Some(json) => line.push_str(&format!(" {json}")),
    }
    line
}

impl Got {
    fn as_asked(&self, told: &Requested) -> Requested {
        let headers = told.headers.keys().map(|name| {
            let value = self.headers.get(&name.to_lowercase()).cloned();
            (name.clone(), value.unwrap_or_else(|| "missing".to_owned()))
        });
        let text = || Value::String(self.body.clone());
        let body = match &told.body {
            None => None,
            Some(Value::String(_)) => Some(text()),
            // Where the JSON is as expected its text is not looked at.
            Some(json) => Some(match serde_json::from_str::<Value>(&self.body) {
                Ok(body) if body == *json => json.clone(),
                _ => text(),
            }),
        };
        Requested {
            method: self.method.clone(),
            path: self.path.clone(),
            headers: headers.collect(),
            body,
            answer: 200,
        }
    }
}

impl Service {
    fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let service = Self { address: listener.local_addr()?, board: Arc::default() };
        let theirs = service.clone();
        thread::Builder::new().name("braid-plugin-service".into()).spawn(move || {
            // A request that cannot be read has no answer, and its sender says so.
            listener.incoming().flatten().for_each(|stream| drop(theirs.answer(stream)));
        })?;
        Ok(service)
    }

    fn expect(&self, requests: &[Requested]) {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.answers = requests.iter().map(|request| request.answer).collect();
        board.got.clear();
    }

    fn take(&self) -> Vec<Got> {
        std::mem::take(&mut self.board.lock().unwrap_or_else(PoisonError::into_inner).got)
    }

    fn answer(&self, stream: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let length: u64 = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = Vec::new();
        (&mut reader).take(length.min(BODY_BYTES_MAX)).read_to_end(&mut body)?;
        let status = {
            let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
            board.got.push(Got { method, path, headers, body: String::from_utf8_lossy(&body).into_owned() });
            board.answers.pop_front().unwrap_or(200)
        };
        let answer = format!("HTTP/1.1 {status} Told\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        reader.get_mut().write_all(answer.as_bytes())
    }
}
