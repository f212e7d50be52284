//! What the deadlines of a session ask for.

use std::sync::Arc;

use super::{Farewell, Session, Stage};
use crate::{
    Reason,
    clock::{Moment, millis},
    codec::Revision,
};

/// When the client was last known to be there.
#[derive(Debug)]
pub(super) struct Heartbeat {
    /// When the last ping was sent; at first, when the session began.
    pinged_at: Moment,
    /// When something of the client was last noticed: a packet, or that it reads on.
    alive_at: Moment,
    /// Whether the last ping was not answered yet.
    awaiting: bool,
}

enum Verdict {
    LookAgain(Moment),
    End(Reason),
    /// A WebSocket that lingers after its end is cut off.
    Over,
}

impl Heartbeat {
    pub(super) fn new(now: Moment) -> Self {
        Self { pinged_at: now, alive_at: now, awaiting: false }
    }

    /// The client answered a ping, or sent one.
    pub(super) fn answered(&mut self, now: Moment) {
        self.awaiting = false;
        self.alive_at = now;
    }

    /// The client reads: a ping that waits behind much is not held against it.
    pub(super) fn progress(&mut self, now: Moment) {
        self.alive_at = now;
    }

    /// Whether [`Heartbeat::progress`] matters now.
    pub(super) fn awaits_progress(&self) -> bool {
        self.awaiting
    }
}

impl Session {
    /// Its time has come, or an earlier one: sends a ping, ends it, or nothing. Answers when to look again.
    pub(crate) fn look(self: &Arc<Self>) -> Option<Moment> {
        let now = self.layer().clock.now();
        match self.judge(now) {
            Verdict::LookAgain(at) => Some(at),
            Verdict::End(reason) => {
                self.end(reason, Farewell::Cut);
                None
            }
            Verdict::Over => {
                self.wake_carrier();
                None
            }
        }
    }

    fn judge(&self, now: Moment) -> Verdict {
        let settings = &self.layer().settings;
        let (interval, timeout) = (millis(settings.ping_interval), millis(settings.ping_timeout));
        let mut state = self.state.lock();
        match state.stage {
            Stage::Ended { linger_until, .. } if now < linger_until => {
                return Verdict::LookAgain(linger_until);
            }
            Stage::Ended { .. } => return Verdict::Over,
            Stage::Leaving { by } if now < by => return Verdict::LookAgain(by),
            Stage::Leaving { .. } => return Verdict::End(Reason::ServerClosed),
            Stage::Open => {}
        }
        let connect_by = state.connect_by;
        if connect_by.is_some_and(|by| by <= now) {
            return Verdict::End(Reason::ConnectTimeout);
        }
        let heartbeat = &mut state.heartbeat;
        let mut ping = false;
        let next = match self.revision() {
            // The client sends the pings.
            Revision::V3 => heartbeat.alive_at + interval + timeout,
            Revision::V4 if heartbeat.awaiting => heartbeat.pinged_at.max(heartbeat.alive_at) + timeout,
            Revision::V4 if now < heartbeat.pinged_at + interval => heartbeat.pinged_at + interval,
            Revision::V4 => {
                heartbeat.pinged_at = now;
                heartbeat.awaiting = true;
                ping = true;
                now + timeout.min(interval)
            }
        };
        if next <= now {
            return Verdict::End(Reason::PingTimeout);
        }
        if ping {
            let waker =
                if state.outgoing.push(self.layer().ping.clone()) { state.waker.take() } else { None };
            drop(state);
            super::wake(waker);
        }
        Verdict::LookAgain(connect_by.map_or(next, |by| next.min(by)))
    }
}
