//! A real Kafka broker for tests: `e2e/setup/kafka` fetches and runs it, this starts, stops, kills and feeds it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use rdkafka::ClientContext;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::braid::{PATIENCE, root};

/// How often a broker that starts is asked whether it is there.
const PROBE: Duration = Duration::from_millis(20);

/// A broker on loopback. It ends when this is dropped, and also when the test's process ends without dropping it.
pub struct Broker {
    address: String,
    place: Option<Place>,
    process: Option<Process>,
    producer: OnceLock<BaseProducer<Deliveries>>,
}

/// What a broker keeps over a restart.
#[derive(Debug)]
struct Place {
    port: u16,
    controller_port: u16,
    home: tempfile::TempDir,
    /// What else `e2e/setup/kafka run` is told.
    options: &'static [&'static str],
}

/// A running broker.
#[derive(Debug)]
struct Process {
    id: u32,
    /// Waits for its end.
    watcher: JoinHandle<()>,
}

/// One record of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
}

impl Record {
    /// Its value as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(self.value.as_deref().unwrap_or_default()).expect("the value is text")
    }
}

impl Broker {
    /// The broker that all tests of a process share: the one at `BRAID_TEST_KAFKA`, or one that is started.
    /// Tests that stop or kill theirs use [`Broker::start`].
    pub fn shared() -> &'static Broker {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var("BRAID_TEST_KAFKA") {
            Ok(address) => {
                let broker = Broker { address, place: None, process: None, producer: OnceLock::new() };
                broker.wait_until_ready();
                broker
            }
            Err(_) => Broker::start(),
        })
    }

    /// Starts a broker of one's own, with nothing in it. Returns when it answers: about two seconds where nothing else runs.
    pub fn start() -> Broker {
        Self::start_with(&["--heap", "256m"])
    }

    /// Starts a broker that is as quick as it gets, some seconds later: for benchmarks.
    pub fn start_for_long() -> Broker {
        Self::start_with(&["--heap", "1g", "--for-long"])
    }

    fn start_with(options: &'static [&'static str]) -> Broker {
        sweep();
        let ports: Vec<TcpListener> =
            (0..2).map(|_| TcpListener::bind(("127.0.0.1", 0)).expect("there is a free port")).collect();
        let port = |at: usize| ports[at].local_addr().expect("it is bound").port();
        let home = tempfile::Builder::new()
            .prefix(&format!("{HOME_PREFIX}{}-", std::process::id()))
            .tempdir()
            .expect("there is a temporary directory");
        let place = Place { port: port(0), controller_port: port(1), home, options };
        drop(ports);
        let address = format!("127.0.0.1:{}", place.port);
        let mut broker = Broker { address, place: Some(place), process: None, producer: OnceLock::new() };
        broker.restart();
        broker
    }

    /// `host:port`, for `bootstrap.servers`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) {
        self.end("-TERM");
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) {
        self.end("-KILL");
    }

    fn end(&mut self, signal: &str) {
        let Some(process) = self.process.take() else {
            return;
        };
        let sent = Command::new("kill")
            .args([signal, &process.id.to_string()])
            .stderr(Stdio::null())
            .status()
            .expect("kill runs");
        let began = Instant::now();
        while sent.success() && !process.watcher.is_finished() {
            assert!(began.elapsed() < PATIENCE, "the broker does not end");
            std::thread::sleep(PROBE);
        }
    }

    /// Starts it again on the same ports with the same data, after killing it if it runs. Returns when it answers.
    pub fn restart(&mut self) {
        self.kill();
        let place = self.place.as_ref().expect("a broker that was given is not ours to restart");
        let log = self.log().expect("a broker of ours has a log");
        let file = std::fs::File::options().create(true).append(true).open(&log).expect("the log can be written");
        let mut command = Command::new(root().join("e2e/setup/kafka"));
        command
            .args(["run", "--die-with-parent"])
            .args(place.options)
            .arg("--port")
            .arg(place.port.to_string())
            .arg("--controller-port")
            .arg(place.controller_port.to_string())
            .arg("--data")
            .arg(place.home.path().join("data"))
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the log can be written twice"))
            .stderr(file);
        let (started, id) = channel();
        // The system ends the broker when the thread that started it ends: this one lives as long as the broker.
        let watcher = std::thread::spawn(move || {
            let mut child = command.spawn().expect("e2e/setup/kafka runs");
            started.send(child.id()).ok();
            child.wait().ok();
        });
        let id = id.recv().expect("e2e/setup/kafka was started");
        self.process = Some(Process { id, watcher });
        self.wait_until_ready();
    }

    fn log(&self) -> Option<PathBuf> {
        Some(self.place.as_ref()?.home.path().join("broker.log"))
    }

    fn wait_until_ready(&self) {
        let client: BaseConsumer = self
            .config()
            .set("reconnect.backoff.ms", "10")
            .set("reconnect.backoff.max.ms", "50")
            .create()
            .expect("a client can be made");
        let began = Instant::now();
        loop {
            let there = client.fetch_metadata(None, PROBE);
            if there.is_ok_and(|metadata| !metadata.brokers().is_empty()) {
                return;
            }
            let over = self.process.as_ref().is_some_and(|process| process.watcher.is_finished());
            if over || began.elapsed() > PATIENCE {
                let said = self.log().and_then(|log| std::fs::read_to_string(log).ok());
                panic!("no broker at {}: {}", self.address, said.unwrap_or_default());
            }
        }
    }

    /// A client's configuration with the broker's address in it.
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address);
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().expect("an admin client can be made")
    }

    /// Creates a topic.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let made = block_on(self.admin().create_topics(&[topic], &waiting()));
        done("create the topic", made);
    }

    /// Changes one of a topic's settings.
    pub fn set_topic(&self, name: &str, key: &str, value: &str) {
        let change = AlterConfig::new(ResourceSpecifier::Topic(name)).set(key, value);
        let changed = block_on(self.admin().alter_configs([&change], &waiting())).expect("the broker answers");
        changed.into_iter().for_each(|result| drop(result.expect("the topic takes the setting")));
    }

    /// Creates a topic under a name that no other test has.
    pub fn fresh_topic(&self, stem: &str, partitions: i32) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let since = std::time::UNIX_EPOCH.elapsed().expect("it is after 1970");
        let name = format!("{stem}-{:x}-{}", since.as_nanos(), COUNT.fetch_add(1, Ordering::Relaxed));
        self.create_topic(&name, partitions);
        name
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, name: &str) {
        let gone = block_on(self.admin().delete_topics(&[name], &waiting()));
        done("delete the topic", gone);
    }

    /// Gives a topic more partitions: `total` of them.
    pub fn add_partitions(&self, topic: &str, total: usize) {
        let partitions = NewPartitions::new(topic, total);
        let added = block_on(self.admin().create_partitions(&[partitions], &waiting()));
        done("add partitions", added);
    }

    /// Lets retention pass: everything before the offset is gone.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(before)).expect("the offset is one");
        let left = block_on(self.admin().delete_records(&offsets, &waiting())).expect("records are deleted");
        for element in left.elements() {
            element.error().expect("records are deleted");
        }
    }

    /// Sends values to one partition, in order, and waits until all are there.
    pub fn produce<V: AsRef<[u8]>>(&self, topic: &str, partition: i32, values: impl IntoIterator<Item = V>) {
        // One for all: to become idempotent takes a producer a second.
        let producer = self.producer.get_or_init(|| {
            self.config()
                .set("acks", "all")
                .set("enable.idempotence", "true")
                .set("linger.ms", "5")
                .set("batch.size", "262144")
                .set("reconnect.backoff.max.ms", "100")
                .create_with_context(Deliveries::default())
                .expect("a producer can be made")
        });
        send(producer, topic, partition, values);
        producer.flush(PATIENCE).expect("everything is delivered");
        let failed = producer.context().failed.lock().expect("no delivery panics");
        assert!(failed.is_none(), "{topic}-{partition} did not take a record: {failed:?}");
    }

    /// A producer with transactions; the same id fences the one before it.
    pub fn transactional(&self, id: &str) -> BaseProducer {
        let producer: BaseProducer =
            self.config().set("transactional.id", id).create().expect("a producer can be made");
        producer.init_transactions(PATIENCE).expect("transactions can be used");
        producer
    }

    /// Waits until a partition is decided up to this offset (exclusive): the end of a transaction is told to its
    /// producer before it is in the partition.
    pub fn wait_until_decided(&self, topic: &str, partition: i32, end: i64) {
        let client: BaseConsumer =
            self.config().set("isolation.level", "read_committed").create().expect("a client can be made");
        let began = Instant::now();
        loop {
            let (_, found) = client.fetch_watermarks(topic, partition, PATIENCE).expect("the partition has offsets");
            if found >= end {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{topic}-{partition} is decided up to {found}, not up to {end}");
            std::thread::sleep(PROBE);
        }
    }

    /// Every committed record of a topic as of now, by partition and offset; no transaction may be left open.
    pub fn records(&self, topic: &str) -> Vec<Record> {
        let consumer: BaseConsumer = self
            .config()
            .set("group.id", "braid-e2e-reader")
            .set("enable.auto.commit", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "true")
            .create()
            .expect("a consumer can be made");
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("the broker answers");
        let everything: BaseConsumer =
            self.config().set("isolation.level", "read_uncommitted").create().expect("a client can be made");
        let mut open = 0;
        let mut assignment = TopicPartitionList::new();
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            let (_, end) =
                everything.fetch_watermarks(topic, partition.id(), PATIENCE).expect("the partition has offsets");
            self.wait_until_decided(topic, partition.id(), end);
            assignment
                .add_partition_offset(topic, partition.id(), Offset::Beginning)
                .expect("the beginning is an offset");
            open += 1;
        }
        consumer.assign(&assignment).expect("it can be assigned");
        let mut records = Vec::new();
        while open > 0 {
            match consumer.poll(PATIENCE).expect("the topic has an end") {
                Ok(message) => records.push(Record {
                    partition: message.partition(),
                    offset: message.offset(),
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                }),
                Err(KafkaError::PartitionEOF(_)) => open -= 1,
                Err(error) => panic!("{topic} cannot be read: {error}"),
            }
        }
        records.sort();
        records
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Remembers a record that was not delivered: a flush does not say so.
#[derive(Debug, Default)]
struct Deliveries {
    failed: Mutex<Option<KafkaError>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            *self.failed.lock().expect("no delivery panics") = Some(error.clone());
        }
    }
}

