//! Which server a call goes to.
//!
//! | file | what |
//! |---|---|
//! | `known.rs` | what was found out last, until it is in doubt |
//! | `lease.rs` | for how long no sentinels can have agreed on another primary |
//! | `standing.rs` | how the lease stands, for people |
//! | `sentinel.rs` | asks the sentinels who the primary is |
//! | `slots.rs` | asks a cluster who owns which slots |

mod known;
mod lease;
mod sentinel;
mod slots;
mod standing;

use std::sync::Arc;

use tokio::{sync::watch, time::Instant};

use crate::{LinkError, Mode, RedisOptions};

use known::Known;
use lease::Lease;
use slots::Slots;
pub use standing::LeaseStanding;

/// Which server a call goes to, and how to find out.
#[derive(Debug)]
pub(crate) enum Topology {
    Single(Arc<str>),
    Sentinel { options: Arc<RedisOptions>, primary: Known<Arc<str>>, lease: Lease },
    Cluster { options: Arc<RedisOptions>, slots: Known<Slots> },
}

impl Topology {
    pub(crate) fn new(options: Arc<RedisOptions>) -> Self {
        match options.mode {
            Mode::Single => Self::Single(options.servers.first().cloned().unwrap_or_default().into()),
            Mode::Sentinel => {
                Self::Sentinel { lease: Lease::new(options.clone()), options, primary: Known::default() }
            }
            Mode::Cluster => Self::Cluster { options, slots: Known::default() },
        }
    }

    /// The server that serves this slot; finds out who it is where that is not known or in doubt.
    ///
    /// # Errors
    /// [`LinkError::Unavailable`]: nobody who could know answers.
    pub(crate) async fn owner(&self, slot: u16) -> Result<Arc<str>, LinkError> {
        match self {
            Self::Single(server) => Ok(server.clone()),
            Self::Sentinel { options, primary, .. } => {
                primary.get(|_| sentinel::primary(options.clone())).await
            }
            Self::Cluster { options, slots } => {
                let slots = slots.get(|former| slots::ask(options.clone(), former)).await?;
                slots.owner(slot).ok_or_else(|| {
                    LinkError::Unavailable(format!("no server of the cluster owns slot {slot}"))
                })
            }
        }
    }

    /// Begins to find out for how long it is certain who the primary is, where that is to be known.
    pub(crate) fn prepare(&self) {
        if let Self::Sentinel { options, lease, .. } = self
            && options.lease
        {
            lease.begin();
        }
    }

    /// Whether what replicas of this server have confirmed counts: nobody can have replaced it by now. After
    /// [`Topology::prepare`].
    ///
    /// # Errors
    /// [`LinkError::Unavailable`]: that is not known in time.
    pub(crate) async fn counts(&self, server: &Arc<str>, deadline: Instant) -> Result<(), LinkError> {
        match self {
            Self::Sentinel { options, lease, .. } if options.lease => lease.holds(server, deadline).await,
            _ => Ok(()),
        }
    }

    /// How the lease stands; `None` where none is held.
    pub(crate) fn lease(&self) -> Option<watch::Receiver<LeaseStanding>> {
        match self {
            Self::Sentinel { options, lease, .. } if options.lease => Some(lease.standing()),
            _ => None,
        }
    }

    /// To be found out again, because a server did not do what was asked of it.
    pub(crate) fn doubt(&self) {
        match self {
            Self::Single(_) => {}
            Self::Sentinel { primary, .. } => primary.doubt(),
            Self::Cluster { slots, .. } => slots.doubt(),
        }
    }

    /// Whether this server may still be of use; the connections to others can be closed.
    pub(crate) fn knows(&self, address: &str) -> bool {
        match self {
            Self::Single(server) => **server == *address,
            Self::Sentinel { primary, .. } => primary.last().is_some_and(|primary| *primary == *address),
            Self::Cluster { slots, .. } => slots.last().is_some_and(|slots| slots.contains(address)),
        }
    }
}
