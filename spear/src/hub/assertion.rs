//! Keeps what the store says about this node true: tells it again what it may have forgotten, and what it could not be told.

use std::{sync::Arc, time::Duration};

use store::{Disconnect, Held, StoreError};
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::Hub;
use crate::connection::Connection;

/// How many connections or groups are told in one call.
pub(super) const CHUNK: usize = 500;
/// Between two calls. At most 10,000 connections a second and node: next to nothing was really forgotten, and a store that
/// has just come back has messages to take.
pub(super) const PAUSE: Duration = Duration::from_millis(50);
/// Connections whose end the store could not be told are remembered up to this many, about 150 bytes each; of further ones
/// the presence stays wrong until the device connects again, or this node leaves.
const ENDED_MOST: usize = 65_536;

/// Looks each `interval` whether the store may have forgotten something, until `stop`. A comparison with the store follows:
/// while it did not know of this node, nobody sent hints here.
pub(crate) async fn run(hub: Arc<Hub>, interval: Duration, stop: CancellationToken) {
    let work = async {
        loop {
            time::sleep(interval).await;
            if let Err(error) = hub.tell_again().await {
                tracing::warn!(%error, "the store cannot be told what this node holds; it is tried again");
            }
        }
    };
    stop.run_until_cancelled(work).await;
}

impl Hub {
    pub(super) async fn tell_again(&self) -> Result<(), StoreError> {
        let generation = self.store.generation().await?;
        self.store.see_consumers().await?;
        self.end_again().await?;
        if *self.asserted.lock() != Some(generation) {
            self.assert_all().await?;
            *self.asserted.lock() = Some(generation);
            self.suspect();
        }
        Ok(())
    }

    /// Notes the end of a connection that the store could not be told.
    pub(crate) fn end_later(&self, disconnect: Disconnect) {
        let mut unended = self.unended.lock();
        if unended.len() < ENDED_MOST {
            unended.push(disconnect);
        }
    }

