//! Which offsets of which partitions an epoch reads: what the broker has, what was read, and how much is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use braid_kernel::{SourceError, SourcePlan, SourceState};
use braid_spec::model::{Kafka, StartingOffsets};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::kafka::{Outage, Watch, hopeless};

/// How long the broker may take to answer before it counts as away.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// How often topics are asked for new partitions.
const TOPICS_EVERY: Duration = Duration::from_secs(1);
/// After so many answers in a row without it, a topic or partition that was there is gone: one such answer may come
/// from a broker that is just starting.
pub(crate) const MISSING_ANSWERS: u32 = 3;

/// The offset that stands for the oldest record in `starting_offsets`.
const EARLIEST: i64 = -2;
/// The offset that stands for the end in `starting_offsets`.
const LATEST: i64 = -1;

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Partition {
    pub(crate) topic: Arc<str>,
    pub(crate) number: i32,
}

impl Partition {
    /// `events-3`, as in the manifest.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.topic, self.number)
    }

    /// The partition of such a name.
    pub(crate) fn parse(name: &str) -> Result<Self, SourceError> {
        name.rsplit_once('-')
            .and_then(|(topic, number)| Some(Self { topic: topic.into(), number: number.parse().ok()? }))
            .ok_or_else(|| SourceError::Fatal(format!("bug: `{name}` is no partition of a topic")))
    }
}

/// What a broker has of a partition: from the oldest record to the end of what is decided (no open transaction is before it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) low: i64,
    pub(crate) end: i64,
}

/// The side of a Kafka source that asks the broker what there is.
pub(crate) struct Planner {
    options: Kafka,
    config: ClientConfig,
    rows_max: u64,
    client: Option<BaseConsumer<Watch>>,
    topics: Option<(Instant, Vec<Partition>)>,
    loss: Loss,
    outage: Outage,
}

impl Planner {
    /// `rows_max` bounds an epoch where the options do not.
    pub(crate) fn new(source: &str, options: Kafka, config: ClientConfig, rows_max: u64) -> Self {
        Self {
            rows_max: options.max_offsets_per_trigger.unwrap_or(rows_max).max(1),
            loss: Loss::new(source, options.fail_on_data_loss),
            outage: Outage::of(format!("source `{source}`")),
            options,
            config,
            client: None,
            topics: None,
        }
    }

    /// See [`braid_kernel::Source::plan`].
    pub(crate) fn plan(&mut self, state: &SourceState) -> Result<Option<SourcePlan>, SourceError> {
        let planned = self.attempt(state);
        match &planned {
            Err(SourceError::Retry(reason)) => {
                self.topics = None;
                self.outage.began(reason);
            }
            Err(_) => {}
            Ok(_) => self.outage.over(),
        }
        planned
    }

    fn attempt(&mut self, state: &SourceState) -> Result<Option<SourcePlan>, SourceError> {
        let client = match self.client.take() {
            Some(client) => client,
            None => connect(&self.config)?,
        };
        let client = self.client.insert(client);
        let partitions = match &self.topics {
            Some((asked, partitions)) if asked.elapsed() < TOPICS_EVERY => partitions.clone(),
            _ => {
                let found = partitions(client, &self.options.subscribe, state, &mut self.loss)?;
                self.topics = Some((Instant::now(), found.clone()));
                found
            }
        };
        let bounds = bounds(client, &partitions)?;
        let first = state.offsets.is_empty();
        if first && let StartingOffsets::Given(given) = &self.options.starting_offsets {
            complete(given, &partitions)?;
        }
        let mut ranges = Vec::with_capacity(partitions.len());
        for (partition, bounds) in partitions.iter().zip(bounds) {
            let asked = match state.offsets.get(&partition.name()) {
                Some(offset) => *offset,
                // A partition that came later has been unread from its beginning.
                None if !first => bounds.low,
                None => starting(&self.options.starting_offsets, partition, bounds)?,
            };
            let start = self.loss.resume(partition, asked, bounds)?;
            ranges.push((partition.name(), start, bounds.end));
        }
        // Where it began must be known even if nothing is there yet, or what comes until the next plan would be skipped.
        let keep_empty = first && self.options.starting_offsets != StartingOffsets::Earliest && !ranges.is_empty();
        let more = share(&mut ranges, self.rows_max);
        let mut plan = SourcePlan { more, ..SourcePlan::default() };
        for (name, start, end) in ranges {
            if start < end || keep_empty {
                plan.start.insert(name.clone(), start);
                plan.end.insert(name, end);
            }
        }
        Ok((!plan.end.is_empty()).then_some(plan))
    }
}

