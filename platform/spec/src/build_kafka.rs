//! What a deployment says about Kafka, made right or refused: topics, where reading begins and ends, the row's columns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::{Field, Schema, SchemaRef};

use crate::build::Builder;
use crate::model::{End, Format, Kafka, Metadata, PerPartition, Start, Topics};
use crate::source_map::join;
use crate::suggest::did_you_mean;
use crate::value::{Fields, WordOrMap};

/// Options of the Kafka client that Braid sets itself, and what to use in their place.
const KAFKA_OWNED: &[(&str, &str)] = &[
    ("bootstrap.servers", "say `brokers`"),
    ("metadata.broker.list", "say `brokers`"),
    ("auto.offset.reset", "say `starting_offsets`"),
    ("enable.auto.commit", "leave it out: offsets are kept in the manifest"),
    ("enable.auto.offset.store", "leave it out: offsets are kept in the manifest"),
];

/// How long an epoch waits for `min_offsets_per_trigger`, if nothing else is said: Spark's default.
const MAX_TRIGGER_DELAY: Duration = Duration::from_secs(15 * 60);

/// The offset that stands for the end of a partition.
const LATEST: i64 = -1;

/// Spark's row of a record, where `value` is none of these: it stands behind the first.
const SPARKS_ROW: [(&str, Metadata); 6] = [
    ("key", Metadata::Key),
    ("topic", Metadata::Topic),
    ("partition", Metadata::Partition),
    ("offset", Metadata::Offset),
    ("timestamp", Metadata::Timestamp),
    ("timestamp_type", Metadata::TimestampType),
];

