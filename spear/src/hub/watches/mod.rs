//! Who watches whom, and how they learn of it.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`Watches`]: all users who are watched from here, and what the store is told |
//! | `watched.rs` | one of them: who watches, and what they were told |
//! | `monitors.rs` | messages of conversations that the watcher is not in |
//! | `look.rs` | looks at the presence of those who may have come or gone |
//!
//! The store has for each user which nodes watch. Whoever lets a user's device in or out is answered these nodes in the same
//! call, and tells them; a node that is told looks, as clients and back ends look, and tells its watchers what they do not
//! know yet. So nobody pays for a user who is not watched. A spear that dies tells nobody: each node sees that in the roster by
//! itself. A lost hint is found by the sweep.

mod look;
mod monitors;
#[cfg(test)]
mod tests;
mod watched;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::{DashMap, Entry};
use parking_lot::Mutex;
use store::{Store, StoreError, WatchChange, Watched as What};
use tokio::{
    sync::Notify,
    time::{self, Instant},
};
use wire::{NodeRef, Payload, User};

use super::{
    Hub,
    assertion::{CHUNK, PAUSE},
};
use crate::connection::{Connection, WatchRefused};
use watched::Watched;

pub(crate) use look::run;
use monitors::Monitors;
pub(crate) use monitors::{Meter, Topic};

/// The store is told again so often whom this node watches: it may forget what it was not told for half a day.
const SAY_AGAIN: Duration = Duration::from_secs(60 * 60);

/// The users who are watched from this node; bounded by a setting.
pub(super) struct Watches {
    node: NodeRef,
    store: Arc<dyn Store>,
    watched: DashMap<User, Watched>,
    monitors: Monitors,
    count: AtomicUsize,
    /// Whom the store knows as watched from here, and when it was told all of them. Held across the store's call, so that
    /// registering and taking back are seen in the order they happened. Off the message path.
    registered: tokio::sync::Mutex<Registered>,
    /// Whom nobody here watched at some moment; looked at again when tidying. Bounded by who was registered.
    unneeded: Mutex<HashSet<(User, What)>>,
    /// Who is to be looked at; bounded by `watched`.
    to_look_at: Mutex<HashSet<User>>,
    wake: Notify,
}

struct Registered {
    users: HashSet<(User, What)>,
    said_at: Instant,
}

/// How much a connection and a node may watch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WatchLimits {
    pub(crate) of_connection: usize,
    pub(crate) of_node: usize,
}

impl Hub {
    /// Lets a connection watch users, some of whom it may watch already. It is told once [`Hub::look_again`] was called.
    ///
    /// # Errors
    /// Then it watches nobody whom it did not watch before.
    pub(crate) fn watch(
        &self,
        connection: &Arc<Connection>,
        users: &[User],
        limits: WatchLimits,
    ) -> Result<(), WatchRefused> {
        let new: Vec<User> =
            users.iter().filter(|user| self.watches.add(connection, user)).cloned().collect();
        // After the insertion: a connection that ends takes itself out of what it knows, or is refused here.
        let too_many = self.watches.count.load(Ordering::Relaxed) > limits.of_node;
        let noted = if too_many {
            Err(WatchRefused::NodeFull)
        } else {
            connection.watch(users, limits.of_connection)
        };
        if noted.is_err() {
            new.iter().for_each(|user| self.watches.remove(connection, user));
        }
        noted
    }

    /// Makes sure that other nodes tell this one of these users; where that cannot be, the connection does not watch them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn announce_watched(
        &self,
        connection: &Arc<Connection>,
        users: &[User],
    ) -> Result<(), StoreError> {
        let registered = self.watches.register(users, What::Presence).await;
        if registered.is_err() {
            self.unwatch(connection, users);
        }
        registered
    }

    /// Looks at users and tells the connection how it stands, though nothing may have changed.
    pub(crate) fn look_again(&self, connection: &Connection, users: &[User]) {
        for user in users {
            if let Some(mut watched) = self.watches.watched.get_mut(user) {
                watched.ask(connection);
            }
        }
        self.watches.look_at(users.iter());
    }

    /// A connection does not watch these users any more.
    pub(crate) fn unwatch(&self, connection: &Connection, users: &[User]) {
        for user in connection.unwatch(users) {
            self.watches.remove(connection, &user);
        }
    }

    /// Connections of users have begun or ended: tells the nodes that watch them.
    pub(crate) async fn tell_watchers(&self, of: Vec<(User, Vec<NodeRef>)>) {
        let mut hints: Vec<(NodeRef, Vec<User>)> = Vec::new();
        for (user, node) in
            of.into_iter().flat_map(|(user, nodes)| nodes.into_iter().map(move |node| (user.clone(), node)))
        {
            if node == self.node {
                self.watches.look_at([&user]);
                continue;
            }
            match hints.iter_mut().find(|(known, _)| *known == node) {
                Some((_, users)) => users.push(user),
                None => hints.push((node, vec![user])),
            }
        }
        if !hints.is_empty() {
            let hints = hints.into_iter().map(|(node, users)| (node, Payload::Presence(users)));
            self.announcer.tell(hints.collect()).await;
        }
    }
}

