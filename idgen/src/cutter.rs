//! Whatever a node does to have ids, as requests see it.

use std::{sync::Arc, time::Duration};

use tokio::time;
use wire::proto::idgen::Run;

use crate::{dispenser::Dispenser, multi::Multi};

/// How long a request waits for more to be reserved; clients give an attempt about as long.
const EXHAUSTED_WAIT: Duration = Duration::from_millis(400);

/// Cuts ids, or says why it does not. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Cutter {
    /// The one active node, or a backup of it.
    Strict(Arc<Dispenser>),
    /// One of several active nodes.
    Multi(Arc<Multi>),
}

/// Why no ids are cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Another node may be the active one.
    #[error("this node is not the active idgen: {0}")]
    NotActive(Arc<str>),
    /// The active node has not written its watermark for the length of its lease.
    #[error("this node is the active idgen, but its lease has lapsed: the roster does not answer it")]
    Lapsed,
    /// All that is reserved is used up.
    #[error("all reserved time is used up: more is being reserved")]
    Exhausted,
    /// One of several, without a worker number.
    #[error("this idgen has no worker number: {0}")]
    NoNumber(Arc<str>),
    /// One of several, that is to stop while ZooKeeper is lost.
    #[error("ZooKeeper cannot be reached, and cluster.on_zookeeper_loss is \"stop\"")]
    Lost,
}

impl Cutter {
    /// Why the node serves nothing, if so.
    pub(crate) fn closed(&self) -> Option<Refusal> {
        match self {
            Self::Strict(dispenser) => dispenser.closed().map(Refusal::NotActive),
            Self::Multi(multi) => multi.closed(),
        }
    }

    /// Cuts `count` ids.
    pub(crate) async fn cut(&self, count: u32) -> Result<Vec<Run>, Refusal> {
        match self {
            Self::Multi(multi) => multi.cut(count),
            Self::Strict(dispenser) => match dispenser.cut(count) {
                Err(Refusal::Exhausted) => time::timeout(EXHAUSTED_WAIT, when_reserved(dispenser, count))
                    .await
                    .unwrap_or(Err(Refusal::Exhausted)),
                cut => cut,
            },
        }
    }
}

async fn when_reserved(dispenser: &Dispenser, count: u32) -> Result<Vec<Run>, Refusal> {
    loop {
        let changed = dispenser.changed();
        match dispenser.cut(count) {
            Err(Refusal::Exhausted) => changed.await,
            cut => return cut,
        }
    }
}
