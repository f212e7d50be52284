//! Where RocketMQ is, and how it is used.

use std::time::Duration;

use serde::Deserialize;
use setting::{Fault, addresses, between_ms};

/// RocketMQ takes 127 characters, and a node's id follows: one of 64 plain ones fits.
const PREFIX_MAX: usize = 50;

/// Where RocketMQ is, and how it is used: the settings table `[rocketmq]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RocketMqOptions {
    /// `host:port` of every name server.
    pub name_servers: Vec<String>,
    /// What the topics' names begin with: `A-Z a-z 0-9 _ -`. Clusters that share a RocketMQ need different ones.
    pub topic_prefix: String,
    /// How long a hint may wait to be published; then it is dropped.
    #[serde(rename = "publish_timeout_ms", deserialize_with = "setting::millis")]
    pub publish_timeout: Duration,
    /// How long a server may take to answer.
    #[serde(rename = "response_timeout_ms", deserialize_with = "setting::millis")]
    pub response_timeout: Duration,
}

impl Default for RocketMqOptions {
    fn default() -> Self {
        Self {
            name_servers: vec!["127.0.0.1:9876".into()],
            topic_prefix: "phalanx-relay-".into(),
            publish_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(2),
        }
    }
}

impl RocketMqOptions {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn check(&self) -> Result<(), Fault> {
        addresses("name_servers", &self.name_servers)?;
        // Beyond these RocketMQ takes % and | only, which have a meaning there.
        let legal = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        let prefix = &self.topic_prefix;
        if !(1..=PREFIX_MAX).contains(&prefix.len()) || !prefix.chars().all(legal) {
            let problem = format!("expected 1 to {PREFIX_MAX} of A-Z a-z 0-9 _ -, got {prefix:?}");
            return Err(("topic_prefix", problem));
        }
        between_ms("publish_timeout_ms", self.publish_timeout, 100, 60_000)?;
        between_ms("response_timeout_ms", self.response_timeout, 100, 60_000)
    }

    /// What a client is told, for whoever needs one for something else.
    pub fn client(&self) -> rocketmq_link::Options {
        rocketmq_link::Options {
            name_servers: self.name_servers.clone(),
            response_timeout: self.response_timeout,
        }
    }
}
