//! The journal: a durable, replayable log of records for sources that cannot replay by themselves.
//!
//! A chunk is an object `journal/<source>/<offset of its first record>`. Chunks are created, never overwritten, so of
//! two writers at one offset one wins and the other looks again: no record is lost or doubled by a lost reply.
//! The newest chunk is never deleted: it says where the journal goes on, even when all of it was read.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use braid_kernel::{SourceError, Store, StoreError, failpoint};
use bytes::{BufMut, Bytes};
use memchr::memchr;
use tokio::sync::{Mutex as AsyncMutex, Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use uuid::Uuid;

use crate::formats::RECORD_BYTES_MAX;

/// How many appends may wait to be written.
const WAITING_MAX: usize = 256;
/// How many KiB of records may wait to be written.
const WAITING_KIB_MAX: usize = 64 * 1024;
/// Appends that wait together become one chunk of at most about this size.
const CHUNK_BYTES_MAX: usize = 4 * 1024 * 1024;
/// So much appended and not acknowledged by the reader means that nobody reads: appends are refused.
const BACKLOG_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// How often a chunk is tried before the append fails.
const TRIES_MAX: u32 = 6;
/// The wait after the first failed try; it doubles.
const RETRY_DELAY: Duration = Duration::from_millis(50);
/// The first bytes of a chunk.
const MAGIC: &[u8; 4] = b"BRJ1";
/// Magic, identity, number of records, number of those that were cut.
const HEADER_BYTES: usize = 4 + 16 + 4 + 4;

/// Records on their way into the journal.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Lines {
    /// Each followed by a newline.
    text: Vec<u8>,
    count: u32,
    /// Which of them are only the start of a record that was too long.
    cut: Vec<u32>,
}

impl Lines {
    /// Adds a record, or the start of one that is too long.
    pub(crate) fn push(&mut self, line: &[u8]) {
        if line.len() > RECORD_BYTES_MAX {
            return self.push_cut(line);
        }
        self.text.extend_from_slice(line);
        self.text.push(b'\n');
        self.count += 1;
    }

    /// Adds the start of a record that is too long.
    pub(crate) fn push_cut(&mut self, head: &[u8]) {
        self.cut.push(self.count);
        let kept = head.len().min(braid_kernel::BadRecord::RAW_BYTES_MAX);
        self.push(&head[..kept]);
    }

    /// Adds newline-separated records; blank ones are records only if `keep_blank`.
    pub(crate) fn push_all(&mut self, body: &[u8], keep_blank: bool) {
        let mut rest = body;
        while !rest.is_empty() {
            let length = memchr(b'\n', rest).unwrap_or(rest.len());
            if keep_blank || !rest[..length].trim_ascii().is_empty() {
                self.push(&rest[..length]);
            }
            rest = &rest[(length + 1).min(rest.len())..];
        }
    }

    fn append(&mut self, other: &Self) {
        self.cut.extend(other.cut.iter().map(|index| self.count + index));
        self.text.extend_from_slice(&other.text);
        self.count += other.count;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Their size, line ends included.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.cut.len() * 4 + self.text.len() + 4);
        bytes.put_slice(MAGIC);
        // Two writers may append equal records at one offset: the identity tells the chunks apart.
        bytes.put_slice(Uuid::new_v4().as_bytes());
        bytes.put_u32_le(self.count);
        bytes.put_u32_le(self.cut.len() as u32);
        self.cut.iter().for_each(|index| bytes.put_u32_le(*index));
        bytes.put_slice(&self.text);
        let crc = crc32fast::hash(&bytes);
        bytes.put_u32_le(crc);
        bytes.into()
    }
}

/// A chunk as it was read back and proved.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Records, each followed by a newline.
    pub(crate) text: Bytes,
    pub(crate) count: u32,
    /// Which of them are only the start of a record that was too long, ascending.
    pub(crate) cut: Vec<u32>,
}

