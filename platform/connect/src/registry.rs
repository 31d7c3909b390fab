//! A schema registry that speaks Confluent's HTTP API: schemas by their id, and the newest of a subject.
//!
//! It is asked on the thread that decodes or encodes, once for each schema. What is known stays known: a registry never changes what an
//! id means. One that is away is tried again, and then the epoch is; an id that it does not know is a bad record.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use braid_kernel::SourceError;
use braid_spec::model;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::backoff::Backoff;
use crate::formats::binary::Wrong;

/// How often a registry that is away is asked before the epoch gives up.
const TRIES_MAX: u32 = 4;
/// What it speaks.
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// The longest wait for one answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// The most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// What is repeated of an answer's own words.
const SAID_CHARS_MAX: usize = 1000;
/// The most schemas that one may refer to, directly or not.
const REFERENCES_MAX: usize = 256;
/// An id that was unknown is asked for again after so long: whoever wrote it may have been ahead of a replica.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
/// The unknown ids that are kept.
const UNKNOWN_MAX: usize = 4096;

/// A schema, and those that it refers to, each after its own.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    /// `AVRO`, `PROTOBUF` or `JSON`.
    pub(crate) kind: String,
    pub(crate) text: String,
    /// The names by which they are referred to, and their texts.
    pub(crate) references: Vec<(String, String)>,
}

/// What a registry answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    schema: String,
    #[serde(default)]
    schema_type: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

#[derive(Debug, Deserialize)]
struct Reference {
    name: String,
    subject: String,
    version: u64,
}

/// What a registry answers to a schema.
#[derive(Debug, Deserialize)]
struct Registered {
    id: u32,
}

/// Why there is no schema.
pub(crate) enum Failed {
    /// The registry answers that it has none.
    Unknown(String),
    /// It may answer later.
    Away(String),
    /// It will not answer otherwise.
    Refused(String),
}

impl Failed {
    fn reason(self) -> String {
        match self {
            Self::Unknown(reason) | Self::Away(reason) | Self::Refused(reason) => reason,
        }
    }
}

/// A client of one registry.
#[derive(Debug)]
pub(crate) struct Registry {
    spec: model::Registry,
    /// Protobuf's schemas are asked for as descriptors, which need no compiler.
    serialized: bool,
    unknown: HashMap<u32, (Instant, String)>,
}

impl Registry {
    pub(crate) fn new(spec: model::Registry) -> Self {
        Self { spec, serialized: false, unknown: HashMap::new() }
    }

    pub(crate) fn serialized(spec: model::Registry) -> Self {
        Self { serialized: true, ..Self::new(spec) }
    }

    /// The schema that an id names.
    pub(crate) fn by_id(&mut self, id: u32) -> Result<Fetched, Wrong> {
        if let Some((asked, reason)) = self.unknown.get(&id)
            && asked.elapsed() < UNKNOWN_FOR
        {
            return Err(Wrong::Bad(reason.clone()));
        }
        match self.fetch(&["schemas", "ids", &id.to_string()]) {
            Ok(fetched) => Ok(fetched),
            Err(Failed::Unknown(_)) => {
                let reason = format!("the schema registry does not know the schema {id}");
                if self.unknown.len() >= UNKNOWN_MAX {
                    self.unknown.clear();
                }
                self.unknown.insert(id, (Instant::now(), reason.clone()));
                Err(Wrong::Bad(reason))
            }
            Err(Failed::Away(reason)) => Err(Wrong::Stop(SourceError::Retry(reason))),
            Err(Failed::Refused(reason)) => Err(Wrong::Stop(SourceError::Fatal(reason))),
        }
    }

    /// The schema that a subject has now, or had in the version that is asked for.
    pub(crate) fn latest(&self) -> Result<Fetched, String> {
        let version = self.spec.version.map_or("latest".to_owned(), |version| version.to_string());
        self.fetch(&["subjects", &self.spec.subject, "versions", &version]).map_err(Failed::reason)
    }

    /// The id that a schema has in a subject: it is registered there, or only looked up.
    pub(crate) fn id_of(&self, subject: &str, schema: &str, register: bool) -> Result<u32, Failed> {
        let path: &[&str] = if register { &["subjects", subject, "versions"] } else { &["subjects", subject] };
        let body = serde_json::json!({"schema": schema});
        let asked = apart(async {
            let client = client()?;
            self.ask::<Registered>(&client, path, Some(&body)).await
        });
        match asked {
            Ok(Registered { id }) => Ok(id),
            Err(Failed::Unknown(reason)) => {
                Err(Failed::Unknown(format!("{reason}; register it, or write `auto_register_schemas: true`")))
            }
            Err(failed) => Err(failed),
        }
    }

    /// A schema and those that it refers to.
    fn fetch(&self, path: &[&str]) -> Result<Fetched, Failed> {
        apart(self.whole(path))
    }

