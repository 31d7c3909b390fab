//! Which offsets of which partitions an epoch reads: what the broker has, what was read, and how much is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use braid_kernel::{Limit, SourceError, SourcePlan, SourceState};
use braid_spec::model::{Kafka, Start};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::kafka::{Outage, Watch, hopeless};
use crate::kafka_limits::There;
use crate::kafka_loss::Loss;
use crate::kafka_topics::{Partition, Topics};

/// How long the broker may take to answer before it counts as away.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// How often topics are asked for new partitions.
pub(crate) const TOPICS_EVERY: Duration = Duration::from_secs(1);

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
    /// Whether the run ends by itself: then it has an end, and waits for nothing.
    run_ends: bool,
    client: Option<BaseConsumer<Watch>>,
    topics: Topics,
    partitions: Option<(Instant, Vec<Partition>)>,
    /// Where each partition ends in this run, once that is known.
    ends: Option<BTreeMap<Partition, i64>>,
    /// When an epoch was planned last.
    planned: Option<Instant>,
    loss: Loss,
    outage: Outage,
}

impl Planner {
    /// `rows_max` bounds an epoch where the options do not.
    pub(crate) fn new(
        source: &str,
        options: Kafka,
        config: ClientConfig,
        rows_max: u64,
        run_ends: bool,
    ) -> Result<Self, SourceError> {
        Ok(Self {
            rows_max: options.max_offsets_per_trigger.unwrap_or(rows_max).max(1),
            loss: Loss::new(source, options.fail_on_data_loss),
            outage: Outage::of(format!("source `{source}`")),
            topics: Topics::new(&options.topics)?,
            options,
            config,
            run_ends,
            client: None,
            partitions: None,
            ends: None,
            planned: None,
        })
    }

    /// See [`braid_kernel::Source::plan`].
    pub(crate) fn plan(&mut self, state: &SourceState, limit: &Limit) -> Result<Option<SourcePlan>, SourceError> {
        let planned = self.attempt(state, limit);
        match &planned {
            Err(SourceError::Retry(reason)) => {
                self.partitions = None;
                self.outage.began(reason);
            }
            Err(_) => {}
            Ok(_) => self.outage.over(),
        }
        planned
    }

    /// Where each partition is to be read from, and what the broker has of it.
    fn stand(&mut self, state: &SourceState) -> Result<Vec<(Partition, Bounds, i64)>, SourceError> {
        let partitions = self.partitions(state)?;
        let client = self.client.as_ref().ok_or_else(|| SourceError::Retry("bug: no client".into()))?;
        let bounds = bounds(client, &partitions)?;
        let there = There { client, partitions: &partitions, bounds: &bounds };
        let starts = if state.offsets.is_empty() { there.starts(&self.options)? } else { Vec::new() };
        if let (true, Some(end), None) = (self.run_ends, &self.options.end, &self.ends) {
            self.ends = Some(partitions.iter().cloned().zip(there.ends(end)?).collect());
        }
        let mut places = Vec::with_capacity(partitions.len());
        for (at, (partition, bounds)) in partitions.into_iter().zip(bounds).enumerate() {
            let asked = match state.offsets.get(&partition.name()) {
                Some(offset) => *offset,
                // A partition that came later has been unread from its beginning.
                None => starts.get(at).copied().unwrap_or(bounds.low),
            };
            let start = self.loss.resume(&partition, asked, bounds)?;
            places.push((partition, bounds, start));
        }
        Ok(places)
    }

    /// Where each partition is to be read from by one who follows them; and whether that must be known before anything is
    /// read: what comes until then would be skipped.
    pub(crate) fn begin(&mut self, state: &SourceState) -> Result<(Vec<(Partition, i64)>, bool), SourceError> {
        let places = self.stand(state).inspect_err(|error| {
            if let SourceError::Retry(reason) = error {
                self.partitions = None;
                self.outage.began(reason);
            }
        })?;
        self.outage.over();
        let keep = state.offsets.is_empty() && self.options.start != Start::Earliest && !places.is_empty();
        Ok((places.into_iter().map(|(partition, _, start)| (partition, start)).collect(), keep))
    }

