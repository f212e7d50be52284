//! Looks at the presence of those who may have come or gone.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use conversation::Presence;
use dashmap::Entry;
use roster::Snapshot;
use tokio::{
    sync::watch,
    time::{self, Instant},
};
use tokio_util::sync::CancellationToken;
use wire::{Incarnation, Role, User};

use super::{
    super::{Hub, assertion::CHUNK},
    Watches,
};

/// How long to wait before the store is asked again after it failed.
const STORE_RETRY: Duration = Duration::from_millis(200);

/// The spears that are alive.
type Spears = HashMap<Arc<str>, Incarnation>;

/// Looks whenever there is a reason to, until `stop`. Who has gone is shown as online for the time of `grace`.
pub(crate) async fn run(
    hub: Arc<Hub>,
    mut roster: watch::Receiver<Arc<Snapshot>>,
    grace: Duration,
    stop: CancellationToken,
) {
    let watches = &hub.watches;
    let mut spears = spears_of(&roster.borrow_and_update());
    // Whose time of grace ends when; bounded by who is watched.
    let mut due: BTreeSet<(Instant, User)> = BTreeSet::new();
    loop {
        let next = due.first().map(|(at, _)| *at);
        tokio::select! {
            () = watches.wake.notified() => {}
            Ok(()) = roster.changed() => {
                let now = spears_of(&roster.borrow_and_update());
                watches.follow(&spears, &now);
                spears = now;
            }
            () = time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                watches.look_at(&take_due(&mut due));
            }
            () = stop.cancelled() => return,
        }
        while let Some(users) = watches.next_to_look_at() {
            match hub.store.presence(users.clone()).await {
                Ok(known) => {
                    // As it is after the reading: what it changes to later is looked at again.
                    let snapshot = roster.borrow().clone();
                    let now = Instant::now();
                    for (user, known) in users.into_iter().zip(known) {
                        let presence = Presence::new(known, &snapshot);
                        // Under the entry's lock: who has no watcher any more is forgotten under it too.
                        let Entry::Occupied(mut entry) = watches.watched.entry(user) else { continue };
                        let user = entry.key().clone();
                        let looked = entry.get_mut().look(&user, presence, now, grace);
                        hub.counters.missed(looked.missed);
                        due.extend(looked.due.map(|at| (at, user)));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "who is watched cannot be looked at; it is tried again");
                    watches.look_at(&users);
                    if stop.run_until_cancelled(time::sleep(STORE_RETRY)).await.is_none() {
                        return;
                    }
                }
            }
        }
    }
}

fn spears_of(snapshot: &Snapshot) -> Spears {
    snapshot.of_role(Role::Spear).map(|record| (record.id.clone(), record.incarnation)).collect()
}

/// Those whose time is over.
fn take_due(due: &mut BTreeSet<(Instant, User)>) -> Vec<User> {
    let now = Instant::now();
    let mut users = Vec::new();
    while due.first().is_some_and(|(at, _)| *at <= now) {
        users.extend(due.pop_first().map(|(_, user)| user));
    }
    users
}

impl Watches {
    /// Some of those who are to be looked at.
    fn next_to_look_at(&self) -> Option<Vec<User>> {
        let mut waiting = self.to_look_at.lock();
        if waiting.is_empty() {
            return None;
        }
        let users: Vec<User> = waiting.iter().take(CHUNK).cloned().collect();
        for user in &users {
            waiting.remove(user);
        }
        Some(users)
    }

    /// Whose spear is gone may be offline; who is offline may be on one that is there again.
    fn follow(&self, before: &Spears, now: &Spears) {
        let lost = |id: &str| before.get(id).is_some_and(|incarnation| now.get(id) != Some(incarnation));
        let is_gained = now.iter().any(|(id, incarnation)| before.get(id) != Some(incarnation));
        if is_gained || before.keys().any(|id| lost(id)) {
            self.look_at_those(|watched| watched.is_on(lost) || is_gained && watched.is_offline());
        }
    }
}
