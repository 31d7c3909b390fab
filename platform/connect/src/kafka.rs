//! What the Kafka source and sink share: a client's options, and what a client's errors ask of the caller.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Options that would break a promise of Braid's, and which one.
const OURS: [(&str, &str); 9] = [
    ("bootstrap.servers", "it is `brokers` in the deployment"),
    ("enable.auto.commit", "offsets are kept in the manifest, not in the broker"),
    ("enable.auto.offset.store", "offsets are kept in the manifest, not in the broker"),
    ("auto.offset.reset", "it is `starting_offsets` and `fail_on_data_loss` in the deployment"),
    ("enable.partition.eof", "the end of a range is found by it"),
    ("transactional.id", "it is made of the deployment's and the sink's names"),
    ("enable.idempotence", "a sink writes each row once"),
    ("acks", "a sink's rows are on all replicas when it says so"),
    ("enable.gapless.guarantee", "a sink writes each row once"),
];

/// A client's configuration: Braid's defaults, the user's options over them, Braid's promises over those.
pub(crate) fn configuration(
    brokers: &str,
    defaults: &[(&str, &str)],
    options: &BTreeMap<String, String>,
    promises: &[(&str, &str)],
) -> Result<ClientConfig, String> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config.set("client.id", "braid");
    config.set_log_level(RDKafkaLogLevel::Warning);
    for (key, value) in defaults {
        config.set(*key, *value);
    }
    for (key, value) in options {
        if let Some((_, why)) = OURS.iter().find(|(ours, _)| ours == key) {
            return Err(format!("the client option `{key}` cannot be set: {why}"));
        }
        let secure = key.starts_with("ssl.") || (key == "security.protocol" && value.to_lowercase().contains("ssl"));
        if secure {
            return Err(format!(
                "the client option `{key}` asks for TLS, and this build of Braid has none for Kafka: \
                 use a plaintext listener, or a TLS proxy on this machine"
            ));
        }
        config.set(key, value);
    }
    for (key, value) in promises {
        config.set(*key, *value);
    }
    Ok(config)
}

/// Remembers what a client last complained about, for the message of the error that follows.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    complaint: Mutex<Option<String>>,
    /// Why a record could not be delivered.
    undelivered: Mutex<Option<KafkaError>>,
}

impl Watch {
    /// `what`, and the client's last complaint behind it.
    pub(crate) fn explain(&self, what: impl Display) -> String {
        match &*self.complaint.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(complaint) => format!("{what} (the Kafka client last said: {complaint})"),
            None => what.to_string(),
        }
    }

    /// A record was given up. What cannot pass weighs more than what follows from it.
    pub(crate) fn gave_up(&self, error: &KafkaError) {
        let mut undelivered = self.undelivered.lock().unwrap_or_else(PoisonError::into_inner);
        if undelivered.is_none() || hopeless(error) {
            *undelivered = Some(error.clone());
        }
    }

    /// Why a record was given up, if one was.
    pub(crate) fn given_up(&self) -> Option<KafkaError> {
        self.undelivered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whatever it was, it is over.
    pub(crate) fn forget(&self) {
        *self.undelivered.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn complain(&self, complaint: String) {
        *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(complaint);
    }
}

impl ClientContext for Watch {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "braid::kafka", facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "braid::kafka", "{error}: {reason}");
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        // That all brokers are down follows from the complaint before it, which says why.
        if complaint.is_none() || error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *complaint = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Watch {}

/// Whether trying again will not help: the client, its rights or its options are wrong.
pub(crate) fn hopeless(error: &KafkaError) -> bool {
    match error {
        KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) | KafkaError::Nul(_) => true,
        KafkaError::Transaction(error) => error.is_fatal() || hopeless_code(error.code()),
        _ => error.rdkafka_error_code().is_some_and(hopeless_code),
    }
}

fn hopeless_code(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature
            | Code::InvalidArgument
            | Code::InvalidTopic
            | Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::PolicyViolation
            | Code::Fatal
            | Code::Fenced
            | Code::ProducerFenced
            | Code::InvalidProducerEpoch
            | Code::InvalidTransactionTimeout
    )
}

/// Says that something is away when it goes and that it is back when it returns, and nothing in between.
#[derive(Debug)]
pub(crate) struct Outage {
    what: String,
    away: bool,
}

impl Outage {
    pub(crate) fn of(what: String) -> Self {
        Self { what, away: false }
    }

    /// It failed, and may come back.
    pub(crate) fn began(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.away, true) {
            tracing::warn!("{} waits for Kafka: {reason}", self.what);
        }
    }

    /// It works.
    pub(crate) fn over(&mut self) {
        if std::mem::replace(&mut self.away, false) {
            tracing::info!("{} has Kafka back", self.what);
        }
    }
}

/// Runs what blocks, and shares what it works on.
pub(crate) async fn blocking<S: Send + 'static, R: Send + 'static>(
    shared: &Arc<Mutex<S>>,
    work: impl FnOnce(&mut S) -> R + Send + 'static,
) -> Result<R, String> {
    let shared = shared.clone();
    tokio::task::spawn_blocking(move || work(&mut shared.lock().unwrap_or_else(PoisonError::into_inner)))
        .await
        .map_err(|error| format!("bug: the Kafka client's thread ended: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(key: &str, value: &str) -> String {
        let options = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        configuration("localhost:9092", &[], &options, &[]).expect_err("it is refused")
    }

    #[test]
    fn options_that_break_promises_are_refused_with_the_reason() {
        assert!(refused("enable.auto.commit", "true").contains("manifest"));
        assert!(refused("auto.offset.reset", "latest").contains("starting_offsets"));
        assert!(refused("security.protocol", "SASL_SSL").contains("TLS"));
        assert!(refused("ssl.ca.location", "ca.pem").contains("`ssl.ca.location`"));
    }

    #[test]
    fn the_users_options_go_over_defaults_and_under_promises() {
        let options = BTreeMap::from([
            ("fetch.max.bytes".to_owned(), "1000".to_owned()),
            ("isolation.level".to_owned(), "read_uncommitted".to_owned()),
        ]);
        let config = configuration(
            "a:1,b:2",
            &[("fetch.max.bytes", "5"), ("isolation.level", "read_committed")],
            &options,
            &[("enable.auto.commit", "false")],
        )
        .expect("it is a configuration");
        assert_eq!(config.get("fetch.max.bytes"), Some("1000"));
        assert_eq!(config.get("isolation.level"), Some("read_uncommitted"));
        assert_eq!(config.get("enable.auto.commit"), Some("false"));
        assert_eq!(config.get("bootstrap.servers"), Some("a:1,b:2"));
    }

    #[test]
    fn an_outage_is_over_only_after_it_began() {
        let mut outage = Outage::of("source `s`".into());
        outage.over();
        assert!(!outage.away);
        outage.began("refused");
        outage.began("refused again");
        assert!(outage.away);
        outage.over();
        assert!(!outage.away);
    }
}
