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
use wire::{Conversation, Destination, Group, Incarnation, NodeRecord, NodeRef, NodeState, Payload, Role};

use super::{
    super::fixture::{Client, Fixture, user},
    Topic, WatchLimits,
};
use crate::{
    connection::{Connection, WatchRefused},
    rate::Rate,
};

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

fn of_users(one: &str, other: &str) -> Topic {
    Topic::Conversation(Conversation::direct(user(one), user(other)))
}

fn of_group(group: &Group) -> Topic {
    Topic::Conversation(Conversation::Group(group.clone()))
}

/// A hub and a watcher of messages with room for so many frames.
struct Monitoring {
    fixture: Fixture,
    connection: Arc<Connection>,
    client: Arc<Client>,
    rate: Arc<Option<Rate>>,
}

impl Monitoring {
    async fn new(room: usize, rate: Option<Rate>) -> Self {
        let fixture = Fixture::new().await;
        let (connection, client) = fixture.connect("eve", "phone", room).await;
        Self { fixture, connection, client, rate: Arc::new(rate) }
    }

    async fn watch(&self, topics: &[Topic]) -> Result<Option<Group>, WatchRefused> {
        let new = self.fixture.hub.monitor(&self.connection, topics, LIMITS, &self.rate)?;
        Ok(self.fixture.hub.announce_monitored(&self.connection, &new).await.expect("the store works"))
    }

    fn unwatch(&self, topic: Topic) {
        self.fixture.hub.stop_monitoring(&self.connection, &[topic]);
    }

    /// Somebody writes; this node is told where it should be.
    async fn write(&self, from: &str, to: Destination) {
        let Fixture { store, hub, .. } = &self.fixture;
        let hint = self.fixture.append(from, to.clone(), 0).await;
        let is_told = match &to {
            Destination::Group(group) => {
                let routing = store.routing(vec![group.clone()]).await.expect("the store works").remove(0);
                routing.1.contains(&hub.node)
            }
            // The store's own cases say that these are the same.
            _ => true,
        };
        if is_told {
            self.fixture.deliver(hint);
        }
    }

    fn heard(&self) -> Vec<String> {
        let text =
            |event: Value| format!("{} {}", event["conversation"].as_str().expect("one"), event["seq"]);
        self.client.events("message").into_iter().map(text).collect()
    }
}

fn to_user(name: &str) -> Destination {
    Destination::User(user(name))
}

#[tokio::test]
async fn a_message_is_shown_once_to_who_watches_and_is_not_in_it() {
    let world = Monitoring::new(PLENTY, None).await;
    let topics = [Topic::User(user("a")), of_users("a", "b"), Topic::User(user("eve"))];
    assert_eq!(world.watch(&topics).await, Ok(None));
    world.write("a", to_user("b")).await;
    world.write("c", to_user("a")).await;
    world.write("c", to_user("b")).await;
    world.write("a", to_user("a")).await;
    assert_eq!(world.heard(), ["u:a:b 1", "u:a:c 1", "u:a:a 1"]);
    // Her own comes as to anybody.
    world.write("a", to_user("eve")).await;
    world.fixture.until("it came", || world.heard().len() == 4).await;
    world.unwatch(Topic::User(user("a")));
    world.write("c", to_user("a")).await;
    world.write("a", to_user("b")).await;
    assert_eq!(world.heard()[3..], ["u:a:eve 1", "u:a:b 2"]);
}

