//! A Kafka topic as a sink: each epoch's rows and the epoch's number are one transaction, so readers of committed
//! records see every epoch once.
//!
//! In continuous processing the rows are sent as they flow, into a transaction that ends with the epoch; at least once,
//! without one. Either way an epoch ends only when the broker has all of it.
//!
//! The number is kept as the committed offset of a consumer group that nobody joins (`braid-<writer>`, partition 0 of
//! the topic), with the history that it counts in as its metadata. The broker forgets the offsets of a group after
//! `offsets.retention.minutes` (seven days) without a write: a sink that crashed between its write and the manifest's
//! commit and is started only then writes that one epoch again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
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
/// How long a wait for the broker is before it is looked whether it is over. (The client's own flush looks every 100 ms,
/// and its poll does not sleep through less than a millisecond.)
const FLUSH_WAIT: Duration = Duration::from_micros(200);
/// Rows that are encoded at a time.
const ENCODED_ROWS_MAX: usize = 4096;

/// How long a transaction may be open beyond the epoch that it is of.
const TRANSACTION_SLACK: Duration = Duration::from_secs(60);
/// Rows that flow are sent at once while not more than so many are under way.
const UNDER_WAY_MAX: i32 = 8192;

/// What a user's options may change.
const DEFAULTS: [(&str, &str); 9] = [
    // Without any, a request a row keeps a busy broker from everything else.
    ("linger.ms", "1"),
    ("socket.nagle.disable", "true"),
    // A transaction that follows another may have to wait for the markers of that, which takes milliseconds.
    ("retry.backoff.ms", "5"),
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
    flows: Option<Duration>,
) -> Result<KafkaSink, SinkError> {
    let id = format!("braid-{writer}");
    let once = delivery == Delivery::ExactlyOnce;
    let mut promises = vec![("enable.idempotence", "true"), ("acks", "all")];
    promises.extend(once.then_some(("transactional.id", id.as_str())));
    let mut producer = configuration(brokers, &DEFAULTS, client, &promises).map_err(SinkError::Fatal)?;
    if let Some(open_for) = flows.filter(|_| once && !client.contains_key("transaction.timeout.ms")) {
        producer.set("transaction.timeout.ms", (open_for + TRANSACTION_SLACK).as_millis().to_string());
    }
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
        flowing: None,
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

    async fn flow(&mut self, epoch: u64, part: u64, rows: &[RecordBatch]) -> Result<(), SinkError> {
        if let Ok(mut writer) = self.writer.try_lock()
            && writer.is_quick(part)
        {
            return writer.flow(epoch, part, rows);
        }
        let rows = rows.to_vec();
        blocking(&self.writer, move |writer| writer.flow(epoch, part, &rows)).await.map_err(SinkError::Fatal)?
    }

    async fn close(&mut self, epoch: u64, rows: &[RecordBatch]) -> Result<(), SinkError> {
        let flowed = self.writer.lock().unwrap_or_else(PoisonError::into_inner).flowing == Some(epoch);
        match flowed {
            true => blocking(&self.writer, move |writer| writer.close(epoch)).await.map_err(SinkError::Fatal)?,
            false => self.write(epoch, rows).await,
        }
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
    /// The epoch whose rows were sent, all of them so far.
    flowing: Option<u64>,
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
        if let Err((error, _)) = result {
            self.gave_up(error);
        }
    }
}

impl Writer {
    fn write(&mut self, epoch: u64, rows: &[RecordBatch]) -> Result<(), SinkError> {
        let written = self.unflow().and_then(|()| self.ready(epoch)).and_then(|ready| match ready {
            true => self.attempt(|open, to| {
                open.begin()?;
                send_rows(&open.producer, to, rows)?;
                open.end(to, epoch)
            }),
            false => Ok(()),
        });
        self.came_of(written)
    }

    /// Whether rows can be sent without waiting for anything.
    fn is_quick(&self, part: u64) -> bool {
        let idle = |open: &Open| open.producer.in_flight_count() <= UNDER_WAY_MAX;
        self.open.as_ref().is_some_and(idle) && (part > 0 || self.flowing.is_none())
    }

    /// Sends rows of an epoch that has not ended.
    fn flow(&mut self, epoch: u64, part: u64, rows: &[RecordBatch]) -> Result<(), SinkError> {
        let sent = match part {
            0 => self.unflow(),
            _ => Ok(()),
        };
        let sent = sent.and_then(|()| {
            if rows.iter().all(|batch| batch.num_rows() == 0) {
                return Ok(());
            }
            let begun = self.flowing == Some(epoch);
            if !begun && !self.ready(epoch)? {
                let what = format!("bug: epoch {epoch} is in topic `{}` before it was planned", self.topic);
                return Err(SinkError::Fatal(what));
            }
            self.flowing = Some(epoch);
            self.attempt(|open, to| {
                if !begun {
                    open.begin()?;
                }
                queue_rows(&open.producer, to, rows)?;
                open.all_delivered()
            })
        });
        self.came_of(sent)
    }

    /// Ends an epoch whose rows were sent.
    fn close(&mut self, epoch: u64) -> Result<(), SinkError> {
        self.flowing = None;
        let ended = self.attempt(|open, to| {
            flush(&open.producer)?;
            open.end(to, epoch)
        });
        self.came_of(ended)
    }

