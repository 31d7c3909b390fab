//! Kafka topics as a source: planned ranges of offsets are read exactly, by a consumer that streams on between epochs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use braid_kernel::{Limit, Rows, Slices, Source, SourceError, SourcePlan, SourceState};
use braid_spec::model;
use futures::StreamExt;
use futures::stream::BoxStream;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use crate::SourceContext;
use crate::kafka::{Outage, Watch, blocking, configuration, hopeless};
use crate::kafka_follow::Follow;
use crate::kafka_loss::Loss;
use crate::kafka_plan::{Planner, bounds, trouble};
use crate::kafka_queue::{Event, Queue};
use crate::kafka_rows::RowsBuilder;
use crate::kafka_topics::Partition;
use crate::pump::accept;

/// Fetched records that wait to be read, over all partitions. With four partitions, four times as much took about an
/// eighth more processor time per record.
const QUEUED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// No partition's share of them is less.
const QUEUED_BYTES_MIN: usize = 256 * 1024;
/// Batches that wait to be taken from a read.
const BATCHES_WAITING_MAX: usize = 2;
/// How long a read waits for a record before it looks whether the range ends in transaction markers.
const RECORD_WAIT: Duration = Duration::from_millis(10);
/// How long a read waits for the broker before it gives up (and the caller tries again).
const STALL_MAX: Duration = Duration::from_secs(10);

/// What a user's options may change.
const DEFAULTS: [(&str, &str); 5] = [
    ("isolation.level", "read_committed"),
    ("reconnect.backoff.max.ms", "1000"),
    ("fetch.error.backoff.ms", "100"),
    // A full queue is looked at again when a part of it was read, which takes milliseconds.
    ("fetch.queue.backoff.ms", "5"),
    ("socket.nagle.disable", "true"),
];

/// What they may not.
const PROMISES: [(&str, &str); 4] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "true"),
];

/// A Kafka source.
pub(crate) struct KafkaSource {
    planner: Arc<Mutex<Planner>>,
    reader: Arc<Mutex<Reader>>,
    follow: Follow,
}

/// Opens a Kafka source. The broker is first asked when the source is planned.
pub(crate) fn open(
    kafka: &model::Kafka,
    spec: &model::Source,
    context: &SourceContext,
) -> Result<KafkaSource, SourceError> {
    let config = configuration(&kafka.brokers, &DEFAULTS, &kafka.client, &PROMISES).map_err(SourceError::Fatal)?;
    let rows = RowsBuilder::new(spec, &kafka.metadata, context.projection.as_deref(), context.batch_rows)?;
    let planner = Planner::new(&context.name, kafka.clone(), config.clone(), context.epoch_rows, context.ends)?;
    let follow = Follow { config: config.clone(), kafka: kafka.clone(), spec: spec.clone(), context: context.clone() };
    let reader = Reader {
        source: context.name.clone(),
        sized_by_user: kafka.client.contains_key("queued.max.messages.kbytes"),
        config,
        rows,
        link: None,
        loss: Loss::new(&context.name, kafka.fail_on_data_loss),
        outage: Outage::of(format!("a read of source `{}`", context.name)),
    };
    Ok(KafkaSource { planner: Arc::new(Mutex::new(planner)), reader: Arc::new(Mutex::new(reader)), follow })
}

#[async_trait]
impl Source for KafkaSource {
    async fn plan(&mut self, state: &SourceState, limit: &Limit) -> Result<Option<SourcePlan>, SourceError> {
        let (state, limit, reader) = (state.clone(), limit.clone(), self.reader.clone());
        let plan = move |planner: &mut Planner| {
            // A consumer that is not read still complains; a read that runs listens to it itself.
            if let Ok(reader) = reader.try_lock() {
                reader.listen();
            }
            planner.plan(&state, &limit)
        };
        blocking(&self.planner, plan).await.map_err(SourceError::Fatal)?
    }