impl Chunk {
    fn decode(name: &str, bytes: Bytes) -> Result<Self, SourceError> {
        let damaged = |reason: &str| SourceError::DataLoss(format!("{name} is damaged: {reason}"));
        if bytes.len() < HEADER_BYTES + 4 || !bytes.starts_with(MAGIC) {
            return Err(damaged("it is no journal chunk"));
        }
        let number = |at: usize| bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
        let body = bytes.len() - 4;
        if number(body) != Some(crc32fast::hash(&bytes[..body])) {
            return Err(damaged("its checksum is wrong"));
        }
        let (count, cuts) = (number(20).unwrap_or(0), number(24).unwrap_or(0) as usize);
        let text = HEADER_BYTES + cuts * 4;
        if text > body {
            return Err(damaged("its header is wrong"));
        }
        let cut = (0..cuts).filter_map(|cut| number(HEADER_BYTES + cut * 4)).collect();
        Ok(Self { text: bytes.slice(text..body), count, cut })
    }
}

/// The records of one source.
pub(crate) struct Journal {
    store: Arc<dyn Store>,
    prefix: String,
    index: Mutex<Option<Index>>,
    /// Held while the index is made, so that it is made once.
    opening: AsyncMutex<()>,
    retry_delay: Duration,
    /// Told after each append.
    pub(crate) wake: Arc<Notify>,
}

/// Which chunks there are.
#[derive(Debug, Clone, Default)]
struct Index {
    /// First offset to size in bytes; 0 for those that another run of the process wrote.
    chunks: BTreeMap<i64, u64>,
    /// The offset of the next record.
    end: i64,
    /// Bytes appended by this process and not yet acknowledged.
    backlog_bytes: u64,
}

/// The way into a journal.
#[derive(Clone)]
pub(crate) struct Appender {
    sender: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
}

/// Why a chunk was not written, for each of those whose records were in it.
#[derive(Debug, Clone)]
enum Failure {
    Passing(String),
    Lasting(String),
}

struct Waiting {
    lines: Lines,
    answer: oneshot::Sender<Result<Range<i64>, Failure>>,
    _room: OwnedSemaphorePermit,
}

impl Appender {
    /// Starts the task that writes; it ends with the last appender. Needs a Tokio runtime.
    pub(crate) fn start(journal: Arc<Journal>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(write_groups(journal, receiver));
        Self { sender, room: Arc::new(Semaphore::new(WAITING_KIB_MAX)) }
    }

    /// Appends records: all of them are durable when their offsets are returned. Waits while much is waiting.
    pub(crate) async fn append(&self, lines: Lines) -> Result<Range<i64>, SourceError> {
        let stopped = || SourceError::Retry("the journal's writer has stopped".into());
        let kib = lines.bytes().div_ceil(1024).min(WAITING_KIB_MAX) as u32;
        let room = self.room.clone().acquire_many_owned(kib).await.map_err(|_| stopped())?;
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { lines, answer, _room: room };
        self.sender.send(waiting).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?.map_err(|failure| match failure {
            Failure::Passing(reason) => SourceError::Retry(reason),
            Failure::Lasting(reason) => SourceError::Fatal(reason),
        })
    }
}

/// Writes what waits, in order, as few chunks.
async fn write_groups(journal: Arc<Journal>, mut receiver: mpsc::Receiver<Waiting>) {
    let mut waiting = Vec::new();
    while receiver.recv_many(&mut waiting, WAITING_MAX).await > 0 {
        let mut group: Vec<Waiting> = Vec::new();
        let mut lines = Lines::default();
        for next in waiting.drain(..) {
            if !group.is_empty() && lines.bytes() + next.lines.bytes() > CHUNK_BYTES_MAX {
                write_group(&journal, &mut group, std::mem::take(&mut lines)).await;
            }
            lines.append(&next.lines);
            group.push(next);
        }
        write_group(&journal, &mut group, lines).await;
    }
}

