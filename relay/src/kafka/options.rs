//! Where Kafka is, and how it is used; what librdkafka is told of it.

use std::time::Duration;

use rdkafka::ClientConfig;

/// The largest hint, in bytes; one that is larger is lost.
pub(super) const HINT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How much may wait to be published, in KiB; beyond it hints are dropped. As in the relay over Redis.
const WAITING_KIB_MAX: usize = 64 * 1024;
/// How many hints may wait to be published.
const WAITING_MAX: usize = 200_000;
/// How much of what has arrived may wait in librdkafka, in KiB. It is taken out at once.
const ARRIVED_KIB_MAX: usize = 16 * 1024;
/// Pauses between attempts to connect.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(1_000));
/// For how long a topic that nobody knows may still become known: less than its first hints are waited for.
const PROPAGATION: Duration = Duration::from_millis(300);
/// How often what is known of the topics is read again.
const REFRESH: Duration = Duration::from_secs(5);

/// Where Kafka is, and how it is used.
#[derive(Clone)]
pub struct KafkaOptions {
    /// `host:port` of some brokers of the cluster, which name the others.
    pub servers: Vec<String>,
    /// What the topics' names begin with: `A-Z a-z 0-9 . _ -`. Clusters that share a Kafka need different ones.
    pub topic_prefix: String,
    /// How many brokers hold a topic that is made.
    pub replication_factor: i32,
    /// For how long a topic that is made keeps hints.
    pub retention: Duration,
    /// Who must have a hint before it counts as published.
    pub acks: KafkaAcks,
    /// How long a hint waits for others to go with; 0: not at all.
    pub linger: Duration,
    /// How long a hint may wait to be published; then it is dropped.
    pub publish_timeout: Duration,
    /// How long a broker may take to answer.
    pub response_timeout: Duration,
    /// What the connections are.
    pub security: KafkaSecurity,
    /// A file with the certificates that sign the brokers' own (PEM); empty: the system's.
    pub ca_file: String,
    /// The SASL mechanism: `PLAIN`; with TLS built in also `SCRAM-SHA-256` and `SCRAM-SHA-512`.
    pub mechanism: String,
    /// Who we are, where `security` has SASL.
    pub user: String,
    /// With `user`.
    pub password: String,
}

/// Who must have a hint before it counts as published. Nobody waits for it: it says what a broker that dies takes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KafkaAcks {
    /// The leader of the topic.
    Leader,
    /// All replicas that are in sync.
    All,
}

/// What the connections are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    fn is_encrypted(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    fn has_password(self) -> bool {
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
            password: String::new(),
        }
    }
}

impl KafkaOptions {
    /// What every client of librdkafka is told, for whoever needs one for something else.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.servers.join(","))
            .set("client.id", "phalanx")
            .set("socket.timeout.ms", millis(self.response_timeout.max(Duration::from_secs(1))))
            .set(
                "socket.connection.setup.timeout.ms",
                millis(self.response_timeout.max(Duration::from_secs(1))),
            )
            .set("socket.nagle.disable", "true")
            .set("reconnect.backoff.ms", millis(RECONNECT.0))
            .set("reconnect.backoff.max.ms", millis(RECONNECT.1))
            .set("retry.backoff.ms", millis(RECONNECT.0))
            .set("topic.metadata.refresh.interval.ms", millis(REFRESH))
            .set("allow.auto.create.topics", "false")
            .set("security.protocol", self.security.name());
        if self.security.is_encrypted() && !self.ca_file.is_empty() {
            config.set("ssl.ca.location", &self.ca_file);
        }
        if self.security.has_password() {
            config
                .set("sasl.mechanism", &self.mechanism)
                .set("sasl.username", &self.user)
                .set("sasl.password", &self.password);
        }
        config
    }

    /// For the producer. A topic that stays unknown fails: nobody subscribes to it.
    pub(super) fn producer(&self) -> ClientConfig {
        let mut config = self.client();
        let acks = match self.acks {
            KafkaAcks::Leader => "1",
            KafkaAcks::All => "all",
        };
        config
            .set("acks", acks)
            .set("linger.ms", millis(self.linger))
            .set("message.timeout.ms", millis(self.publish_timeout))
            .set("message.max.bytes", HINT_BYTES_MAX.to_string())
            .set("queue.buffering.max.messages", WAITING_MAX.to_string())
            .set("queue.buffering.max.kbytes", WAITING_KIB_MAX.to_string())
            // A producer that has just connected may hear of a topic only a moment later.
            .set("topic.metadata.propagation.max.ms", millis(PROPAGATION))
            // What is sent again after an error may overtake or be doubled: the numbers on the hints tell.
            .set("max.in.flight.requests.per.connection", "5");
        config
    }

    /// For a consumer. It is given one partition and where to begin, joins no group and commits nothing; but librdkafka assigns no
    /// partition where there is no name of a group.
    pub(super) fn consumer(&self, topic: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", topic)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("fetch.error.backoff.ms", millis(RECONNECT.0))
            .set("fetch.message.max.bytes", HINT_BYTES_MAX.to_string())
            .set("queued.max.messages.kbytes", ARRIVED_KIB_MAX.to_string());
        config
    }
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

impl std::fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("servers", &self.servers)
            .field("topic_prefix", &self.topic_prefix)
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}
