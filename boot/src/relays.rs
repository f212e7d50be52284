//! The relays that can be chosen: one line for each in [`open`], which makes it from its settings.

use std::sync::Arc;

use relay::{EmbeddedRelay, FaultyRelay, RedisRelay, Relay, RocketMqRelay};

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
        RelayKind::Kafka => Arc::new(relay::KafkaRelay::new(servers::kafka(&shared.kafka))),
        #[cfg(not(feature = "kafka"))]
        RelayKind::Kafka => return Err(ClusterError::NoRelay("kafka")),
        RelayKind::RocketMq => Arc::new(RocketMqRelay::new(servers::rocketmq(&shared.rocketmq))),
    };
    Ok(disturbed(shared, relay))
}

fn redis(shared: &Shared) -> Result<RedisRelay, ClusterError> {
    let redis = &shared.relay.redis;
    // Databases keep keys apart, but not channels.
    let channels = format!("{}:{}:relay:", redis.key_prefix, redis.database);
    Ok(RedisRelay::new(servers::redis("relay.redis", redis)?, channels)?)
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
