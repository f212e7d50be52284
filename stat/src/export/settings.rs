//! The table `[stat.export]` of the settings; `profiles/default/stat.toml` documents each.

use serde::Deserialize;

/// What messages can be sent to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum ExportKind {
    /// Nothing.
    #[default]
    #[serde(rename = "")]
    Nowhere,
    /// A topic of the Kafka of `[kafka]`.
    #[serde(rename = "kafka")]
    Kafka,
    /// A topic of the RocketMQ of `[rocketmq]`.
    #[serde(rename = "rocketmq")]
    RocketMq,
}

/// Where stored messages are sent, and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportSettings {
    /// Which kind of queue.
    pub to: ExportKind,
    /// Which topic of it; empty: [`ExportSettings::topic`] says.
    pub topic: String,
    /// How many partitions, or queues, the topic is made with, where it is not there.
    pub partitions: u32,
    /// On how many brokers each of them is kept, likewise; 0: as the brokers say. RocketMQ leaves it to the brokers always.
    pub replicas: u32,
    /// The most messages of a batch.
    pub batch_messages: usize,
    /// The most bytes of a batch, save where one message has more.
    pub batch_bytes: usize,
    /// For how long messages gather, and how often an idle share looks, in milliseconds.
    pub linger_ms: u64,
    /// How long the brokers may take for a batch, in milliseconds.
    pub timeout_ms: u64,
    /// The first pause before a batch is sent again, in milliseconds.
    pub retry_min_ms: u64,
    /// The longest one.
    pub retry_max_ms: u64,
    /// About how many messages may wait in the store.
    pub queue_entries: u64,
    /// With `to` empty: what waits in the store is forgotten, and nothing is written there any more.
    pub forget: bool,
}

/// Why the settings cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportSettingsError {
    /// It is no name of a topic.
    #[error("topic: expected 1 to 200 letters, digits, '.', '_' or '-', got {0:?}")]
    Topic(String),
    /// It is no name of a topic of RocketMQ.
    #[error("topic: RocketMQ takes 1 to {ROCKETMQ_TOPIC_MAX} letters, digits, '_', '-', '%' or '|', got {0:?}{hint}", hint = hint(.0))]
    RocketMqTopic(String),
    /// It is something that RocketMQ does not have.
    #[error("replicas: expected 0: with RocketMQ brokers have replicas, topics do not, got {0}")]
    Replicas(u32),
    /// A topic is set, and yet all is to be forgotten.
    #[error("forget: expected false where `to` is set")]
    Forget,
    /// A number is out of its range.
    #[error("{key}: expected {low} to {high}, got {got}")]
    Range {
        /// Which setting.
        key: &'static str,
        /// The least.
        low: u64,
        /// The most.
        high: u64,
        /// What was found.
        got: u64,
    },
}

/// The longest name of a topic that RocketMQ takes.
const ROCKETMQ_TOPIC_MAX: usize = 127;

fn is_rocketmq_topic(name: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-%|".contains(&byte);
    (1..=ROCKETMQ_TOPIC_MAX).contains(&name.len()) && name.bytes().all(is_legal)
}

/// What to write instead, where dots are all that is wrong: the default has one.
fn hint(name: &str) -> String {
    let near = name.replace('.', "_");
    if is_rocketmq_topic(&near) { format!(": {near:?} would do") } else { String::new() }
}

impl ExportSettings {
    /// Off, and the documented defaults.
    pub fn off() -> Self {
        Self {
            to: ExportKind::Nowhere,
            topic: String::new(),
            partitions: 16,
            replicas: 0,
            batch_messages: 500,
            batch_bytes: 1 << 20,
            linger_ms: 100,
            timeout_ms: 30_000,
            retry_min_ms: 500,
            retry_max_ms: 30_000,
            queue_entries: 4_000_000,
            forget: false,
        }
    }

    /// The topic, or where none is set the usual one: RocketMQ takes no dots.
    pub fn topic(&self) -> &str {
        match self.to {
            _ if !self.topic.is_empty() => &self.topic,
            ExportKind::RocketMq => "phalanx_messages",
            ExportKind::Kafka | ExportKind::Nowhere => "phalanx.messages",
        }
    }