fn connect(config: &ClientConfig) -> Result<BaseConsumer<Watch>, SourceError> {
    config
        .create_with_context(Watch::default())
        .map_err(|error| SourceError::Fatal(format!("the Kafka client: {error}")))
}

/// What to make of a client's error while doing `what`.
pub(crate) fn trouble(client: &BaseConsumer<Watch>, what: &str, error: &KafkaError) -> SourceError {
    // Complaints wait in the client's queue until it is polled.
    let _ = client.poll(Duration::ZERO);
    let reason = client.context().explain(format!("{what}: {error}"));
    if hopeless(error) { SourceError::Fatal(reason) } else { SourceError::Retry(reason) }
}

/// The partitions of the topics, those that are gone left out or an error.
fn partitions(
    client: &BaseConsumer<Watch>,
    topics: &[String],
    state: &SourceState,
    loss: &mut Loss,
) -> Result<Vec<Partition>, SourceError> {
    // The queue carries the client's log, which must not grow.
    let _ = client.poll(Duration::ZERO);
    let mut found = Vec::new();
    for topic in topics {
        let before = found.len();
        let count = count(client, topic)?;
        let shared: Arc<str> = topic.as_str().into();
        found.extend((0..count).map(|number| Partition { topic: shared.clone(), number }));
        let here: BTreeSet<String> = found[before..].iter().map(Partition::name).collect();
        let mut gone = Vec::new();
        for (name, offset) in &state.offsets {
            let partition = Partition::parse(name)?;
            if *partition.topic == **topic && !here.contains(name) {
                gone.push((partition, *offset));
            }
        }
        match gone.first() {
            Some((partition, offset)) => loss.missing(partition, *offset)?,
            None if count == 0 => {
                return Err(SourceError::Retry(format!("there is no topic `{topic}` at the broker yet")));
            }
            None => loss.present(topic),
        }
    }
    client.context().forget();
    Ok(found)
}

/// How many partitions a topic has; none where the broker does not know it.
fn count(client: &BaseConsumer<Watch>, topic: &str) -> Result<i32, SourceError> {
    let metadata = client
        .fetch_metadata(Some(topic), ANSWER_WAIT)
        .map_err(|error| trouble(client, &format!("topic `{topic}` cannot be looked up"), &error))?;
    let Some(metadata) = metadata.topics().first() else {
        return Ok(0);
    };
    match metadata.error().map(RDKafkaErrorCode::from) {
        None => Ok(i32::try_from(metadata.partitions().len()).unwrap_or(i32::MAX)),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(0),
        Some(code) => {
            let error = KafkaError::MetadataFetch(code);
            Err(trouble(client, &format!("topic `{topic}` cannot be looked up"), &error))
        }
    }
}

/// What the broker has of each partition.
pub(crate) fn bounds(client: &BaseConsumer<Watch>, partitions: &[Partition]) -> Result<Vec<Bounds>, SourceError> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let low = offsets(client, partitions, Offset::Beginning)?;
    let end = offsets(client, partitions, Offset::End)?;
    Ok(low.into_iter().zip(end).map(|(low, end)| Bounds { low, end }).collect())
}

/// Asks for the beginnings or the ends, one request per broker.
fn offsets(client: &BaseConsumer<Watch>, partitions: &[Partition], which: Offset) -> Result<Vec<i64>, SourceError> {
    let ask = || {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            asked.add_partition_offset(&partition.topic, partition.number, which)?;
        }
        client.offsets_for_times(asked, ANSWER_WAIT)
    };
    let what = "offsets cannot be looked up";
    let answer = ask().map_err(|error| trouble(client, what, &error))?;
    let found = partitions.iter().map(|partition| {
        let Some(element) = answer.find_partition(&partition.topic, partition.number) else {
            return Err(SourceError::Retry(format!("{}: no offset was answered", partition.name())));
        };
        element.error().map_err(|error| trouble(client, what, &error))?;
        match element.offset() {
            Offset::Offset(offset) => Ok(offset),
            other => Err(SourceError::Retry(format!("{}: the offset answered is {other:?}", partition.name()))),
        }
    });
    found.collect()
}

