//! A Kafka topic as a sink: each epoch's rows and the epoch's number are one transaction, so readers of committed
//! records see every epoch once.
//!
//! The number is kept as the committed offset of a consumer group that nobody joins (`braid-<writer>`, partition 0 of
//! the topic), with the history that it counts in as its metadata. The broker forgets the offsets of a group after
//! `offsets.retention.minutes` (seven days) without a write: a sink that crashed between its write and the manifest's
//! commit and is started only then writes that one epoch again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use braid_kernel::SinkError;
use braid_spec::model::Delivery;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::ToBytes;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::Output;
use crate::kafka::{Outage, Watch, blocking, configuration, hopeless};
use crate::kafka_value::Values;

/// How long each step of a transaction may take. All together they stay below the broker's own limit for one
/// (`transaction.timeout.ms`, a minute), so that it is we who give up, and not a broker that fences us.
const STEP_WAIT: Duration = Duration::from_secs(15);
/// How long a full send queue is waited for before it is looked at again.
const QUEUE_WAIT: Duration = Duration::from_millis(50);
/// Rows that are encoded at a time.
const ENCODED_ROWS_MAX: usize = 4096;

/// What a user's options may change.
const DEFAULTS: [(&str, &str); 7] = [
    ("linger.ms", "5"),
    ("compression.type", "lz4"),
    ("queue.buffering.max.kbytes", "65536"),
    ("message.timeout.ms", "15000"),
    ("topic.metadata.propagation.max.ms", "5000"),
    ("reconnect.backoff.max.ms", "1000"),
    // Where Java's producers would put a key.
    ("partitioner", "murmur2_random"),
];

/// A Kafka sink.
pub(crate) struct KafkaSink {
    writer: Arc<Mutex<Writer>>,
}

/// Opens a Kafka sink; the broker is first asked when something is written. A later sink with the same `writer` fences
/// this one. Epochs are numbered within `history`, which names the store that counts them.
pub(crate) fn open(
    writer: &str,
    history: &str,
    brokers: &str,
    topic: &str,
    client: &BTreeMap<String, String>,
    delivery: Delivery,
    values: Values,
) -> Result<KafkaSink, SinkError> {
    let id = format!("braid-{writer}");
    let once = delivery == Delivery::ExactlyOnce;
    let mut promises = vec![("enable.idempotence", "true"), ("acks", "all")];
    promises.extend(once.then_some(("transactional.id", id.as_str())));
    let producer = configuration(brokers, &DEFAULTS, client, &promises).map_err(SinkError::Fatal)?;
    // Only what concerns the connection is an option of both kinds of client.
    let connection = client
        .iter()
        .filter(|(key, _)| ["security.", "sasl.", "socket.", "broker."].iter().any(|prefix| key.starts_with(prefix)))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let promises = [("group.id", id.as_str()), ("enable.auto.commit", "false"), ("isolation.level", "read_committed")];
    let group = configuration(brokers, &[], &connection, &promises).map_err(SinkError::Fatal)?;
    let writer = Writer {
        outage: Outage::of(format!("sink `{writer}`")),
        history: history.to_owned(),
        topic: topic.to_owned(),
        producer,
        group: once.then_some(group),
        values,
        open: None,
    };
    Ok(KafkaSink { writer: Arc::new(Mutex::new(writer)) })
}

#[async_trait]
impl Output for KafkaSink {
    /// With transactions, exactly once for readers with `isolation.level=read_committed`. An epoch without rows leaves no
    /// trace.
    async fn write(&mut self, epoch: u64, rows: &[RecordBatch]) -> Result<(), SinkError> {
        if rows.iter().all(|batch| batch.num_rows() == 0) {
            // A producer that has nothing to do still complains, which would heap up.
            if let Ok(Writer { open: Some(open), .. }) = self.writer.try_lock().as_deref() {
                open.producer.poll(Duration::ZERO);
            }
            return Ok(());
        }
        let rows = rows.to_vec();
        blocking(&self.writer, move |writer| writer.write(epoch, &rows)).await.map_err(SinkError::Fatal)?
    }
}

