//! Writes what devices have confirmed, once a second and node-wide.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use store::{CursorMove, DeviceKey, Store};
use tokio::time;
use tokio_util::sync::CancellationToken;
use wire::Conversation;

use crate::connection::Connection;

/// Moves of one device are gathered for this long; a crash may repeat them, which devices dedupe (CONTRACT §3, `ack`).
const GATHER: Duration = Duration::from_secs(1);
/// The most devices in one write.
const CHUNK: usize = 1000;

/// The connections with confirmations that are not written yet; bounded by the connections of the node.
pub(crate) struct CursorWriter {
    store: Arc<dyn Store>,
    dirty: Mutex<Vec<Arc<Connection>>>,
    taken: Mutex<Taken>,
}

/// What was taken to be written in this round and in the one before, by device and epoch of the connection.
///
/// The store ignores a move when the device's next connection has been registered meanwhile. Who is told of that one writes it again, with
/// its epoch; that is told within a round or two (`spear.delivery.takeover_timeout_ms`), or never.
#[derive(Default)]
struct Taken {
    now: HashMap<(DeviceKey, u64), Vec<(Conversation, u64)>>,
    before: HashMap<(DeviceKey, u64), Vec<(Conversation, u64)>>,
}

impl Taken {
    fn add(&mut self, connection: &Connection, cursors: &[(Conversation, u64)]) {
        let key = (connection.identity.key.clone(), connection.epoch());
        self.now.entry(key).or_default().extend_from_slice(cursors);
    }

    /// Gives to a connection that was replaced what may have been ignored.
    fn give_back(&mut self, connection: &Connection) {
        let key = (connection.identity.key.clone(), connection.epoch());
        for cursors in [self.before.remove(&key), self.now.remove(&key)].into_iter().flatten() {
            connection.put_back(cursors);
        }
    }
}

impl CursorWriter {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, dirty: Mutex::default(), taken: Mutex::default() }
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

    async fn flush(&self) {
        {
            let mut taken = self.taken.lock();
            taken.before = std::mem::take(&mut taken.now);
        }
        let dirty = std::mem::take(&mut *self.dirty.lock());
        for chunk in dirty.chunks(CHUNK) {
            self.write(chunk).await;
        }
    }

    /// Writes what these connections have confirmed; what cannot be written is kept for the next time.
    pub(crate) async fn write(&self, connections: &[Arc<Connection>]) {
        let mut writers = Vec::with_capacity(connections.len());
        let mut moves = Vec::with_capacity(connections.len());
        for connection in connections {
            // In one step: who writes the same connection's at this moment finds them in either place.
            let mut taken = self.taken.lock();
            let epoch = connection.cursor_epoch();
            if epoch != connection.epoch() {
                taken.give_back(connection);
            }
            let cursors = connection.take_confirmed();
            if !cursors.is_empty() {
                taken.add(connection, &cursors);
                moves.push(CursorMove { key: connection.identity.key.clone(), epoch, cursors });
                writers.push(connection.clone());
            }
        }
        if moves.is_empty() {
            return;
        }
        if let Err(error) = self.store.move_cursors(moves.clone()).await {
            tracing::warn!(%error, devices = moves.len(), "cursors are not written; they are tried again");
            for (connection, unwritten) in writers.into_iter().zip(moves) {
                if connection.put_back(unwritten.cursors) {
                    self.mark(connection);
                }
            }
        }
    }
}