    /// Takes back what flowed of an epoch that did not end.
    fn unflow(&mut self) -> Result<(), SinkError> {
        match (self.flowing.take(), &self.open) {
            (Some(_), Some(Open { group: Some(_), .. })) => self.attempt(|open, _| {
                open.producer.abort_transaction(STEP_WAIT).map_err(at("a transaction cannot be aborted"))
            }),
            _ => Ok(()),
        }
    }

    fn came_of(&mut self, written: Result<(), SinkError>) -> Result<(), SinkError> {
        match &written {
            Ok(()) => self.outage.over(),
            Err(error) => {
                // Whether the transaction was committed is asked of the broker by the producer that comes next.
                (self.open, self.flowing) = (None, None);
                if let SinkError::Retry(reason) = error {
                    self.outage.began(reason);
                }
            }
        }
        written
    }

    /// Whether an epoch is to be written, and not there already.
    fn ready(&mut self, epoch: u64) -> Result<bool, SinkError> {
        self.values.ready()?;
        let open = match self.open.take() {
            Some(open) => open,
            None => self.connect()?,
        };
        match self.open.insert(open).done {
            Some(done) if done == epoch => Ok(false),
            Some(done) if done > epoch => Err(SinkError::Fatal(format!(
                "epoch {epoch} is to be written to topic `{}`, but epoch {done} is there already: \
                 another Braid has taken over this deployment",
                self.topic
            ))),
            _ => Ok(true),
        }
    }

    /// Does a part of an epoch. What was begun is given up where that fails.
    fn attempt(&mut self, part: impl FnOnce(&mut Open, To<'_>) -> Result<(), Failed>) -> Result<(), SinkError> {
        let Some(open) = &mut self.open else {
            return Err(SinkError::Retry(format!("topic `{}`: the producer is gone", self.topic)));
        };
        let to = To { topic: &self.topic, history: &self.history, values: &self.values };
        match part(open, to) {
            Ok(()) => Ok(()),
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

/// Why an epoch was not written.
enum Failed {
    Client(&'static str, KafkaError),
    /// The rows cannot be sent, however often it is tried.
    Rows(String),
}

fn at(what: &'static str) -> impl FnOnce(KafkaError) -> Failed {
    move |error| Failed::Client(what, error)
}

/// Where rows go and what they become, and the history that counts their epochs.
#[derive(Clone, Copy)]
struct To<'a> {
    topic: &'a str,
    history: &'a str,
    values: &'a Values,
}

impl Open {
    /// Begins an epoch.
    fn begin(&self) -> Result<(), Failed> {
        self.producer.context().forget();
        match &self.group {
            Some(_) => self.producer.begin_transaction().map_err(at("a transaction cannot be begun")),
            None => Ok(()),
        }
    }

    /// Whether nothing that was sent is lost. (Of a transaction the broker asks that itself, and says who took it over.)
    fn all_delivered(&self) -> Result<(), Failed> {
        match self.producer.context().given_up().filter(|_| self.group.is_none()) {
            Some(error) => Err(Failed::Client("a row was not delivered", error)),
            None => Ok(()),
        }
    }

    /// Ends an epoch whose rows the broker has: with its number, all or nothing, where there are transactions.
    fn end(&mut self, to: To<'_>, epoch: u64) -> Result<(), Failed> {
        self.all_delivered()?;
        if let Some(group) = &self.group {
            let next = i64::try_from(epoch + 1).map_err(|_| Failed::Rows("bug: epochs ran out".into()))?;
            let mut number = TopicPartitionList::new();
            number.add_partition(to.topic, 0).set_metadata(to.history);
            let noted = "the epoch cannot be noted";
            number.set_partition_offset(to.topic, 0, Offset::Offset(next)).map_err(at(noted))?;
            self.producer.send_offsets_to_transaction(&number, group, STEP_WAIT).map_err(at(noted))?;
            self.producer.commit_transaction(STEP_WAIT).map_err(at("the transaction cannot be committed"))?;
        }
        self.done = Some(epoch);
        Ok(())
    }
}

/// Sends rows, and waits until the broker has them.
fn send_rows(producer: &BaseProducer<Watch>, to: To<'_>, rows: &[RecordBatch]) -> Result<(), Failed> {
    queue_rows(producer, to, rows)?;
    flush(producer)
}

/// Waits until the broker has all that was sent.
fn flush(producer: &BaseProducer<Watch>) -> Result<(), Failed> {
    let began = Instant::now();
    while let Err(error) = producer.flush(Duration::ZERO) {
        if began.elapsed() > STEP_WAIT || error.rdkafka_error_code() != Some(RDKafkaErrorCode::OperationTimedOut) {
            return Err(Failed::Client("rows cannot be sent", error));
        }
        std::thread::sleep(FLUSH_WAIT);
        producer.poll(Duration::ZERO);
    }
    Ok(())
}

/// Sends rows, and does not wait for the broker.
fn queue_rows(
    producer: &BaseProducer<Watch>,
    To { topic, values, .. }: To<'_>,
    rows: &[RecordBatch],
) -> Result<(), Failed> {
    for batch in rows {
        for start in (0..batch.num_rows()).step_by(ENCODED_ROWS_MAX) {
            let part = batch.slice(start, ENCODED_ROWS_MAX.min(batch.num_rows() - start));
            values.each(&part, Failed::Rows, |key, value| send(producer, topic, key, value))?;
            producer.poll(Duration::ZERO);
        }
    }
    Ok(())
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
