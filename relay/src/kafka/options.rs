//! Where Kafka is, and how it is used. Also of a program without librdkafka, so that every program takes the same profiles.

use std::time::Duration;

use serde::Deserialize;
use setting::{Fault, Secret, addresses, between, between_ms, both_or_neither};

/// The longest id of a node is 64 characters, of which each may take three in a topic's name; Kafka takes 249.
const PREFIX_MAX: usize = 50;

/// Where Kafka is, and how it is used: the settings table `[kafka]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaOptions {
    /// `host:port` of some brokers of the cluster, which name the others.
    pub servers: Vec<String>,
    /// What the topics' names begin with: `A-Z a-z 0-9 . _ -`. Clusters that share a Kafka need different ones.
    pub topic_prefix: String,
    /// How many brokers hold a topic that is made.
    pub replication_factor: u16,
    /// For how long a topic that is made keeps hints.
    #[serde(rename = "retention_ms", deserialize_with = "setting::millis")]
    pub retention: Duration,
    /// Who must have a hint before it counts as published.
    pub acks: KafkaAcks,
    /// How long a hint waits for others to go with; 0: not at all.
    #[serde(rename = "linger_ms", deserialize_with = "setting::millis")]
    pub linger: Duration,
    /// How long a hint may wait to be published; then it is dropped.
    #[serde(rename = "publish_timeout_ms", deserialize_with = "setting::millis")]
    pub publish_timeout: Duration,
    /// How long a broker may take to answer.
    #[serde(rename = "response_timeout_ms", deserialize_with = "setting::millis")]
    pub response_timeout: Duration,
    /// What the connections are.
    pub security: KafkaSecurity,
    /// A file with the certificates that sign the brokers' own (PEM); empty: the system's.
    pub ca_file: String,
    /// The SASL mechanism: `PLAIN`; with TLS built in also `SCRAM-SHA-256` and `SCRAM-SHA-512`.
    pub mechanism: String,
    /// Who we are, where `security` has SASL; else empty.
    pub user: String,
    /// With `user`.
    pub password: Secret,
}

/// Who must have a hint before it counts as published. Nobody waits for it: it says what a broker that dies takes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KafkaAcks {
    /// The leader of the topic.
    Leader,
    /// All replicas that are in sync.
    All,
}

/// What the connections are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KafkaSecurity {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// TLS.
    Ssl,
    /// A password over a plain connection.
    SaslPlaintext,
    /// A password over TLS.
    SaslSsl,
}

impl KafkaSecurity {
    /// As Kafka calls it.
    #[cfg(feature = "kafka")]
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    pub(super) fn is_encrypted(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    pub(super) fn has_password(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            servers: vec!["127.0.0.1:9092".into()],
            topic_prefix: "phalanx-relay-".into(),
            replication_factor: 1,
            retention: Duration::from_secs(60),
            acks: KafkaAcks::Leader,
            linger: Duration::ZERO,
            publish_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(2),
            security: KafkaSecurity::Plaintext,
            ca_file: String::new(),
            mechanism: "PLAIN".into(),
            user: String::new(),
            password: Secret::default(),
        }
    }
}

impl KafkaOptions {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn check(&self) -> Result<(), Fault> {
        addresses("servers", &self.servers)?;
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let prefix = &self.topic_prefix;
        if !(1..=PREFIX_MAX).contains(&prefix.len()) || !prefix.chars().all(legal) {
            let problem = format!("expected 1 to {PREFIX_MAX} of A-Z a-z 0-9 . _ -, got {prefix:?}");
            return Err(("topic_prefix", problem));
        }
        between("replication_factor", u64::from(self.replication_factor), 1, 10)?;
        between_ms("retention_ms", self.retention, 10_000, 604_800_000)?;
        between_ms("linger_ms", self.linger, 0, 100)?;
        between_ms("publish_timeout_ms", self.publish_timeout, 100, 60_000)?;
        if self.linger >= self.publish_timeout {
            let problem = format!(
                "expected less than publish_timeout_ms ({}), got {}",
                self.publish_timeout.as_millis(),
                self.linger.as_millis()
            );
            return Err(("linger_ms", problem));
        }
        between_ms("response_timeout_ms", self.response_timeout, 100, 60_000)?;
        let (encrypted, sasl) = (self.security.is_encrypted(), self.security.has_password());
        if encrypted && !cfg!(feature = "kafka-tls") {
            let problem = "TLS is not in this program: build it with --features kafka-tls".into();
            return Err(("security", problem));
        }
        if sasl && self.user.is_empty() {
            return Err(("user", "expected a user: security has SASL".into()));
        }
        if !encrypted && !self.ca_file.is_empty() {
            return Err(("ca_file", "expected none: security has no TLS".into()));
        }
        if self.user.is_empty() != self.password.is_empty() {
            return Err(("password", both_or_neither("KAFKA")));
        }
        if !sasl && !self.user.is_empty() {
            return Err(("user", "expected none: security has no SASL, so nobody would be asked".into()));
        }
        let mechanisms = match cfg!(feature = "kafka-tls") {
            true => ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].as_slice(),
            false => ["PLAIN"].as_slice(),
        };
        if !mechanisms.contains(&self.mechanism.as_str()) {
            let problem = format!("expected one of {}, got {:?}", mechanisms.join(", "), self.mechanism);
            return Err(("mechanism", problem));
        }
        Ok(())
    }
}