    async fn read(&mut self, plan: &SourcePlan) -> Result<BoxStream<'static, Result<Rows, SourceError>>, SourceError> {
        let ranges = ranges(plan)?;
        let (sender, mut receiver) = mpsc::channel(BATCHES_WAITING_MAX);
        let reader = self.reader.clone();
        tokio::spawn(async move {
            let failed = sender.clone();
            let ended = blocking(&reader, move |reader| reader.read(&ranges, &sender)).await;
            if let Err(reason) = ended {
                let _ = failed.send(Err(SourceError::Fatal(reason))).await;
            }
        });
        let on_bad_record = self.follow.spec.on_bad_record;
        let rows = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
        Ok(rows.map(move |rows| accept(rows?, on_bad_record)).boxed())
    }

    /// Kafka keeps records for as long as its topics say, whoever has read them.
    async fn ack(&mut self, _state: &SourceState) -> Result<(), SourceError> {
        Ok(())
    }

    async fn follow(&mut self, state: &SourceState) -> Result<Option<Slices>, SourceError> {
        // Whatever was read by plans has another consumer.
        if let Ok(mut reader) = self.reader.try_lock() {
            reader.link = None;
        }
        self.follow.begin(&self.planner, state).await.map(Some)
    }
}

/// A consumer for so many partitions.
pub(crate) fn consumer(
    mut config: ClientConfig,
    source: &str,
    partitions: usize,
    sized_by_user: bool,
) -> Result<BaseConsumer<Watch>, SourceError> {
    if !sized_by_user {
        let bytes = (QUEUED_BYTES_MAX / partitions.max(1)).max(QUEUED_BYTES_MIN);
        config.set("queued.max.messages.kbytes", (bytes / 1024).to_string());
    }
    if config.get("group.id").is_none() {
        config.set("group.id", format!("braid-{source}"));
    }
    config
        .create_with_context(Watch::default())
        .map_err(|error| SourceError::Fatal(format!("the Kafka client: {error}")))
}

/// What is read of one partition.
#[derive(Debug)]
struct Range {
    name: Arc<str>,
    partition: Partition,
    start: i64,
    end: i64,
}

fn ranges(plan: &SourcePlan) -> Result<Vec<Range>, SourceError> {
    let mut ranges = Vec::with_capacity(plan.end.len());
    for (name, end) in &plan.end {
        let start =
            *plan.start.get(name).ok_or_else(|| SourceError::Fatal(format!("bug: a plan has no start of {name}")))?;
        if start < *end {
            let partition = Partition::parse(name)?;
            ranges.push(Range { name: name.as_str().into(), partition, start, end: *end });
        }
    }
    Ok(ranges)
}

/// The side of a Kafka source that reads.
struct Reader {
    source: String,
    config: ClientConfig,
    /// Whether the user's options say how much may wait per partition.
    sized_by_user: bool,
    rows: RowsBuilder,
    link: Option<Link>,
    loss: Loss,
    outage: Outage,
}

/// A consumer and where it stands. It is replaced, and not moved, when it stands elsewhere than a plan begins: that
/// happens only at a start and after an error, and no record of before can then be mistaken for one of after.
struct Link {
    streams: BTreeMap<Arc<str>, Stream>,
    /// How many partitions its queues were sized for.
    room: usize,
    consumer: Arc<BaseConsumer<Watch>>,
}

/// One partition of a consumer.
struct Stream {
    partition: Partition,
    queue: Queue,
    /// All before it was read, nothing from it on; `None` while that is not so.
    next: Option<i64>,
}

/// Who takes the rows.
type Taker = mpsc::Sender<Result<Rows, SourceError>>;

/// Why a read ended early.
enum Stop {
    /// Nobody takes its rows any more.
    Unwanted,
    Failed(SourceError),
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        Self::Failed(error)
    }
}

impl Reader {
    fn read(&mut self, ranges: &[Range], taker: &Taker) {
        if taker.is_closed() {
            return;
        }
        let read = self
            .stand(ranges)
            .map_err(Stop::Failed)
            .and_then(|()| ranges.iter().try_for_each(|range| self.range(range, taker)));
        match read {
            Ok(()) => self.outage.over(),
            Err(Stop::Unwanted) => {}
            Err(Stop::Failed(error)) => {
                if let SourceError::Retry(reason) = &error {
                    self.outage.began(reason);
                }
                let _ = taker.blocking_send(Err(error));
            }
        }
    }

