//! Kafka topics that are followed: records as they come, of all partitions at once. The broker is asked nothing in between
//! but, beside it, for new partitions.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, mpsc as std_mpsc};
use std::time::Duration;

use braid_kernel::{Slice, Slices, SourceError, SourcePlan, SourceState};
use braid_spec::model;
use futures::StreamExt;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::mpsc;

use crate::SourceContext;
use crate::kafka::{Watch, blocking, hopeless};
use crate::kafka_plan::{Planner, TOPICS_EVERY, trouble};
use crate::kafka_queue::{Event, Queue};
use crate::kafka_rows::RowsBuilder;
use crate::kafka_source::consumer;
use crate::kafka_topics::Partition;
use crate::pump::accept;

/// Slices that wait to be taken. While they do, what comes makes the next one longer.
const SLICES_WAITING_MAX: usize = 2;
/// How long the thread waits for a record before it looks whether anybody still wants one.
const RECORD_WAIT: Duration = Duration::from_millis(100);

/// Who takes the slices.
type Taker = mpsc::Sender<Result<Slice, SourceError>>;

/// What following needs.
pub(crate) struct Follow {
    pub(crate) config: ClientConfig,
    pub(crate) kafka: model::Kafka,
    pub(crate) spec: model::Source,
    pub(crate) context: SourceContext,
}

impl Follow {
    /// Slices of all partitions, each from where the state says.
    pub(crate) async fn begin(
        &self,
        planner: &Arc<Mutex<Planner>>,
        state: &SourceState,
    ) -> Result<Slices, SourceError> {
        let asked = state.clone();
        let begun = blocking(planner, move |planner| planner.begin(&asked)).await;
        let (starts, keep) = begun.map_err(SourceError::Fatal)??;
        let mut state = state.clone();
        let ends = starts.iter().map(|(partition, start)| (partition.name(), *start)).collect();
        let standing = SourcePlan { start: ends, ..SourcePlan::default() };
        let standing = SourcePlan { end: standing.start.clone(), ..standing };
        state.advance(&standing);
        let known: BTreeSet<Partition> = starts.iter().map(|(partition, _)| partition.clone()).collect();

        let (sender, mut receiver) = mpsc::channel(SLICES_WAITING_MAX);
        let (new, newcomers) = std_mpsc::channel();
        let mut follower = self.follower(starts.len(), sender.clone(), newcomers)?;
        follower.add(&starts)?;
        std::thread::Builder::new()
            .name("kafka-follow".into())
            .spawn(move || follower.run())
            .map_err(|error| SourceError::Retry(format!("no thread to follow topics on: {error}")))?;
        tokio::spawn(look_out(planner.clone(), state, known, sender, new));
        let first = keep.then(|| Ok(Slice { plan: standing, rows: vec![] }));
        let rest = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
        Ok(futures::stream::iter(first).chain(rest).boxed())
    }

    fn follower(
        &self,
        partitions: usize,
        taker: Taker,
        newcomers: std_mpsc::Receiver<Vec<(Partition, i64)>>,
    ) -> Result<Follower, SourceError> {
        let Self { config, kafka, spec, context } = self;
        let mut config = config.clone();
        // Nobody waits for an end.
        config.set("enable.partition.eof", "false");
        let sized_by_user = kafka.client.contains_key("queued.max.messages.kbytes");
        let consumer = Arc::new(consumer(config, &context.name, partitions, sized_by_user)?);
        let queue = Queue::shared(&consumer).ok_or_else(|| SourceError::Retry("no queue for records".into()))?;
        let rows = RowsBuilder::new(spec, &kafka.metadata, context.projection.as_deref(), context.batch_rows)?;
        Ok(Follower {
            queue,
            rows,
            streams: vec![],
            places: HashMap::new(),
            taker,
            newcomers,
            on_bad_record: spec.on_bad_record,
            consumer,
        })
    }
}

/// Looks for new partitions, now and then, as long as anybody wants slices.
async fn look_out(
    planner: Arc<Mutex<Planner>>,
    state: SourceState,
    mut known: BTreeSet<Partition>,
    taker: Taker,
    new: std_mpsc::Sender<Vec<(Partition, i64)>>,
) {
    loop {
        tokio::select! {
            () = taker.closed() => return,
            () = tokio::time::sleep(TOPICS_EVERY) => {}
        }
        let (asked, there) = (state.clone(), known.clone());
        let found = blocking(&planner, move |planner| planner.newcomers(&asked, &there)).await;
        match found.unwrap_or_else(|reason| Err(SourceError::Fatal(reason))) {
            Ok(found) if found.is_empty() => {}
            Ok(found) => {
                known.extend(found.iter().map(|(partition, _)| partition.clone()));
                if new.send(found).is_err() {
                    return;
                }
            }
            Err(SourceError::Retry(reason)) => tracing::debug!(reason, "topics cannot be looked up for now"),
            Err(error) => {
                let _ = taker.send(Err(error)).await;
                return;
            }
        }
    }
}

/// One partition on its way.
struct Stream {
    name: Arc<str>,
    partition: Partition,
    /// All before it was given out.
    next: i64,
    /// Of what was taken, its records.
    came: Vec<usize>,
}