/// As in Spark, given offsets name every partition, and none that is not there.
fn complete(given: &BTreeMap<String, BTreeMap<i32, i64>>, partitions: &[Partition]) -> Result<(), SourceError> {
    let named: BTreeSet<String> = given
        .iter()
        .flat_map(|(topic, offsets)| offsets.keys().map(move |number| format!("{topic}-{number}")))
        .collect();
    let there: BTreeSet<String> = partitions.iter().map(Partition::name).collect();
    let list = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>().join(", ");
    let (missing, unknown) = (list(there.difference(&named).collect()), list(named.difference(&there).collect()));
    match (missing.as_str(), unknown.as_str()) {
        ("", "") => Ok(()),
        ("", unknown) => {
            Err(SourceError::Fatal(format!("starting_offsets names {unknown}, which the broker does not have")))
        }
        (missing, _) => Err(SourceError::Fatal(format!(
            "starting_offsets must name every partition; missing: {missing} (-2 is earliest, -1 latest)"
        ))),
    }
}

/// Where the very first epoch begins in a partition.
fn starting(starting: &StartingOffsets, partition: &Partition, bounds: Bounds) -> Result<i64, SourceError> {
    let given = match starting {
        StartingOffsets::Earliest => EARLIEST,
        StartingOffsets::Latest => LATEST,
        StartingOffsets::Given(given) => {
            let of_topic = given.get(&*partition.topic);
            of_topic.and_then(|offsets| offsets.get(&partition.number)).copied().unwrap_or(EARLIEST)
        }
    };
    match given {
        EARLIEST => Ok(bounds.low),
        LATEST => Ok(bounds.end),
        offset if offset > bounds.end || offset < 0 => Err(SourceError::Fatal(format!(
            "starting_offsets gives {offset} for {}, whose records end before {}",
            partition.name(),
            bounds.end
        ))),
        offset => Ok(offset),
    }
}

/// Shortens the ranges to about so many records in all, each by its part of the whole, as Spark does: a partition that
/// has anything gets at least one. Says whether anything was left.
fn share(ranges: &mut [(String, i64, i64)], rows_max: u64) -> bool {
    let size = |start: i64, end: i64| u128::try_from(end - start).unwrap_or(0);
    let total: u128 = ranges.iter().map(|(_, start, end)| size(*start, *end)).sum();
    if total <= u128::from(rows_max) {
        return false;
    }
    for (_, start, end) in ranges {
        let part = u128::from(rows_max) * size(*start, *end) / total;
        let part = i64::try_from(part).unwrap_or(i64::MAX).max(1);
        *end = (*end).min(start.saturating_add(part));
    }
    true
}

/// What happens when records that should be read are gone.
pub(crate) struct Loss {
    source: String,
    fails: bool,
    /// How often in a row a topic or one of its partitions was not there.
    missing: BTreeMap<Arc<str>, u32>,
    /// What has been warned of: partitions, and the offset that was asked for.
    warned: BTreeSet<(Partition, i64)>,
}

impl Loss {
    pub(crate) fn new(source: &str, fails: bool) -> Self {
        Self { source: source.to_owned(), fails, missing: BTreeMap::new(), warned: BTreeSet::new() }
    }

    /// Where to read on: where it was asked, or, if that is gone and need not be an error, where there is something.
    pub(crate) fn resume(&mut self, partition: &Partition, asked: i64, bounds: Bounds) -> Result<i64, SourceError> {
        let Bounds { low, end } = bounds;
        if asked > end {
            self.cut(partition, asked, bounds)?;
        } else if asked < low {
            let what = format!(
                "the broker has {low} to {end} (exclusive): {} records were removed by retention or deleted",
                low - asked
            );
            self.lost(partition, asked, &what, &format!("reading goes on at {low}"))?;
        } else {
            return Ok(asked);
        }
        Ok(low)
    }

    /// A partition ends before an offset that it had.
    pub(crate) fn cut(&mut self, partition: &Partition, asked: i64, bounds: Bounds) -> Result<(), SourceError> {
        let Bounds { low, end } = bounds;
        let what = format!("the broker has {low} to {end} (exclusive): the topic was deleted and made again, or cut");
        self.lost(partition, asked, &what, &format!("reading goes on at {low}"))
    }

    /// A topic, or a partition of it, that was read is not there: an error that may pass, until it does not.
    pub(crate) fn missing(&mut self, partition: &Partition, asked: i64) -> Result<(), SourceError> {
        let times = self.missing.entry(partition.topic.clone()).or_default();
        *times += 1;
        if *times < MISSING_ANSWERS {
            return Err(SourceError::Retry(format!("{} is not at the broker", partition.name())));
        }
        self.lost(partition, asked, "the broker has no such partition (any more)", "it is left out")
    }

    /// The topic is whole.
    pub(crate) fn present(&mut self, topic: &str) {
        self.missing.remove(topic);
    }

