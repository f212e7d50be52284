//! What can go wrong.

use std::time::Duration;

/// Why something was not done, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no connection, or it was lost before the answer came.
    #[error("{address} cannot be reached: {why}")]
    Unreachable {
        /// `host:port`.
        address: String,
        /// What the system says.
        why: String,
    },
    /// The answer did not come in time.
    #[error("{address} has not answered within {within:?}")]
    NoAnswer {
        /// `host:port`.
        address: String,
        /// How long was waited.
        within: Duration,
    },
    /// It was answered that it is not done.
    #[error("{address} refuses with code {code}: {remark}")]
    Refused {
        /// `host:port`.
        address: String,
        /// RocketMQ's `ResponseCode`.
        code: i32,
        /// In the server's words.
        remark: String,
    },
    /// An answer that cannot be understood.
    #[error("{address} has answered what cannot be understood: {why}")]
    Malformed {
        /// `host:port`.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// Those name servers that answer know no such topic.
    #[error("no name server knows the topic {0}")]
    NoTopic(String),
    /// Those name servers that answer know no broker.
    #[error("the name servers know no broker")]
    NoBroker,
    /// What was to be read is not there: the queue was made anew, its broker has lost its end, or what was there is older than it keeps things.
    #[error("the queue has nothing at that offset; it goes on at {next}")]
    Moved {
        /// Where the broker would go on.
        next: u64,
    },
}

impl Error {
    /// Whether the broker only has too much to do just now.
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Refused { code: code::SYSTEM_BUSY, .. })
    }

    /// Whether the broker that was asked has no such topic.
    pub fn is_topic_missing(&self) -> bool {
        matches!(self, Self::NoTopic(_) | Self::Refused { code: code::TOPIC_NOT_EXIST, .. })
    }
}

/// Those of RocketMQ's `ResponseCode` that mean something here.
pub(crate) mod code {
    pub(crate) const SUCCESS: i32 = 0;
    /// Also: a batch that is too large.
    pub(crate) const SYSTEM_ERROR: i32 = 1;
    pub(crate) const SYSTEM_BUSY: i32 = 2;
    /// Stored, only not as safely as the broker is set to; so are the next two.
    pub(crate) const FLUSH_DISK_TIMEOUT: i32 = 10;
    pub(crate) const SLAVE_NOT_AVAILABLE: i32 = 11;
    pub(crate) const FLUSH_SLAVE_TIMEOUT: i32 = 12;
    /// Too large a message.
    pub(crate) const MESSAGE_ILLEGAL: i32 = 13;
    pub(crate) const TOPIC_NOT_EXIST: i32 = 17;
    pub(crate) const PULL_NOT_FOUND: i32 = 19;
    pub(crate) const PULL_RETRY_IMMEDIATELY: i32 = 20;
    pub(crate) const PULL_OFFSET_MOVED: i32 = 21;
}
