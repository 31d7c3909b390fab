//! Latency of Kafka → filter and map → Kafka at a fixed rate: Braid, and Spark beside it.
//!
//!     cargo bench -p braid-e2e --bench latency
//!
//! Each row is due at an instant of a fixed schedule, which stands in it; what a reader of committed records sees of it
//! later is its latency, so a stall counts for every row that waited. `BRAID_BENCH` is the peers' kit with its `venv`
//! (Spark), and `BRAID_SPARK_KAFKA` a folder with Spark's Kafka connector; without them Braid runs alone.
//! `LATENCY_ONLY` runs only those whose name has it. `LATENCY_RATES` (1000,10000) are rows per second, `LATENCY_ROUNDS` (2)
//! how often each runs, in turn, and `LATENCY_SECONDS` (20) for how long, after as long a warm-up.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, UNIX_EPOCH};

use braid_e2e::braid::{PATIENCE, River, count, root};
use braid_e2e::broker::Broker;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// The topics' partitions.
const PARTITIONS: i32 = 2;
/// The kernel's clock ticks per second, in `/proc/<pid>/stat`.
const TICKS_PER_SECOND: f64 = 100.0;

/// Who runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// An epoch as soon as there are rows, exactly once.
    Braid,
    /// Continuous processing with this delivery.
    Flow(&'static str),
    Spark(&'static str),
}

impl Who {
    fn deployment(self) -> &'static str {
        match self {
            Who::Flow(_) => "e2e/benches/latency/continuous.yaml",
            _ => "e2e/benches/latency/braid.yaml",
        }
    }
}

/// What one run measured; latencies in milliseconds.
#[derive(Debug, Clone)]
struct Measured {
    who: Who,
    rate: u64,
    p50: f64,
    p99: f64,
    p999: f64,
    most: f64,
    cpu: f64,
    seen: usize,
    wanted: usize,
}

fn now_us() -> i64 {
    i64::try_from(UNIX_EPOCH.elapsed().expect("it is after 1970").as_micros()).expect("it is before 292000")
}

fn main() {
    let kit = std::env::var_os("BRAID_BENCH").map(PathBuf::from);
    let jars = std::env::var_os("BRAID_SPARK_KAFKA").map(PathBuf::from);
    let rates = std::env::var("LATENCY_RATES").unwrap_or_else(|_| "1000,10000".into());
    let rates: Vec<u64> = rates.split(',').map(|rate| rate.parse().expect("a rate is a number")).collect();
    let seconds = count("LATENCY_SECONDS", 20);
    let mut runners = vec![Who::Braid, Who::Flow("at_least_once"), Who::Flow("exactly_once")];
    if kit.is_some() && jars.is_some() {
        runners.extend([Who::Spark("microbatch"), Who::Spark("realtime")]);
    }
    if let Ok(only) = std::env::var("LATENCY_ONLY") {
        runners.retain(|who| format!("{who:?}").contains(&only));
    }
    let broker = Broker::start_for_long();
    let mut all = vec![];
    // The broker's hot code is compiled before anything counts.
    if let Some((first, rate)) = runners.first().zip(rates.iter().max()) {
        let home = tempfile::tempdir().expect("a temporary directory");
        let _ = run(*first, *rate, seconds, &broker, home.path(), None);
    }
    for _ in 0..count("LATENCY_ROUNDS", 2) {
        for rate in &rates {
            for who in &runners {
                let home = tempfile::tempdir().expect("a temporary directory");
                let spark = kit.as_deref().zip(jars.as_deref());
                match run(*who, *rate, seconds, &broker, home.path(), spark) {
                    Ok(measured) => {
                        println!("{measured:?}");
                        all.push(measured);
                    }
                    Err(said) => println!("{who:?} at {rate}/s gave no rows:\n{said}"),
                }
            }
        }
    }
    println!("\n{}", report(&all, seconds));
}

