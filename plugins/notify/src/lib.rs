//! Tells a web service what a view changed: `POST` with JSON, a request an epoch or a request a row, with keys by which
//! the service can drop what it has seen.

use std::collections::BTreeMap;

use braid_guest::http::{Request, Response, granted};
use braid_guest::{Batch, Epoch, Promise, Row, Setting, Sink, json};

/// How much of an answer's body is said when it is no success.
const SAID_CHARS_MAX: usize = 200;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Each {
    Batch,
    Row,
}

struct Notify {
    sink: String,
    url: String,
    token: Option<String>,
    key: String,
    epoch: u64,
    each: Each,
    /// The rows so far, with commas, for one request an epoch.
    rows: String,
    /// How often a row of these digits came in this epoch.
    seen: BTreeMap<u64, u64>,
}

fn each(setting: &Setting) -> Result<Each, String> {
    match setting.option("each") {
        None | Some("batch") => Ok(Each::Batch),
        Some("row") => Ok(Each::Row),
        Some(other) => Err(format!("the option `each` is `{other}`, and must be `batch` or `row`")),
    }
}

impl Sink for Notify {
    /// A service that drops requests whose key it has seen gets each epoch, or row, once. Whether it does so is its matter, and
    /// the option `idempotent` says it.
    fn describe(setting: &Setting) -> Result<Promise, String> {
        setting.only(&["url", "each", "token", "idempotent"])?;
        each(setting)?;
        granted(setting.require("url")?)?;
        match setting.option("idempotent") {
            None | Some("false") => Ok(Promise { idempotent: false }),
            Some("true") => Ok(Promise { idempotent: true }),
            Some(other) => Err(format!("the option `idempotent` is `{other}`, and must be true or false")),
        }
    }

    fn open(setting: &Setting, epoch: &Epoch) -> Result<Option<Self>, String> {
        Ok(Some(Self {
            sink: setting.name.clone(),
            url: setting.require("url")?.to_owned(),
            token: setting.option("token").map(str::to_owned),
            key: format!("{}-{epoch}", setting.name),
            epoch: epoch.number,
            each: each(setting)?,
            rows: String::new(),
            seen: BTreeMap::new(),
        }))
    }

    fn process(&mut self, _: u64, rows: Batch) -> Result<(), String> {
        for number in 0..rows.rows {
            let row = Row::new(&rows, number).json();
            match self.each {
                Each::Batch => {
                    if !self.rows.is_empty() {
                        self.rows.push(',');
                    }
                    self.rows.push_str(&row);
                }
                // Rows may come again in another order, so a row's key is made of the row.
                Each::Row => {
                    let digest = fnv1a(&row);
                    let seen = self.seen.entry(digest).or_default();
                    let key = format!("{}-{digest:016x}-{seen}", self.key);
                    *seen += 1;
                    self.post(&key, &row)?;
                }
            }
        }
        Ok(())
    }

    fn close(self, error: Option<&str>) -> Result<(), String> {
        if error.is_some() || self.each == Each::Row {
            return Ok(());
        }
        let mut body = String::from("{\"sink\":");
        json::text(&mut body, &self.sink);
        body.push_str(&format!(",\"epoch\":{},\"rows\":[{}]}}", self.epoch, self.rows));
        self.post(&self.key, &body)
    }
}

impl Notify {
    fn post(&self, key: &str, body: &str) -> Result<(), String> {
        let mut request = Request::post(&self.url)
            .header("content-type", "application/json")
            .header("braid-sink", &self.sink)
            .header("braid-epoch", &self.epoch.to_string())
            .header("idempotency-key", key);
        if let Some(token) = &self.token {
            request = request.header("authorization", &format!("Bearer {token}"));
        }
        let Response { status, body, .. } = request.body(body).send()?;
        if (200..300).contains(&status) {
            return Ok(());
        }
        let said: String = String::from_utf8_lossy(&body).trim().chars().take(SAID_CHARS_MAX).collect();
        Err(format!("the service answers {status}: {said}"))
    }
}

/// FNV-1a, 64 bits.
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

braid_guest::sink!(Notify);
