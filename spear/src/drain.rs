//! Clients move to other spears: all of them because this one leaves, or a part because it holds too many.
//!
//! Each is told `migrate` in its turn (`waves.rs`), with the time after which it is closed if it is still here.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Weak},
    time::Duration,
};

use boot::{Condition, Membership, NodeContext, Shutdown};
use rand::seq::SliceRandom as _;
use serde_json::json;
use socket::Frame;
use tokio::{
    sync::watch,
    time::{self, Instant, Interval, MissedTickBehavior},
};
use wire::{Drain, DrainOrder, NodeState, Role};

use crate::{
    connection::Connection,
    context::Context,
    waves::{TICK, Waves},
};

/// What is kept of the drain time for closing those who stay, and for leaving the roster.
const FOR_CLOSING: Duration = Duration::from_secs(1);
/// How often it is looked for connections that were let in before, and are there only now.
const LOOK_FOR_LATE: Duration = Duration::from_secs(1);
/// A spear that is to end waits so long for another one that takes clients; snapshots differ for a moment where several leave together.
const NOWHERE_FOR: Duration = Duration::from_millis(600);
/// How long clients that have nowhere to go may stay when the spear ends: for what they have sent to be answered.
const NOWHERE_STAY: Duration = Duration::from_secs(2);
/// For how long the roster is told that this spear drains; stat has answered by then.
const TELL_FOR: Duration = Duration::from_secs(5);
/// How many orders are remembered, so that a late hint about one changes nothing.
const ORDERS_KEPT: usize = 16;
/// Between two attempts to tell the roster.
const TELL_AGAIN: Duration = Duration::from_millis(500);
/// How often the log says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Carries out what operators ask for, the last order at a time. Never ends.
pub(crate) async fn obey(
    context: &Context,
    node: &NodeContext,
    member: &Membership,
    mut orders: watch::Receiver<Option<Drain>>,
) {
    let mut current: Option<Drain> = None;
    // A hint comes several times, and late: what was replaced by a newer order is not taken up again.
    let mut done = VecDeque::with_capacity(ORDERS_KEPT);
    loop {
        let next = async {
            loop {
                // The sender lives as long as this spear: it is the receiving side of the relay.
                if orders.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
                let told = orders.borrow_and_update().clone();
                if let Some(told) = told.filter(|told| !done.contains(&told.id)) {
                    return told;
                }
            }
        };
        let working = async {
            match &current {
                Some(drain) => carry_out(context, node, member, drain.order).await,
                None => std::future::pending().await,
            }
        };
        let next = tokio::select! {
            next = next => next,
            () = working => return std::future::pending().await,
        };
        context.hub.counters.draining(0);
        done.truncate(ORDERS_KEPT - 1);
        done.push_front(next.id);
        current = Some(next);
    }
}

/// Never ends; an order that is done stays in force.
async fn carry_out(context: &Context, node: &NodeContext, member: &Membership, order: DrainOrder) {
    let within = |within_ms: Option<u64>| within_ms.map_or(node.drain_timeout, Duration::from_millis);
    match order {
        DrainOrder::Leave { within_ms } => {
            let Some(condition) = close_door(context, node, member).await else {
                return open_door(context, node, member).await;
            };
            let time = within(within_ms);
            tracing::info!(connections = context.hub.counters.connection_count(), ?time, "draining");
            let mut moving = Moving::everybody(context, time);
            let mut ticks = ticks();
            loop {
                moving.step(tick(&mut ticks).await, false);
                let remaining = context.hub.counters.connection_count();
                context.hub.counters.draining(remaining);
                condition.waiting(format!("{remaining} connections are left; undrain takes it back"));
            }
        }
        DrainOrder::Hold => {
            let Some(condition) = close_door(context, node, member).await else {
                return open_door(context, node, member).await;
            };
            tracing::info!("no newcomers are taken; those who are here stay");
            condition.waiting("no newcomers are taken; undrain takes it back");
        }
        DrainOrder::Shed { within_ms, share } => {
            let time = within(within_ms);
            let mut moving = Moving::some(context, share, time);
            tracing::info!(
                connections = moving.waves.waiting(),
                ?time,
                "a part of the connections is to move"
            );
            let mut ticks = ticks();
            while moving.remaining() > 0 {
                moving.step(tick(&mut ticks).await, false);
                context.hub.counters.draining(moving.remaining());
            }
            tracing::info!("the part that was to move has moved");
        }
        DrainOrder::Stay => open_door(context, node, member).await,
    }
    std::future::pending().await
}

/// The condition of a node that drains, as whoever asks it to end names it too.
const CONDITION: &str = "draining";

/// First the roster, so that tickets avoid this node, and nobody who is told to move is sent back; then the door. `None`: whoever has
/// asked for it was answered that it cannot be done, because the roster cannot be told, or because no other spear takes clients, as
/// when two were asked at once. It is not done later, when nobody expects it any more.
async fn close_door(context: &Context, node: &NodeContext, member: &Membership) -> Option<Condition> {
    let condition = node.readiness.condition(CONDITION, "asked to drain");
    if time::timeout(TELL_FOR, show(member, NodeState::Draining)).await.is_err() {
        tracing::warn!("the roster cannot be told that this spear drains, so it does not");
        return None;
    }
    if !others_take_clients(context) {
        tracing::warn!("no other spear takes clients, so this one does not drain");
        return None;
    }
    context.admission.drain();
    Some(condition)
}

