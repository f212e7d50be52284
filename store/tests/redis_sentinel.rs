//! The suite, run against Redis: a primary with replicas that sentinels watch; one of them must confirm.

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use redis_link::Mode;
use servers::Replicated;
use store::{RedisOptions, RedisStore, conformance::Place};

use crate::support::{Shared, open, patient};

static SERVERS: Shared<Replicated> = Shared::new();

/// A prefix of one's own on servers that all cases share.
struct Prefix {
    options: RedisOptions,
    _servers: Arc<Replicated>,
}

impl Prefix {
    async fn new() -> Self {
        let servers = SERVERS.get(Replicated::start).await;
        Self { options: patient(Mode::Sentinel, servers.sentinel_addresses(), 1), _servers: servers }
    }
}

#[async_trait]
impl Place for Prefix {
    type Store = RedisStore;

    async fn open(&self) -> RedisStore {
        open(&self.options)
    }
}

store::conformance!(Prefix::new().await);
