//! Relays over Redis for the tests.

#![allow(dead_code)] // each test file uses a part of it

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use redis_link::{Mode, RedisOptions};
use relay::{Link, RedisRelay, Relay as _, RelayError, Subscription};
use tokio::sync::watch;

use crate::support::{publication, within};

/// A relay with a link of its own.
pub(crate) fn relay(mode: Mode, servers: Vec<String>, prefix: &str, capacity: usize) -> RedisRelay {
    let options = RedisOptions {
        mode,
        servers,
        connect_timeout: Duration::from_secs(2),
        response_timeout: Duration::from_secs(4),
        ..RedisOptions::default()
    };
    RedisRelay::with_capacity(options, prefix, capacity).expect("options that fit together")
}

/// A prefix that no other test uses.
pub(crate) fn new_prefix() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    format!("phalanx:test:{}:", LAST.fetch_add(1, Ordering::Relaxed))
}

/// A subscription that is watched from its start on.
pub(crate) struct Watched {
    pub(crate) subscription: Subscription,
    publisher: RedisRelay,
    last: u64,
    seen: Arc<Mutex<Vec<Link>>>,
}

impl Watched {
    /// Subscribes through one relay as `spear-1`, and publishes through the other one.
    pub(crate) async fn begin(receiver: &RedisRelay, publisher: &RedisRelay) -> Self {
        let subscription = receiver.subscribe("spear-1").await.expect("redis is there");
        let seen = Arc::default();
        tokio::spawn(record(subscription.link.clone(), Arc::clone(&seen)));
        let mut watched = Self { subscription, publisher: publisher.clone(), last: 0, seen };
        watched.flows().await;
        watched
    }

    /// Waits until the link was down, and is up again.
    pub(crate) async fn is_back(&mut self) {
        let seen = self.seen.clone();
        until("the link is down and up again", || async {
            let seen = seen.lock();
            seen.contains(&Link::Down) && seen.last() == Some(&Link::Up)
        })
        .await;
        self.seen.lock().clear();
    }

    /// Waits until the link is down.
    pub(crate) async fn is_down(&mut self) {
        within(self.subscription.link.wait_for(|link| *link == Link::Down)).await.expect("it is subscribed");
    }

    /// Publishes until it succeeds, and then until a hint arrives: what was said to be published to a server that was just
    /// replaced may be lost.
    pub(crate) async fn flows(&mut self) {
        let arrived = async {
            loop {
                self.last += 1;
                let published = self.publisher.publish(vec![publication("spear-1", self.last)]).await;
                match published {
                    Ok(()) => {}
                    Err(RelayError::Unavailable(_)) => {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        continue;
                    }
                }
                // Earlier ones may still be on their way.
                let (hints, last) = (&mut self.subscription.hints, self.last);
                let this_one = async {
                    while let Some(hint) = hints.recv().await {
                        let hint: u64 = String::from_utf8_lossy(&hint).parse().expect("a number");
                        assert!(hint <= last);
                        if hint == last {
                            return;
                        }
                    }
                    panic!("nobody replaces it");
                };
                if tokio::time::timeout(Duration::from_millis(200), this_one).await.is_ok() {
                    return;
                }
            }
        };
        within(arrived).await;
    }
}

async fn record(mut link: watch::Receiver<Link>, seen: Arc<Mutex<Vec<Link>>>) {
    while link.changed().await.is_ok() {
        let now = *link.borrow_and_update();
        seen.lock().push(now);
    }
}

/// Waits until it is true.
pub(crate) async fn until<F>(what: &str, is_true: impl Fn() -> F)
where
    F: Future<Output = bool>,
{
    let waiting = async {
        while !is_true().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(20), waiting).await.is_err() {
        panic!("{what}: did not come in time");
    }
}