async fn open_door(context: &Context, node: &NodeContext, member: &Membership) {
    context.admission.open();
    show(member, NodeState::Up).await;
    node.readiness.condition(CONDITION, "").ok("takes newcomers");
    tracing::info!("newcomers are taken");
}

fn others_take_clients(context: &Context) -> bool {
    let me = &context.hub.node.id;
    let snapshot = context.snapshot();
    snapshot
        .of_role(Role::Spear)
        .any(|record| record.id != *me && record.state == NodeState::Up && record.weight > 0)
}

/// Tells the roster, as long as it takes.
async fn show(member: &Membership, state: NodeState) {
    while !member.show(state).await {
        time::sleep(TELL_AGAIN).await;
    }
}

/// Drains within the shutdown's drain time, and leaves the roster.
pub(crate) async fn leave(context: &Context, member: Membership, shutdown: &Shutdown) {
    let counters = &context.hub.counters;
    member.announce_drain().await;
    context.admission.drain();
    let end = Instant::now() + shutdown.remaining().saturating_sub(FOR_CLOSING);
    let time = end - Instant::now();
    tracing::info!(connections = counters.connection_count(), ?time, "draining");
    let mut moving = Moving::everybody(context, time);
    let mut ticks = ticks();
    while counters.connection_count() > 0 && Instant::now() < end {
        moving.step(tick(&mut ticks).await, true);
        counters.draining(counters.connection_count());
    }
    let staying = context.hub.connections();
    if !staying.is_empty() {
        tracing::info!(connections = staying.len(), "closing those who stayed");
        staying.iter().for_each(|connection| connection.outlet.close());
    }
    drop(staying);
    let all_gone = async {
        while counters.connection_count() > 0 {
            ticks.tick().await;
        }
    };
    drop(time::timeout(FOR_CLOSING, all_gone).await);
    counters.draining(0);
    member.leave().await;
}

fn ticks() -> Interval {
    let mut ticks = time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn tick(ticks: &mut Interval) -> Instant {
    ticks.tick().await;
    Instant::now()
}

/// Connections on their way to other spears.
struct Moving<'a> {
    context: &'a Context,
    waves: Waves<Weak<Connection>>,
    /// The sessions that are in the waves, where everybody is to move: who comes late is added. At most one entry a connection of
    /// this spear's since the drain began.
    known: Option<HashSet<u64>>,
    looked: Instant,
    said: Instant,
    nowhere_since: Option<Instant>,
}

impl<'a> Moving<'a> {
    fn everybody(context: &'a Context, time: Duration) -> Self {
        let connections = context.hub.connections();
        let known = connections.iter().map(|connection| connection.identity.session).collect();
        Self::new(context, &connections, Some(known), time)
    }

    /// So many thousandths of those who are here, whoever they are.
    fn some(context: &'a Context, share: u32, time: Duration) -> Self {
        let mut connections = context.hub.connections();
        connections.shuffle(&mut rand::rng());
        let share = usize::try_from(share).unwrap_or(usize::MAX).min(1_000);
        connections.truncate((connections.len() * share).div_ceil(1_000));
        Self::new(context, &connections, None, time)
    }

    fn new(
        context: &'a Context,
        connections: &[Arc<Connection>],
        known: Option<HashSet<u64>>,
        time: Duration,
    ) -> Self {
        let now = Instant::now();
        let waves = Waves::new(connections.iter().map(Arc::downgrade).collect(), now, time);
        Self { context, waves, known, looked: now, said: now, nowhere_since: None }
    }

    fn remaining(&self) -> usize {
        self.waves.waiting() + self.waves.told()
    }

    /// One wave. Where no other spear takes clients nobody is told to move; but if this spear `ends`, waiting helps nobody.
    fn step(&mut self, now: Instant, ends: bool) {
        if now - self.said >= SAY_EVERY && self.remaining() > 0 {
            self.said = now;
            tracing::info!(waiting = self.waves.waiting(), told = self.waves.told(), "clients are moving");
        }
        self.look_for_late(now);
        if self.is_nowhere_to_go(now) {
            if !ends {
                return self.waves.pause(now);
            }
            self.waves.hurry(now, NOWHERE_STAY);
        }
        self.tell(now);
        for connection in self.waves.overdue(now).iter().filter_map(Weak::upgrade) {
            connection.outlet.close();
        }
    }

    fn tell(&mut self, now: Instant) {
        let due = self.waves.due(now);
        if due.is_empty() {
            return;
        }
        let after_ms = u64::try_from(self.waves.stay().as_millis()).unwrap_or(u64::MAX);
        let migrate = Frame::event("migrate", &json!({ "after_ms": after_ms }).to_string());
        for connection in due.iter().filter_map(Weak::upgrade) {
            // One whose queue is full is closed in its turn all the same.
            let _ = connection.outlet.send(&migrate);
        }
    }

    /// Those who were being let in when the door was closed.
    fn look_for_late(&mut self, now: Instant) {
        let Some(known) = self.known.as_mut() else { return };
        if now - self.looked < LOOK_FOR_LATE || self.context.hub.counters.connection_count() == 0 {
            return;
        }
        self.looked = now;
        let here = self.context.hub.connections();
        self.waves.add(
            here.iter().filter(|connection| known.insert(connection.identity.session)).map(Arc::downgrade),
        );
    }

    /// Whether no other spear has taken clients for a while.
    fn is_nowhere_to_go(&mut self, now: Instant) -> bool {
        if others_take_clients(self.context) {
            self.nowhere_since = None;
            return false;
        }
        now - *self.nowhere_since.get_or_insert(now) >= NOWHERE_FOR
    }
}
