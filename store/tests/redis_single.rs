//! The suite, run against Redis: a single server.

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use redis_link::Mode;
use servers::Redis;
use store::{RedisOptions, RedisStore, conformance::Place};

use crate::support::{Shared, open, patient};

static SERVERS: Shared<Redis> = Shared::new();

/// A prefix of one's own on servers that all cases share.
struct Prefix {
    options: RedisOptions,
    _servers: Arc<Redis>,
}

impl Prefix {
    async fn new() -> Self {
        let servers = SERVERS.get(Redis::start).await;
        Self { options: patient(Mode::Single, vec![servers.address()], 0), _servers: servers }
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