impl Builder<'_> {
    pub(crate) fn kafka(&mut self, fields: &Fields) -> Kafka {
        let topics = self.topics(fields);
        for key in
            ["starting_offsets", "starting_offsets_by_timestamp", "ending_offsets", "ending_offsets_by_timestamp"]
        {
            if let Some(WordOrMap::Map(given)) = fields.per_partition(key) {
                self.within(&topics, &given, &fields.path_of(key));
            }
        }
        let end = end(fields);
        let start = self.start(fields, end.is_some());
        let (least, most) =
            (fields.whole_maybe("min_offsets_per_trigger"), fields.whole_maybe("max_offsets_per_trigger"));
        if let (Some(least), Some(most)) = (least, most)
            && least > most
        {
            let expected = Some(format!("at most `max_offsets_per_trigger`, {most}"));
            self.wrong(&fields.path_of("min_offsets_per_trigger"), "an epoch never has so many", expected, None);
        }
        if fields.has("max_trigger_delay") && !fields.has("min_offsets_per_trigger") {
            let mistake = self.map.at_key(&fields.path_of("max_trigger_delay"), "an epoch waits for nothing");
            self.mistakes.push(mistake.hint(Some("say `min_offsets_per_trigger` too, or remove it")));
        }
        Kafka {
            brokers: self.brokers(fields),
            topics,
            start,
            start_at_latest_if_none: fields.text("starting_offsets_by_timestamp_strategy") == "latest",
            end,
            max_offsets_per_trigger: most,
            min_offsets_per_trigger: least,
            max_trigger_delay: fields.duration_maybe("max_trigger_delay").unwrap_or(MAX_TRIGGER_DELAY),
            fail_on_data_loss: fields.flag("fail_on_data_loss"),
            metadata: metadata(fields),
            client: self.client(fields),
        }
    }

    fn topics(&mut self, fields: &Fields) -> Topics {
        if ["assign", "subscribe", "subscribe_pattern"].iter().filter(|key| fields.has(key)).count() != 1 {
            return Topics::Subscribe(Vec::new());
        }
        if fields.has("assign") {
            return Topics::Assign(fields.partitions("assign"));
        }
        if let Some(pattern) = fields.text_maybe("subscribe_pattern") {
            if let Err(error) = regex::Regex::new(&pattern) {
                let said = error.to_string();
                let reason = said.lines().last().unwrap_or_default().trim_start_matches("error: ");
                let message = format!("this is no regular expression: {reason}");
                self.wrong(&fields.path_of("subscribe_pattern"), message, None, None);
            }
            return Topics::Pattern(pattern);
        }
        let topics = fields.list("subscribe");
        self.no_repeats(&topics, &fields.path_of("subscribe"), "the topic");
        Topics::Subscribe(topics)
    }

    /// Notes numbers for what is not read, and what is read and has none, as far as that is known here.
    fn within(&mut self, topics: &Topics, given: &PerPartition, path: &str) {
        let known: Vec<&String> = match topics {
            Topics::Assign(topics) => topics.keys().collect(),
            Topics::Subscribe(topics) => topics.iter().collect(),
            Topics::Pattern(_) => return,
        };
        // What is read was wrong itself.
        if known.is_empty() {
            return;
        }
        for topic in given.keys().filter(|topic| !known.contains(topic)) {
            let hint = did_you_mean(topic, known.iter().map(|known| known.as_str()));
            let mistake = self.map.at_key(&join(path, topic), "a topic that is not read");
            self.mistakes.push(mistake.hint(hint));
        }
        let Topics::Assign(topics) = topics else { return };
        for (topic, partitions) in topics {
            let numbers = given.get(topic);
            for partition in partitions.iter().filter(|partition| !numbers.is_some_and(|n| n.contains_key(partition))) {
                let message = format!("partition {partition} of `{topic}` is assigned and not named here");
                self.mistakes.push(self.map.at_key(path, message).expected("a number for every partition"));
            }
            for partition in numbers.into_iter().flat_map(BTreeMap::keys).filter(|p| !partitions.contains(p)) {
                let path = join(&join(path, topic), &partition.to_string());
                self.mistakes.push(self.map.at_key(&path, "a partition that is not assigned"));
            }
        }
    }

    /// Where reading begins, in Spark's order of precedence.
    fn start(&mut self, fields: &Fields, ends: bool) -> Start {
        let offsets = fields.per_partition("starting_offsets");
        let start = if let Some(time) = fields.whole_maybe("starting_timestamp") {
            Start::Time(i64::try_from(time).unwrap_or(i64::MAX))
        } else if let Some(WordOrMap::Map(times)) = fields.per_partition("starting_offsets_by_timestamp") {
            Start::Times(times)
        } else {
            match offsets {
                Some(WordOrMap::Word(word)) if word == "earliest" => Start::Earliest,
                Some(WordOrMap::Word(_)) => Start::Latest,
                Some(WordOrMap::Map(offsets)) => Start::Offsets(offsets),
                None if ends => Start::Earliest,
                None => Start::Latest,
            }
        };
        let at_latest = match &start {
            Start::Latest => true,
            Start::Offsets(offsets) => offsets.values().flat_map(BTreeMap::values).any(|offset| *offset == LATEST),
            _ => false,
        };
        if ends && at_latest {
            let message = "with an end, reading cannot begin at the latest record: nothing would be read";
            self.mistakes.push(self.map.at_key(&fields.path_of("starting_offsets"), message));
        }
        let strategy = fields.path_of("starting_offsets_by_timestamp_strategy");
        if !matches!(start, Start::Time(_) | Start::Times(_)) && self.map.has(&strategy) {
            let mistake = self.map.at_key(&strategy, "no time is given at which reading begins");
            let hint = "say `starting_timestamp` or `starting_offsets_by_timestamp` too, or remove it";
            self.mistakes.push(mistake.hint(Some(hint)));
        }
        start
    }

    /// The columns of the value and those of the record. Spark's row where the value is the bytes and nothing was chosen.
    pub(crate) fn with_metadata(
        &mut self,
        fields: &Fields,
        kafka: &mut Kafka,
        format: &Format,
        of_value: &Schema,
    ) -> SchemaRef {
        let options = fields.fields("kafka").cloned().unwrap_or_default();
        let sparks = *format == Format::Raw && !options.has("metadata");
        if sparks {
            let row = SPARKS_ROW.map(|(name, metadata)| (name.to_owned(), metadata));
            kafka.metadata = row.into_iter().chain(std::mem::take(&mut kafka.metadata)).collect();
        }
        // A schema that was wrong stays empty, so that nothing else is said about it.
        if of_value.fields().is_empty() {
            return Arc::new(Schema::empty());
        }
        let mut columns: Vec<Field> = of_value.fields().iter().map(|field| field.as_ref().clone()).collect();
        for (name, metadata) in &kafka.metadata {
            if columns.iter().any(|column| column.name() == name) {
                let listed = options.named_words("metadata").iter().any(|(listed, _)| listed == name);
                let key = if listed { "metadata" } else { "include_headers" };
                let message = format!("`{name}` is a column already");
                let hint = format!("give it another name: `metadata: {{kafka_{name}: …}}`");
                self.mistakes.push(self.map.at_key(&options.path_of(key), message).hint(Some(hint)));
            }
            columns.push(Field::new(name, metadata.data_type(), true));
        }
        if sparks {
            columns.swap(0, 1);
        }
        Arc::new(Schema::new(columns))
    }

    pub(crate) fn brokers(&mut self, fields: &Fields) -> String {
        let brokers = fields.text("brokers");
        if fields.text_maybe("brokers").is_some() && crate::address::check_brokers(&brokers).is_err() {
            let expected = Some("`host:port`, several with commas".to_owned());
            self.wrong(&fields.path_of("brokers"), "this is no list of brokers", expected, None);
        }
        brokers
    }

    pub(crate) fn client(&mut self, fields: &Fields) -> BTreeMap<String, String> {
        let client = fields.pairs("client");
        for (option, advice) in KAFKA_OWNED {
            if client.contains_key(*option) {
                let path = self.option_path(fields, option);
                let mistake = self.map.at_key(&path, format!("`{option}` is set by Braid"));
                self.mistakes.push(mistake.hint(Some(*advice)));
            }
        }
        let inner = fields.path_of("client");
        for option in fields.dotted.keys().filter(|option| self.map.has(&join(&inner, option))) {
            let mistake = self.map.at_key(&join(&inner, option), format!("`{option}` stands beside `client` too"));
            self.mistakes.push(mistake.hint(Some("remove one of the two")));
        }
        client
    }

    fn option_path(&self, fields: &Fields, option: &str) -> String {
        [option.to_owned(), format!("kafka.{option}"), format!("client.{option}")]
            .iter()
            .map(|key| fields.path_of(key))
            .find(|path| self.map.has(path))
            .unwrap_or_else(|| fields.path.clone())
    }
}

/// Where reading ends, in Spark's order of precedence.
fn end(fields: &Fields) -> Option<End> {
    if let Some(time) = fields.whole_maybe("ending_timestamp") {
        return Some(End::Time(i64::try_from(time).unwrap_or(i64::MAX)));
    }
    if let Some(WordOrMap::Map(times)) = fields.per_partition("ending_offsets_by_timestamp") {
        return Some(End::Times(times));
    }
    Some(match fields.per_partition("ending_offsets")? {
        WordOrMap::Word(_) => End::Latest,
        WordOrMap::Map(offsets) => End::Offsets(offsets),
    })
}

/// The columns that were asked for.
fn metadata(fields: &Fields) -> Vec<(String, Metadata)> {
    let words = fields.named_words("metadata");
    let mut all: Vec<(String, Metadata)> =
        words.into_iter().filter_map(|(name, word)| Some((name, Metadata::of(&word)?))).collect();
    if fields.flag("include_headers") && !all.iter().any(|(_, metadata)| *metadata == Metadata::Headers) {
        all.push(("headers".to_owned(), Metadata::Headers));
    }
    all
}
