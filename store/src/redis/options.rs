//! Settings of the store on Redis.

use std::time::Duration;

use redis_link::{LinkError, Wait};

/// How the store uses Redis.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Which Redis.
    pub link: redis_link::RedisOptions,
    /// What every key begins with, so that several clusters can share a Redis; without braces.
    pub prefix: String,
    /// Whom an answer waits for. `None`: for the primary only, whose loss may then take back what was answered.
    pub wait: Option<Wait>,
    /// How long a `cid` is remembered: at least this long, at most twice as long. At least 1 s.
    pub cid_retention: Duration,
}

impl Default for RedisOptions {
    /// One server on this machine, keys below `phalanx`, no replicas, 24 hours.
    fn default() -> Self {
        Self {
            link: redis_link::RedisOptions::default(),
            prefix: "phalanx".into(),
            wait: None,
            cid_retention: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl RedisOptions {
    pub(super) fn check(&self) -> Result<(), LinkError> {
        // Braces decide where a key belongs, and a glob's signs would make whole-prefix operations reach too far.
        if self.prefix.is_empty() || self.prefix.contains(['{', '}', '*', '?', '[', ']', ' ']) {
            let prefix = &self.prefix;
            return Err(LinkError::Options(format!(
                "{prefix:?} is no prefix for keys: use letters and digits"
            )));
        }
        if self.cid_retention < Duration::from_secs(1) {
            return Err(LinkError::Options("cids must be remembered for 1 s at least".into()));
        }
        Ok(())
    }
}
