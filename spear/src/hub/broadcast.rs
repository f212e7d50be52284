//! Messages to everybody who is connected here. A connection whose queue is full misses them.
//!
//! They are handed out some hundreds of connections at a time, by one task: in between the spear does its other work, so a
//! message to a hundred thousand holds nobody else up.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use socket::Backlog;
use tokio::task;
use wire::BroadcastHint;

use super::Hub;

/// Those that wait to be handed out; a further one is dropped, and counted. At 64 KiB each, 4 MiB.
const WAITING: usize = 64;
/// Connections that are handed one at a time: less than a millisecond.
const AT_ONCE: usize = 256;

/// What is to be handed out, in the order in which it came.
#[derive(Default)]
pub(super) struct Broadcasts(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<BroadcastHint>,
    /// Whether somebody works on it.
    busy: bool,
}

impl Broadcasts {
    /// Answers whether the caller is to start working on the queue; `None` where it is full.
    fn push(&self, hint: BroadcastHint) -> Option<bool> {
        let mut queue = self.0.lock();
        if queue.waiting.len() >= WAITING {
            return None;
        }
        queue.waiting.push_back(hint);
        Some(!std::mem::replace(&mut queue.busy, true))
    }

    /// The next one; with `None` the worker has ended.
    fn pop(&self) -> Option<BroadcastHint> {
        let mut queue = self.0.lock();
        let next = queue.waiting.pop_front();
        queue.busy = next.is_some();
        next
    }
}

impl Hub {
    pub(super) fn broadcast(&self, hint: BroadcastHint) {
        match self.broadcasts.push(hint) {
            Some(false) => {}
            Some(true) => {
                if let Some(hub) = self.this.upgrade() {
                    self.spawn(hub.hand_out_broadcasts());
                }
            }
            None => {
                metrics::counter!("phalanx_broadcasts_dropped_total").increment(1);
                tracing::warn!("more than {WAITING} messages to everybody wait here: one is dropped");
            }
        }
    }

    async fn hand_out_broadcasts(self: Arc<Self>) {
        while let Some(hint) = self.broadcasts.pop() {
            let Some(frame) = super::frame("message", &hint.json) else { continue };
            let connections = self.connections();
            for connections in connections.chunks(AT_ONCE) {
                let (mut deliveries, mut missed) = (0, 0);
                socket::burst(|| {
                    // Nothing is sent before `ready`.
                    for connection in connections.iter().filter(|each| each.may_catch_up()) {
                        match connection.outlet.send(&frame) {
                            Ok(()) => deliveries += 1,
                            Err(Backlog::Full) => missed += 1,
                            // Its end is on the way.
                            Err(Backlog::Closed) => {}
                        }
                    }
                });
                if deliveries > 0 {
                    self.counters.delivered(deliveries, hint.sent_at);
                }
                self.counters.missed(missed);
                task::yield_now().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wire::Payload;

    use super::{super::fixture::Fixture, *};

    const PLENTY: usize = 10_000;

    fn broadcast(number: usize) -> Payload {
        Payload::Broadcast(BroadcastHint { sent_at: 1, json: Bytes::from(format!("{{\"n\":{number}}}")) })
    }

    #[tokio::test]
    async fn everybody_who_is_ready_gets_each_once_and_in_order() {
        let fixture = Fixture::new().await;
        let mut clients = Vec::new();
        for number in 0..AT_ONCE + 10 {
            clients.push(fixture.connect(&format!("u{number}"), "phone", PLENTY).await.1);
        }
        let (_waiting, not_ready) = fixture.register("late", "phone", PLENTY).await;
        let (_slow, slow) = fixture.connect("slow", "phone", 1).await;
        for number in 0..3 {
            fixture.deliver(broadcast(number));
        }
        let numbers = |client: &super::super::fixture::Client| {
            let events = client.events("message");
            events.iter().filter_map(|event| event["n"].as_u64()).collect::<Vec<_>>()
        };
        fixture.until("all have all", || clients.iter().all(|client| numbers(client).len() == 3)).await;
        assert!(clients.iter().all(|client| numbers(client) == [0, 1, 2]));
        assert_eq!((numbers(&not_ready), numbers(&slow)), (vec![], vec![0]), "one has no place for more");
    }

    #[tokio::test]
    async fn those_that_wait_are_bounded() {
        let fixture = Fixture::new().await;
        let (_connection, client) = fixture.connect("bob", "phone", PLENTY).await;
        // On this thread nobody else runs before the first wait.
        for number in 0..WAITING + 10 {
            fixture.deliver(broadcast(number));
        }
        fixture.until("the queue is empty", || !fixture.hub.broadcasts.0.lock().busy).await;
        assert_eq!(client.events("message").len(), WAITING);
    }
}
