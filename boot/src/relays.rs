//! The relays that can be chosen: one line for each in [`open`], which makes it from its settings.

use std::sync::Arc;
#[cfg(feature = "kafka")]
use std::time::Duration;

use relay::{EmbeddedRelay, FaultyRelay, RedisRelay, Relay};

use crate::{RelayKind, Shared, cluster::ClusterError, servers};

/// How many hints may wait for one spear in the embedded relay. At 64 KiB a message this is 256 MiB at the very most;
/// what does not fit is dropped, and found in the store.
const EMBEDDED_QUEUE: usize = 4096;

/// The relay of these settings, with the faults that they ask for. It needs nobody before it is first used.
pub(crate) fn open(shared: &Shared) -> Result<Arc<dyn Relay>, ClusterError> {
    let relay: Arc<dyn Relay> = match shared.relay.kind {
        RelayKind::Embedded => Arc::new(EmbeddedRelay::new(EMBEDDED_QUEUE)),
        RelayKind::Redis => Arc::new(redis(shared)?),
        #[cfg(feature = "kafka")]
        RelayKind::Kafka => Arc::new(kafka(shared)),
        #[cfg(not(feature = "kafka"))]
        RelayKind::Kafka => return Err(ClusterError::NoRelay("kafka")),
    };
    Ok(disturbed(shared, relay))
}

fn redis(shared: &Shared) -> Result<RedisRelay, ClusterError> {
    let redis = &shared.redis;
    // Databases keep keys apart, but not channels.
    let channels = format!("{}:{}:relay:", redis.key_prefix, redis.database);
    Ok(RedisRelay::new(servers::redis(redis), channels)?)
}

#[cfg(feature = "kafka")]
fn kafka(shared: &Shared) -> relay::KafkaRelay {
    use crate::{KafkaAcks, KafkaSecurity};
    let settings = &shared.kafka;
    relay::KafkaRelay::new(relay::KafkaOptions {
        servers: settings.servers.clone(),
        topic_prefix: settings.topic_prefix.clone(),
        replication_factor: settings.replication_factor.into(),
        retention: Duration::from_millis(settings.retention_ms),
        acks: match settings.acks {
            KafkaAcks::Leader => relay::KafkaAcks::Leader,
            KafkaAcks::All => relay::KafkaAcks::All,
        },
        linger: Duration::from_millis(settings.linger_ms),
        publish_timeout: Duration::from_millis(settings.publish_timeout_ms),
        response_timeout: Duration::from_millis(settings.response_timeout_ms),
        security: match settings.security {
            KafkaSecurity::Plaintext => relay::KafkaSecurity::Plaintext,
            KafkaSecurity::Ssl => relay::KafkaSecurity::Ssl,
            KafkaSecurity::SaslPlaintext => relay::KafkaSecurity::SaslPlaintext,
            KafkaSecurity::SaslSsl => relay::KafkaSecurity::SaslSsl,
        },
        ca_file: settings.ca_file.clone(),
        mechanism: settings.mechanism.clone(),
        user: settings.user.clone(),
        password: settings.password.expose().to_owned(),
    })
}

/// The relay with the faults that the settings ask for.
fn disturbed(shared: &Shared, relay: Arc<dyn Relay>) -> Arc<dyn Relay> {
    let faults = &shared.relay.faults;
    if faults.is_off() {
        return relay;
    }
    tracing::warn!(?faults, "the relay loses or disturbs hints on purpose: for tests only");
    Arc::new(FaultyRelay::new(relay, *faults))
}
