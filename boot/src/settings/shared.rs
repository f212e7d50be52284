//! The tables of `cluster.toml`: what all roles share. Those of servers stand in `servers.rs`, those of relays with the relays.

use std::path::{Path, PathBuf};

use relay::Faults;
use serde::Deserialize;
use setting::{Fault, Secret};
use store::RetentionPolicy;

use super::{
    Brokers, RelayKind,
    before_send::SharedWebhooks,
    jwt::JwtSettings,
    servers::{RedisSettings, ZooKeeperSettings},
};

/// Everything that stands in `cluster.toml`.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Which of several clusters on one host this is.
    pub instance: InstanceSettings,
    /// The cluster as a whole.
    pub cluster: ClusterSettings,
    /// Logs.
    pub log: LogSettings,
    /// Whose tokens are accepted.
    pub jwt: JwtSettings,
    /// The implementation of the roster.
    pub roster: RosterSettings,
    /// The implementation of the store.
    pub store: StoreSettings,
    /// The implementation of the relay.
    pub relay: RelaySettings,
    /// Where ZooKeeper is.
    pub zookeeper: ZooKeeperSettings,
    /// Where Redis is.
    pub redis: RedisSettings,
    /// Where the brokers of relays are.
    pub brokers: Brokers,
    /// Back ends that are asked.
    pub webhooks: SharedWebhooks,
}

/// `[instance]`: keeps several clusters on one host apart.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceSettings {
    /// A directory below `data_dir`; empty: `data_dir` itself.
    pub namespace: String,
    /// Added to every port.
    pub port_offset: u16,
}

/// `[cluster]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterSettings {
    /// Whether all roles run in one process.
    pub embedded: bool,
    /// Where files are kept; relative to the working directory.
    pub data_dir: PathBuf,
    /// What nodes show one another; empty in an embedded cluster: made at the first start.
    pub secret: Secret,
    /// What tickets are signed with; empty in an embedded cluster: made at the first start.
    pub ticket_key: Secret,
    /// What becomes of message ids while ZooKeeper is lost.
    pub on_zookeeper_loss: OnZooKeeperLoss,
}

/// What becomes of message ids while ZooKeeper is lost, and with it the active idgen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnZooKeeperLoss {
    /// Nodes cut ids of their own: unique, but in no order with those of other nodes.
    Unique,
    /// No ids: what needs one is refused as unavailable.
    Stop,
}

/// `[log]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    /// How a line looks.
    pub format: LogFormat,
    /// What is logged: `info`, or `info,spear=debug`.
    pub level: String,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For programs: one JSON object a line.
    Json,
}

/// `[roster]`: who is in the cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RosterSettings {
    /// Which implementation.
    pub kind: RosterKind,
}

/// The implementations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RosterKind {
    /// Within one process.
    Embedded,
    /// On ZooKeeper, as `[zookeeper]` says.
    ZooKeeper,
}

/// `[store]`: what is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// Which implementation.
    pub kind: StoreKind,
    /// What is kept of it.
    #[serde(default)]
    pub retention: RetentionSettings,
}

/// `[store.retention]`: what is old, beyond a number, or too much for the store, is trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionSettings {
    /// For how long a message is kept, seconds; 0: for ever.
    pub age_seconds: u64,
    /// How many messages of a conversation are kept; 0: all.
    pub count: u64,
    /// How many bytes the store may take, each server of it; 0: what the server itself takes.
    pub bytes: u64,
    /// Between two passes over all conversations, milliseconds.
    pub interval_ms: u64,
}

impl RetentionSettings {
    /// A century: more is a mistake.
    const AGE_MAX: u64 = 100 * 365 * 24 * 60 * 60;
    /// An empty store takes about a tenth of it.
    const BYTES_LEAST: u64 = 10 << 20;
    const INTERVAL_MS: std::ops::RangeInclusive<u64> = 100..=24 * 60 * 60 * 1_000;

    /// As the store takes it.
    pub fn policy(&self) -> RetentionPolicy {
        RetentionPolicy { age_ms: self.age_seconds.saturating_mul(1_000), count: self.count }
    }

    /// The first fault, where there is one.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let Self { age_seconds, bytes, interval_ms, .. } = self;
        if (1..Self::BYTES_LEAST).contains(bytes) {
            return Err(("bytes", format!("expected 0 or at least {}, got {bytes}", Self::BYTES_LEAST)));
        }
        if *age_seconds > Self::AGE_MAX {
            let problem = format!("expected at most {}, got {age_seconds}", Self::AGE_MAX);
            return Err(("age_seconds", problem));
        }
        if !Self::INTERVAL_MS.contains(interval_ms) {
            let (least, most) = Self::INTERVAL_MS.into_inner();
            return Err(("interval_ms", format!("expected {least} to {most}, got {interval_ms}")));
        }
        Ok(())
    }
}

impl Default for RetentionSettings {
    /// Everything is kept for ever.
    fn default() -> Self {
        Self { age_seconds: 0, count: 0, bytes: 0, interval_ms: 60_000 }
    }
}

/// The implementations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// A file, used by one process.
    Sqlite,
    /// On Redis, as `[redis]` says.
    Redis,
}

/// `[relay]`: hints from spear to spear.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelaySettings {
    /// Which implementation.
    pub kind: RelayKind,
    /// The Redis that relays: that of `[redis]`, with what `[relay.redis]` says otherwise.
    pub redis: RedisSettings,
    /// What goes wrong on purpose, for tests.
    #[serde(default)]
    pub faults: Faults,
}

impl Shared {
    /// The directory of this instance.
    pub fn data_dir(&self) -> PathBuf {
        self.cluster.data_dir.join(&self.instance.namespace)
    }

    /// The embedded cluster, kept in `directory`.
    pub(crate) fn embedded_in(directory: &Path) -> Self {
        Self {
            instance: InstanceSettings::default(),
            cluster: ClusterSettings {
                embedded: true,
                data_dir: directory.to_owned(),
                secret: Secret::default(),
                ticket_key: Secret::default(),
                on_zookeeper_loss: OnZooKeeperLoss::Unique,
            },
            log: LogSettings { format: LogFormat::Pretty, level: "info".into() },
            jwt: JwtSettings { leeway_ms: 5_000, ..JwtSettings::default() },
            roster: RosterSettings { kind: RosterKind::Embedded },
            store: StoreSettings { kind: StoreKind::Sqlite, retention: RetentionSettings::default() },
            relay: RelaySettings {
                kind: RelayKind::Embedded,
                redis: RedisSettings::default(),
                faults: Faults::default(),
            },
            zookeeper: ZooKeeperSettings::default(),
            redis: RedisSettings::default(),
            brokers: Brokers::default(),
            webhooks: SharedWebhooks::default(),
        }
    }
}