/// Queues values for one partition, waiting where the producer's queue is full.
pub fn send<C: ProducerContext<DeliveryOpaque = ()>, V: AsRef<[u8]>>(
    producer: &BaseProducer<C>,
    topic: &str,
    partition: i32,
    values: impl IntoIterator<Item = V>,
) {
    let began = Instant::now();
    for value in values {
        let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(value.as_ref());
        while let Err((error, back)) = producer.send(record) {
            match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => producer.poll(PROBE),
                // The partition is new, and the producer has not heard of it.
                Some(RDKafkaErrorCode::UnknownPartition) if began.elapsed() < PATIENCE => {
                    producer.client().fetch_metadata(Some(topic), PATIENCE).expect("the broker answers");
                }
                _ => panic!("{topic} takes no record: {error}"),
            }
            record = back;
        }
    }
}

fn waiting() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE))
}

fn done(what: &str, results: Result<Vec<Result<String, (String, RDKafkaErrorCode)>>, KafkaError>) {
    for result in results.unwrap_or_else(|error| panic!("cannot {what}: {error}")) {
        result.unwrap_or_else(|(name, error)| panic!("cannot {what} {name}: {error}"));
    }
}

/// How the folders of brokers are named, followed by the id of the process that started them.
const HOME_PREFIX: &str = "braid-broker-";

/// Removes what brokers of ended processes left behind: a shared broker is never dropped.
fn sweep() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(id) = name.strip_prefix(HOME_PREFIX).and_then(|rest| rest.split('-').next()) else {
            continue;
        };
        if Path::new("/proc/self").exists() && !Path::new("/proc").join(id).exists() {
            std::fs::remove_dir_all(entry.path()).ok();
        }
    }
}
