//! How message ids are had at the moment.

use std::{fmt, sync::Arc};

use tokio::sync::watch;

/// How the last ids were had, or why none were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has asked for any yet.
    Unasked,
    /// From an idgen.
    Idgen,
    /// Cut here while the roster is lost, since this time (milliseconds since the Unix epoch): unique, but in no order with
    /// those of other nodes.
    Own {
        /// Since when.
        since_at: i64,
    },
    /// Not at all: it is tried again as long as somebody waits.
    None {
        /// What the last attempt said.
        reason: Arc<str>,
    },
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unasked => f.write_str("none was needed yet"),
            Self::Idgen => f.write_str("from idgen"),
            Self::Own { since_at } => write!(
                f,
                "no idgen serves: cut here since {since_at}, unique but in no order with those of other nodes"
            ),
            Self::None { reason } => write!(f, "none: {reason}"),
        }
    }
}

/// Where a client says it. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Board(watch::Sender<Standing>);

impl Board {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(Standing::Unasked))
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Standing> {
        self.0.subscribe()
    }

    pub(super) fn idgen(&self) {
        self.set(Standing::Idgen);
    }

    pub(super) fn own(&self) {
        self.0.send_if_modified(|standing| {
            let is_new = !matches!(standing, Standing::Own { .. });
            if is_new {
                *standing = Standing::Own { since_at: wire::time::now_ms() };
            }
            is_new
        });
    }

    pub(super) fn none(&self, reason: Arc<str>) {
        self.set(Standing::None { reason });
    }

    fn set(&self, to: Standing) {
        self.0.send_if_modified(|standing| {
            *standing != to && {
                *standing = to;
                true
            }
        });
    }
}

/// Tells `show` how ids are had, now and whenever that changes, until the client ends.
pub async fn show_standing(mut standing: watch::Receiver<Standing>, show: impl Fn(&Standing) + Send) {
    loop {
        let now = standing.borrow_and_update().clone();
        show(&now);
        if standing.changed().await.is_err() {
            return;
        }
    }
}