impl Watches {
    pub(super) fn new(node: NodeRef, store: Arc<dyn Store>) -> Self {
        Self {
            node,
            store,
            watched: DashMap::new(),
            monitors: Monitors::default(),
            count: AtomicUsize::new(0),
            registered: tokio::sync::Mutex::new(Registered {
                users: HashSet::new(),
                said_at: Instant::now(),
            }),
            unneeded: Mutex::default(),
            to_look_at: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Answers whether the connection did not watch the user already.
    fn add(&self, connection: &Arc<Connection>, user: &User) -> bool {
        let mut watched = self.watched.entry(user.clone()).or_insert_with(|| {
            self.count.fetch_add(1, Ordering::Relaxed);
            Watched::default()
        });
        watched.add(connection)
    }

    pub(super) fn remove(&self, connection: &Connection, user: &User) {
        if let Entry::Occupied(mut entry) = self.watched.entry(user.clone()) {
            entry.get_mut().remove(connection);
            if entry.get().is_unwatched() {
                entry.remove();
                self.count.fetch_sub(1, Ordering::Relaxed);
                self.drop_later(user.clone(), What::Presence);
            }
        }
    }

    /// Nobody here watches that at the moment.
    fn drop_later(&self, user: User, what: What) {
        self.unneeded.lock().insert((user, what));
    }

    /// Whether somebody here watches that.
    fn needs(&self, user: &User, what: What) -> bool {
        match what {
            What::Presence => self.watched.contains_key(user),
            What::Messages => self.monitors.needs(user),
        }
    }

    /// These users may have come or gone. Costs next to nothing where nobody watches them.
    pub(super) fn look_at<'a>(&self, users: impl IntoIterator<Item = &'a User>) {
        let watched: Vec<User> =
            users.into_iter().filter(|user| self.watched.contains_key(*user)).cloned().collect();
        if !watched.is_empty() {
            self.to_look_at.lock().extend(watched);
            self.wake.notify_one();
        }
    }

    /// Looks at everybody for whom this holds.
    fn look_at_those(&self, choose: impl Fn(&Watched) -> bool) {
        let chosen =
            self.watched.iter().filter(|entry| choose(entry.value())).map(|entry| entry.key().clone());
        let chosen: Vec<User> = chosen.collect();
        self.look_at(&chosen);
    }

    /// Registers users that are not yet registered. Each has a watcher here already, so that tidying leaves them alone.
    async fn register(&self, users: &[User], what: What) -> Result<(), StoreError> {
        {
            let mut registered = self.registered.lock().await;
            let wanted = users.iter().map(|user| (user.clone(), what));
            let new: Vec<_> = wanted.filter(|each| !registered.users.contains(each)).collect();
            self.say(&new, true).await?;
            registered.users.extend(new);
        }
        for user in users {
            // Its last watcher went meanwhile, perhaps before there was anything to take back.
            if !self.needs(user, what) {
                self.drop_later(user.clone(), what);
            }
        }
        Ok(())
    }

    async fn say(&self, users: &[(User, What)], watched: bool) -> Result<(), StoreError> {
        for chunk in users.chunks(CHUNK) {
            let change =
                |(user, what): &(User, What)| WatchChange { user: user.clone(), what: *what, watched };
            self.store.set_watched(&self.node, chunk.iter().map(change).collect()).await?;
        }
        Ok(())
    }

    /// Registers everybody again, after the store may have forgotten it. A sweep follows.
    pub(super) async fn assert(&self) -> Result<(), StoreError> {
        let all: Vec<(User, What)> = {
            let mut registered = self.registered.lock().await;
            registered.said_at = Instant::now();
            registered.users.iter().cloned().collect()
        };
        for chunk in all.chunks(CHUNK) {
            {
                let registered = self.registered.lock().await;
                let still: Vec<_> =
                    chunk.iter().filter(|user| registered.users.contains(*user)).cloned().collect();
                self.say(&still, true).await?;
            }
            time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Takes back what nobody needs any more, says the rest again from time to time, and looks at everybody.
    pub(super) async fn sweep(&self) -> Result<(), StoreError> {
        self.look_at_those(|_| true);
        self.tidy().await?;
        let is_old = self.registered.lock().await.said_at.elapsed() >= SAY_AGAIN;
        if is_old { self.assert().await } else { Ok(()) }
    }

    async fn tidy(&self) -> Result<(), StoreError> {
        let candidates = std::mem::take(&mut *self.unneeded.lock());
        if candidates.is_empty() {
            return Ok(());
        }
        let mut registered = self.registered.lock().await;
        let is_gone = |each: &(User, What)| registered.users.contains(each) && !self.needs(&each.0, each.1);
        let gone: Vec<_> = candidates.into_iter().filter(is_gone).collect();
        if let Err(error) = self.say(&gone, false).await {
            self.unneeded.lock().extend(gone);
            return Err(error);
        }
        for user in &gone {
            registered.users.remove(user);
        }
        Ok(())
    }
}
