//! Elections: a queue of latches, each watching only the one before it.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::{CancellationToken, DropGuard};
use zookeeper_client::Error;

use super::{
    core::{Connection, Core, change, unavailable},
    latch::{Latch, Rank},
    pause::Pause,
};
use crate::{Leadership, RosterError, path::check_election};

/// Waits, without bound, until `candidate` has won.
pub(super) async fn elect(
    core: &Arc<Core>,
    held: Arc<DropGuard>,
    name: &str,
    candidate: &str,
) -> Result<Seat, RosterError> {
    check_election(name)?;
    let directory: Arc<str> = core.layout.election(name).into();
    let (mut latch, mut pause) = (Latch::new(core, &directory), Pause::default());
    loop {
        let connection = core.reach().await?;
        if !latch.fits(&connection) {
            latch = Latch::new(core, &directory);
        }
        match queue(&mut latch, &connection, candidate.as_bytes()).await {
            Ok(Turn::Won) => return Ok(Seat::new(core, held, latch, &connection)),
            // Somebody deleted it: to the end of the queue.
            Ok(Turn::Out) => latch = Latch::new(core, &directory),
            Ok(Turn::Disconnected) => continue,
            Err(_) if connection.lost.is_cancelled() => continue,
            Err(error @ (Error::NoAuth | Error::InvalidAcl | Error::QuotaExceeded)) => {
                return Err(unavailable(&error));
            }
            Err(error) => {
                tracing::warn!(%error, name, "the election cannot be followed; the next attempt follows")
            }
        }
        pause.wait().await;
    }
}

enum Turn {
    Won,
    Out,
    Disconnected,
}

async fn queue(latch: &mut Latch, connection: &Connection, content: &[u8]) -> Result<Turn, Error> {
    if !latch.create(connection, content).await? {
        return Ok(Turn::Out);
    }
    loop {
        match latch.rank(connection).await? {
            Rank::Missing => return Ok(Turn::Out),
            // In doubt is not won.
            Rank::First if connection.lost.is_cancelled() => return Ok(Turn::Disconnected),
            Rank::First => return Ok(Turn::Won),
            Rank::Behind(other) => {
                let watcher = match connection.client.get_and_watch_data(&other).await {
                    Ok((_, _, watcher)) => watcher,
                    Err(Error::NoNode) => continue,
                    Err(error) => return Err(error),
                };
                tokio::select! {
                    () = change(watcher) => {}
                    () = connection.lost.cancelled() => return Ok(Turn::Disconnected),
                }
            }
        }
    }
}

/// An election won; dropping it resigns.
#[derive(Debug)]
pub(super) struct Seat {
    core: Arc<Core>,
    lost: CancellationToken,
    /// The latch is gone, or its session.
    free: CancellationToken,
    /// Keeps the roster's task.
    _held: Arc<DropGuard>,
}

impl Seat {
    fn new(core: &Arc<Core>, held: Arc<DropGuard>, latch: Latch, connection: &Arc<Connection>) -> Self {
        metrics::counter!("phalanx_roster_elections_won_total").increment(1);
        let seat = Self {
            core: core.clone(),
            lost: connection.lost.child_token(),
            free: CancellationToken::new(),
            _held: held,
        };
        let (lost, free) = (seat.lost.clone(), seat.free.clone());
        let (ended, connection) = (core.ended.clone(), connection.clone());
        core.runtime.spawn(async move {
            tokio::select! {
                () = lost.cancelled() => {}
                () = ended.cancelled() => {}
                () = holds(&latch, &connection) => {}
            }
            lost.cancel();
            drop(connection);
            // A lost one goes too: its holder need not look at it for the next one to win.
            latch.remove().await;
            free.cancel();
        });
        seat
    }
}

/// Returns once the latch is gone, or it cannot be told.
async fn holds(latch: &Latch, connection: &Connection) {
    let path = latch.path();
    while let Ok((_, _, watcher)) = connection.client.get_and_watch_data(&path).await {
        change(watcher).await;
    }
}

#[async_trait]
impl Leadership for Seat {
    fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    async fn resign(self: Box<Self>) {
        self.lost.cancel();
        self.core.parting(&self.free).await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // The latch is deleted only then.
        self.lost.cancel();
    }
}