struct Writer {
    topic: String,
    history: String,
    producer: ClientConfig,
    /// Whom the epoch's number is noted for, where there are transactions.
    group: Option<ClientConfig>,
    values: Values,
    open: Option<Open>,
    outage: Outage,
}

/// A producer that has fenced those before it, and what they had written.
struct Open {
    producer: BaseProducer<Watch>,
    group: Option<ConsumerGroupMetadata>,
    /// The last epoch of this history that is in the topic.
    done: Option<u64>,
}

impl ProducerContext for Watch {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        // The transaction cannot be committed then, so it is enough to know why.
        if let Err((error, _)) = result {
            self.complain(error.to_string());
        }
    }
}

impl Writer {
    fn write(&mut self, epoch: u64, rows: &[RecordBatch]) -> Result<(), SinkError> {
        let written = self.attempt(epoch, rows);
        match &written {
            Ok(()) => self.outage.over(),
            Err(error) => {
                // Whether the transaction was committed is asked of the broker by the producer that comes next.
                self.open = None;
                if let SinkError::Retry(reason) = error {
                    self.outage.began(reason);
                }
            }
        }
        written
    }

    fn attempt(&mut self, epoch: u64, rows: &[RecordBatch]) -> Result<(), SinkError> {
        self.values.ready()?;
        let open = match self.open.take() {
            Some(open) => open,
            None => self.connect()?,
        };
        let open = self.open.insert(open);
        match open.done {
            Some(done) if done == epoch => return Ok(()),
            Some(done) if done > epoch => {
                return Err(SinkError::Fatal(format!(
                    "epoch {epoch} is to be written to topic `{}`, but epoch {done} is there already: \
                     another Braid has taken over this deployment",
                    self.topic
                )));
            }
            _ => {}
        }
        let sent = match &open.group {
            Some(group) => transaction(open, group, &self.topic, &self.history, epoch, &self.values, rows),
            None => {
                open.producer.context().forget();
                send_rows(&open.producer, &self.topic, &self.values, rows)
            }
        };
        match sent {
            Ok(()) => {
                open.done = Some(epoch);
                Ok(())
            }
            Err(Failed::Client(what, error)) => {
                if open.group.is_some() {
                    let _ = open.producer.abort_transaction(QUEUE_WAIT);
                }
                open.producer.poll(Duration::ZERO);
                Err(trouble(&self.topic, open.producer.context(), what, &error))
            }
            Err(Failed::Rows(reason)) => {
                if open.group.is_some() {
                    let _ = open.producer.abort_transaction(STEP_WAIT);
                }
                Err(SinkError::Fatal(reason))
            }
        }
    }

    /// Fences earlier producers, ends what they left open, and asks how far they came.
    fn connect(&self) -> Result<Open, SinkError> {
        let create = |error: KafkaError| SinkError::Fatal(format!("the Kafka client: {error}"));
        let producer: BaseProducer<Watch> = self.producer.create_with_context(Watch::default()).map_err(create)?;
        let Some(group) = &self.group else {
            return Ok(Open { producer, group: None, done: None });
        };
        if let Err(error) = producer.init_transactions(STEP_WAIT) {
            producer.poll(Duration::ZERO);
            return Err(trouble(&self.topic, producer.context(), "transactions cannot be begun", &error));
        }
        let group: BaseConsumer<Watch> = group.create_with_context(Watch::default()).map_err(create)?;
        let ask = || {
            let mut asked = TopicPartitionList::new();
            asked.add_partition(&self.topic, 0);
            let answer = group.committed_offsets(asked, STEP_WAIT)?;
            let Some(element) = answer.find_partition(&self.topic, 0) else {
                return Ok(None);
            };
            element.error()?;
            let Offset::Offset(next) = element.offset() else {
                return Ok(None);
            };
            if element.metadata() != self.history {
                tracing::info!(
                    "topic `{}` holds epochs of another store of this deployment; epochs are counted anew",
                    self.topic
                );
                return Ok(None);
            }
            Ok(u64::try_from(next - 1).ok())
        };
        let done = ask().map_err(|error: KafkaError| {
            let _ = group.poll(Duration::ZERO);
            trouble(&self.topic, group.context(), "the last epoch cannot be looked up", &error)
        })?;
        let group =
            group.group_metadata().ok_or_else(|| SinkError::Fatal("bug: a consumer group without metadata".into()))?;
        Ok(Open { producer, group: Some(group), done })
    }
}