async fn write_group(journal: &Journal, group: &mut Vec<Waiting>, lines: Lines) {
    let written = journal.write(&lines).await.map_err(|error| match error {
        SourceError::Retry(reason) => Failure::Passing(reason),
        other => Failure::Lasting(other.to_string()),
    });
    let mut first = written.as_ref().map_or(0, |range| range.start);
    for Waiting { lines, answer, .. } in group.drain(..) {
        let range = first..first + i64::from(lines.count);
        first = range.end;
        // Who asked may have gone; the records are there all the same.
        let _ = answer.send(written.clone().map(|_| range));
    }
    journal.wake.notify_one();
}

impl Journal {
    /// The journal of a source. Nothing is read until it is needed.
    pub(crate) fn new(store: Arc<dyn Store>, source: &str) -> Self {
        Self {
            store,
            prefix: format!("journal/{source}/"),
            index: Mutex::default(),
            opening: AsyncMutex::default(),
            retry_delay: RETRY_DELAY,
            wake: Arc::default(),
        }
    }

    fn name(&self, first: i64) -> String {
        format!("{}{first:020}", self.prefix)
    }

    fn index(&self) -> MutexGuard<'_, Option<Index>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the journal begins and ends.
    pub(crate) async fn range(&self) -> Result<Range<i64>, SourceError> {
        let index = self.opened().await?;
        Ok(index.chunks.keys().next().copied().unwrap_or(index.end)..index.end)
    }

    /// Reads the list of chunks, once.
    async fn opened(&self) -> Result<Index, SourceError> {
        let _opening = self.opening.lock().await;
        if let Some(index) = &*self.index() {
            return Ok(index.clone());
        }
        let names = self.store.list(&self.prefix).await.map_err(source_error)?;
        let mut index = Index::default();
        for name in &names {
            let first = name.strip_prefix(&self.prefix).and_then(|first| first.parse().ok());
            let first = first.ok_or_else(|| SourceError::Fatal(format!("{name} does not belong in a journal")))?;
            index.chunks.insert(first, 0);
        }
        if let Some(last) = index.chunks.keys().next_back().copied() {
            index.end = last + i64::from(self.chunk(last).await?.count);
        }
        *self.index() = Some(index.clone());
        Ok(index)
    }

    /// Writes one chunk at the end.
    async fn write(&self, lines: &Lines) -> Result<Range<i64>, SourceError> {
        let bytes = lines.encode();
        let mut delay = self.retry_delay;
        let mut reason = String::new();
        for _ in 0..TRIES_MAX {
            let index = self.opened().await?;
            if lines.is_empty() {
                return Ok(index.end..index.end);
            }
            if index.backlog_bytes > BACKLOG_BYTES_MAX {
                return Err(SourceError::Retry(format!("the journal {} is full: nobody reads it", self.prefix)));
            }
            let name = self.name(index.end);
            failpoint!("journal::put::before");
            let created = self.store.create(&name, bytes.clone()).await;
            failpoint!("journal::put::after");
            let looked = match created {
                Ok(()) => Some(bytes.clone()),
                Err(StoreError::Exists(_) | StoreError::Unknown { .. }) => match self.store.get(&name).await {
                    Ok(found) => Some(found),
                    Err(error) => {
                        reason = error.to_string();
                        None
                    }
                },
                Err(error) => return Err(source_error(error)),
            };
            match looked {
                Some(found) if found == bytes => {
                    let range = index.end..index.end + i64::from(lines.count);
                    if let Some(index) = &mut *self.index() {
                        index.chunks.insert(range.start, bytes.len() as u64);
                        index.backlog_bytes += bytes.len() as u64;
                        index.end = range.end;
                    }
                    return Ok(range);
                }
                // An earlier append whose fate was unknown, or another writer: go on behind it.
                Some(_) => {
                    reason = format!("{name} was written by somebody else");
                    *self.index() = None;
                }
                None => {
                    tokio::time::sleep(delay).await;
                    delay *= 2;
                }
            }
        }
        Err(SourceError::Retry(format!("the journal could not be written: {reason}")))
    }

