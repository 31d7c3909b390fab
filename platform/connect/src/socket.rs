//! The socket source: lines from a TCP server, through the journal.
//!
//! A socket cannot replay. A line is safe from when it is in the journal, at most [`GROUP_DELAY`] after it arrived;
//! what was received but not yet journalled when the process dies is lost, as with every reader of a socket.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use braid_kernel::SourceError;
use braid_spec::model::{self, Format};
use memchr::memchr;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::backoff::Backoff;
use crate::formats::RECORD_BYTES_MAX;
use crate::journal::{Appender, Journal, Lines};
use crate::journal_source::JournalSource;
use crate::{OpenSource, SourceContext};

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;
/// Lines are journalled together when they are so many bytes …
const GROUP_BYTES_MAX: usize = 1024 * 1024;
/// … or the first of them is so old.
const GROUP_DELAY: Duration = Duration::from_millis(50);
/// How long a connection may take to open.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);

/// Opens a socket source. It connects when it is planned for the first time.
pub(crate) fn open(
    options: &model::Socket,
    spec: &model::Source,
    context: SourceContext,
) -> Result<OpenSource, SourceError> {
    let journal = Arc::new(Journal::new(context.journal.clone(), &context.name));
    let wake = Some(journal.wake.clone());
    let pull = Pull {
        address: (options.host.clone(), options.port),
        appender: Appender::start(journal.clone()),
        keep_blank: spec.format == Format::Text,
        failure: Arc::default(),
        task: None,
    };
    let source = JournalSource::open(spec, context, journal, Some(pull))?;
    Ok(OpenSource { source: Box::new(source), ingest: None, wake })
}

/// The task that pulls lines into the journal. It ends with this value.
pub(crate) struct Pull {
    address: (String, u16),
    appender: Appender,
    keep_blank: bool,
    /// Why the task has given up.
    failure: Arc<Mutex<Option<String>>>,
    task: Option<JoinHandle<()>>,
}

impl Drop for Pull {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Pull {
    /// Starts the task, or tells why it has given up.
    pub(crate) fn watch(&mut self) -> Result<(), SourceError> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(reason) = failure {
            return Err(SourceError::Fatal(reason));
        }
        if self.task.is_none() {
            let (address, appender, keep_blank) = (self.address.clone(), self.appender.clone(), self.keep_blank);
            let failure = self.failure.clone();
            self.task = Some(tokio::spawn(async move {
                let reason = pull_for_ever(&address, &appender, keep_blank).await;
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_string());
            }));
        }
        Ok(())
    }
}

