//! Where RocketMQ is, and how it is used.

use std::time::Duration;

/// Where RocketMQ is, and how it is used.
#[derive(Debug, Clone)]
pub struct RocketMqOptions {
    /// `host:port` of every name server.
    pub name_servers: Vec<String>,
    /// What the topics' names begin with: `A-Z a-z 0-9 _ -`. Clusters that share a RocketMQ need different ones.
    pub topic_prefix: String,
    /// How long a hint may wait to be published; then it is dropped.
    pub publish_timeout: Duration,
    /// How long a server may take to answer.
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
    /// What a client is told, for whoever needs one for something else.
    pub fn client(&self) -> rocketmq_link::Options {
        rocketmq_link::Options {
            name_servers: self.name_servers.clone(),
            response_timeout: self.response_timeout,
        }
    }
}
