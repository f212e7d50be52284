//! One registration: its task keeps the place over connections, sessions and deletions.

use std::sync::{Arc, OnceLock};

use tokio::sync::{Mutex, oneshot};
use tokio_util::sync::CancellationToken;
use wire::{Incarnation, NodeRecord, NodeState, Role};
use zookeeper_client::Error;

use super::{
    core::{Connection, Core, change, unavailable},
    members::Members,
    pause::Pause,
    place::{self, Refused},
};
use crate::RosterError;

#[derive(Debug)]
pub(super) struct Member {
    pub(super) core: Arc<Core>,
    pub(super) serial: u64,
    id: Arc<str>,
    role: Role,
    pub(super) incarnation: Incarnation,
    /// What the place is to hold; locked while it is written.
    record: Mutex<NodeRecord>,
    /// See [`super::members::Slot::author`].
    author: Arc<Mutex<u64>>,
    pub(super) superseded: CancellationToken,
    newer: OnceLock<Incarnation>,
    /// The handle was closed or dropped.
    pub(super) closed: CancellationToken,
    /// A later registration of the same start in this process has the place.
    pub(super) passed_on: CancellationToken,
    /// Nothing is done for it any more.
    pub(super) done: CancellationToken,
}

impl Member {
    pub(super) fn new(core: &Arc<Core>, author: Arc<Mutex<u64>>, record: NodeRecord) -> Self {
        Self {
            core: core.clone(),
            serial: core.serial(),
            id: record.id.clone(),
            role: record.role,
            incarnation: record.incarnation,
            record: Mutex::new(record),
            author,
            superseded: CancellationToken::new(),
            newer: OnceLock::new(),
            closed: CancellationToken::new(),
            passed_on: CancellationToken::new(),
            done: CancellationToken::new(),
        }
    }

    /// Registers, keeps the place and leaves it.
    pub(super) async fn run(
        self: Arc<Self>,
        members: Arc<Members>,
        settled: oneshot::Sender<Result<(), RosterError>>,
    ) {
        self.core.ended.run_until_cancelled(self.live(&members, settled)).await;
        self.core.standing.left(self.serial);
        self.done.cancel();
    }

    /// Changes what the place is to hold, if it can be written.
    pub(super) async fn set_state(&self, state: NodeState) -> Result<(), RosterError> {
        let mut record = self.record.lock().await;
        let wanted = NodeRecord { state, ..record.clone() };
        self.settle(&wanted).await?;
        *record = wanted;
        Ok(())
    }

    async fn live(self: &Arc<Self>, members: &Members, settled: oneshot::Sender<Result<(), RosterError>>) {
        let first = self.core.bounded(async {
            let record = self.record.lock().await;
            self.settle(&record).await
        });
        match first.await {
            Ok(session) => {
                members.enter(self);
                self.core.standing.placed(self.serial, session);
                // Whoever does not wait any more has closed it.
                let _ = settled.send(Ok(()));
                tokio::select! {
                    biased;
                    () = self.passed_on.cancelled() => return,
                    () = self.closed.cancelled() => {}
                    () = self.keep() => {}
                }
            }
            Err(error) => {
                let refused = matches!(error, RosterError::Superseded { .. });
                let _ = settled.send(Err(error));
                if refused {
                    return;
                }
            }
        }
        self.core.standing.left(self.serial);
        if self.newer.get().is_none() {
            self.leave().await;
        }
        members.forget(self);
    }

    pub(super) fn key(&self) -> (Role, Arc<str>) {
        (self.role, self.id.clone())
    }

    /// Learns of a newer start.
    pub(super) fn give_way(&self, newer: Incarnation) -> RosterError {
        let newer = *self.newer.get_or_init(|| newer);
        if !self.superseded.is_cancelled() {
            tracing::warn!(role = %self.role, id = &*self.id, newer = newer.0, "a newer start of this node is registered");
            self.superseded.cancel();
        }
        RosterError::Superseded { id: self.id.clone(), newer }
    }

    /// Keeps the place until a newer start has it.
    async fn keep(&self) {
        let mut pause = Pause::default();
        while let Some(connection) = self.core.connected().await {
            match self.hold(&connection).await {
                Ok(Held::Changed) => continue,
                // Paced, in case that somebody takes it away again and again.
                Ok(Held::Retaken) => {}
                Err(Refused::Superseded(_)) => return,
                // The next connection begins another attempt.
                Err(Refused::Failed(_)) if connection.lost.is_cancelled() => continue,
                Err(Refused::Failed(error)) => {
                    tracing::warn!(role = %self.role, id = &*self.id, %error, "the place in the roster is in doubt");
                }
            }
            pause.wait().await;
        }
    }

    /// Returns once the place may have changed, or the connection has.
    async fn hold(&self, connection: &Connection) -> Result<Held, Refused> {
        let path = self.core.layout.node(self.role, &self.id);
        match connection.client.get_and_watch_data(&path).await {
            Ok((data, stat, watcher)) => {
                let record = self.record.lock().await.clone();
                let content = serde_json::from_slice::<NodeRecord>(&data).ok();
                if connection.owns(&stat) && content.as_ref() == Some(&record) {
                    self.core.standing.placed(self.serial, connection.session);
                    tokio::select! {
                        () = change(watcher) => {}
                        () = connection.lost.cancelled() => {}
                    }
                    return Ok(Held::Changed);
                }
            }
            Err(Error::NoNode) => {}
            Err(error) => return Err(error.into()),
        }
        let record = self.record.lock().await;
        self.take(connection, &record).await?;
        self.core.standing.placed(self.serial, connection.session);
        Ok(Held::Retaken)
    }

    async fn take(&self, connection: &Connection, record: &NodeRecord) -> Result<(), Refused> {
        let mut author = self.author.lock().await;
        let before = std::mem::replace(&mut *author, self.serial);
        place::take(&self.core, connection, record).await.inspect_err(|refused| {
            if let Refused::Superseded(newer) = refused {
                *author = before;
                self.give_way(*newer);
            }
        })
    }

    /// Puts a record into place; answers in which session.
    async fn settle(&self, record: &NodeRecord) -> Result<u64, RosterError> {
        if let Some(newer) = self.newer.get() {
            return Err(self.give_way(*newer));
        }
        let connection = self.core.reach().await?;
        match self.take(&connection, record).await {
            Ok(()) => Ok(connection.session),
            Err(Refused::Superseded(newer)) => Err(self.give_way(newer)),
            Err(Refused::Failed(error)) => Err(unavailable(&error)),
        }
    }

    async fn leave(&self) {
        let record = self.record.lock().await;
        let mut pause = Pause::default();
        while let Some(connection) = self.core.connected().await {
            let author = self.author.lock().await;
            if *author != self.serial {
                return;
            }
            match place::leave(&self.core, &connection, &record).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "a node cannot leave the roster yet"),
            }
            drop(author);
            pause.wait().await;
        }
    }
}

/// How a look at the place ended.
enum Held {
    /// It was in order, until now.
    Changed,
    /// It was put into order.
    Retaken,
}
