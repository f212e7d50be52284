//! Watching, on a hub with a store and a roster of its own.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use roster::Snapshot;
use serde_json::Value;
use store::{Connect, DeviceKey, DeviceLimits, Disconnect};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use wire::{Incarnation, NodeRecord, NodeRef, NodeState, Payload, Role};

use super::{
    super::fixture::{Client, Fixture, user},
    WatchLimits,
};
use crate::connection::{Connection, WatchRefused};

const PLENTY: usize = 10_000;
const LIMITS: WatchLimits = WatchLimits { of_connection: 3, of_node: 4 };

fn node(id: &str, incarnation: u64) -> NodeRef {
    NodeRef { id: id.into(), incarnation: Incarnation(incarnation) }
}

fn roster_of(nodes: &[NodeRef]) -> Arc<Snapshot> {
    let record = |node: &NodeRef| NodeRecord {
        id: node.id.clone(),
        role: Role::Spear,
        incarnation: node.incarnation,
        host: String::new(),
        port: 0,
        public_url: String::new(),
        admin_url: String::new(),
        weight: 1,
        state: NodeState::Up,
        version: String::new(),
        started_at: 0,
    };
    Arc::new(Snapshot::new(nodes.iter().map(record)))
}

/// The hub of `spear-1`, which watches, and `spear-2`, of which there is nothing but what the store has.
struct World {
    fixture: Fixture,
    roster: watch::Sender<Arc<Snapshot>>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl World {
    async fn new(grace: Duration) -> Self {
        let fixture = Fixture::new().await;
        let (roster, watched) = watch::channel(roster_of(&[node("spear-1", 1), node("spear-2", 1)]));
        let stop = CancellationToken::new();
        let running = tokio::spawn(super::run(fixture.hub.clone(), watched, grace, stop.clone()));
        Self { fixture, roster, stop, running }
    }

    async fn watch(&self, connection: &Arc<Connection>, names: &[&str]) -> Result<(), WatchRefused> {
        let users: Vec<_> = names.iter().map(|name| user(name)).collect();
        self.fixture.hub.watch(connection, &users, LIMITS)?;
        self.fixture.hub.announce_watched(connection, &users).await.expect("the store works");
        self.fixture.hub.look_again(connection, &users);
        Ok(())
    }

    fn unwatch(&self, connection: &Connection, name: &str) {
        self.fixture.hub.unwatch(connection, &[user(name)]);
    }

    /// A device connects to `spear-2`; answers its end and whether this node is to be told.
    async fn connect_elsewhere(&self, name: &str) -> (Disconnect, bool) {
        let key = DeviceKey { user: user(name), device: "phone".parse().expect("a name") };
        let connect = Connect { key: key.clone(), node: node("spear-2", 1), limits: DeviceLimits::default() };
        let connected = self.fixture.store.connect(vec![connect]).await.expect("connected").remove(0);
        let is_told = connected.watchers == [self.fixture.hub.node.clone()];
        (Disconnect { key, epoch: connected.epoch, received: true }, is_told)
    }

    fn hint(&self, name: &str) {
        self.fixture.deliver(Payload::Presence(vec![user(name)]));
    }

    async fn told(&self, client: &Client, wanted: &[(&str, bool)]) {
        let read = || client.events("presence").iter().map(told).collect::<Vec<_>>();
        let wanted: Vec<_> = wanted.iter().map(|(name, online)| ((*name).to_owned(), *online)).collect();
        self.fixture.until(&format!("{wanted:?}"), || read().len() >= wanted.len()).await;
        assert_eq!(read(), wanted);
    }

    async fn end(self) {
        self.stop.cancel();
        self.running.await.expect("it ends");
    }
}

fn told(event: &Value) -> (String, bool) {
    (event["user"].as_str().expect("a name").to_owned(), event["online"].as_bool().expect("whether"))
}

#[tokio::test]
async fn who_comes_and_goes_elsewhere_is_told_by_hints() {
    let world = World::new(Duration::ZERO).await;
    let (alice, client) = world.fixture.connect("alice", "phone", PLENTY).await;
    world.watch(&alice, &["bob"]).await.expect("watched");
    world.told(&client, &[("bob", false)]).await;
    let (end, is_told) = world.connect_elsewhere("bob").await;
    assert!(is_told);
    world.hint("bob");
    world.told(&client, &[("bob", false), ("bob", true)]).await;
    let watchers = world.fixture.store.disconnect(vec![end]).await.expect("ended").remove(0);
    assert_eq!(watchers, std::slice::from_ref(&world.fixture.hub.node));
    world.hint("bob");
    world.told(&client, &[("bob", false), ("bob", true), ("bob", false)]).await;
    world.end().await;
}

#[tokio::test]
async fn a_sweep_finds_what_no_hint_has_told() {
    let world = World::new(Duration::ZERO).await;
    let (alice, client) = world.fixture.connect("alice", "phone", PLENTY).await;
    world.watch(&alice, &["bob"]).await.expect("watched");
    world.told(&client, &[("bob", false)]).await;
    world.connect_elsewhere("bob").await;
    world.fixture.hub.sweep().await.expect("the store works");
    world.told(&client, &[("bob", false), ("bob", true)]).await;
    world.end().await;
}

#[tokio::test]
async fn a_spear_that_is_gone_takes_its_users_along_and_one_that_is_back_brings_them() {
    let world = World::new(Duration::ZERO).await;
    let (alice, client) = world.fixture.connect("alice", "phone", PLENTY).await;
    world.connect_elsewhere("bob").await;
    world.watch(&alice, &["bob"]).await.expect("watched");
    world.told(&client, &[("bob", true)]).await;
    world.roster.send_replace(roster_of(&[node("spear-1", 1)]));
    world.told(&client, &[("bob", true), ("bob", false)]).await;
    world.roster.send_replace(roster_of(&[node("spear-1", 1), node("spear-2", 1)]));
    world.told(&client, &[("bob", true), ("bob", false), ("bob", true)]).await;
    world.roster.send_replace(roster_of(&[node("spear-1", 1), node("spear-2", 2)]));
    world.told(&client, &[("bob", true), ("bob", false), ("bob", true), ("bob", false)]).await;
    world.end().await;
}

/// Nobody says that the time of grace is over: it is looked at then.
#[tokio::test]
async fn who_does_not_come_back_is_told_after_the_time_of_grace() {
    let grace = Duration::from_millis(200);
    let world = World::new(grace).await;
    let (alice, client) = world.fixture.connect("alice", "phone", PLENTY).await;
    let (end, _) = world.connect_elsewhere("bob").await;
    world.watch(&alice, &["bob"]).await.expect("watched");
    world.told(&client, &[("bob", true)]).await;
    let before = tokio::time::Instant::now();
    world.fixture.store.disconnect(vec![end]).await.expect("ended");
    world.hint("bob");
    world.told(&client, &[("bob", true), ("bob", false)]).await;
    assert!(before.elapsed() >= grace);
    world.end().await;
}

#[tokio::test]
async fn nobody_is_told_who_does_not_watch_any_more() {
    let world = World::new(Duration::ZERO).await;
    let (alice, client) = world.fixture.connect("alice", "phone", PLENTY).await;
    world.watch(&alice, &["bob", "carol"]).await.expect("watched");
    world.fixture.until("both are told", || client.events("presence").len() == 2).await;
    world.unwatch(&alice, "bob");
    world.unwatch(&alice, "nobody");
    world.fixture.hub.sweep().await.expect("the store works");
    assert!(!world.connect_elsewhere("bob").await.1, "the store is told");
    assert!(world.connect_elsewhere("carol").await.1);
    world.hint("bob");
    world.hint("carol");
    world.fixture.until("carol is", || client.events("presence").len() == 3).await;
    assert_eq!(told(&client.events("presence")[2]), ("carol".to_owned(), true));
    world.fixture.hub.remove(&alice);
    world.fixture.hub.sweep().await.expect("the store works");
    assert!(!world.connect_elsewhere("carol").await.1, "a connection that ends watches nobody");
    assert_eq!(world.fixture.hub.watches.count.load(Ordering::Relaxed), 0);
    world.end().await;
}

#[tokio::test]
async fn more_than_the_limits_allow_is_refused_as_a_whole() {
    let world = World::new(Duration::ZERO).await;
    let (alice, _) = world.fixture.connect("alice", "phone", PLENTY).await;
    let (dave, _) = world.fixture.connect("dave", "phone", PLENTY).await;
    world.watch(&alice, &["a", "b"]).await.expect("watched");
    assert_eq!(world.watch(&alice, &["c", "d"]).await, Err(WatchRefused::TooMany));
    assert_eq!(world.fixture.hub.watches.count.load(Ordering::Relaxed), 2);
    world.watch(&alice, &["a", "c", "c"]).await.expect("three in all");
    assert_eq!(world.watch(&dave, &["c", "d", "e"]).await, Err(WatchRefused::NodeFull));
    world.watch(&dave, &["a", "b", "d"]).await.expect("four on this node");
    world.fixture.hub.remove(&dave);
    assert_eq!(world.watch(&dave, &["a"]).await, Err(WatchRefused::Gone));
    assert_eq!(world.fixture.hub.watches.count.load(Ordering::Relaxed), 3);
    world.end().await;
}

#[tokio::test]
async fn a_store_that_forgets_or_fails_is_told_again() {
    let world = World::new(Duration::ZERO).await;
    let (alice, client) = world.fixture.connect("alice", "phone", PLENTY).await;
    world.fixture.hub.tell_again().await.expect("told");
    world.fixture.flaky.fail(Some("set_watched"));
    let bob = [user("bob")];
    world.fixture.hub.watch(&alice, &bob, LIMITS).expect("noted");
    assert!(world.fixture.hub.announce_watched(&alice, &bob).await.is_err());
    assert_eq!(world.fixture.hub.watches.count.load(Ordering::Relaxed), 0, "it is not watched then");
    world.fixture.flaky.fail(None);
    world.watch(&alice, &["bob"]).await.expect("watched");
    world.told(&client, &[("bob", false)]).await;
    world.fixture.flaky.restart().await;
    assert!(!world.connect_elsewhere("bob").await.1, "it has forgotten");
    world.fixture.hub.tell_again().await.expect("told");
    assert!(world.connect_elsewhere("bob").await.1);
    world.end().await;
}

#[tokio::test]
async fn who_is_not_looked_at_because_the_store_fails_is_looked_at_later() {
    let world = World::new(Duration::ZERO).await;
    let (alice, client) = world.fixture.connect("alice", "phone", PLENTY).await;
    world.fixture.flaky.fail(Some("presence"));
    world.watch(&alice, &["bob"]).await.expect("watched");
    world.fixture.until("it has failed", || world.fixture.flaky.failures() > 0).await;
    world.fixture.flaky.fail(None);
    world.told(&client, &[("bob", false)]).await;
    world.end().await;
}