#[tokio::test]
async fn a_watched_group_makes_this_node_interested_as_long_as_it_is_watched() {
    let world = Monitoring::new(PLENTY, None).await;
    let group = world.fixture.group("team", &["alice"]).await;
    let to = Destination::Group(group.clone());
    world.write("alice", to.clone()).await;
    assert_eq!(world.watch(&[of_group(&group)]).await, Ok(None));
    world.write("alice", to.clone()).await;
    world.fixture.hub.sweep().await.expect("the store works");
    world.write("alice", to.clone()).await;
    assert_eq!(world.heard(), ["g:team 2", "g:team 3"], "live only");
    // A member gets each message once.
    let joined = world.fixture.add(&group, "eve").await;
    world.fixture.deliver(joined);
    world.fixture.until("eve is a member", || world.fixture.hub.is_member(&world.connection, &group)).await;
    world.write("alice", to.clone()).await;
    world.fixture.until("it came", || world.heard().len() == 3).await;
    let removed = world.fixture.remove(&group, "eve").await;
    world.fixture.deliver(removed);
    world.fixture.until("eve is none", || !world.fixture.hub.is_in(&world.connection, &group)).await;
    world.fixture.hub.sweep().await.expect("the store works");
    world.write("alice", to.clone()).await;
    assert_eq!(world.heard()[2..], ["g:team 4", "g:team 5"]);
    world.unwatch(of_group(&group));
    world.fixture.hub.sweep().await.expect("the store works");
    let routing = world.fixture.store.routing(vec![group]).await.expect("the store works").remove(0).1;
    assert!(routing.is_empty(), "and no longer");
}

#[tokio::test]
async fn a_group_that_nobody_made_is_not_watched() {
    let world = Monitoring::new(PLENTY, None).await;
    let group: Group = "nobody".parse().expect("a name");
    assert_eq!(world.watch(&[of_users("a", "b"), of_group(&group)]).await, Ok(Some(group)));
    world.write("a", to_user("b")).await;
    assert!(world.heard().is_empty(), "as a whole");
    assert!(world.connection.topics().is_empty());
}

#[tokio::test]
async fn a_busy_conversation_does_not_drown_who_watches_it() {
    let world = Monitoring::new(PLENTY, Rate::new(1, 3)).await;
    world.watch(&[of_users("a", "b")]).await.expect("watched");
    for _ in 0..20 {
        world.write("a", to_user("b")).await;
    }
    // A second may pass while they are written.
    let heard = world.heard();
    assert!((3..10).contains(&heard.len()), "{heard:?}");
    assert_eq!(heard[..3], ["u:a:b 1", "u:a:b 2", "u:a:b 3"]);
}

#[tokio::test]
async fn who_missed_something_is_told_how_much() {
    let world = Monitoring::new(1, None).await;
    world.watch(&[of_users("a", "b")]).await.expect("watched");
    for _ in 0..4 {
        world.write("a", to_user("b")).await;
    }
    world.client.read(PLENTY);
    for _ in 0..2 {
        world.write("a", to_user("b")).await;
    }
    assert_eq!(world.heard(), ["u:a:b 1", "u:a:b 5", "u:a:b 6"]);
    assert_eq!(world.client.events("missed"), [serde_json::json!({"messages": 3})]);
}

#[tokio::test]
async fn what_is_watched_is_bounded_and_ends_with_the_connection() {
    let world = Monitoring::new(PLENTY, None).await;
    let topic = |name: &str| Topic::User(user(name));
    world.watch(&[topic("a"), topic("b")]).await.expect("watched");
    assert_eq!(world.watch(&[topic("c"), topic("d")]).await, Err(WatchRefused::TooMany));
    world.watch(&[topic("a"), topic("c")]).await.expect("three in all");
    let (other, _) = world.fixture.connect("dave", "phone", PLENTY).await;
    let more = [topic("d"), topic("e")];
    let refused = world.fixture.hub.monitor(&other, &more, LIMITS, &world.rate);
    assert_eq!(refused, Err(WatchRefused::NodeFull));
    world.fixture.hub.remove(&world.connection);
    assert_eq!(world.watch(&[topic("a")]).await, Err(WatchRefused::Gone));
    assert_eq!(world.fixture.hub.monitor(&other, &more, LIMITS, &world.rate).map(|new| new.len()), Ok(2));
    let monitors = &world.fixture.hub.watches.monitors;
    assert!(monitors.needs(&user("d")) && !monitors.needs(&user("a")));
    world.fixture.flaky.fail(Some("set_watched"));
    assert!(world.fixture.hub.announce_monitored(&other, &more).await.is_err());
    assert!(!monitors.needs(&user("d")), "what is not announced is not watched");
}
