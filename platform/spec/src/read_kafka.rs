//! The shapes that only Kafka's keys have: numbers per partition, lists of partitions, words under names.

use std::collections::{BTreeMap, BTreeSet};

use crate::keys::Shape;
use crate::node::{Entry, Kind, Node};
use crate::read::{Reader, found, scalar_value, shown};
use crate::source_map::join;
use crate::value::{Value, WordOrMap};

impl Reader<'_> {
    /// A map from topics to maps from partitions to numbers.
    pub(crate) fn per_partition(&mut self, entries: &[Entry], path: &str, shape: &Shape) -> Value {
        let Shape::PerPartition { least, number, .. } = shape else { return Value::Bad };
        let mut topics = BTreeMap::new();
        let mut seen = BTreeMap::new();
        for Entry { key: topic, place, node } in entries {
            let path = join(path, topic);
            if self.repeated(&mut seen, topic, *place, &path) {
                continue;
            }
            let Kind::Map(partitions) = &node.kind else {
                self.wrong(node, &path, shape, None);
                continue;
            };
            let mut numbers = BTreeMap::new();
            let mut seen = BTreeMap::new();
            for Entry { key: partition, place, node } in partitions {
                let path = join(&path, partition);
                if self.repeated(&mut seen, partition, *place, &path) || matches!(node.kind, Kind::Broken) {
                    continue;
                }
                let found_number = match &node.kind {
                    Kind::Scalar(scalar) => scalar.text.parse::<i64>().ok().filter(|number| number >= least),
                    _ => None,
                };
                match (partition.parse::<i32>().ok().filter(|partition| *partition >= 0), found_number) {
                    (Some(partition), Some(number)) => {
                        numbers.insert(partition, number);
                    }
                    (None, _) => {
                        let mistake = self.map.at(*place, &path, format!("{} is no partition", shown(partition, None)));
                        self.mistakes.push(mistake.expected("a whole number from 0"));
                    }
                    (_, None) => {
                        let mistake = self.map.at_value(&path, format!("this is {}", found(node)));
                        self.mistakes.push(mistake.expected(format!("a whole number: {number}")));
                    }
                }
            }
            topics.insert(topic.clone(), numbers);
        }
        Value::PerPartition(WordOrMap::Map(topics))
    }

    /// A map from topics to lists of partitions.
    pub(crate) fn partitions(&mut self, entries: &[Entry], path: &str) -> Value {
        let mut topics = BTreeMap::new();
        let mut seen = BTreeMap::new();
        let before = self.mistakes.len();
        for Entry { key: topic, place, node } in entries {
            let path = join(path, topic);
            if self.repeated(&mut seen, topic, *place, &path) {
                continue;
            }
            let Kind::List(list) = &node.kind else {
                self.wrong(node, &path, &Shape::Partitions, None);
                continue;
            };
            let mut partitions = BTreeSet::new();
            for (at, item) in list.iter().enumerate() {
                let number = match &item.kind {
                    Kind::Scalar(scalar) => scalar.text.parse::<i32>().ok().filter(|number| *number >= 0),
                    _ => None,
                };
                let problem = match number {
                    Some(number) if partitions.insert(number) => continue,
                    Some(number) => format!("partition {number} stands in this list twice"),
                    None => format!("a partition is {}", found(item)),
                };
                let mistake = self.map.at_value(&format!("{path}[{at}]"), problem);
                self.mistakes.push(mistake.expected("partitions, each a whole number from 0, each once"));
            }
            if list.is_empty() {
                self.wrong(node, &path, &Shape::Partitions, None);
            }
            topics.insert(topic.clone(), partitions);
        }
        // Half of it would be the reason of other mistakes.
        if self.mistakes.len() > before { Value::Bad } else { Value::Partitions(topics) }
    }

    /// A list of words: each is its own name.
    pub(crate) fn listed_words(&mut self, list: &[Node], path: &str, words: &'static [&'static str]) -> Value {
        let read = list.iter().enumerate().map(|(at, item)| self.word(item, &format!("{path}[{at}]"), words));
        let read: Vec<Option<String>> = read.collect();
        match read.into_iter().collect::<Option<Vec<String>>>() {
            Some(words) => Value::NamedWords(words.into_iter().map(|word| (word.clone(), word)).collect()),
            None => Value::Bad,
        }
    }

    /// A map from names to words.
    pub(crate) fn named_words(&mut self, entries: &[Entry], path: &str, words: &'static [&'static str]) -> Value {
        let mut named = Vec::new();
        let mut seen = BTreeMap::new();
        let mut bad = false;
        for Entry { key, place, node } in entries {
            let path = join(path, key);
            if self.repeated(&mut seen, key, *place, &path) {
                continue;
            }
            match self.word(node, &path, words) {
                Some(word) => named.push((key.clone(), word)),
                None => bad = true,
            }
        }
        if bad { Value::Bad } else { Value::NamedWords(named) }
    }

    fn word(&mut self, node: &Node, path: &str, words: &'static [&'static str]) -> Option<String> {
        let shape = Shape::Word(words);
        let hint = match &node.kind {
            Kind::Scalar(scalar) => match scalar_value(scalar, &shape) {
                Ok(Value::Text(word)) => return Some(word),
                Err(hint) => hint,
                Ok(_) => None,
            },
            _ => None,
        };
        self.wrong(node, path, &shape, hint);
        None
    }
}
