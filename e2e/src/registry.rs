//! A schema registry for tests: Confluent's HTTP API over loopback, as far as readers use it, kept in memory.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

/// A registry that listens until the process ends.
#[derive(Clone)]
pub struct Registry {
    address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By id, from 1.
    schemas: Vec<Value>,
    /// The ids of each subject's versions, from 1.
    subjects: BTreeMap<String, Vec<usize>>,
    login: Option<String>,
    away: bool,
    /// Subjects that take no other schema.
    frozen: Vec<String>,
    asked: Vec<String>,
}

impl Registry {
    /// One that nobody has to log in to.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let ours = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = ours.clone();
                std::thread::spawn(move || answer(&stream, &state));
            }
        });
        Self { address, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no request panics")
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on, everybody has to log in.
    pub fn login(&self, user: &str, password: &str) {
        self.state().login = Some(format!("Basic {}", BASE64.encode(format!("{user}:{password}"))));
    }

    /// Whether it answers `503` to everything.
    pub fn away(&self, away: bool) {
        self.state().away = away;
    }

    /// From now on, every other schema is incompatible with this subject's.
    pub fn freeze(&self, subject: &str) {
        self.state().frozen.push(subject.to_owned());
    }

    /// The ids of a subject's versions.
    pub fn versions(&self, subject: &str) -> Vec<usize> {
        self.state().subjects.get(subject).cloned().unwrap_or_default()
    }

    /// The paths that were asked for.
    pub fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    /// Registers a version of a subject; references are a name, a subject and a version. The id is the schema's, whoever has it.
    pub fn register(&self, subject: &str, kind: &str, schema: &str, references: &[(&str, &str, usize)]) -> u32 {
        let references: Vec<Value> = references
            .iter()
            .map(|(name, subject, version)| json!({"name": name, "subject": subject, "version": version}))
            .collect();
        let mut entry = json!({"schema": schema, "references": references});
        // Avro is what is not said.
        if kind != "AVRO" {
            entry["schemaType"] = kind.into();
        }
        u32::try_from(self.state().register(subject, entry)).expect("a test has few schemas")
    }
}

impl State {
    fn register(&mut self, subject: &str, entry: Value) -> usize {
        let known = self.schemas.iter().position(|schema| *schema == entry);
        let id = known.unwrap_or_else(|| {
            self.schemas.push(entry);
            self.schemas.len() - 1
        }) + 1;
        let versions = self.subjects.entry(subject.to_owned()).or_default();
        if !versions.contains(&id) {
            versions.push(id);
        }
        id
    }
}

/// A value in the registry's framing.
pub fn framed(id: u32, data: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), data].concat()
}

fn answer(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    let (mut login, mut length) = (None, 0);
    let _ = reader.read_line(&mut request);
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => break,
            Ok(_) if line.trim().is_empty() => break,
            Ok(_) => {
                let Some((name, value)) = line.split_once(':') else { continue };
                match name.to_ascii_lowercase().as_str() {
                    "authorization" => login = Some(value.trim().to_owned()),
                    "content-length" => length = value.trim().parse().unwrap_or(0),
                    _ => {}
                }
            }
        }
    }
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    let posted = request.starts_with("POST ").then(|| serde_json::from_slice(&body).unwrap_or_default());
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, body) = respond(&path, login, posted, &mut state.lock().expect("no request panics"));
    let text = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/vnd.schemaregistry.v1+json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    );
    let mut stream = stream;
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes()));
}

fn respond(path: &str, login: Option<String>, posted: Option<Value>, state: &mut State) -> (u16, Value) {
    state.asked.push(path.to_owned());
    if state.away {
        return (503, json!({"error_code": 50301, "message": "the registry is away"}));
    }
    if state.login.is_some() && state.login != login {
        return (401, json!({"error_code": 401, "message": "Unauthorized"}));
    }
    let path = path.split('?').next().unwrap_or_default().to_owned();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    if let Some(posted) = posted {
        return take(&parts, posted, state);
    }
    match parts[..] {
        ["schemas", "ids", id] => match id.parse::<usize>().ok().and_then(|id| state.schemas.get(id.wrapping_sub(1))) {
            Some(schema) => (200, schema.clone()),
            None => (404, json!({"error_code": 40403, "message": format!("Schema {id} not found")})),
        },
        ["subjects", subject, "versions", version] => {
            let Some(ids) = state.subjects.get(subject) else {
                return (404, json!({"error_code": 40401, "message": format!("Subject '{subject}' not found.")}));
            };
            let version = if version == "latest" { ids.len() } else { version.parse().unwrap_or(0) };
            match ids.get(version.wrapping_sub(1)) {
                Some(id) => {
                    let mut answer = state.schemas[id - 1].clone();
                    answer["id"] = (*id).into();
                    answer["subject"] = subject.into();
                    answer["version"] = version.into();
                    (200, answer)
                }
                None => (404, json!({"error_code": 40402, "message": format!("Version {version} not found.")})),
            }
        }
        _ => (404, json!({"error_code": 404, "message": "HTTP 404 Not Found"})),
    }
}

/// A schema that is posted: registered, or only looked up.
fn take(parts: &[&str], posted: Value, state: &mut State) -> (u16, Value) {
    let mut entry =
        json!({"schema": posted["schema"], "references": posted.get("references").cloned().unwrap_or(json!([]))});
    if let Some(kind) = posted.get("schemaType").filter(|kind| *kind != "AVRO") {
        entry["schemaType"] = kind.clone();
    }
    match *parts {
        ["subjects", subject, "versions"] => {
            let versions = state.subjects.get(subject).cloned().unwrap_or_default();
            let there = versions.iter().any(|id| state.schemas[id - 1] == entry);
            if state.frozen.iter().any(|frozen| frozen == subject) && !there {
                let message = "Schema being registered is incompatible with an earlier schema for subject \"x\"";
                return (409, json!({"error_code": 409, "message": message}));
            }
            (200, json!({"id": state.register(subject, entry)}))
        }
        ["subjects", subject] => {
            let Some(versions) = state.subjects.get(subject) else {
                return (404, json!({"error_code": 40401, "message": format!("Subject '{subject}' not found.")}));
            };
            match versions.iter().find(|id| state.schemas[**id - 1] == entry) {
                Some(id) => (200, json!({"id": id, "subject": subject})),
                None => (404, json!({"error_code": 40403, "message": "Schema not found"})),
            }
        }
        _ => (404, json!({"error_code": 404, "message": "HTTP 404 Not Found"})),
    }
}