/// Connects again and again; returns only what cannot be mended by that.
async fn pull_for_ever((host, port): &(String, u16), appender: &Appender, keep_blank: bool) -> SourceError {
    let mut backoff = Backoff::default();
    loop {
        let connected = match timeout(CONNECT_WAIT_MAX, TcpStream::connect((host.as_str(), *port))).await {
            Ok(connected) => connected.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer in {CONNECT_WAIT_MAX:?}")),
        };
        let outcome = match connected {
            Ok(stream) => {
                tracing::info!(host, port, "socket connected");
                let mut pulling = Pulling::new(appender, keep_blank);
                let outcome = pulling.run(stream).await;
                if pulling.received > 0 {
                    backoff.reset();
                }
                match outcome {
                    Ok(reason) => reason,
                    Err(error) => return error,
                }
            }
            Err(reason) => reason,
        };
        // Once per outage, not once per try.
        if backoff.is_first() {
            tracing::warn!(host, port, reason = outcome, "socket is not connected; trying again until it is");
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

/// One connection.
struct Pulling<'a> {
    appender: &'a Appender,
    keep_blank: bool,
    group: Lines,
    group_due: Instant,
    /// The start of a line whose end has not arrived.
    partial: Vec<u8>,
    /// The line is too long, and its rest is passed over.
    skipping: bool,
    received: u64,
}

impl<'a> Pulling<'a> {
    fn new(appender: &'a Appender, keep_blank: bool) -> Self {
        Self {
            appender,
            keep_blank,
            group: Lines::default(),
            group_due: Instant::now(),
            partial: Vec::new(),
            skipping: false,
            received: 0,
        }
    }

    /// Pulls until the connection ends, and says why it did. What arrived is then in the journal.
    async fn run(&mut self, mut stream: TcpStream) -> Result<String, SourceError> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let read = if self.group.is_empty() {
                stream.read(&mut buffer).await
            } else {
                match timeout_at(self.group_due, stream.read(&mut buffer)).await {
                    Ok(read) => read,
                    Err(_) => {
                        self.flush().await?;
                        continue;
                    }
                }
            };
            match read {
                Ok(0) => {
                    // The last line need not be terminated.
                    if !self.partial.is_empty() {
                        self.take(b"\n");
                    }
                    self.flush().await?;
                    return Ok("the other side has closed the connection".into());
                }
                Ok(count) => {
                    self.received += count as u64;
                    self.take(&buffer[..count]);
                }
                Err(error) => {
                    // A line that broke off is no line.
                    self.flush().await?;
                    return Ok(error.to_string());
                }
            }
            if self.group.bytes() >= GROUP_BYTES_MAX || (!self.group.is_empty() && Instant::now() >= self.group_due) {
                self.flush().await?;
            }
        }
    }

    /// Cuts what arrived into lines.
    fn take(&mut self, mut bytes: &[u8]) {
        let was_empty = self.group.is_empty();
        while !bytes.is_empty() {
            let Some(newline) = memchr(b'\n', bytes) else {
                if !self.skipping {
                    self.partial.extend_from_slice(bytes);
                }
                if self.partial.len() > RECORD_BYTES_MAX {
                    self.group.push_cut(&self.partial);
                    (self.partial, self.skipping) = (Vec::new(), true);
                }
                break;
            };
            let line = &bytes[..newline];
            if self.skipping {
                self.skipping = false;
            } else if self.partial.is_empty() {
                if self.keep_blank || !line.trim_ascii().is_empty() {
                    self.group.push(line);
                }
            } else {
                self.partial.extend_from_slice(line);
                if self.keep_blank || !self.partial.trim_ascii().is_empty() {
                    self.group.push(&self.partial);
                }
                self.partial.clear();
            }
            bytes = &bytes[newline + 1..];
        }
        if was_empty {
            self.group_due = Instant::now() + GROUP_DELAY;
        }
    }

    /// Puts the group into the journal, however long that takes: meanwhile nothing is read, and the sender waits.
    async fn flush(&mut self) -> Result<(), SourceError> {
        if self.group.is_empty() {
            return Ok(());
        }
        let group = std::mem::take(&mut self.group);
        let mut backoff = Backoff::default();
        loop {
            match self.appender.append(group.clone()).await {
                Ok(_) => return Ok(()),
                Err(SourceError::Retry(reason)) => {
                    if backoff.is_first() {
                        tracing::warn!(reason, "the socket's lines wait for the journal");
                    }
                    tokio::time::sleep(backoff.next()).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Field, Schema};
    use braid_kernel::{Limit, Rows, SourceState};
    use braid_spec::model::{OnBadRecord, SourceKind};
    use futures::TryStreamExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::test_store::{Fault, MemoryStore};

    fn socket(store: &Arc<MemoryStore>, port: u16) -> OpenSource {
        let spec = model::Source {
            from: SourceKind::Socket(model::Socket { host: "127.0.0.1".into(), port }),
            format: Format::Text,
            schema: Schema::new(vec![Field::new("value", DataType::Utf8, true)]).into(),
            watermark: None,
            on_bad_record: OnBadRecord::DeadLetter,
        };
        let context = SourceContext {
            name: "s".into(),
            journal: store.clone(),
            projection: None,
            batch_rows: 100,
            epoch_rows: 1000,
            ends: false,
        };
        crate::source(&spec, context).unwrap()
    }

    /// Everything from `state` on, once so many lines are there.
    async fn read(opened: &mut OpenSource, state: &mut SourceState, lines: i64) -> (Vec<String>, Vec<i64>) {
        let plan = loop {
            match opened.source.plan(state, &Limit::default()).await.unwrap() {
                Some(plan) if plan.end["0"] >= lines => break plan,
                _ => opened.wake.as_ref().unwrap().notified().await,
            }
        };
        let rows: Vec<Rows> = opened.source.read(&plan).await.unwrap().try_collect().await.unwrap();
        state.advance(&plan);
        let text =
            |r: &Rows| r.batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>();
        (rows.iter().flat_map(text).collect(), rows.iter().flat_map(|r| &r.bad).map(|bad| bad.offset).collect())
    }

    #[tokio::test]
    async fn lines_arrive_however_they_are_cut_and_after_reconnecting() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = Arc::new(MemoryStore::default());
        let mut opened = socket(&store, listener.local_addr().unwrap().port());
        let mut state = SourceState::default();
        assert_eq!(opened.source.plan(&state, &Limit::default()).await.unwrap(), None);
        let (mut peer, _) = listener.accept().await.unwrap();
        for part in ["en un lu", "gar\r\n\nde la", " Mancha\nde cuyo", " nombre"] {
            peer.write_all(part.as_bytes()).await.unwrap();
            peer.flush().await.unwrap();
        }
        drop(peer);
        let (lines, bad) = read(&mut opened, &mut state, 4).await;
        assert_eq!(
            (lines, bad),
            (["en un lugar", "", "de la Mancha", "de cuyo nombre"].map(str::to_owned).to_vec(), vec![])
        );

        let (mut peer, _) = listener.accept().await.unwrap();
        let long = vec![b'x'; RECORD_BYTES_MAX + 10];
        let sent = tokio::spawn(async move {
            peer.write_all(&long).await.unwrap();
            peer.write_all(b"\nno quiero acordarme\n").await.unwrap();
            peer
        });
        let (lines, bad) = read(&mut opened, &mut state, 6).await;
        assert_eq!((lines, bad), (vec!["no quiero acordarme".to_owned()], vec![4]));
        let mut peer = sent.await.unwrap();

        // The source is dropped: the connection closes, and what was read is there for the next one.
        drop(opened);
        assert_eq!(peer.read(&mut [0; 1]).await.unwrap(), 0);
        let mut again = socket(&store, listener.local_addr().unwrap().port());
        let mut first = SourceState::default();
        assert_eq!(read(&mut again, &mut first, 6).await.0.len(), 5);
    }

    #[tokio::test]
    async fn a_journal_that_cannot_be_written_is_told_at_the_next_plan() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let store = Arc::new(MemoryStore::default());
        store.faults.lock().unwrap().push(Fault::DiskFull);
        let mut opened = socket(&store, listener.local_addr().unwrap().port());
        let state = SourceState::default();
        assert_eq!(opened.source.plan(&state, &Limit::default()).await.unwrap(), None);
        let (mut peer, _) = listener.accept().await.unwrap();
        peer.write_all(b"a line\n").await.unwrap();
        let error = loop {
            match opened.source.plan(&state, &Limit::default()).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        };
        assert!(matches!(&error, SourceError::Fatal(reason) if reason.contains("disk is full")), "{error}");
    }
}
