//! What happens when records of Kafka that should be read are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use braid_kernel::SourceError;

use crate::kafka_plan::Bounds;
use crate::kafka_topics::Partition;

/// After so many answers in a row without it, a topic or partition that was there is gone: one such answer may come
/// from a broker that is just starting.
pub(crate) const MISSING_ANSWERS: u32 = 3;

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

    fn partition() -> Partition {
        Partition::parse("my-topic-3").expect("it is one")
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
}
