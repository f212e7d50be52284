//! What all sessions of a service share.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Weak},
};

use dashmap::DashMap;
use tokio::time;

use crate::{
    Frame, Gate, Reason, Settings,
    clock::Clock,
    codec::engine,
    session::{Session, SessionId},
    unconnected::Unconnected,
    wheel::Wheel,
};

pub(crate) struct Layer {
    pub(crate) settings: Settings,
    pub(crate) gate: Arc<dyn Gate>,
    pub(crate) clock: Clock,
    pub(crate) wheel: Wheel<Session>,
    pub(crate) unconnected: Arc<Unconnected>,
    /// The one ping that everybody is sent.
    pub(crate) ping: Frame,
    /// Those that requests may name: sessions on long-polling. One on a WebSocket is held by its driver alone.
    polling: DashMap<SessionId, Arc<Session>>,
}

impl Layer {
    /// Within a tokio runtime: deadlines are watched by a task that ends with the layer.
    pub(crate) fn start(gate: Arc<dyn Gate>, settings: Settings) -> Arc<Self> {
        let delays =
            [settings.ping_interval, settings.ping_timeout, settings.connect_timeout, settings.leave_timeout];
        let shortest = delays.into_iter().min().unwrap_or_default();
        // Clients of Engine.IO 3 have both.
        let longest = settings.connect_timeout.max(settings.ping_interval + settings.ping_timeout);
        let unconnected = Unconnected::new(settings.max_unconnected, settings.max_unconnected_per_address);
        let layer = Arc::new(Self {
            wheel: Wheel::new(shortest, longest),
            clock: Clock::start(),
            ping: Frame::packet(engine::PING),
            polling: DashMap::new(),
            unconnected: Arc::new(unconnected),
            settings,
            gate,
        });
        tokio::spawn(turn(Arc::downgrade(&layer)));
        layer
    }

    pub(crate) fn find(&self, id: &SessionId) -> Option<Arc<Session>> {
        self.polling.get(id).map(|session| session.clone())
    }

    /// A session begins.
    pub(crate) fn opened(&self, session: &Arc<Session>) {
        if !session.is_on_websocket() {
            self.polling.insert(*session.id(), session.clone());
        }
    }

    /// A session has ended.
    pub(crate) fn closed(&self, session: &Session, reason: Reason) {
        self.forget(session.id());
        tracing::trace!(?session, reason = reason.as_str(), "a session has ended");
    }

    /// Requests do not find it any more.
    pub(crate) fn forget(&self, id: &SessionId) {
        self.polling.remove(id);
    }
}

async fn turn(layer: Weak<Layer>) {
    let Some(tick) = layer.upgrade().map(|layer| layer.wheel.tick()) else { return };
    let mut ticks = time::interval(tick);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(layer) = layer.upgrade() else { return };
        for session in layer.wheel.expired(layer.clock.now()) {
            let Some(session) = session.upgrade() else { continue };
            // A look may call the layer above. A panic there, which is reported, must not stop the clock of all others.
            if let Ok(Some(at)) = panic::catch_unwind(AssertUnwindSafe(|| session.look())) {
                layer.wheel.insert(at, Arc::downgrade(&session));
            }
        }
    }
}