    /// Checks what the types cannot.
    ///
    /// # Errors
    /// The first [`ExportSettingsError`] found.
    pub fn check(&self) -> Result<(), ExportSettingsError> {
        let ranges: [(&'static str, u64, u64, u64); 9] = [
            ("partitions", self.partitions.into(), 1, 10_000),
            ("replicas", self.replicas.into(), 0, 10),
            ("batch_messages", self.batch_messages as u64, 1, 10_000),
            ("batch_bytes", self.batch_bytes as u64, 1_024, 64 << 20),
            ("linger_ms", self.linger_ms, 10, 10_000),
            ("timeout_ms", self.timeout_ms, 1_000, 300_000),
            ("retry_min_ms", self.retry_min_ms, 10, 60_000),
            ("retry_max_ms", self.retry_max_ms, self.retry_min_ms, 3_600_000),
            ("queue_entries", self.queue_entries, 1_000, 1_000_000_000),
        ];
        for (key, got, low, high) in ranges {
            if !(low..=high).contains(&got) {
                return Err(ExportSettingsError::Range { key, low, high, got });
            }
        }
        if self.to == ExportKind::RocketMq {
            if !is_rocketmq_topic(self.topic()) {
                return Err(ExportSettingsError::RocketMqTopic(self.topic.clone()));
            }
            if self.replicas != 0 {
                return Err(ExportSettingsError::Replicas(self.replicas));
            }
        } else {
            let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            if !(1..=200).contains(&self.topic().len()) || !self.topic().bytes().all(is_legal) {
                return Err(ExportSettingsError::Topic(self.topic.clone()));
            }
        }
        if self.forget && self.to != ExportKind::Nowhere {
            return Err(ExportSettingsError::Forget);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_named() {
        let off = ExportSettings::off;
        assert_eq!(off().check(), Ok(()));
        for topic in ["a b", "ä", &"x".repeat(201)] {
            let refused = ExportSettings { topic: topic.into(), ..off() }.check();
            assert_eq!(refused, Err(ExportSettingsError::Topic(topic.into())));
        }
        let refused = ExportSettings { to: ExportKind::Kafka, forget: true, ..off() }.check();
        assert_eq!(refused, Err(ExportSettingsError::Forget));
        let refused = ExportSettings { retry_max_ms: 499, ..off() }.check().expect_err("less than the first");
        assert_eq!(refused.to_string(), "retry_max_ms: expected 500 to 3600000, got 499");
    }

    #[test]
    fn a_topic_of_rocketmq_has_other_names() {
        let to = |topic: &str| ExportSettings {
            to: ExportKind::RocketMq,
            topic: topic.into(),
            ..ExportSettings::off()
        };
        for topic in ["phalanx_messages", "a-b%c|d", &"x".repeat(127)] {
            assert_eq!(to(topic).check(), Ok(()), "{topic}");
        }
        for topic in ["a b", "ä", "a/b", &"x".repeat(128)] {
            assert_eq!(to(topic).check(), Err(ExportSettingsError::RocketMqTopic(topic.into())), "{topic}");
        }
        assert_eq!((to("").check(), to("").topic()), (Ok(()), "phalanx_messages"));
        assert_eq!(ExportSettings::off().topic(), "phalanx.messages");
        let refused = to("phalanx.messages").check().expect_err("it has a dot").to_string();
        let expected = "topic: RocketMQ takes 1 to 127 letters, digits, '_', '-', '%' or '|', \
                        got \"phalanx.messages\": \"phalanx_messages\" would do";
        assert_eq!(refused, expected);
        let refused = to("a b").check().expect_err("a space").to_string();
        assert!(refused.ends_with("got \"a b\""), "{refused}");
        let refused = ExportSettings { replicas: 2, ..to("messages") }.check().expect_err("it has none");
        assert_eq!(
            refused.to_string(),
            "replicas: expected 0: with RocketMQ brokers have replicas, topics do not, got 2"
        );
        // As it was: what only RocketMQ takes is nothing for the others.
        let kafka = ExportSettings { to: ExportKind::Kafka, ..to("a%b") };
        assert_eq!(kafka.check(), Err(ExportSettingsError::Topic("a%b".into())));
    }
}