    async fn whole(&self, path: &[&str]) -> Result<Fetched, Failed> {
        let client = client()?;
        let root: Answer = self.ask(&client, path, None).await?;
        // Depth first, so that each comes behind those that it needs itself.
        let (mut references, mut seen) = (vec![], HashSet::new());
        let mut open: Vec<(Reference, Option<String>)> = vec![];
        open.extend(root.references.into_iter().rev().map(|reference| (reference, None)));
        while let Some((reference, text)) = open.pop() {
            if let Some(text) = text {
                references.push((reference.name, text));
                continue;
            }
            if !seen.insert((reference.subject.clone(), reference.version, reference.name.clone())) {
                continue;
            }
            if seen.len() > REFERENCES_MAX {
                return Err(Failed::Unknown(format!("a schema that refers to more than {REFERENCES_MAX} others")));
            }
            let path = ["subjects", &reference.subject, "versions", &reference.version.to_string()];
            let answer: Answer = self.ask(&client, &path, None).await?;
            open.push((reference, Some(answer.schema)));
            open.extend(answer.references.into_iter().rev().map(|reference| (reference, None)));
        }
        Ok(Fetched { kind: root.schema_type.unwrap_or_else(|| "AVRO".into()), text: root.schema, references })
    }

    /// One question, asked again while the registry is away.
    async fn ask<T: DeserializeOwned>(
        &self,
        client: &reqwest::Client,
        path: &[&str],
        body: Option<&serde_json::Value>,
    ) -> Result<T, Failed> {
        let mut backoff = Backoff::default();
        let mut tries = 0;
        loop {
            tries += 1;
            match self.ask_once(client, path, body).await {
                Err(Failed::Away(_)) if tries < TRIES_MAX => tokio::time::sleep(backoff.next()).await,
                answer => return answer,
            }
        }
    }

    async fn ask_once<T: DeserializeOwned>(
        &self,
        client: &reqwest::Client,
        path: &[&str],
        body: Option<&serde_json::Value>,
    ) -> Result<T, Failed> {
        let mut url = url::Url::parse(&self.spec.url).map_err(|error| Failed::Refused(error.to_string()))?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if self.serialized {
            url.set_query(Some("format=serialized"));
        }
        let at = format!("the schema registry {url}");
        let request = match body {
            Some(body) => client.post(url).header("content-type", CONTENT_TYPE).body(body.to_string()),
            None => client.get(url),
        };
        let mut request = request.header("accept", format!("{CONTENT_TYPE}, application/json"));
        if let Some((user, password)) = &self.spec.login {
            let login = BASE64.encode(format!("{user}:{password}"));
            request = request.header("authorization", format!("Basic {login}"));
        }
        let away = |error: reqwest::Error| Failed::Away(format!("{at} does not answer: {}", root_cause(&error)));
        let mut response = request.send().await.map_err(away)?;
        let status = response.status();
        let mut bytes = vec![];
        while let Some(piece) = response.chunk().await.map_err(away)? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > ANSWER_BYTES_MAX {
                return Err(Failed::Refused(format!("{at} answers with more than {ANSWER_BYTES_MAX} bytes")));
            }
        }
        match status.as_u16() {
            200 => serde_json::from_slice(&bytes)
                .map_err(|error| Failed::Refused(format!("{at} answers nonsense: {error}"))),
            404 if knows_no_schema(&bytes) => Err(Failed::Unknown(format!("{at} has no such schema{}", said(&bytes)))),
            404 => Err(Failed::Refused(format!("{at} is no schema registry's (404 Not Found): check `url`"))),
            401 | 403 => {
                Err(Failed::Refused(format!("{at} refuses the login ({status}): check `username` and `password`")))
            }
            409 | 422 if body.is_some() => {
                Err(Failed::Refused(format!("{at} does not take the schema ({status}){}", said(&bytes))))
            }
            429 | 500.. => Err(Failed::Away(format!("{at} answers {status}{}", said(&bytes)))),
            _ => Err(Failed::Refused(format!("{at} answers {status}{}", said(&bytes)))),
        }
    }
}

fn client() -> Result<reqwest::Client, Failed> {
    let client = reqwest::Client::builder().timeout(ANSWER_WAIT).build();
    client.map_err(|error| Failed::Refused(error.to_string()))
}

/// Waits on a thread of its own: the caller may be the runtime's.
fn apart<T: Send>(asked: impl Future<Output = Result<T, Failed>> + Send) -> Result<T, Failed> {
    std::thread::scope(|scope| {
        let answered = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|error| Failed::Refused(error.to_string()))?.block_on(asked)
        });
        answered.join().unwrap_or_else(|_| Err(Failed::Refused("bug: the registry's client panicked".into())))
    })
}

/// Whether a registry says that it has no such subject, version or schema, and not a server that it has no such page.
fn knows_no_schema(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Said {
        error_code: u32,
    }
    serde_json::from_slice::<Said>(body).is_ok_and(|said| matches!(said.error_code, 40_401..=40_403))
}

/// The registry's own words.
fn said(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    match serde_json::from_slice::<Said>(body) {
        Ok(Said { message }) => format!(": {}", message.chars().take(SAID_CHARS_MAX).collect::<String>()),
        Err(_) => String::new(),
    }
}

/// What is behind an error that is behind an error.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}
