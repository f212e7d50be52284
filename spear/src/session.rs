//! The life of one connection: admitted, registered, ready, caught up, gone.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicUsize, Ordering},
};

use conversation::Refusal;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use socket::{Event, Frame, Gate, Handshake, Inlet, Outlet, Reason, Refusal as NotLetIn, Reply};
use store::{Connect, Connected, DeviceKey, Disconnect, Evicted, StoreError};
use tokio::time;
use wire::{Code, Kick, NodeRef, Payload, Role, time::now_ms};

use crate::{
    connection::{Connection, Identity},
    context::Context,
    events::{self, Answered, Asking},
};

/// The version of the protocol of CONTRACT §2 to §4.
const PROTOCOL: u32 = 1;
/// How long to wait before the store is asked again after it failed.
const STORE_RETRY: time::Duration = time::Duration::from_millis(200);

/// After so many events that were refused because too many came, nothing is read from the client for [`HELD`]: 1,600 such
/// events a second are the most.
const REFUSED_AT_ONCE: u32 = 32;
/// See [`REFUSED_AT_ONCE`].
const HELD: time::Duration = time::Duration::from_millis(20);

/// A connection's events, before and after it is registered.
pub(crate) struct Session {
    context: Arc<Context>,
    connection: Arc<Connection>,
    phase: Mutex<Phase>,
    pending: AtomicUsize,
    /// What the payloads of these take.
    pending_bytes: AtomicUsize,
    /// How many events were refused because too many came.
    too_many: AtomicU32,
}

enum Phase {
    /// Not registered yet: events wait, as many as may be pending.
    Starting(Vec<Waiting>),
    Ready,
    /// Turned away: nothing is answered any more.
    TurnedAway,
    Closed,
}

struct Waiting {
    name: String,
    payload: Option<Box<RawValue>>,
    reply: Reply,
}

/// What the store has said of a connection.
struct Registered {
    connected: Connected,
    /// Whether it was asked once only, so that nobody else can have been replaced unnoticed.
    certain: bool,
}

/// Lets clients in.
pub(crate) struct Sessions(pub(crate) Arc<Context>);

impl Gate for Sessions {
    fn admit(&self, handshake: Handshake<'_>, outlet: Arc<dyn Outlet>) -> Result<Arc<dyn Inlet>, NotLetIn> {
        let context = &self.0;
        let connections = context.hub.counters.connection_count();
        let claims =
            context.admission.check(ticket_of(handshake).as_deref(), connections).map_err(|refusal| {
                context.hub.counters.refused();
                tracing::debug!(code = %refusal.code, "a client is not let in");
                let data = json!({"code": refusal.code, "message": refusal.message});
                NotLetIn { message: refusal.message, data: Some(data.to_string()) }
            })?;
        let identity = Identity {
            key: DeviceKey { user: claims.user, device: claims.device },
            // Below 2^53, so that every client can hold it as a number.
            session: rand::random_range(1..1 << 53),
            token_expires_at: claims.token_expires_at,
        };
        context.hub.counters.connected();
        let connection = Arc::new(Connection::new(identity, outlet));
        connection.set_scope(&claims.scope);
        Ok(Arc::new(Session {
            context: context.clone(),
            connection,
            phase: Mutex::new(Phase::Starting(Vec::new())),
            pending: AtomicUsize::new(0),
            pending_bytes: AtomicUsize::new(0),
            too_many: AtomicU32::new(0),
        }))
    }
}

impl Inlet for Session {
    fn opened(self: Arc<Self>) {
        self.context.hub.clone().spawn(self.start());
    }

    fn event(self: Arc<Self>, event: Event<'_>, reply: Reply) {
        let (name, payload) = (event.name.as_ref(), event.args.first().copied());
        let bytes = size_of(payload);
        if let Err(refusal) = self.count().and_then(|()| self.admit(bytes)) {
            return self.refuse(reply, &refusal);
        }
        {
            let mut phase = self.phase.lock();
            match &mut *phase {
                Phase::Starting(waiting) => {
                    let payload = payload.map(ToOwned::to_owned);
                    return waiting.push(Waiting { name: name.to_owned(), payload, reply });
                }
                Phase::Ready => {}
                Phase::TurnedAway | Phase::Closed => return,
            }
        }
        self.begin(name, payload, reply);
    }

