//! What librdkafka is told of the settings.

use std::time::Duration;

use rdkafka::ClientConfig;

use super::{KafkaAcks, KafkaOptions};

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
                .set("sasl.password", self.password.expose());
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