/// What to make of a client's error while doing `what`.
fn trouble(topic: &str, watch: &Watch, what: &str, error: &KafkaError) -> SinkError {
    let reason = watch.explain(format!("topic `{topic}`: {what}: {error}"));
    let fenced = match error {
        KafkaError::Transaction(error) => is_fence(error.code()),
        error => error.rdkafka_error_code().is_some_and(is_fence),
    };
    if fenced {
        SinkError::Fatal(format!("{reason}: another Braid has taken over this sink"))
    } else if hopeless(error) {
        SinkError::Fatal(reason)
    } else {
        SinkError::Retry(reason)
    }
}

fn is_fence(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch)
}

/// Why a transaction was not committed.
enum Failed {
    Client(&'static str, KafkaError),
    /// The rows cannot be sent, however often it is tried.
    Rows(String),
}

fn at(what: &'static str) -> impl FnOnce(KafkaError) -> Failed {
    move |error| Failed::Client(what, error)
}

/// The epoch's rows and number, all or nothing.
fn transaction(
    open: &Open,
    group: &ConsumerGroupMetadata,
    topic: &str,
    history: &str,
    epoch: u64,
    values: &Values,
    rows: &[RecordBatch],
) -> Result<(), Failed> {
    let producer = &open.producer;
    producer.context().forget();
    producer.begin_transaction().map_err(at("a transaction cannot be begun"))?;
    send_rows(producer, topic, values, rows)?;
    let next = i64::try_from(epoch + 1).map_err(|_| Failed::Rows("bug: epochs ran out".into()))?;
    let mut number = TopicPartitionList::new();
    number.add_partition(topic, 0).set_metadata(history);
    number.set_partition_offset(topic, 0, Offset::Offset(next)).map_err(at("the epoch cannot be noted"))?;
    producer.send_offsets_to_transaction(&number, group, STEP_WAIT).map_err(at("the epoch cannot be noted"))?;
    producer.commit_transaction(STEP_WAIT).map_err(at("the transaction cannot be committed"))
}

/// Sends rows, and waits until the broker has them.
fn send_rows(producer: &BaseProducer<Watch>, topic: &str, values: &Values, rows: &[RecordBatch]) -> Result<(), Failed> {
    for batch in rows {
        for start in (0..batch.num_rows()).step_by(ENCODED_ROWS_MAX) {
            let part = batch.slice(start, ENCODED_ROWS_MAX.min(batch.num_rows() - start));
            values.each(&part, Failed::Rows, |key, value| send(producer, topic, key, value))?;
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(STEP_WAIT).map_err(at("rows cannot be sent"))
}

/// Queues one record, waiting for room.
fn send(producer: &BaseProducer<Watch>, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), Failed> {
    let mut record = BaseRecord::<Bytes<'_>, Bytes<'_>>::to(topic);
    let (key, value) = (key.map(Bytes), value.map(Bytes));
    record.key = key.as_ref();
    record.payload = value.as_ref();
    let began = Instant::now();
    loop {
        let Err((error, back)) = producer.send(record) else {
            return Ok(());
        };
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) if began.elapsed() < STEP_WAIT => {
                producer.poll(QUEUE_WAIT);
                record = back;
            }
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                let size = value.map_or(0, |value| value.0.len());
                return Err(Failed::Rows(format!(
                    "topic `{topic}`: a row of {size} bytes is longer than `message.max.bytes` allows"
                )));
            }
            _ => return Err(Failed::Client("rows cannot be sent", error)),
        }
    }
}

/// Bytes of a record.
struct Bytes<'a>(&'a [u8]);

impl ToBytes for Bytes<'_> {
    fn to_bytes(&self) -> &[u8] {
        self.0
    }
}