    /// Writes down that connections have ended, and tells who watches their users.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn end_connections(&self, ended: &[Disconnect]) -> Result<(), StoreError> {
        let watchers = self.store.disconnect(ended.to_vec()).await?;
        let users = ended.iter().map(|disconnect| disconnect.key.user.clone());
        self.tell_watchers(users.zip(watchers).collect()).await;
        Ok(())
    }

    async fn end_again(&self) -> Result<(), StoreError> {
        let unended = std::mem::take(&mut *self.unended.lock());
        let mut chunks = unended.chunks(CHUNK);
        while let Some(chunk) = chunks.next() {
            if let Err(error) = self.end_connections(chunk).await {
                [chunk].into_iter().chain(chunks).flatten().for_each(|each| self.end_later(each.clone()));
                return Err(error);
            }
            time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Whoever registers meanwhile does so with the store as it is after the generation was read, or is found here.
    async fn assert_all(&self) -> Result<(), StoreError> {
        let connections = self.connections();
        tracing::info!(connections = connections.len(), "the store is told what this node holds");
        // Else an earlier start of this node might be taken for alive.
        self.store.enter(&self.node).await?;
        for chunk in connections.chunks(CHUNK) {
            self.assert_connections(chunk).await?;
            time::sleep(PAUSE).await;
        }
        self.interest.assert().await?;
        self.watches.assert().await?;
        self.rooms.assert().await
    }

    async fn assert_connections(&self, chunk: &[Arc<Connection>]) -> Result<(), StoreError> {
        let told: Vec<(&Arc<Connection>, Held)> =
            chunk.iter().filter_map(|connection| Some((connection, held(connection)?))).collect();
        let batch = told.iter().map(|(_, held)| held.clone()).collect();
        let newest = self.store.assert_presence(&self.node, batch).await?;
        let mut ended = Vec::new();
        for ((connection, held), newest) in told.into_iter().zip(newest) {
            if !newest {
                // Who replaced it may not have been able to say so here.
                connection.kick("replaced", None);
            } else if !self.holds(connection) {
                // Its end may have been noted before it was told; ending it twice does no harm.
                ended.push(Disconnect { key: held.key, epoch: held.epoch, received: false });
            }
        }
        if let Err(error) = self.end_connections(&ended).await {
            ended.into_iter().for_each(|each| self.end_later(each));
            return Err(error);
        }
        Ok(())
    }

    fn holds(&self, connection: &Arc<Connection>) -> bool {
        let local = self.users.get(&connection.identity.key.user);
        local.is_some_and(|local| local.connections.iter().any(|each| Arc::ptr_eq(each, connection)))
    }
}

fn held(connection: &Connection) -> Option<Held> {
    let registered = connection.registered()?;
    Some(Held {
        key: connection.identity.key.clone(),
        epoch: registered.epoch,
        born_at: registered.born_at,
        since_at: registered.since_at,
    })
}

#[cfg(test)]
mod tests {
    use store::{Connect, DeviceLimits, Routing, UserPresence};
    use wire::{Destination, Incarnation, NodeRef};

    use super::{
        super::fixture::{Fixture, user},
        *,
    };

    const PLENTY: usize = 10_000;

    async fn presence(fixture: &Fixture, name: &str) -> UserPresence {
        fixture.store.presence(vec![user(name)]).await.expect("presence").remove(0)
    }

    #[tokio::test]
    async fn a_store_that_has_forgotten_is_told_again() {
        let fixture = Fixture::new().await;
        let group = fixture.group("team", &["bob"]).await;
        let (bob, _) = fixture.connect("bob", "phone", PLENTY).await;
        fixture.connect("carol", "phone", PLENTY).await;
        fixture.hub.tell_again().await.expect("told");
        let (before, epoch) = (presence(&fixture, "bob").await, bob.epoch());

        fixture.flaky.restart().await;
        assert!(presence(&fixture, "bob").await.devices.is_empty(), "it has forgotten");
        fixture.hub.tell_again().await.expect("told");
        assert_eq!(presence(&fixture, "bob").await, before);
        assert_eq!(presence(&fixture, "carol").await.devices.len(), 1);
        let interested = fixture.store.routing(vec![group]).await.expect("routing").remove(0).1;
        assert_eq!(interested, std::slice::from_ref(&fixture.hub.node));
        let stored = fixture.append_as(&bob, Destination::User(user("alice"))).await;
        let stored = stored.expect("its epoch is still the newest");
        assert_eq!(stored.routing, Routing::Direct(vec![fixture.hub.node.clone()]));
        assert_eq!(bob.epoch(), epoch);
    }

    #[tokio::test]
    async fn a_store_that_has_forgotten_nothing_is_not_told() {
        let fixture = Fixture::new().await;
        fixture.connect("bob", "phone", PLENTY).await;
        fixture.hub.tell_again().await.expect("told");
        fixture.flaky.fail(Some("assert_presence"));
        fixture.hub.tell_again().await.expect("told");
        assert_eq!(fixture.flaky.failures(), 0);
    }

    #[tokio::test]
    async fn what_could_not_be_told_is_told_later() {
        for call in ["generation", "enter", "assert_presence", "set_interest"] {
            let fixture = Fixture::new().await;
            let group = fixture.group("team", &["bob"]).await;
            fixture.connect("bob", "phone", PLENTY).await;
            fixture.hub.tell_again().await.expect("told");
            fixture.flaky.restart().await;
            fixture.flaky.fail(Some(call));
            assert!(fixture.hub.tell_again().await.is_err(), "{call}");
            fixture.flaky.fail(None);
            fixture.hub.tell_again().await.expect("told");
            assert_eq!(presence(&fixture, "bob").await.devices.len(), 1, "{call}");
            let interested = fixture.store.routing(vec![group]).await.expect("routing").remove(0).1;
            assert_eq!(interested.len(), 1, "{call}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_was_replaced_elsewhere_goes() {
        let fixture = Fixture::new().await;
        let (older, older_client) = fixture.connect("bob", "phone", PLENTY).await;
        let (_other, other_client) = fixture.connect("bob", "pad", PLENTY).await;
        let elsewhere = NodeRef { id: "spear-2".into(), incarnation: Incarnation(1) };
        let connect =
            Connect { key: older.identity.key.clone(), node: elsewhere, limits: DeviceLimits::default() };
        fixture.store.connect(vec![connect]).await.expect("connected");
        fixture.flaky.restart().await;
        fixture.hub.tell_again().await.expect("told");
        let devices = presence(&fixture, "bob").await.devices;
        assert_eq!(devices.len(), 1, "not where it was replaced");
        assert_eq!(devices[0].device.as_str(), "pad");
        assert!(older_client.is_kicked());
        assert!(!other_client.is_kicked());
    }

    #[tokio::test]
    async fn an_end_that_could_not_be_told_is_told_later() {
        let fixture = Fixture::new().await;
        let (bob, _) = fixture.connect("bob", "phone", PLENTY).await;
        fixture.hub.tell_again().await.expect("told");
        fixture.hub.remove(&bob);
        let ended = Disconnect { key: bob.identity.key.clone(), epoch: bob.epoch(), received: false };
        fixture.hub.end_later(ended);
        fixture.flaky.fail(Some("disconnect"));
        assert!(fixture.hub.tell_again().await.is_err());
        assert_eq!(presence(&fixture, "bob").await.devices.len(), 1);
        fixture.flaky.fail(None);
        fixture.hub.tell_again().await.expect("told");
        assert!(presence(&fixture, "bob").await.devices.is_empty());
        assert!(fixture.hub.unended.lock().is_empty());
    }

    /// While the store did not know who is here, nobody was told to send hints here.
    #[tokio::test]
    async fn what_was_sent_before_the_store_was_told_again_is_found() {
        let fixture = Fixture::new().await;
        let (_bob, bob) = fixture.connect("bob", "phone", PLENTY).await;
        let stop = CancellationToken::new();
        let soon = Duration::from_millis(5);
        let hub = &fixture.hub;
        fixture.hub.tell_again().await.expect("told");
        // Takes the suspicion of the first time away, so that only the next one can lead to a comparison.
        fixture.hub.suspicion.notified().await;
        fixture.flaky.restart().await;
        fixture.append("alice", Destination::User(user("bob")), 0).await;
        let never = Duration::from_secs(3_600);
        let sweeps = tokio::spawn(super::super::run_sweeps(hub.clone(), never, soon, stop.clone()));
        let telling = tokio::spawn(run(hub.clone(), soon, stop.clone()));
        bob.has([1]).await;
        stop.cancel();
        sweeps.await.expect("it ends");
        telling.await.expect("it ends");
    }

    /// It was taken from the list before it ended, and told after that.
    #[tokio::test]
    async fn a_connection_that_ends_meanwhile_leaves_nothing_behind() {
        let fixture = Fixture::new().await;
        let (bob, _) = fixture.connect("bob", "phone", PLENTY).await;
        fixture.hub.remove(&bob);
        fixture.hub.assert_connections(std::slice::from_ref(&bob)).await.expect("told");
        assert!(presence(&fixture, "bob").await.devices.is_empty());
    }
}