fn run(
    who: Who,
    rate: u64,
    seconds: u64,
    broker: &Broker,
    home: &Path,
    spark: Option<(&Path, &Path)>,
) -> Result<Measured, String> {
    let (given, mapped) = (broker.fresh_topic("given", PARTITIONS), broker.fresh_topic("mapped", PARTITIONS));
    let mut command = match (who, spark) {
        (Who::Spark(mode), Some((kit, jars))) => {
            let mut command = Command::new(kit.join("venv/bin/python3"));
            command.arg(root().join("e2e/benches/latency/spark.py"));
            command.args(["--brokers", broker.address(), "--given", &given, "--mapped", &mapped, "--mode", mode]);
            command.arg("--checkpoint").arg(home.join("checkpoint")).arg("--jars").arg(jars);
            command
        }
        _ => River::new(who.deployment(), home)
            .env("DELIVERY", if let Who::Flow(delivery) = who { delivery } else { "exactly_once" })
            .env("BROKERS", broker.address())
            .env("GIVEN", &given)
            .env("MAPPED", &mapped)
            .command("up", &[]),
    };
    let log = home.join("said");
    let file = std::fs::File::create(&log).expect("a log");
    command.stdout(file.try_clone().expect("a second handle")).stderr(file).stdin(Stdio::null());
    let running = Ends(command.spawn().expect("it starts"));
    let stop = Arc::new(AtomicBool::new(false));
    let (producing, stopping) = (producer(broker), stop.clone());
    let sending = std::thread::spawn(move || send(&producing, &given, rate, &stopping));
    let consumer = consumer(broker, &mapped);
    let first = Instant::now();
    let outcome = loop {
        if let Some(Ok(_)) = consumer.poll(Duration::from_millis(100)) {
            break Ok(());
        }
        if first.elapsed() > PATIENCE / 3 {
            break Err(std::fs::read_to_string(&log).unwrap_or_default());
        }
    };
    let mut latencies: Vec<i64> = vec![];
    let mut cpu = 0.0;
    if outcome.is_ok() {
        let from = now_us() + seconds as i64 * 1_000_000;
        let to = from + seconds as i64 * 1_000_000;
        let mut before = None;
        // The last rows may take a while.
        while now_us() < to + 5_000_000 {
            if before.is_none() && now_us() >= from {
                before = Some(cpu_seconds(running.0.id()));
            }
            if let (Some(start), true, true) = (before, cpu == 0.0, now_us() >= to) {
                cpu = cpu_seconds(running.0.id()) - start;
            }
            let Some(message) = consumer.poll(Duration::from_millis(20)) else { continue };
            let message = match message {
                // A connection that ended is made again.
                Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) => continue,
                message => message.expect("the topic can be read"),
            };
            let due = due(message.payload().unwrap_or_default());
            if (from..to).contains(&due) {
                latencies.push(now_us() - due);
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    sending.join().expect("the sender ends");
    outcome?;
    latencies.sort_unstable();
    if latencies.is_empty() {
        return Err(std::fs::read_to_string(&log).unwrap_or_default());
    }
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize] as f64 / 1_000.0;
    let wanted = (rate * seconds * 9 / 10) as usize;
    Ok(Measured {
        who,
        rate,
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
        most: at(1.0),
        cpu,
        seen: latencies.len(),
        wanted,
    })
}

/// A process that ends with this.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        for child in descendants(self.0.id()) {
            let _ = Command::new("kill").args(["-9", &child.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = self.0.wait();
    }
}

/// A process and those that it started.
fn descendants(of: u32) -> Vec<u32> {
    let mut all = vec![of];
    let listed = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    for child in listed.split_whitespace().filter_map(|child| child.parse().ok()) {
        all.extend(descendants(child));
    }
    all
}

fn cpu_seconds(of: u32) -> f64 {
    let of_one = |id: u32| -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum()
    };
    descendants(of).into_iter().map(of_one).sum::<f64>() / TICKS_PER_SECOND
}

fn producer(broker: &Broker) -> BaseProducer {
    broker.config().set("linger.ms", "1").set("acks", "1").create().expect("a producer can be made")
}

/// Sends each row when it is due, or as soon after as it can.
fn send(producer: &BaseProducer, topic: &str, rate: u64, stop: &AtomicBool) {
    let began = now_us();
    for id in 0u64.. {
        let due = began + (id * 1_000_000 / rate) as i64;
        while now_us() < due {
            producer.poll(Duration::ZERO);
            std::thread::sleep(Duration::from_micros(200));
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let row = format!("{{\"id\":{id},\"due\":{due},\"text\":\"the quick brown fox jumps over the lazy dog\"}}");
        let record = BaseRecord::<(), str>::to(topic).partition((id % PARTITIONS as u64) as i32).payload(&row);
        producer.send(record).map_err(|(error, _)| error).expect("the producer takes a row");
    }
    producer.flush(PATIENCE).expect("everything is delivered");
}

fn consumer(broker: &Broker, topic: &str) -> BaseConsumer {
    let consumer: BaseConsumer = broker
        .config()
        .set("group.id", "latency")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "5")
        .set("fetch.error.backoff.ms", "1")
        .create()
        .expect("a consumer can be made");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment.add_partition_offset(topic, partition, Offset::Beginning).expect("the beginning is an offset");
    }
    consumer.assign(&assignment).expect("it can be assigned");
    consumer
}

/// The instant in a row, in microseconds.
fn due(row: &[u8]) -> i64 {
    let row: serde_json::Value = serde_json::from_slice(row).expect("a row is JSON");
    row["due"].as_i64().expect("a row says when it was due")
}

fn report(all: &[Measured], seconds: u64) -> String {
    let mut text = format!(
        "{seconds} s after a warm-up of {seconds} s; several runs are several figures.\n\n| rows/s | who | p50, ms | p99, ms | p99.9, ms | longest, ms | CPU s | rows seen of those due |\n|---|---|---|---|---|---|---|---|\n"
    );
    let mut kinds: Vec<(u64, Who)> = vec![];
    for measured in all {
        if !kinds.contains(&(measured.rate, measured.who)) {
            kinds.push((measured.rate, measured.who));
        }
    }
    for (rate, who) in kinds {
        let mine: Vec<&Measured> = all.iter().filter(|m| m.rate == rate && m.who == who).collect();
        let each = |of: &dyn Fn(&Measured) -> String| mine.iter().map(|m| of(m)).collect::<Vec<_>>().join(", ");
        let name = match who {
            Who::Braid => "Braid, micro-batch, exactly once".to_owned(),
            Who::Flow(delivery) => format!("Braid, continuous, {}", delivery.replace('_', " ")),
            Who::Spark("realtime") => "Spark, real-time mode, at least once".to_owned(),
            Who::Spark(_) => "Spark, micro-batch, at least once".to_owned(),
        };
        writeln!(
            text,
            "| {rate} | {name} | {} | {} | {} | {} | {} | {} |",
            each(&|m| format!("{:.1}", m.p50)),
            each(&|m| format!("{:.1}", m.p99)),
            each(&|m| format!("{:.1}", m.p999)),
            each(&|m| format!("{:.1}", m.most)),
            each(&|m| format!("{:.1}", m.cpu)),
            each(&|m| format!("{}/{}", m.seen, m.wanted)),
        )
        .expect("a String takes all");
    }
    text
}