    fn binary_event(self: Arc<Self>, reply: Reply) {
        if let Err(refusal) = self.count() {
            return self.refuse(reply, &refusal);
        }
        let refusal = Refusal::bad_request("binary is not taken: expected JSON");
        reply.send(&events::refused(&refusal));
    }

    fn closed(self: Arc<Self>, reason: Reason) {
        self.context.hub.counters.ended(reason);
        let before = std::mem::replace(&mut *self.phase.lock(), Phase::Closed);
        match before {
            // Counted until its end is written down: draining waits for that.
            Phase::Ready | Phase::TurnedAway => self.context.hub.clone().spawn(async move {
                self.end().await;
                self.context.hub.counters.disconnected();
            }),
            // One that is not registered yet is cleaned up where it would be.
            Phase::Starting(_) => {
                self.context.hub.counters.disconnected();
                self.context.hub.stop_waiting(&self.connection.identity.key, self.connection.epoch());
            }
            Phase::Closed => {}
        }
    }
}

impl Session {
    /// Counts an event, of the connection and of its user.
    fn count(&self) -> Result<(), Refusal> {
        let Context { rates, hub, .. } = self.context.as_ref();
        let (connection, user) = (&self.connection, &self.connection.identity.key.user);
        let counted = rates.connection.as_ref().map_or(Ok(()), |rate| rate.take(&connection.events));
        counted.map_err(|wait| too_fast("this connection", wait))?;
        let counted = rates.user.as_ref().map_or(Ok(()), |rate| hub.count_event(user, rate));
        counted.map_err(|wait| too_fast("this user", wait))
    }

    /// Counts an event among those that wait for an answer, until `finish`.
    fn admit(&self, bytes: usize) -> Result<(), Refusal> {
        let Context { max_pending_events, max_pending_bytes, .. } = *self.context;
        if self.pending.fetch_add(1, Ordering::Relaxed) >= max_pending_events {
            self.pending.fetch_sub(1, Ordering::Relaxed);
            return Err(too_many(&format!("{max_pending_events} events")));
        }
        let before = self.pending_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before > 0 && before.saturating_add(bytes) > max_pending_bytes {
            self.release(bytes);
            return Err(too_many(&format!("{max_pending_bytes} bytes of events")));
        }
        Ok(())
    }

    /// Refuses an event because too many come. Who goes on all the same is read more slowly: to refuse costs something, too.
    fn refuse(&self, reply: Reply, refusal: &Refusal) {
        metrics::counter!("phalanx_events_rate_limited_total").increment(1);
        if self.too_many.fetch_add(1, Ordering::Relaxed) % REFUSED_AT_ONCE == REFUSED_AT_ONCE - 1 {
            self.connection.outlet.hold(HELD);
        }
        reply.send(&events::refused(refusal));
    }

    fn release(&self, bytes: usize) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
        self.pending_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn begin(self: Arc<Self>, name: &str, payload: Option<&RawValue>, reply: Reply) {
        let bytes = size_of(payload);
        let asking = Asking { context: &self.context, connection: &self.connection, payload };
        match events::begin(name, asking) {
            Ok(answer) => {
                self.context.hub.clone().spawn(async move {
                    let Answered { json, then } = answer.await;
                    self.finish(reply, bytes, &json);
                    if let Some(then) = then {
                        then();
                    }
                });
            }
            Err(refusal) => self.finish(reply, bytes, &events::refused(&refusal)),
        }
    }

    fn finish(&self, reply: Reply, bytes: usize, json: &str) {
        self.release(bytes);
        reply.send(json);
    }