    /// Takes the client's complaints, which would else heap up.
    fn listen(&self) {
        if let Some(link) = &self.link {
            while link.consumer.poll(Duration::ZERO).is_some() {}
        }
    }

    /// Makes the consumer stand where the ranges begin.
    fn stand(&mut self, ranges: &[Range]) -> Result<(), SourceError> {
        let Some(link) = &mut self.link else {
            return self.link_anew(ranges.iter().map(|range| (range.partition.clone(), range.start)).collect());
        };
        let elsewhere = ranges
            .iter()
            .any(|range| link.streams.get(&range.name).is_some_and(|stream| stream.next != Some(range.start)));
        let new: Vec<(Partition, i64)> = ranges
            .iter()
            .filter(|range| !link.streams.contains_key(&range.name))
            .map(|range| (range.partition.clone(), range.start))
            .collect();
        if elsewhere || link.streams.len() + new.len() > link.room {
            let mut starts = link.nexts();
            starts.extend(ranges.iter().map(|range| (range.partition.clone(), range.start)));
            return self.link_anew(starts);
        }
        if !new.is_empty() {
            link.add(&new)?;
        }
        Ok(())
    }

    /// Replaces the consumer by one that stands there.
    fn link_anew(&mut self, starts: BTreeMap<Partition, i64>) -> Result<(), SourceError> {
        self.link = None;
        let room = starts.len().next_power_of_two();
        let consumer = consumer(self.config.clone(), &self.source, room, self.sized_by_user)?;
        let mut link = Link { streams: BTreeMap::new(), room, consumer: Arc::new(consumer) };
        link.add(&starts.into_iter().collect::<Vec<_>>())?;
        self.link = Some(link);
        Ok(())
    }

    /// Reads one partition's range to its end.
    fn range(&mut self, range: &Range, taker: &Taker) -> Result<(), Stop> {
        let mut from = range.start;
        self.rows.start(&range.partition.topic, range.partition.number, &range.name, from)?;
        let mut moved = Instant::now();
        while from < range.end {
            let Self { link, rows, .. } = self;
            let Some(Link { streams, consumer, .. }) = link else {
                return Err(SourceError::Retry("bug: a read without a consumer".into()).into());
            };
            let stream = streams
                .get_mut(&range.name)
                .ok_or_else(|| SourceError::Fatal(format!("bug: {} is not assigned", range.name)))?;
            stream.next = None;
            let mut at = from;
            let mut failed = None;
            stream.queue.see(|event| match event {
                Event::Record(record) if record.offset >= range.end => {
                    at = range.end;
                    false
                }
                Event::Record(record) => {
                    if rows.full() {
                        return false;
                    }
                    if record.offset >= at {
                        rows.record(&record);
                        at = record.offset + 1;
                    }
                    true
                }
                Event::End(offset) => {
                    at = at.max(offset);
                    true
                }
                Event::Failed { code, reason } => {
                    failed = Some((code, reason));
                    true
                }
            });
            if at > from {
                (from, moved) = (at, Instant::now());
            }
            if rows.full() {
                give(rows, taker)?;
            } else if let Some((code, reason)) = failed {
                from = self.mend(range, from, code, &reason)?;
            } else if from < range.end && !stream.queue.take(Duration::ZERO) {
                let _ = consumer.poll(Duration::ZERO);
                if let Some(position) = stream.queue.position(&range.partition.topic, range.partition.number) {
                    from = from.max(position);
                }
                if moved.elapsed() > STALL_MAX {
                    from = self.stalled(range, from)?;
                    continue;
                }
                if taker.is_closed() {
                    return Err(Stop::Unwanted);
                }
                if from < range.end {
                    stream.queue.take(RECORD_WAIT);
                }
            }
        }
        give(&mut self.rows, taker)?;
        if let Some(stream) = self.link.as_mut().and_then(|link| link.streams.get_mut(&range.name)) {
            stream.next = Some(range.end);
            self.loss.present(&range.partition.topic);
        }
        Ok(())
    }

