//! Where the reading of Kafka's partitions begins at the first start, and where a run that ends by itself ends.

use std::collections::BTreeSet;

use braid_kernel::SourceError;
use braid_spec::model::{End, Kafka, PerPartition, Start};
use rdkafka::consumer::BaseConsumer;
use rdkafka::topic_partition_list::Offset;

use crate::kafka::Watch;
use crate::kafka_plan::{Bounds, offsets};
use crate::kafka_topics::Partition;

/// The offset that stands for the oldest record.
const EARLIEST: i64 = -2;
/// The offset that stands for the end.
const LATEST: i64 = -1;

/// What the broker has of some partitions.
#[derive(Clone, Copy)]
pub(crate) struct There<'a> {
    pub(crate) client: &'a BaseConsumer<Watch>,
    pub(crate) partitions: &'a [Partition],
    pub(crate) bounds: &'a [Bounds],
}

impl There<'_> {
    /// Where the very first epoch begins in each partition.
    pub(crate) fn starts(self, options: &Kafka) -> Result<Vec<i64>, SourceError> {
        match &options.start {
            Start::Earliest => Ok(self.bounds.iter().map(|bounds| bounds.low).collect()),
            Start::Latest => Ok(self.bounds.iter().map(|bounds| bounds.end).collect()),
            Start::Offsets(given) => self.given("starting_offsets", given),
            Start::Time(time) => self.at_times("starting_timestamp", &vec![*time; self.partitions.len()], options),
            Start::Times(given) => {
                let option = "starting_offsets_by_timestamp";
                self.at_times(option, &complete(option, given, self.partitions)?, options)
            }
        }
    }

    /// Where each partition ends.
    pub(crate) fn ends(self, end: &End) -> Result<Vec<i64>, SourceError> {
        let times = match end {
            End::Latest => return Ok(self.bounds.iter().map(|bounds| bounds.end).collect()),
            End::Offsets(given) => return self.given("ending_offsets", given),
            End::Time(time) => vec![*time; self.partitions.len()],
            End::Times(given) => complete("ending_offsets_by_timestamp", given, self.partitions)?,
        };
        let found = self.look_up(&times)?;
        Ok(found.into_iter().zip(self.bounds).map(|(found, bounds)| found.unwrap_or(bounds.end)).collect())
    }

    fn given(self, option: &str, given: &PerPartition) -> Result<Vec<i64>, SourceError> {
        let given = complete(option, given, self.partitions)?;
        let each = given.into_iter().zip(self.partitions).zip(self.bounds);
        each.map(|((offset, partition), bounds)| at(option, offset, partition, *bounds)).collect()
    }

    fn at_times(self, option: &str, times: &[i64], options: &Kafka) -> Result<Vec<i64>, SourceError> {
        let found = self.look_up(times)?;
        let mut starts = Vec::with_capacity(found.len());
        for (at, found) in found.into_iter().enumerate() {
            starts.push(match found {
                Some(offset) => offset.min(self.bounds[at].end),
                None if options.start_at_latest_if_none => self.bounds[at].end,
                None => {
                    return Err(SourceError::Fatal(format!(
                        "{} has no record from {option} {} on: to begin at its end, say \
                         `starting_offsets_by_timestamp_strategy: latest`",
                        self.partitions[at].name(),
                        times[at]
                    )));
                }
            });
        }
        Ok(starts)
    }

    /// The first record of each partition from its time on.
    fn look_up(self, times: &[i64]) -> Result<Vec<Option<i64>>, SourceError> {
        let found = offsets(self.client, self.partitions, |at| Offset::Offset(times[at]))?;
        let found = found.into_iter().zip(self.partitions).map(|(found, partition)| match found {
            Offset::Offset(offset) => Ok(Some(offset)),
            Offset::End => Ok(None),
            other => Err(SourceError::Retry(format!("{}: the offset answered is {other:?}", partition.name()))),
        });
        found.collect()
    }
}

/// The numbers given for the partitions: as in Spark, for every one, and for none that is not there.
fn complete(option: &str, given: &PerPartition, partitions: &[Partition]) -> Result<Vec<i64>, SourceError> {
    let named: BTreeSet<String> = given
        .iter()
        .flat_map(|(topic, numbers)| numbers.keys().map(move |number| format!("{topic}-{number}")))
        .collect();
    let there: BTreeSet<String> = partitions.iter().map(Partition::name).collect();
    let list = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>().join(", ");
    let (missing, unknown) = (list(there.difference(&named).collect()), list(named.difference(&there).collect()));
    match (missing.as_str(), unknown.as_str()) {
        ("", "") => {
            let number = |partition: &Partition| given.get(&*partition.topic)?.get(&partition.number).copied();
            Ok(partitions.iter().filter_map(number).collect())
        }
        ("", unknown) => Err(SourceError::Fatal(format!("{option} names {unknown}, which the broker does not have"))),
        (missing, _) => Err(SourceError::Fatal(format!("{option} must name every partition; missing: {missing}"))),
    }
}

/// An offset that was given, within what there is.
fn at(option: &str, offset: i64, partition: &Partition, bounds: Bounds) -> Result<i64, SourceError> {
    match offset {
        EARLIEST => Ok(bounds.low),
        LATEST => Ok(bounds.end),
        offset if offset > bounds.end || offset < 0 => Err(SourceError::Fatal(format!(
            "{option} gives {offset} for {}, whose records end before {}",
            partition.name(),
            bounds.end
        ))),
        offset => Ok(offset),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn given_offsets_name_each_partition_and_stay_within_it() {
        let partition = Partition::parse("my-topic-3").expect("it is one");
        let given = |pairs: &[(i32, i64)]| BTreeMap::from([("my-topic".to_owned(), pairs.iter().copied().collect())]);
        let bounds = Bounds { low: 10, end: 20 };
        let at = |offset| at("starting_offsets", offset, &partition, bounds);
        assert_eq!(at(EARLIEST).expect("an offset"), 10);
        assert_eq!(at(LATEST).expect("an offset"), 20);
        assert_eq!(at(15).expect("an offset"), 15);
        assert!(at(21).expect_err("too far").to_string().contains("end before 20"));
        let partitions = [partition.clone()];
        let complete = |given: PerPartition| complete("starting_offsets", &given, &partitions);
        assert_eq!(complete(given(&[(3, 7)])).expect("it is complete"), [7]);
        let missing = complete(given(&[])).expect_err("it is not").to_string();
        assert!(missing.contains("missing: my-topic-3"), "{missing}");
        let unknown = complete(given(&[(3, 0), (4, 0)])).expect_err("it is not").to_string();
        assert!(unknown.contains("names my-topic-4"), "{unknown}");
    }
}
