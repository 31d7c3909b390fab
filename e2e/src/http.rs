//! The smallest HTTP client that tests need: one request, one connection, over loopback.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::braid::PATIENCE;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header lines, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.body))
    }

    /// The body as JSON, where the status is 200.
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.json()
    }
}

/// Sends a request; an error where nobody listens or the connection breaks.
pub fn request(address: &str, method: &str, path: &str, kind: &str, body: &[u8]) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    // Some servers keep the connection open whatever they are asked, so the answer's own length is what ends it.
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    loop {
        if let Some(answer) = parse(&bytes, false) {
            return Ok(answer);
        }
        match stream.read(&mut piece)? {
            0 => break,
            some => bytes.extend_from_slice(&piece[..some]),
        }
    }
    parse(&bytes, true).ok_or_else(|| std::io::Error::other(format!("no HTTP: {}", String::from_utf8_lossy(&bytes))))
}

/// `GET`.
pub fn get(address: &str, path: &str) -> Answer {
    request(address, "GET", path, "text/plain", b"").unwrap_or_else(|error| panic!("GET {path}: {error}"))
}

/// `POST /v1/sql`.
pub fn sql(address: &str, sql: &str) -> Answer {
    let body = serde_json::json!({ "sql": sql }).to_string();
    request(address, "POST", "/v1/sql", "application/json", body.as_bytes())
        .unwrap_or_else(|error| panic!("POST /v1/sql: {error}"))
}

/// Hands records to an HTTP source.
pub fn ingest(address: &str, source: &str, records: &[u8]) -> std::io::Result<Answer> {
    let path = format!("/v1/sources/{source}/records");
    request(address, "POST", &path, "application/x-ndjson", records)
}

/// An answer, where the bytes hold a whole one; without a length it is whole when the connection has ended.
fn parse(bytes: &[u8], ended: bool) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let status = head.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let rest = &bytes[end + 4..];
    let body = match length {
        _ if head.contains("transfer-encoding: chunked") => unchunk(rest)?,
        Some(length) => rest.get(..length)?.to_vec(),
        None if ended => rest.to_vec(),
        None => return None,
    };
    Some(Answer { status, head, body: String::from_utf8_lossy(&body).into_owned() })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        rest = &rest[line + 2..];
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
