//! What the settings say about ZooKeeper, Redis and Kafka, in the words of the crates that use them.

use std::time::Duration;

use redis_link::{Mode, Wait};
use roster::ZooKeeperOptions;

use crate::{RedisMode, RedisSettings, ZooKeeperSettings};

/// For how long a `cid` is remembered (CONTRACT §3).
const CID_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// The most that one attempt to connect to Redis may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) fn zookeeper(settings: &ZooKeeperSettings) -> ZooKeeperOptions {
    let session_timeout = Duration::from_millis(settings.session_timeout_ms);
    ZooKeeperOptions {
        servers: settings.servers.clone(),
        chroot: settings.chroot.clone(),
        root: settings.root.clone(),
        session_timeout,
        user: settings.user.clone(),
        password: settings.password.expose().to_owned(),
        // Whoever waits longer than a session lasts has lost it.
        operation_timeout: session_timeout,
    }
}

pub(crate) fn redis(settings: &RedisSettings) -> redis_link::RedisOptions {
    let response_timeout = Duration::from_millis(settings.response_timeout_ms);
    redis_link::RedisOptions {
        mode: match settings.mode {
            RedisMode::Single => Mode::Single,
            RedisMode::Sentinel => Mode::Sentinel,
            RedisMode::Cluster => Mode::Cluster,
        },
        servers: settings.servers.clone(),
        primary_name: settings.primary_name.clone(),
        lease: settings.sentinel_lease,
        user: settings.user.clone(),
        password: settings.password.expose().to_owned(),
        database: settings.database,
        connect_timeout: CONNECT_TIMEOUT.min(response_timeout),
        response_timeout,
        full_timeout: Duration::from_millis(settings.full_timeout_ms),
    }
}

pub(crate) fn redis_store(settings: &RedisSettings) -> store::RedisOptions {
    let timeout = Duration::from_millis(settings.wait_timeout_ms);
    store::RedisOptions {
        link: redis(settings),
        prefix: settings.key_prefix.clone(),
        wait: (settings.wait_replicas > 0).then_some(Wait { replicas: settings.wait_replicas, timeout }),
        cid_retention: CID_RETENTION,
    }
}

#[cfg(feature = "kafka")]
pub(crate) fn kafka(settings: &crate::KafkaSettings) -> relay::KafkaOptions {
    use crate::{KafkaAcks, KafkaSecurity};
    relay::KafkaOptions {
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
    }
}