/// The thread that takes records from librdkafka.
struct Follower {
    queue: Queue,
    rows: RowsBuilder,
    streams: Vec<Stream>,
    /// Which stream an event is of; none of a partition that was not asked for.
    places: HashMap<(usize, i32), Option<usize>>,
    taker: Taker,
    newcomers: std_mpsc::Receiver<Vec<(Partition, i64)>>,
    on_bad_record: model::OnBadRecord,
    consumer: Arc<BaseConsumer<Watch>>,
}

impl Follower {
    /// Until it fails, or nobody wants more.
    fn run(mut self) {
        while !self.taker.is_closed() {
            if let Err(error) = self.turn() {
                let _ = self.taker.blocking_send(Err(error));
                return;
            }
        }
    }

    /// Gives out what is there of one partition; or waits for something.
    fn turn(&mut self) -> Result<(), SourceError> {
        if let Ok(new) = self.newcomers.try_recv() {
            self.add(&new)?;
            // What was unknown may be known now.
            self.places.clear();
        }
        if !self.queue.take(RECORD_WAIT) {
            // The client's complaints would heap up.
            while self.consumer.poll(Duration::ZERO).is_some() {}
            return Ok(());
        }
        let mut failed = None;
        for (index, (place, event)) in self.queue.events().enumerate() {
            let stream = *self.places.entry(place.key()).or_insert_with(|| {
                let (topic, number) = place.partition();
                self.streams.iter().position(|s| s.partition.number == number && *s.partition.topic == *topic)
            });
            let Some(stream) = stream.map(|stream| &mut self.streams[stream]) else { continue };
            match event {
                Event::Record(_) => stream.came.push(index),
                Event::End(_) => {}
                Event::Failed { code, reason } => {
                    let what = format!("{} after offset {}: {reason}", stream.name, stream.next);
                    failed = failed.or(failure(code, what));
                }
            }
        }
        let slice = self.slice()?;
        self.queue.seen();
        // Where nobody wants it, the next turn is the last.
        let _ = slice.map(|slice| self.taker.blocking_send(Ok(slice)));
        failed.map_or(Ok(()), Err)
    }

    /// Decodes what came, partition by partition.
    fn slice(&mut self) -> Result<Option<Slice>, SourceError> {
        let mut slice = Slice { plan: SourcePlan::default(), rows: vec![] };
        for stream in self.streams.iter_mut().filter(|stream| !stream.came.is_empty()) {
            let Partition { topic, number } = &stream.partition;
            let start = stream.next;
            self.rows.start(topic, *number, &stream.name, start)?;
            for index in stream.came.drain(..) {
                let Some(Event::Record(record)) = self.queue.event(index) else { continue };
                if record.offset < stream.next {
                    continue;
                }
                self.rows.record(&record);
                stream.next = record.offset + 1;
                if self.rows.full() {
                    let rows = self.rows.take()?;
                    slice.rows.extend(rows.map(|rows| accept(rows, self.on_bad_record)).transpose()?);
                }
            }
            let rows = self.rows.take()?;
            slice.rows.extend(rows.map(|rows| accept(rows, self.on_bad_record)).transpose()?);
            if start < stream.next {
                slice.plan.start.insert(stream.name.to_string(), start);
                slice.plan.end.insert(stream.name.to_string(), stream.next);
            }
        }
        Ok((!slice.rows.is_empty()).then_some(slice))
    }

    /// Reads these partitions too, from there on.
    fn add(&mut self, starts: &[(Partition, i64)]) -> Result<(), SourceError> {
        let mut assignment = TopicPartitionList::with_capacity(starts.len());
        for (partition, start) in starts {
            let Partition { topic, number } = partition;
            self.queue
                .join(topic, *number)
                .ok_or_else(|| SourceError::Fatal(format!("`{topic}` is no topic's name")))?;
            assignment
                .add_partition_offset(topic, *number, Offset::Offset(*start))
                .map_err(|error| SourceError::Fatal(format!("{} at {start}: {error}", partition.name())))?;
            let stream =
                Stream { name: partition.name().into(), partition: partition.clone(), next: *start, came: vec![] };
            self.streams.push(stream);
        }
        self.consumer
            .incremental_assign(&assignment)
            .map_err(|error| trouble(&self.consumer, "partitions cannot be assigned", &error))
    }
}

/// What a partition's error asks for; nothing where it passes by itself.
fn failure(code: RDKafkaErrorCode, what: String) -> Option<SourceError> {
    use RDKafkaErrorCode as Code;
    match code {
        Code::BadMessage | Code::BadCompression | Code::InvalidMessage => Some(SourceError::Fatal(what)),
        // Whoever follows again first looks what is there, and whether anything is lost.
        Code::AutoOffsetReset
        | Code::OffsetOutOfRange
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition => Some(SourceError::Retry(what)),
        code if hopeless(&KafkaError::MessageConsumption(code)) => Some(SourceError::Fatal(what)),
        _ => {
            tracing::debug!(target: "braid::kafka", "{what}");
            None
        }
    }
}
