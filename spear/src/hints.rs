//! What arrives over the relay.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use boot::Condition;
use bytes::Bytes;
use conversation::LocalDelivery as _;
use relay::{Arrival, Link, Numbering, Publisher, Relay, Subscription};
use tokio::{
    sync::watch,
    time::{self, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use wire::{Drain, Hint, Payload};

use crate::hub::Hub;

/// Between two probes of a spear's own path through the relay. Four of them and a new subscription take less than 3 s.
const PROBE_INTERVAL: Duration = Duration::from_millis(700);
/// So many probes in a row may be missing before the path counts as broken.
const PROBES_MISSING: u64 = 3;
/// The most hints that are delivered together.
const AT_ONCE: usize = 64;

/// The receiving side of the relay on one spear.
pub(crate) struct Hints {
    pub(crate) hub: Arc<Hub>,
    pub(crate) relay: Arc<dyn Relay>,
    pub(crate) publisher: Arc<Publisher>,
    /// Whether hints arrive.
    pub(crate) condition: Condition,
    /// What an operator has asked for last.
    pub(crate) orders: watch::Sender<Option<Drain>>,
}

impl Hints {
    /// Receives until `stop`; subscribes again whenever the path through the relay is broken.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut numbering = Numbering::new(self.hub.node.clone());
        while !stop.is_cancelled() {
            let Some(subscribed) = stop.run_until_cancelled(self.relay.subscribe(&self.hub.node.id)).await
            else {
                return;
            };
            match subscribed {
                Ok(subscription) => {
                    self.condition.ok("subscribed");
                    // What was published while nobody listened is in the store.
                    self.hub.suspect();
                    stop.run_until_cancelled(self.receive(subscription, &mut numbering)).await;
                }
                Err(error) => {
                    self.condition.waiting(error.to_string());
                    tracing::warn!(%error, "the relay cannot be subscribed to; it is tried again");
                    stop.run_until_cancelled(time::sleep(PROBE_INTERVAL)).await;
                }
            }
        }
    }

    /// Receives from one subscription until it ends or the probes stay away.
    async fn receive(&self, mut subscription: Subscription, numbering: &mut Numbering) {
        let seen = AtomicU64::new(0);
        let mut sent = 0_u64;
        let mut arrived = Vec::new();
        let mut probes = time::interval(PROBE_INTERVAL);
        // After a standstill, those that are due are not sent at once: they could not be back before the next one.
        probes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Beside everything else: a relay that hangs must not keep hints, or the loss of the link, from being seen.
        let mut publishing = None;
        loop {
            let published = async {
                match &mut publishing {
                    Some(probe) => Pin::new(probe).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                count = subscription.hints.recv_many(&mut arrived, AT_ONCE) => {
                    if count == 0 {
                        return tracing::warn!("the subscription has ended; subscribing again");
                    }
                    let payloads = arrived.drain(..).filter_map(|bytes| self.take(bytes, numbering, &seen));
                    self.hub.deliver(payloads.collect());
                }
                Ok(()) = subscription.link.changed() => self.link_changed(*subscription.link.borrow()),
                () = published => publishing = None,
                _ = probes.tick() => {
                    if sent.saturating_sub(seen.load(Ordering::Relaxed)) >= PROBES_MISSING {
                        self.condition.waiting("probes through the relay do not come back; subscribing again");
                        return tracing::warn!("{PROBES_MISSING} probes through the relay are missing; subscribing again");
                    }
                    sent += 1;
                    // One that is still on its way counts as missing.
                    publishing = Some(Box::pin(self.probe(sent)));
                }
            }
        }
    }

    fn link_changed(&self, link: Link) {
        match link {
            Link::Up => {
                self.condition.ok("subscribed");
                self.hub.suspect();
            }
            Link::Down => self.condition.waiting("the connection to the relay is lost"),
        }
    }

    async fn probe(&self, number: u64) {
        let probe = vec![(self.hub.node.clone(), Payload::Probe(number))];
        if let Ok(Err(error)) = time::timeout(PROBE_INTERVAL, self.publisher.publish(probe)).await {
            tracing::debug!(%error, "a probe is not published");
        }
    }

    /// What is to be delivered of a hint.
    fn take(&self, bytes: Bytes, numbering: &mut Numbering, seen: &AtomicU64) -> Option<Payload> {
        let counters = &self.hub.counters;
        counters.hint();
        let hint = match Hint::decode(bytes) {
            Ok(hint) => hint,
            Err(error) => {
                tracing::debug!(%error, "a hint is ignored");
                return None;
            }
        };
        match numbering.accept(&hint) {
            Arrival::Next | Arrival::Late => {}
            Arrival::Hole { missing } => {
                counters.hints_missing(missing);
                self.hub.suspect();
            }
            _ => {
                counters.hint_repeated();
                return None;
            }
        }
        match hint.payload {
            Payload::Probe(number) => {
                seen.fetch_max(number, Ordering::Relaxed);
                None
            }
            Payload::Drain(drain) => {
                self.orders.send_replace(Some(drain));
                None
            }
            payload => Some(payload),
        }
    }
}