    /// Reads the chunk that begins at an offset.
    async fn chunk(&self, first: i64) -> Result<Chunk, SourceError> {
        let name = self.name(first);
        match self.store.get(&name).await {
            Ok(bytes) => Chunk::decode(&name, bytes),
            Err(StoreError::NotFound(_)) => Err(SourceError::DataLoss(format!("{name} is gone"))),
            Err(error) => Err(source_error(error)),
        }
    }

    /// The chunks that hold a range of offsets, by their first offset.
    pub(crate) async fn chunks(&self, range: &Range<i64>) -> Result<Vec<i64>, SourceError> {
        let index = self.opened().await?;
        let begin = index.chunks.range(..=range.start).next_back().map(|(first, _)| *first);
        let begin = begin.filter(|_| range.end <= index.end).ok_or_else(|| {
            let there = index.chunks.keys().next().copied().unwrap_or(index.end)..index.end;
            SourceError::DataLoss(format!("{}{range:?} was asked for, and {there:?} is there", self.prefix))
        })?;
        Ok(index.chunks.range(begin..range.end).map(|(first, _)| *first).collect())
    }

    /// Reads a chunk of [`Self::chunks`], and proves that the next one follows it without a gap.
    pub(crate) async fn read(&self, first: i64) -> Result<Chunk, SourceError> {
        let chunk = self.chunk(first).await?;
        let index = self.opened().await?;
        let next = index.chunks.range(first + 1..).next().map_or(index.end, |(next, _)| *next);
        let end = first + i64::from(chunk.count);
        if end != next {
            return Err(SourceError::DataLoss(format!("{}{end}..{next} is missing", self.prefix)));
        }
        Ok(chunk)
    }

    /// Everything below `offset` was read and kept elsewhere: deletes the chunks that are wholly below.
    pub(crate) async fn cut(&self, offset: i64) -> Result<(), SourceError> {
        let index = self.opened().await?;
        let ends = index.chunks.keys().skip(1);
        let done = index.chunks.keys().zip(ends).take_while(|(_, end)| **end <= offset);
        for (first, _) in done {
            self.store.delete(&self.name(*first)).await.map_err(source_error)?;
            if let Some(index) = &mut *self.index()
                && let Some(bytes) = index.chunks.remove(first)
            {
                index.backlog_bytes = index.backlog_bytes.saturating_sub(bytes);
            }
        }
        Ok(())
    }
}