    /// Partitions that came since, from their beginning.
    pub(crate) fn newcomers(
        &mut self,
        state: &SourceState,
        known: &BTreeSet<Partition>,
    ) -> Result<Vec<(Partition, i64)>, SourceError> {
        let mut new = self.partitions(state)?;
        new.retain(|partition| !known.contains(partition));
        let Some(client) = self.client.as_ref().filter(|_| !new.is_empty()) else { return Ok(Vec::new()) };
        let bounds = bounds(client, &new)?;
        Ok(new.into_iter().zip(bounds).map(|(partition, bounds)| (partition, bounds.low)).collect())
    }

    /// The partitions as of now, or of a moment ago.
    fn partitions(&mut self, state: &SourceState) -> Result<Vec<Partition>, SourceError> {
        let client = match self.client.take() {
            Some(client) => client,
            None => connect(&self.config)?,
        };
        let client = self.client.insert(client);
        match &self.partitions {
            Some((asked, partitions)) if asked.elapsed() < TOPICS_EVERY => Ok(partitions.clone()),
            _ => {
                let found = self.topics.partitions(client, state, &mut self.loss)?;
                self.partitions = Some((Instant::now(), found.clone()));
                Ok(found)
            }
        }
    }

    fn attempt(&mut self, state: &SourceState, limit: &Limit) -> Result<Option<SourcePlan>, SourceError> {
        let first = state.offsets.is_empty();
        let places = self.stand(state)?;
        let mut ranges = Vec::with_capacity(places.len());
        for (partition, bounds, start) in places {
            let end = match &self.ends {
                Some(ends) => ends.get(&partition).map_or(start, |end| (*end).min(bounds.end).max(start)),
                None => bounds.end,
            };
            let name = partition.name();
            let end = limit.end(&name, start, end);
            ranges.push((name, start, end));
        }
        if self.waits(&ranges) {
            return Ok(None);
        }
        // Where it began must be known even if nothing is there yet, or what comes until the next plan would be skipped.
        let keep_empty = first && self.options.start != Start::Earliest && !ranges.is_empty();
        let more = share(&mut ranges, limit.rows(self.rows_max));
        let mut plan = SourcePlan { more, ..SourcePlan::default() };
        for (name, start, end) in ranges {
            if start < end || keep_empty {
                plan.start.insert(name.clone(), start);
                plan.end.insert(name, end);
            }
        }
        if plan.end.is_empty() {
            return Ok(None);
        }
        self.planned = Some(Instant::now());
        Ok(Some(plan))
    }

    /// Whether too few records are there, and the epoch before was planned too short a time ago. As in Spark, the first
    /// epoch of a process does not wait.
    fn waits(&self, ranges: &[(String, i64, i64)]) -> bool {
        let (Some(least), Some(planned), false) = (self.options.min_offsets_per_trigger, self.planned, self.run_ends)
        else {
            return false;
        };
        let there: u64 = ranges.iter().map(|(_, start, end)| u64::try_from(end - start).unwrap_or(0)).sum();
        there < least && planned.elapsed() < self.options.max_trigger_delay
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

/// What the broker has of each partition.
pub(crate) fn bounds(client: &BaseConsumer<Watch>, partitions: &[Partition]) -> Result<Vec<Bounds>, SourceError> {
    let ask = |which: Offset| -> Result<Vec<i64>, SourceError> {
        let found = offsets(client, partitions, |_| which)?;
        let found = found.into_iter().zip(partitions).map(|(found, partition)| match found {
            Offset::Offset(offset) => Ok(offset),
            other => Err(SourceError::Retry(format!("{}: the offset answered is {other:?}", partition.name()))),
        });
        found.collect()
    };
    let low = ask(Offset::Beginning)?;
    let end = ask(Offset::End)?;
    Ok(low.into_iter().zip(end).map(|(low, end)| Bounds { low, end }).collect())
}

/// Looks up an offset in each partition, one request per broker: the beginning, the end, or that of a time, which stands
/// for itself as if it were an offset.
pub(crate) fn offsets(
    client: &BaseConsumer<Watch>,
    partitions: &[Partition],
    which: impl Fn(usize) -> Offset,
) -> Result<Vec<Offset>, SourceError> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let ask = || {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for (at, partition) in partitions.iter().enumerate() {
            asked.add_partition_offset(&partition.topic, partition.number, which(at))?;
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
        Ok(element.offset())
    });
    found.collect()
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
}
