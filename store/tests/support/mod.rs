//! Redis for the tests of the store: servers that the tests of one process share, and stores on them.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod load;

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis_link::{Mode, Wait};
use store::{RedisOptions, RedisStore};
use tokio::{sync::Mutex, time};

/// How long something may take that must happen. A failover takes about 3 s, on a busy machine longer.
pub(crate) const BUDGET: Duration = Duration::from_secs(40);

/// Servers that tests share while at least one of them runs; ended with the last one.
pub(crate) struct Shared<T>(Mutex<Weak<T>>);

impl<T> Shared<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::const_new(Weak::new()))
    }

    /// Those that run, or new ones.
    pub(crate) async fn get(&self, start: impl AsyncFnOnce() -> T) -> Arc<T> {
        let mut shared = self.0.lock().await;
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let started = Arc::new(start().await);
        *shared = Arc::downgrade(&started);
        started
    }
}

/// Keys of one test, among others on the same servers.
pub(crate) fn fresh_prefix() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Options for servers; `replicas` must confirm.
pub(crate) fn options(mode: Mode, servers: Vec<String>, replicas: u32) -> RedisOptions {
    let link = redis_link::RedisOptions { mode, servers, ..redis_link::RedisOptions::default() };
    let wait = (replicas > 0).then_some(Wait { replicas, timeout: Duration::from_secs(1) });
    RedisOptions { link, prefix: fresh_prefix(), wait, ..RedisOptions::default() }
}

/// Options for the suite, with times that a busy machine does not exceed.
pub(crate) fn patient(mode: Mode, servers: Vec<String>, replicas: u32) -> RedisOptions {
    let RedisOptions { mut link, wait, .. } = options(mode, servers, replicas);
    (link.connect_timeout, link.response_timeout) = (BUDGET, 2 * BUDGET);
    let wait = wait.map(|wait| Wait { timeout: BUDGET, ..wait });
    RedisOptions { link, prefix: fresh_prefix(), wait, ..RedisOptions::default() }
}

/// A store.
pub(crate) fn open(options: &RedisOptions) -> RedisStore {
    RedisStore::open(options.clone()).expect("the options fit together")
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = time::Instant::now() + BUDGET;
    while !condition().await {
        assert!(time::Instant::now() < deadline, "{what}");
        time::sleep(Duration::from_millis(50)).await;
    }
}
