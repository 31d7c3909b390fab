//! Which partitions of which topics a Kafka source reads, as the broker has them now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use braid_kernel::{SourceError, SourceState};
use braid_spec::model;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use regex::Regex;

use crate::kafka::Watch;
use crate::kafka_loss::Loss;
use crate::kafka_plan::{ANSWER_WAIT, trouble};

/// Kafka's own topics, which no pattern means.
const INTERNAL: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

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

/// What a deployment says of topics.
#[derive(Debug)]
pub(crate) enum Topics {
    Assign(BTreeMap<String, BTreeSet<i32>>),
    Subscribe(Vec<String>),
    Pattern(Regex),
}

impl Topics {
    pub(crate) fn new(topics: &model::Topics) -> Result<Self, SourceError> {
        Ok(match topics {
            model::Topics::Assign(topics) => Self::Assign(topics.clone()),
            model::Topics::Subscribe(topics) => Self::Subscribe(topics.clone()),
            model::Topics::Pattern(pattern) => {
                // As in Java, the whole name has to match.
                let whole = Regex::new(&format!("^(?:{pattern})$"));
                Self::Pattern(whole.map_err(|error| SourceError::Fatal(error.to_string()))?)
            }
        })
    }

    fn wants(&self, Partition { topic, number }: &Partition) -> bool {
        match self {
            Self::Assign(topics) => topics.get(&**topic).is_some_and(|numbers| numbers.contains(number)),
            Self::Subscribe(topics) => topics.iter().any(|wanted| **wanted == **topic),
            Self::Pattern(pattern) => pattern.is_match(topic),
        }
    }

    /// The partitions to read, those that are gone left out or an error.
    pub(crate) fn partitions(
        &self,
        client: &BaseConsumer<Watch>,
        state: &SourceState,
        loss: &mut Loss,
    ) -> Result<Vec<Partition>, SourceError> {
        // The queue carries the client's log, which must not grow.
        let _ = client.poll(Duration::ZERO);
        let counts: Vec<(Arc<str>, i32)> = match self {
            Self::Assign(topics) => topics.keys().map(|topic| count(client, topic)).collect::<Result<_, _>>()?,
            Self::Subscribe(topics) => topics.iter().map(|topic| count(client, topic)).collect::<Result<_, _>>()?,
            Self::Pattern(pattern) => matching(client, pattern)?,
        };
        let mut found: Vec<Partition> = Vec::new();
        for (topic, count) in &counts {
            let all = (0..*count).map(|number| Partition { topic: topic.clone(), number });
            found.extend(all.filter(|partition| self.wants(partition)));
        }
        let here: BTreeSet<String> = found.iter().map(Partition::name).collect();
        let mut gone: BTreeMap<Arc<str>, (Partition, i64)> = BTreeMap::new();
        for (name, offset) in &state.offsets {
            let partition = Partition::parse(name)?;
            if self.wants(&partition) && !here.contains(name) {
                gone.entry(partition.topic.clone()).or_insert((partition, *offset));
            }
        }
        for (partition, offset) in gone.values() {
            loss.missing(partition, *offset)?;
        }
        for (topic, count) in counts.iter().filter(|(topic, _)| !gone.contains_key(topic)) {
            if *count == 0 {
                return Err(SourceError::Retry(format!("there is no topic `{topic}` at the broker yet")));
            }
            loss.present(topic);
        }
        match self {
            Self::Pattern(pattern) if counts.is_empty() && gone.is_empty() => {
                return Err(SourceError::Retry(format!("no topic at the broker matches {pattern} yet")));
            }
            Self::Assign(topics) => {
                let named = |(topic, numbers): (&String, &BTreeSet<i32>)| -> Vec<String> {
                    numbers.iter().map(|number| format!("{topic}-{number}")).collect()
                };
                let mut missing = topics.iter().flat_map(named);
                if let Some(name) = missing.find(|name| !here.contains(name) && !state.offsets.contains_key(name)) {
                    return Err(SourceError::Retry(format!("there is no partition {name} at the broker yet")));
                }
            }
            _ => {}
        }
        client.context().forget();
        Ok(found)
    }
}

/// A topic, and how many partitions it has; none where the broker does not know it.
fn count(client: &BaseConsumer<Watch>, topic: &str) -> Result<(Arc<str>, i32), SourceError> {
    let what = format!("topic `{topic}` cannot be looked up");
    let metadata = client.fetch_metadata(Some(topic), ANSWER_WAIT).map_err(|error| trouble(client, &what, &error))?;
    let Some(metadata) = metadata.topics().first() else {
        return Ok((topic.into(), 0));
    };
    match metadata.error().map(RDKafkaErrorCode::from) {
        None => Ok((topic.into(), i32::try_from(metadata.partitions().len()).unwrap_or(i32::MAX))),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok((topic.into(), 0)),
        Some(code) => Err(trouble(client, &what, &KafkaError::MetadataFetch(code))),
    }
}

/// The topics that match, and how many partitions each has.
fn matching(client: &BaseConsumer<Watch>, pattern: &Regex) -> Result<Vec<(Arc<str>, i32)>, SourceError> {
    let what = "topics cannot be looked up";
    let metadata = client.fetch_metadata(None, ANSWER_WAIT).map_err(|error| trouble(client, what, &error))?;
    let mut found = Vec::new();
    for topic in metadata.topics() {
        if !pattern.is_match(topic.name()) || INTERNAL.contains(&topic.name()) {
            continue;
        }
        match topic.error().map(RDKafkaErrorCode::from) {
            None => {
                let count = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
                found.push((topic.name().into(), count));
            }
            // It is being deleted.
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {}
            Some(code) => return Err(trouble(client, what, &KafkaError::MetadataFetch(code))),
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_whole_name_of_a_topic_matches() {
        let wants = |pattern: &str| {
            Topics::new(&model::Topics::Pattern(pattern.into())).expect("it is one").wants(&partition())
        };
        assert!(wants("my-.*") && wants("other|my-topic") && wants("my-topic"));
        assert!(!wants("my") && !wants("topic") && !wants("my-topic-3"));
        let assigned = |numbers: &[i32]| {
            let topics = BTreeMap::from([("my-topic".to_owned(), numbers.iter().copied().collect())]);
            Topics::new(&model::Topics::Assign(topics)).expect("it is one").wants(&partition())
        };
        assert!(assigned(&[0, 3]) && !assigned(&[0]));
    }
}