    /// An error, or a warning that is said once.
    fn lost(&mut self, partition: &Partition, asked: i64, what: &str, instead: &str) -> Result<(), SourceError> {
        let Partition { topic, number } = partition;
        let lost = format!("topic `{topic}` partition {number}: offset {asked} was asked for, and {what}");
        if self.fails {
            return Err(SourceError::DataLoss(format!("{lost}. With `fail_on_data_loss: false`, {instead}")));
        }
        if self.warned.insert((partition.clone(), asked)) {
            tracing::warn!("source `{}` lost data: {lost}; {instead}", self.source);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(sizes: &[i64], rows_max: u64) -> Vec<i64> {
        let mut ranges: Vec<_> = sizes.iter().map(|size| (String::new(), 100, 100 + size)).collect();
        share(&mut ranges, rows_max);
        ranges.into_iter().map(|(_, start, end)| end - start).collect()
    }

    #[test]
    fn a_limit_is_spread_in_proportion_and_starves_nobody() {
        assert_eq!(shared(&[10, 20, 30], 60), [10, 20, 30]);
        assert_eq!(shared(&[10, 20, 30], 6), [1, 2, 3]);
        assert_eq!(shared(&[1, 1_000_000, 0], 100), [1, 99, 0]);
        assert_eq!(shared(&[i64::MAX - 200, 5], u64::MAX), [i64::MAX - 200, 5]);
        assert_eq!(shared(&[], 1), [0i64; 0]);
    }

    fn partition() -> Partition {
        Partition::parse("my-topic-3").expect("it is one")
    }

    #[test]
    fn a_partitions_name_is_read_back() {
        assert_eq!((&*partition().topic, partition().number), ("my-topic", 3));
        assert_eq!(partition().name(), "my-topic-3");
        assert!(Partition::parse("topic").is_err());
        assert!(Partition::parse("topic-x").is_err());
    }

    #[test]
    fn lost_records_are_named_or_skipped() {
        let bounds = Bounds { low: 10, end: 20 };
        let mut strict = Loss::new("s", true);
        assert_eq!(strict.resume(&partition(), 10, bounds).expect("nothing is lost"), 10);
        assert_eq!(strict.resume(&partition(), 20, bounds).expect("nothing is lost"), 20);
        for (asked, why) in [(4, "6 records"), (21, "made again")] {
            let error = strict.resume(&partition(), asked, bounds).expect_err("it is lost").to_string();
            for part in ["`my-topic` partition 3", &format!("offset {asked}"), "10 to 20", why] {
                assert!(error.contains(part), "{part} is not in: {error}");
            }
        }
        let mut lenient = Loss::new("s", false);
        assert_eq!(lenient.resume(&partition(), 4, bounds).expect("it is skipped"), 10);
        assert_eq!(lenient.resume(&partition(), 21, bounds).expect("it begins anew"), 10);
    }

    #[test]
    fn a_missing_topic_is_gone_only_when_it_stays_missing() {
        let mut loss = Loss::new("s", true);
        for _ in 1..MISSING_ANSWERS {
            assert!(matches!(loss.missing(&partition(), 7), Err(SourceError::Retry(_))));
        }
        loss.present("my-topic");
        for _ in 1..MISSING_ANSWERS {
            assert!(matches!(loss.missing(&partition(), 7), Err(SourceError::Retry(_))));
        }
        assert!(matches!(loss.missing(&partition(), 7), Err(SourceError::DataLoss(_))));
    }

    #[test]
    fn given_offsets_name_each_partition_and_stay_within_it() {
        let given = |pairs: &[(i32, i64)]| BTreeMap::from([("my-topic".to_owned(), pairs.iter().copied().collect())]);
        let bounds = Bounds { low: 10, end: 20 };
        let at = |offset| starting(&StartingOffsets::Given(given(&[(3, offset)])), &partition(), bounds);
        assert_eq!(at(EARLIEST).expect("an offset"), 10);
        assert_eq!(at(LATEST).expect("an offset"), 20);
        assert_eq!(at(15).expect("an offset"), 15);
        assert!(at(21).expect_err("too far").to_string().contains("end before 20"));
        complete(&given(&[(3, 0)]), &[partition()]).expect("it is complete");
        let missing = complete(&given(&[]), &[partition()]).expect_err("it is not").to_string();
        assert!(missing.contains("missing: my-topic-3"), "{missing}");
        let unknown = complete(&given(&[(3, 0), (4, 0)]), &[partition()]).expect_err("it is not").to_string();
        assert!(unknown.contains("names my-topic-4"), "{unknown}");
    }
}