    /// The broker gives nothing: it is away, or has no longer what was planned. Says where to read on.
    fn stalled(&mut self, range: &Range, from: i64) -> Result<i64, SourceError> {
        let Some(link) = &self.link else {
            return Err(SourceError::Retry("bug: a read without a consumer".into()));
        };
        let found = bounds(&link.consumer, std::slice::from_ref(&range.partition))?;
        if let Some(bounds) = found.first().filter(|bounds| bounds.end < range.end) {
            self.loss.cut(&range.partition, range.end - 1, *bounds)?;
            return Ok(range.end);
        }
        let what = format!("{} gave nothing for {STALL_MAX:?} at offset {from} of {}", range.name, range.end);
        Err(SourceError::Retry(link.consumer.context().explain(what)))
    }

    /// What a partition's error asks for. Says where to read on.
    fn mend(&mut self, range: &Range, from: i64, code: RDKafkaErrorCode, reason: &str) -> Result<i64, SourceError> {
        let Some(link) = &mut self.link else {
            return Err(SourceError::Retry("bug: a read without a consumer".into()));
        };
        let what = format!("{} at offset {from}", range.name);
        match code {
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                let found = bounds(&link.consumer, std::slice::from_ref(&range.partition))?;
                let resume = match found.first() {
                    Some(bounds) => self.loss.resume(&range.partition, from, *bounds)?,
                    None => from,
                };
                if resume == from {
                    return Err(SourceError::Retry(format!("{what}: {reason}")));
                }
                // A topic that was made again has other records at the offsets that were planned: none of them is read.
                let resume = if resume < from { range.end } else { resume.min(range.end) };
                let mut starts = link.nexts();
                starts.insert(range.partition.clone(), resume);
                self.link_anew(starts)?;
                Ok(resume)
            }
            RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition => {
                self.loss.missing(&range.partition, from)?;
                Ok(range.end)
            }
            RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::BadCompression | RDKafkaErrorCode::InvalidMessage => {
                Err(SourceError::Fatal(format!("{what}: {reason}")))
            }
            code if hopeless(&KafkaError::MessageConsumption(code)) => {
                Err(SourceError::Fatal(format!("{what}: {reason}")))
            }
            _ => {
                link.consumer.context().complain(format!("{what}: {reason}"));
                Ok(from)
            }
        }
    }
}

impl Link {
    /// Where each partition that stands somewhere stands.
    fn nexts(&self) -> BTreeMap<Partition, i64> {
        let standing = self.streams.values();
        standing.filter_map(|stream| Some((stream.partition.clone(), stream.next?))).collect()
    }

    /// Reads these partitions too, from there on.
    fn add(&mut self, starts: &[(Partition, i64)]) -> Result<(), SourceError> {
        let mut assignment = TopicPartitionList::with_capacity(starts.len());
        for (partition, start) in starts {
            let queue = Queue::split(&self.consumer, &partition.topic, partition.number)
                .ok_or_else(|| SourceError::Fatal(format!("`{}` is no topic's name", partition.topic)))?;
            assignment
                .add_partition_offset(&partition.topic, partition.number, Offset::Offset(*start))
                .map_err(|error| SourceError::Fatal(format!("{} at {start}: {error}", partition.name())))?;
            let stream = Stream { partition: partition.clone(), queue, next: Some(*start) };
            self.streams.insert(partition.name().into(), stream);
        }
        self.consumer
            .incremental_assign(&assignment)
            .map_err(|error| trouble(&self.consumer, "partitions cannot be assigned", &error))
    }
}

/// Hands over what was decoded.
fn give(rows: &mut RowsBuilder, taker: &Taker) -> Result<(), Stop> {
    match rows.take()? {
        Some(rows) => taker.blocking_send(Ok(rows)).map_err(|_| Stop::Unwanted),
        None => Ok(()),
    }
}
