//! What every session of a spear needs.

use std::{sync::Arc, time::Duration};

use conversation::Conversations;
use roster::Snapshot;
use store::DeviceLimits;
use token::TokenChecker;
use tokio::sync::watch;

use crate::{
    admission::Admission,
    cursors::CursorWriter,
    hub::Hub,
    rate::Rate,
    settings::{LiveSettings, WatchSettings},
};

/// How many events a second are taken; `None`: as many as come.
pub(crate) struct Rates {
    pub(crate) connection: Option<Rate>,
    /// Of all connections of a user on this spear together.
    pub(crate) user: Option<Rate>,
}

/// Shared by all sessions of one spear.
pub(crate) struct Context {
    pub(crate) hub: Arc<Hub>,
    pub(crate) conversations: Conversations,
    pub(crate) cursors: Arc<CursorWriter>,
    pub(crate) admission: Admission,
    /// For `refresh`.
    pub(crate) tokens: TokenChecker,
    /// Who is alive.
    pub(crate) roster: watch::Receiver<Arc<Snapshot>>,
    pub(crate) live: LiveSettings,
    pub(crate) watch: WatchSettings,
    /// How many watched messages a second a connection is given; `None`: all.
    pub(crate) watched_messages: Arc<Option<Rate>>,
    pub(crate) max_pending_events: usize,
    pub(crate) max_pending_bytes: usize,
    pub(crate) rates: Rates,
    pub(crate) register_timeout: Duration,
    /// How long a connection waits until the older one of its device has ended, and one that has ended to hear of the newer one.
    pub(crate) takeover_timeout: Duration,
    pub(crate) devices: DeviceLimits,
}

impl Context {
    /// The roster's last good snapshot.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.roster.borrow().clone()
    }
}
