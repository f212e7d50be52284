//! What this process has registered.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use wire::{NodeRecord, NodeState, Role};

use super::{core::Core, member::Member};
use crate::{Registration, RosterError, path::check_part};

/// What this process has registered, by role and id. A slot stays when its member has left: there are as many as nodes
/// that this process ever had.
#[derive(Debug, Default)]
pub(super) struct Members(Mutex<HashMap<Key, Slot>>);

type Key = (Role, Arc<str>);

#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Who last put something into the place, or may have; locked while the place is written. An earlier registration
    /// of the same start must not leave for it.
    author: Arc<AsyncMutex<u64>>,
    /// The one that is in place.
    member: Option<Arc<Member>>,
}

impl Members {
    fn author(&self, key: Key) -> Arc<AsyncMutex<u64>> {
        self.0.lock().entry(key).or_default().author.clone()
    }

    /// Notes that a registration is in place, and tells the one that is not any more: the older start, or the earlier
    /// registration of one start. They may come here in another order than to the place.
    pub(super) fn enter(&self, member: &Arc<Member>) {
        let mut slots = self.0.lock();
        let held = &mut slots.entry(member.key()).or_default().member;
        let rank = |member: &Member| (member.incarnation, member.serial);
        let loser = if held.as_ref().is_some_and(|held| rank(held) > rank(member)) {
            Some(member.clone())
        } else {
            held.replace(member.clone())
        };
        let Some((loser, winner)) = loser.zip(held.as_ref()) else { return };
        if loser.incarnation < winner.incarnation {
            loser.give_way(winner.incarnation);
        } else {
            loser.passed_on.cancel();
        }
    }

    /// Notes that a registration is not in place any more.
    pub(super) fn forget(&self, member: &Member) {
        if let Some(slot) = self.0.lock().get_mut(&member.key()) {
            slot.member.take_if(|held| held.serial == member.serial);
        }
    }
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
    let author = members.author((record.role, record.id.clone()));
    let member = Arc::new(Member::new(core, author, record));
    // Made first: whoever gives up now leaves again what may come into place all the same.
    let seat = Seat { member: member.clone(), _held: held };
    let (settled, settles) = oneshot::channel();
    core.runtime.spawn(member.run(members.clone(), settled));
    settles.await.unwrap_or_else(|_| Err(RosterError::Unavailable("it has been closed".into())))?;
    Ok(seat)
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
        member.core.bounded(member.set_state(state)).await
    }

    fn superseded(&self) -> CancellationToken {
        self.member.superseded.clone()
    }

    async fn leave(self: Box<Self>) {
        self.member.closed.cancel();
        // Beyond that, it goes on in the background, or ends with the session.
        self.member.core.parting(&self.member.done).await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.member.closed.cancel();
    }
}