    async fn start(self: Arc<Self>) {
        let key = &self.connection.identity.key;
        // A kick that comes before the hub knows the connection must find it all the same.
        let starting = self.context.hub.beginning(key);
        let Some(Registered { mut connected, certain }) = self.register().await else { return };
        let (resumed, previous) = (connected.known, connected.previous.clone());
        // Needed once: what is kept of a connection stays small.
        let (evicted, watchers) =
            (std::mem::take(&mut connected.evicted), std::mem::take(&mut connected.watchers));
        self.connection.set_registered(connected);
        self.context.hub.add(&self.connection);
        drop(starting);
        self.evict(evicted).await;
        self.take_over(previous.map(|(node, _)| node), certain).await;
        if self.is_banned().await {
            return self.turn_away("banned").await;
        }
        if self.connection.is_kicked() {
            return self.turn_away("replaced").await;
        }
        self.context.hub.tell_watchers(vec![(key.user.clone(), watchers)]).await;
        let ready = json!({
            "protocol": PROTOCOL,
            "user": key.user,
            "device": key.device,
            "session": self.connection.identity.session.to_string(),
            "node": self.context.hub.node.id,
            "server_at": now_ms(),
            "resumed": resumed,
        });
        // The queue of a new connection is empty; if it is closed, `closed` says so.
        let _ = self.connection.outlet.send(&Frame::event("ready", &ready.to_string()));
        if !self.open() {
            return self.end().await;
        }
        self.context.hub.open_catch_up(&self.connection);
        while let Err(error) = self.resume().await {
            tracing::warn!(%error, user = %key.user, "resuming waits for the store");
            time::sleep(STORE_RETRY).await;
            if matches!(*self.phase.lock(), Phase::Closed) {
                return;
            }
        }
    }

