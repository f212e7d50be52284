//! Writes what devices have confirmed, once a second and node-wide.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use store::{CursorMove, DeviceKey, Moved, Store};
use tokio::time;
use tokio_util::sync::CancellationToken;
use wire::Conversation;

use crate::{connection::Connection, hub::Move};

/// Moves of one device are gathered for this long; a crash may repeat them, which devices dedupe (CONTRACT §3, `ack`).
const GATHER: Duration = Duration::from_secs(1);
/// The most devices in one write.
const CHUNK: usize = 1000;

/// A connection: its device and its epoch.
type Place = (DeviceKey, u64);

/// The connections with confirmations that are not written yet; bounded by the connections of the node.
pub(crate) struct CursorWriter {
    store: Arc<dyn Store>,
    dirty: Mutex<Vec<Arc<Connection>>>,
    /// What [`flush`](Self::flush) writes at this moment.
    under_way: Mutex<HashMap<Place, Vec<(Conversation, u64)>>>,
}

impl CursorWriter {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, dirty: Mutex::default(), under_way: Mutex::default() }
    }

    /// The connection has something to be written.
    pub(crate) fn mark(&self, connection: Arc<Connection>) {
        self.dirty.lock().push(connection);
    }

    /// Writes each second until `stop`, and once more then.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = time::interval(GATHER);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.flush().await;
        }
        self.flush().await;
    }

    /// Writes everything that is not written yet.
    pub(crate) async fn flush(&self) {
        let dirty = std::mem::take(&mut *self.dirty.lock());
        for chunk in dirty.chunks(CHUNK) {
            self.write(chunk).await;
        }
    }

    /// Writes what these connections have confirmed. What the store does not take is kept for the next time: one that was replaced and not told
    /// yet writes it when it ends, one that the store has forgotten is said again soon.
    async fn write(&self, connections: &[Arc<Connection>]) {
        let mut writers = Vec::with_capacity(connections.len());
        let mut moves = Vec::with_capacity(connections.len());
        for connection in connections {
            // In one step: the last write of a connection that ends now finds them in either place.
            let mut under_way = self.under_way.lock();
            let cursors = connection.take_confirmed();
            if !cursors.is_empty() {
                under_way.insert(place(connection), cursors.clone());
                moves.push(move_of(connection, cursors));
                writers.push(connection);
            }
        }
        if moves.is_empty() {
            return;
        }
        let answer = self.store.move_cursors(moves.clone()).await;
        if let Err(error) = &answer {
            tracing::warn!(%error, devices = moves.len(), "cursors are not written; they are tried again");
        }
        for (at, (connection, CursorMove { cursors, .. })) in writers.into_iter().zip(moves).enumerate() {
            let mut under_way = self.under_way.lock();
            under_way.remove(&place(connection));
            let moved = answer.as_ref().ok().and_then(|moved| moved.get(at));
            if moved == Some(&Moved::Done) {
                continue;
            }
            // What the store has refused to one that has ended it would refuse again; its last write may be under way.
            let is_vain = moved.is_some() && connection.is_gone();
            if connection.put_back(cursors) && !is_vain {
                self.mark(connection.clone());
            }
        }
    }

    /// Writes what a connection had confirmed that is on its way out. The store takes nothing of it once the device's next one is registered:
    /// then whose that is, is waited for, and it is written in its name.
    pub(crate) async fn write_last(&self, connection: &Arc<Connection>, ending: &Move, within: Duration) {
        let cursors = {
            let under_way = self.under_way.lock();
            let mut cursors = connection.take_confirmed();
            cursors.extend(under_way.get(&place(connection)).into_iter().flatten().cloned());
            cursors
        };
        if cursors.is_empty() {
            return;
        }
        let mut last = move_of(connection, cursors);
        loop {
            match self.store.move_cursors(vec![last.clone()]).await {
                Ok(moved) if moved == [Moved::Replaced] => {
                    let Ok(epoch) = time::timeout(within, ending.newer(last.epoch)).await else { return };
                    // Also for the case that it is written later.
                    connection.hand_over(epoch);
                    last.epoch = epoch;
                }
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(%error, user = %last.key.user, "cursors are not written; they are tried again");
                    connection.put_back(last.cursors);
                    return self.mark(connection.clone());
                }
            }
        }
    }
}

fn place(connection: &Connection) -> Place {
    (connection.identity.key.clone(), connection.epoch())
}

fn move_of(connection: &Connection, cursors: Vec<(Conversation, u64)>) -> CursorMove {
    CursorMove { key: connection.identity.key.clone(), epoch: connection.cursor_epoch(), cursors }
}
