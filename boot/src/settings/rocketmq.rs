//! The table of RocketMQ.

use serde::Deserialize;
use setting::{Fault, addresses, between};

/// RocketMQ takes 127 characters, and a node's id follows: one of 64 plain ones fits.
const PREFIX_MAX: usize = 50;

/// `[rocketmq]`: where it is, and how it is used.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RocketMqSettings {
    /// `host:port` of every name server.
    pub name_servers: Vec<String>,
    /// What topics begin with.
    pub topic_prefix: String,
    /// How long a hint may wait to be published, in milliseconds.
    pub publish_timeout_ms: u64,
    /// How long a name server or a broker may take to answer, in milliseconds.
    pub response_timeout_ms: u64,
}

impl RocketMqSettings {
    /// The first fault, where there is one.
    pub(super) fn check(&self) -> Result<(), Fault> {
        addresses("name_servers", &self.name_servers)?;
        // Beyond these RocketMQ takes % and | only, which have a meaning there.
        let legal = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        let prefix = &self.topic_prefix;
        if !(1..=PREFIX_MAX).contains(&prefix.len()) || !prefix.chars().all(legal) {
            let problem = format!("expected 1 to {PREFIX_MAX} of A-Z a-z 0-9 _ -, got {prefix:?}");
            return Err(("topic_prefix", problem));
        }
        between("publish_timeout_ms", self.publish_timeout_ms, 100, 60_000)?;
        between("response_timeout_ms", self.response_timeout_ms, 100, 60_000)
    }
}
