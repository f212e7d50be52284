//! Tells a store that may have forgotten presence and interest what this node holds, again.

use std::{sync::Arc, time::Duration};

use store::{Disconnect, Held, StoreError};
use tokio::time;

use super::Hub;
use crate::connection::Connection;

/// How many connections or groups are told in one call.
pub(super) const CHUNK: usize = 500;
/// Between two calls: with it a node tells at most 50,000 connections a second, so that a store that has just come back has
/// time for messages too.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

impl Hub {
    /// Tells everything if the store may have forgotten something since the last time, or if there was none.
    ///
    /// Whoever registers meanwhile does so with the store as it is after the generation was read, or is found here.
    pub(super) async fn assert_if_forgotten(&self) -> Result<(), StoreError> {
        let generation = self.store.generation().await?;
        if *self.asserted.lock() == Some(generation) {
            return Ok(());
        }
        let connections = self.connections();
        tracing::info!(connections = connections.len(), "the store is told what this node holds");
        // Else an earlier start of this node might be taken for alive.
        self.store.enter(&self.node).await?;
        for chunk in connections.chunks(CHUNK) {
            self.assert_connections(chunk).await?;
            time::sleep(PAUSE).await;
        }
        self.interest.assert().await?;
        *self.asserted.lock() = Some(generation);
        Ok(())
    }

    pub(super) async fn assert_connections(&self, chunk: &[Arc<Connection>]) -> Result<(), StoreError> {
        let told: Vec<(&Arc<Connection>, Held)> =
            chunk.iter().filter_map(|connection| Some((connection, held(connection)?))).collect();
        let batch = told.iter().map(|(_, held)| held.clone()).collect();
        let newest = self.store.assert_presence(&self.node, batch).await?;
        let mut ended = Vec::new();
        for ((connection, held), newest) in told.into_iter().zip(newest) {
            if !newest {
                // Who replaced it may not have been able to say so here.
                connection.kick("replaced");
            } else if !self.holds(connection) {
                // Its end may have been noted before it was told; ending it twice does no harm.
                ended.push(Disconnect { key: held.key, epoch: held.epoch });
            }
        }
        if ended.is_empty() { Ok(()) } else { self.store.disconnect(ended).await }
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
    use store::{Connect, Routing, UserPresence};
    use wire::{Destination, Incarnation, NodeRef};

    use super::super::fixture::{Fixture, user};

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
        fixture.hub.sweep().await.expect("swept");
        let (before, epoch) = (presence(&fixture, "bob").await, bob.epoch());

        fixture.flaky.restart().await;
        assert!(presence(&fixture, "bob").await.devices.is_empty(), "it has forgotten");
        fixture.hub.sweep().await.expect("swept");
        assert_eq!(presence(&fixture, "bob").await, before);
        assert_eq!(presence(&fixture, "carol").await.devices.len(), 1);
        let interested = fixture.store.routing(vec![group]).await.expect("routing").remove(0).1;
        assert_eq!(interested, [fixture.hub.node.clone()]);
        let stored = fixture.append_as(&bob, Destination::User(user("alice"))).await;
        let stored = stored.expect("its epoch is still the newest");
        assert_eq!(stored.routing, Routing::Direct(vec![fixture.hub.node.clone()]));
        assert_eq!(bob.epoch(), epoch);
    }

    #[tokio::test]
    async fn a_store_that_has_forgotten_nothing_is_not_told() {
        let fixture = Fixture::new().await;
        fixture.connect("bob", "phone", PLENTY).await;
        fixture.hub.sweep().await.expect("swept");
        fixture.flaky.fail(Some("assert_presence"));
        fixture.hub.sweep().await.expect("swept");
        assert_eq!(fixture.flaky.failures(), 0);
    }

    #[tokio::test]
    async fn what_could_not_be_told_is_told_later() {
        for call in ["generation", "enter", "assert_presence", "set_interest"] {
            let fixture = Fixture::new().await;
            let group = fixture.group("team", &["bob"]).await;
            fixture.connect("bob", "phone", PLENTY).await;
            fixture.hub.sweep().await.expect("swept");
            fixture.flaky.restart().await;
            fixture.flaky.fail(Some(call));
            assert!(fixture.hub.sweep().await.is_err(), "{call}");
            fixture.flaky.fail(None);
            fixture.hub.sweep().await.expect("swept");
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
        let connect = Connect { key: older.identity.key.clone(), node: elsewhere };
        fixture.store.connect(vec![connect]).await.expect("connected");
        fixture.flaky.restart().await;
        fixture.hub.sweep().await.expect("swept");
        let devices = presence(&fixture, "bob").await.devices;
        assert_eq!(devices.len(), 1, "not where it was replaced");
        assert_eq!(devices[0].device.as_str(), "pad");
        assert!(older_client.is_kicked());
        assert!(!other_client.is_kicked());
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
