//! The table of Kafka.

use serde::Deserialize;
use setting::{Fault, Secret, addresses, between, both_or_neither};

/// The longest id of a node is 64 characters, of which each may take three in a topic's name; Kafka takes 249.
const PREFIX_MAX: usize = 50;

/// `[kafka]`: where it is, and how it is used.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// `host:port` of some brokers.
    pub servers: Vec<String>,
    /// What topics begin with.
    pub topic_prefix: String,
    /// How many brokers hold a topic that is made.
    pub replication_factor: u16,
    /// For how long a topic that is made keeps hints, in milliseconds.
    pub retention_ms: u64,
    /// Who must have a hint before it counts as published.
    pub acks: KafkaAcks,
    /// How long a hint waits for others to go with, in milliseconds.
    pub linger_ms: u64,
    /// How long a hint may wait to be published, in milliseconds.
    pub publish_timeout_ms: u64,
    /// How long a broker may take to answer, in milliseconds.
    pub response_timeout_ms: u64,
    /// What the connections are.
    pub security: KafkaSecurity,
    /// The certificates that sign the brokers' own; empty: the system's.
    pub ca_file: String,
    /// The SASL mechanism.
    pub mechanism: String,
    /// With SASL; else empty.
    pub user: String,
    /// With `user`.
    pub password: Secret,
}

/// Who must have a hint before it counts as published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KafkaAcks {
    /// The leader.
    #[default]
    Leader,
    /// All replicas in sync.
    All,
}

/// What the connections are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KafkaSecurity {
    /// Neither encrypted nor authenticated.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// A password over a plain connection.
    SaslPlaintext,
    /// A password over TLS.
    SaslSsl,
}

impl KafkaSettings {
    /// The first fault, where there is one.
    pub(super) fn check(&self) -> Result<(), Fault> {
        addresses("servers", &self.servers)?;
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let prefix = &self.topic_prefix;
        if !(1..=PREFIX_MAX).contains(&prefix.len()) || !prefix.chars().all(legal) {
            let problem = format!("expected 1 to {PREFIX_MAX} of A-Z a-z 0-9 . _ -, got {prefix:?}");
            return Err(("topic_prefix", problem));
        }
        between("replication_factor", u64::from(self.replication_factor), 1, 10)?;
        between("retention_ms", self.retention_ms, 10_000, 604_800_000)?;
        between("linger_ms", self.linger_ms, 0, 100)?;
        between("publish_timeout_ms", self.publish_timeout_ms, 100, 60_000)?;
        if self.linger_ms >= self.publish_timeout_ms {
            let problem = format!(
                "expected less than publish_timeout_ms ({}), got {}",
                self.publish_timeout_ms, self.linger_ms
            );
            return Err(("linger_ms", problem));
        }
        between("response_timeout_ms", self.response_timeout_ms, 100, 60_000)?;
        let encrypted = matches!(self.security, KafkaSecurity::Ssl | KafkaSecurity::SaslSsl);
        if encrypted && !cfg!(feature = "kafka-tls") {
            let problem = "TLS is not in this program: build it with --features kafka-tls".into();
            return Err(("security", problem));
        }
        let sasl = matches!(self.security, KafkaSecurity::SaslPlaintext | KafkaSecurity::SaslSsl);
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
