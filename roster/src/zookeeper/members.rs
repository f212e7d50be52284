//! Registrations: each has a task that keeps its place over connections, sessions and deletions.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use wire::{Incarnation, NodeRecord, NodeState, Role};
use zookeeper_client::Error;

use super::{
    core::{Connection, Core, change, unavailable},
    pause::Pause,
    place::{self, Refused},
};
use crate::{Registration, RosterError, path::check_part};

/// What this process has registered, by role and id. A slot stays when its member has left: there are as many as nodes
/// that this process ever had.
pub(super) type Members = Mutex<HashMap<(Role, Arc<str>), Slot>>;

#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Who last put something into the place, or may have; locked while the place is written. An earlier registration
    /// of the same start must not leave for it.
    author: Arc<AsyncMutex<u64>>,
    /// The one that is in place.
    member: Option<Arc<Member>>,
}

#[derive(Debug)]
pub(super) struct Member {
    core: Arc<Core>,
    serial: u64,
    id: Arc<str>,
    role: Role,
    incarnation: Incarnation,
    /// What the place is to hold; locked while it is written.
    record: AsyncMutex<NodeRecord>,
    /// See [`Slot::author`].
    author: Arc<AsyncMutex<u64>>,
    superseded: CancellationToken,
    newer: OnceLock<Incarnation>,
    /// The handle was closed or dropped.
    closed: CancellationToken,
    /// A later registration of the same start in this process has the place.
    passed_on: CancellationToken,
    /// Nothing is done for it any more.
    done: CancellationToken,
}

/// Takes the place of `record`'s node. Registering the same incarnation again replaces the record; the earlier handle
/// then no longer frees the place.
pub(super) async fn register(
    core: &Arc<Core>,
    members: &Arc<Members>,
    held: Arc<DropGuard>,
    record: NodeRecord,
) -> Result<Seat, RosterError> {
    check_part(&record.id)?;
    let author = members.lock().entry((record.role, record.id.clone())).or_default().author.clone();
    let member = Arc::new(Member {
        core: core.clone(),
        author,
        serial: core.serial(),
        id: record.id.clone(),
        role: record.role,
        incarnation: record.incarnation,
        record: AsyncMutex::new(record),
        superseded: CancellationToken::new(),
        newer: OnceLock::new(),
        closed: CancellationToken::new(),
        passed_on: CancellationToken::new(),
        done: CancellationToken::new(),
    });
    // Made first: whoever gives up now leaves again what may come into place all the same.
    let seat = Seat { member: member.clone(), _held: held };
    let (settled, settles) = oneshot::channel();
    let task = member.clone().live(members.clone(), settled);
    core.runtime.spawn(async move {
        member.core.ended.run_until_cancelled(task).await;
        member.core.standing.left(member.serial);
        member.done.cancel();
    });
    settles.await.unwrap_or_else(|_| Err(RosterError::Unavailable("it has been closed".into())))?;
    Ok(seat)
}

impl Member {
    async fn live(self: Arc<Self>, members: Arc<Members>, settled: oneshot::Sender<Result<(), RosterError>>) {
        let first = self.core.bounded(async {
            let record = self.record.lock().await;
            self.settle(&record).await
        });
        match first.await {
            Ok(session) => {
                self.enter(&members);
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
        let mut members = members.lock();
        if let Some(slot) = members.get_mut(&(self.role, self.id.clone())) {
            slot.member.take_if(|member| member.serial == self.serial);
        }
    }

    /// Notes that it is in place, and tells an earlier registration of the same node.
    fn enter(self: &Arc<Self>, members: &Members) {
        let key = (self.role, self.id.clone());
        let previous = members.lock().entry(key).or_default().member.replace(self.clone());
        if let Some(previous) = previous {
            if previous.incarnation < self.incarnation {
                previous.give_way(self.incarnation);
            } else {
                previous.passed_on.cancel();
            }
        }
    }

    fn give_way(&self, newer: Incarnation) -> RosterError {
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

/// A place taken; dropping it frees it.
#[derive(Debug)]
pub(super) struct Seat {
    member: Arc<Member>,
    /// Keeps the roster's task.
    _held: Arc<DropGuard>,
}

#[async_trait]
impl Registration for Seat {
    async fn set_state(&self, state: NodeState) -> Result<(), RosterError> {
        let member = &self.member;
        if member.passed_on.is_cancelled() {
            let why = "a later registration of this node has its place";
            return Err(RosterError::Unavailable(why.into()));
        }
        let written = member.core.bounded(async {
            let mut record = member.record.lock().await;
            let wanted = NodeRecord { state, ..record.clone() };
            member.settle(&wanted).await?;
            *record = wanted;
            Ok(())
        });
        written.await
    }

    fn superseded(&self) -> CancellationToken {
        self.member.superseded.clone()
    }

    async fn leave(self: Box<Self>) {
        self.member.closed.cancel();
        let done = self.member.done.clone();
        // Beyond that, it goes on in the background, or ends with the session.
        let _ = tokio::time::timeout(self.member.core.operation_timeout, done.cancelled()).await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.member.closed.cancel();
    }
}