    /// Registers the device; `None` where the store does not answer in time, and the connection is closed.
    async fn register(&self) -> Option<Registered> {
        let connect = Connect {
            key: self.connection.identity.key.clone(),
            node: self.context.hub.node.clone(),
            limits: self.context.devices,
        };
        let deadline = time::Instant::now() + self.context.register_timeout;
        let mut certain = true;
        loop {
            match self.context.hub.store.connect(vec![connect.clone()]).await {
                Ok(connected) => {
                    return connected.into_iter().next().map(|connected| Registered { connected, certain });
                }
                Err(error) if time::Instant::now() < deadline => {
                    tracing::warn!(%error, "registering a device waits for the store");
                    certain = false;
                    time::sleep(STORE_RETRY).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "a device cannot be registered: its connection is closed");
                    self.connection.outlet.close();
                    return None;
                }
            }
        }
    }

    async fn turn_away(&self, reason: &str) {
        let gone = {
            let mut phase = self.phase.lock();
            let gone = matches!(*phase, Phase::Closed);
            if !gone {
                *phase = Phase::TurnedAway;
            }
            gone
        };
        if gone {
            return self.end().await;
        }
        self.connection.kick(reason, None);
    }

    /// Asked after the connection is noted: a ban that comes later finds it. A list that cannot be read keeps nobody out.
    async fn is_banned(&self) -> bool {
        let banned = self.context.hub.store.is_banned(&self.connection.identity.key.user).await;
        banned.unwrap_or_else(|error| {
            tracing::warn!(%error, "the ban list cannot be read");
            false
        })
    }

    /// Devices that had to make room: their connections go, wherever they are. Nobody waits for that.
    async fn evict(&self, evicted: Vec<Evicted>) {
        let user = &self.connection.identity.key.user;
        let kicks = evicted.into_iter().map(|Evicted { device, node, epoch }| {
            let kick = Kick {
                user: user.clone(),
                device,
                below_epoch: epoch + 1,
                reason: "replaced".to_owned(),
                message: None,
                answer_to: None,
            };
            (node, Payload::Kick(kick))
        });
        self.context.conversations.announcer().tell(kicks.collect()).await;
    }

    /// The same device is connected already: that connection goes, wherever it is. Returns when it has, or when nobody can be
    /// expected to say so.
    async fn take_over(&self, previous: Option<NodeRef>, certain: bool) {
        let (hub, snapshot) = (&self.context.hub, self.context.snapshot());
        let mut nodes: Vec<NodeRef> = previous.into_iter().collect();
        if !certain {
            // A call that seemed to fail may have taken the place of whoever was there.
            nodes.extend(snapshot.of_role(Role::Spear).map(|record| record.node_ref()));
            nodes.sort_unstable();
            nodes.dedup();
        }
        if nodes.is_empty() {
            return;
        }
        let key = &self.connection.identity.key;
        let kick = Kick {
            user: key.user.clone(),
            device: key.device.clone(),
            below_epoch: self.connection.epoch(),
            reason: "replaced".to_owned(),
            message: None,
            answer_to: Some(hub.node.clone()),
        };
        let alive =
            nodes.iter().filter(|node| **node == hub.node || snapshot.holds(Role::Spear, node)).count();
        let release = hub.wait_for_release(key, self.connection.epoch(), alive);
        let deadline = time::Instant::now() + self.context.takeover_timeout;
        let kicks = nodes.into_iter().map(|node| (node, Payload::Kick(kick.clone())));
        self.context.conversations.announcer().tell(kicks.collect()).await;
        // What is gone answers nothing.
        if alive > 0 && time::timeout_at(deadline, release).await.is_err() {
            metrics::counter!("phalanx_takeovers_unanswered_total").increment(1);
            tracing::info!(user = %key.user, device = %key.device, "the older connection of a device did not end in time");
        }
    }

    /// Lets the events through that waited; answers whether the connection is still there.
    fn open(self: &Arc<Self>) -> bool {
        loop {
            let waiting = {
                let mut phase = self.phase.lock();
                match &mut *phase {
                    Phase::Starting(waiting) if waiting.is_empty() => {
                        *phase = Phase::Ready;
                        return true;
                    }
                    Phase::Starting(waiting) => std::mem::take(waiting),
                    Phase::Ready => return true,
                    Phase::TurnedAway | Phase::Closed => return false,
                }
            };
            for Waiting { name, payload, reply } in waiting {
                self.clone().begin(&name, payload.as_deref(), reply);
            }
        }
    }

    /// Finds what this device has not confirmed, and lets the connection catch up with it.
    async fn resume(&self) -> Result<(), StoreError> {
        let hub = &self.context.hub;
        let key = &self.connection.identity.key;
        let inbox = hub.store.inbox(&key.user).await?;
        let cursors = hub.store.cursors(key).await?;
        hub.catch_up_direct(&self.connection, &cursors, &inbox.direct).await?;
        hub.catch_up_changes(&self.connection).await?;
        hub.join_groups(&self.connection, &cursors, &inbox.groups).await?;
        self.connection.resumed();
        Ok(())
    }

    async fn end(&self) {
        let context = &self.context;
        let received = context.hub.has_received_everything(&self.connection);
        let ending = context.hub.ending(&self.connection.identity.key);
        context.hub.remove(&self.connection);
        context.cursors.write_last(&self.connection, &ending, context.takeover_timeout).await;
        // Whoever has replaced it may go on: its cursors are written.
        drop(ending);
        let key = self.connection.identity.key.clone();
        let disconnect = Disconnect { key, epoch: self.connection.epoch(), received };
        if let Err(error) = context.hub.end_connections(std::slice::from_ref(&disconnect)).await {
            tracing::warn!(%error, user = %disconnect.key.user, "a disconnection is noted later");
            // By the time that it is noted, the device may have missed something.
            context.hub.end_later(Disconnect { received: false, ..disconnect });
        }
    }
}

/// From `auth` (protocol 5) or the query (both); whatever else stands there is ignored.
fn ticket_of(handshake: Handshake<'_>) -> Option<String> {
    #[derive(Deserialize)]
    struct Auth {
        ticket: Option<String>,
    }
    let auth = handshake.auth.and_then(|auth| serde_json::from_str::<Auth>(auth.get()).ok());
    auth.and_then(|auth| auth.ticket).or_else(|| handshake.request.parameter("ticket"))
}

/// What a payload takes while it waits.
fn size_of(payload: Option<&RawValue>) -> usize {
    payload.map_or(0, |payload| payload.get().len())
}

fn too_many(most: &str) -> Refusal {
    let message = format!("more than {most} wait for an answer");
    Refusal { code: Code::RateLimited, message, retry_after_ms: Some(100) }
}

fn too_fast(whose: &str, wait: time::Duration) -> Refusal {
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
    let message = format!("more events come from {whose} than may");
    Refusal { code: Code::RateLimited, message, retry_after_ms: Some(wait_ms) }
}