fn source_error(error: StoreError) -> SourceError {
    match error {
        StoreError::Unknown { .. } | StoreError::NotFound(_) | StoreError::Exists(_) => {
            SourceError::Retry(error.to_string())
        }
        StoreError::Corrupt { .. } => SourceError::DataLoss(error.to_string()),
        StoreError::Failed { .. } => SourceError::Fatal(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_store::{Fault, MemoryStore};

    fn lines(text: &str) -> Lines {
        let mut lines = Lines::default();
        lines.push_all(text.as_bytes(), true);
        lines
    }

    /// All records, as text.
    async fn all(journal: &Journal) -> Result<String, SourceError> {
        let mut text = String::new();
        for first in journal.chunks(&journal.range().await?).await? {
            text.push_str(std::str::from_utf8(&journal.read(first).await?.text).unwrap());
        }
        Ok(text)
    }

    #[tokio::test]
    async fn what_was_appended_is_there_after_a_restart() {
        let store = Arc::new(MemoryStore::default());
        let journal = Journal::new(store.clone(), "s");
        assert_eq!(journal.write(&lines("a\nb\n")).await.unwrap(), 0..2);
        assert_eq!(journal.write(&lines("")).await.unwrap(), 2..2);
        assert_eq!(journal.write(&lines("c\n\nd")).await.unwrap(), 2..5);
        let journal = Journal::new(store.clone(), "s");
        assert_eq!(journal.range().await.unwrap(), 0..5);
        assert_eq!(all(&journal).await.unwrap(), "a\nb\nc\n\nd\n");
        // All is read: the newest chunk stays and says where to go on.
        journal.cut(5).await.unwrap();
        let journal = Journal::new(store, "s");
        assert_eq!(journal.range().await.unwrap(), 2..5);
        assert_eq!(journal.write(&lines("e")).await.unwrap(), 5..6);
        assert!(matches!(journal.chunks(&(1..3)).await, Err(SourceError::DataLoss(_))));
        assert!(matches!(journal.chunks(&(4..7)).await, Err(SourceError::DataLoss(_))));
    }

    #[tokio::test]
    async fn a_lost_reply_neither_loses_nor_doubles() {
        let store = Arc::new(MemoryStore::default());
        let journal = Journal { retry_delay: Duration::ZERO, ..Journal::new(store.clone(), "s") };
        *store.faults.lock().unwrap() = vec![Fault::ReplyLost, Fault::RequestLost, Fault::RequestLost];
        assert_eq!(journal.write(&lines("a\nb")).await.unwrap(), 0..2);
        *store.faults.lock().unwrap() = vec![Fault::RequestLost; TRIES_MAX as usize];
        assert!(matches!(journal.write(&lines("lost")).await, Err(SourceError::Retry(_))));
        assert_eq!(journal.write(&lines("c")).await.unwrap(), 2..3);
        assert_eq!(all(&journal).await.unwrap(), "a\nb\nc\n");
    }

    #[tokio::test]
    async fn two_writers_take_turns() {
        let store = Arc::new(MemoryStore::default());
        let (one, two) = (Journal::new(store.clone(), "s"), Journal::new(store, "s"));
        one.range().await.unwrap();
        two.range().await.unwrap();
        assert_eq!(one.write(&lines("same")).await.unwrap(), 0..1);
        assert_eq!(two.write(&lines("same")).await.unwrap(), 1..2);
        assert_eq!(one.write(&lines("three")).await.unwrap(), 2..3);
        assert_eq!(all(&one).await.unwrap(), "same\nsame\nthree\n");
    }

    #[tokio::test]
    async fn damage_and_gaps_are_named() {
        let store = Arc::new(MemoryStore::default());
        let journal = Journal::new(store.clone(), "s");
        for text in ["a", "b", "c"] {
            journal.write(&lines(text)).await.unwrap();
        }
        let name = "journal/s/00000000000000000001";
        let whole = store.objects.lock().unwrap()[name].clone();
        for at in 0..whole.len() {
            let mut damaged = whole.to_vec();
            damaged[at] ^= 1;
            store.objects.lock().unwrap().insert(name.into(), damaged.into());
            let error = all(&journal).await.unwrap_err().to_string();
            assert!(error.contains(name), "byte {at}: {error}");
        }
        store.objects.lock().unwrap().insert(name.into(), whole.slice(..whole.len() / 2));
        assert!(all(&journal).await.unwrap_err().to_string().contains(name));
        store.objects.lock().unwrap().remove(name);
        assert!(all(&journal).await.unwrap_err().to_string().contains(name));
        let error = all(&Journal::new(store, "s")).await.unwrap_err().to_string();
        assert!(error.contains("journal/s/1..2 is missing"), "{error}");
    }

    #[tokio::test]
    async fn appends_that_wait_together_are_written_together_and_answered_apart() {
        let store = Arc::new(MemoryStore::default());
        let journal = Arc::new(Journal::new(store.clone(), "s"));
        let appender = Appender::start(journal.clone());
        let appends = (0..100).map(|n| {
            let appender = appender.clone();
            async move { (n, appender.append(lines(&format!("{n}\n{n}"))).await.unwrap()) }
        });
        let ranges = futures::future::join_all(appends).await;
        let text = all(&journal).await.unwrap();
        let records: Vec<&str> = text.lines().collect();
        assert_eq!(records.len(), 200);
        for (n, range) in ranges {
            let range = range.start as usize..range.end as usize;
            assert_eq!(records[range], [n.to_string(), n.to_string()]);
        }
        assert!(store.objects.lock().unwrap().len() < 100);
    }
}
