//! Two nodes on one store: who gets what, and what each knows of the other.

use bytes::Bytes;
use conversation::LocalDelivery as _;
use relay::{EmbeddedRelay, Publisher, Relay as _, Subscription};
use roster::Snapshot;
use store::DeviceKey;
use wire::{Device, Hint, Incarnation, NodeRecord, NodeState, Role};

use super::{
    super::{
        fixture::{self, Client, Fixture, user},
        flaky::Flaky,
    },
    *,
};
use crate::connection::Identity;

const PLENTY: usize = 10_000;
const MOST: usize = 3;

/// One spear.
struct Spear {
    hub: Arc<Hub>,
    announcer: Announcer,
    arriving: Subscription,
}

/// Two of them.
struct Pair {
    flaky: Arc<Flaky>,
    one: Spear,
    two: Spear,
    _fixture: Fixture,
}

impl Pair {
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        let relay = Arc::new(EmbeddedRelay::new(1_000));
        let one = Spear::new(fixture.hub.clone(), &relay).await;
        let node = NodeRef { id: "spear-2".into(), incarnation: Incarnation(1) };
        fixture.store.enter(&node).await.expect("entered");
        let two = Spear::new(fixture::hub(node, fixture.store.clone()), &relay).await;
        Self { flaky: fixture.flaky.clone(), one, two, _fixture: fixture }
    }

    /// Both have joined the room, and know of one another.
    async fn joined(&mut self, name: &str) -> [(Arc<Connection>, Arc<Client>); 2] {
        let (alice, bob) = (self.one.connect("alice", PLENTY), self.two.connect("bob", PLENTY));
        assert_eq!(self.one.join(&alice.0, name).await, 1);
        assert_eq!(self.two.join(&bob.0, name).await, 2, "who comes later is told of the first");
        self.one.hear();
        assert_eq!(self.one.count(name), 2, "the first one is told of who comes later");
        [alice, bob]
    }
}

fn room(name: &str) -> Room {
    name.parse().expect("a name")
}

/// The roster while these are alive.
fn alive(nodes: &[&str]) -> Snapshot {
    Snapshot::new(nodes.iter().map(|id| NodeRecord {
        id: (*id).into(),
        role: Role::Spear,
        incarnation: Incarnation(1),
        host: String::new(),
        port: 0,
        public_url: String::new(),
        admin_url: String::new(),
        weight: 1,
        state: NodeState::Up,
        version: String::new(),
        started_at: 0,
    }))
}

impl Spear {
    async fn new(hub: Arc<Hub>, relay: &Arc<EmbeddedRelay>) -> Self {
        let arriving = relay.subscribe(&hub.node.id).await.expect("subscribed");
        let publisher = Arc::new(Publisher::new(relay.clone(), hub.node.clone()));
        let announcer = Announcer::with_local(hub.node.clone(), publisher, hub.clone());
        Self { hub, announcer, arriving }
    }

    fn connect(&self, name: &str, queue: usize) -> (Arc<Connection>, Arc<Client>) {
        static SESSIONS: AtomicU64 = AtomicU64::new(1);
        let session = SESSIONS.fetch_add(1, Ordering::Relaxed);
        let client = Client::new(queue);
        let key = DeviceKey { user: user(name), device: Device::default() };
        let identity = Identity { key, session, token_expires_at: i64::MAX };
        let connection = Arc::new(Connection::new(identity, client.clone()));
        self.hub.add(&connection);
        (connection, client)
    }

    /// Joins, and answers the count.
    async fn join(&self, connection: &Arc<Connection>, name: &str) -> u64 {
        self.try_join(connection, name).await.expect("the store works");
        self.count(name)
    }

    async fn try_join(&self, connection: &Arc<Connection>, name: &str) -> Result<(), StoreError> {
        let room = self.hub.enter_room(connection, room(name), MOST).expect("let in");
        self.hub.announce_room(connection, &room, &self.announcer).await
    }

    fn leave(&self, connection: &Arc<Connection>, name: &str) -> bool {
        self.hub.leave_room(connection, &room(name)).is_some()
    }

    fn count(&self, name: &str) -> u64 {
        let room = self.hub.rooms.existing(&room(name));
        room.map_or(0, |room| room.count(&alive(&["spear-1", "spear-2"])))
    }

    /// The second has passed in which changes gather.
    async fn tell(&self) {
        self.hub.rooms.tell_changed(&self.announcer).await.expect("the store works");
    }

    /// Takes the hints that have arrived.
    fn hear(&mut self) {
        let payloads = self.arrived();
        self.hub.deliver(payloads);
    }

    fn arrived(&mut self) -> Vec<Payload> {
        let arrived = std::iter::from_fn(|| self.arriving.hints.try_recv().ok());
        arrived.map(|bytes| Hint::decode(bytes).expect("our own bytes").payload).collect()
    }

    /// Sends a number to a room.
    async fn send(&self, name: &str, body: u64, origin_session: u64) {
        let json = Bytes::from(body.to_string());
        let hint = RoomMessageHint { room: room(name), origin_session, sent_at: 0, json };
        let nodes = self.hub.room_nodes(&room(name)).into_iter();
        self.announcer.tell(nodes.map(|node| (node, Payload::RoomMessage(hint.clone()))).collect()).await;
    }
}

/// The numbers that a client was sent.
fn got(client: &Client) -> Vec<u64> {
    client.events("message").iter().map(|body| body.as_u64().expect("a number")).collect()
}

#[tokio::test]
async fn members_on_both_nodes_get_what_is_sent_in_order_while_they_are_in() {
    let mut pair = Pair::new().await;
    let [(alice, alice_client), (bob, bob_client)] = pair.joined("lobby").await;
    let (_stranger, stranger) = pair.two.connect("stranger", PLENTY);
    for number in 1..=50 {
        pair.one.send("lobby", number, alice.identity.session).await;
    }
    pair.two.hear();
    assert_eq!(got(&bob_client), (1..=50).collect::<Vec<_>>());
    assert!(got(&alice_client).is_empty(), "the connection that sends has it already");
    assert!(got(&stranger).is_empty());
    assert!(pair.two.leave(&bob, "lobby"));
    assert!(!pair.two.leave(&bob, "lobby"), "it is in no more");
    pair.one.send("lobby", 51, 0).await;
    pair.two.hear();
    assert_eq!(got(&alice_client), [51]);
    assert_eq!(got(&bob_client).len(), 50);
}

#[tokio::test]
async fn counts_are_told_once_a_second_and_the_end_too() {
    let mut pair = Pair::new().await;
    let [_, (bob, _)] = pair.joined("lobby").await;
    let (carol, _) = pair.two.connect("carol", PLENTY);
    assert_eq!(pair.two.join(&carol, "lobby").await, 3, "one's own are counted at once");
    assert!(pair.one.arrived().is_empty(), "a further member is no reason to tell the others");
    pair.two.tell().await;
    pair.one.hear();
    assert_eq!(pair.one.count("lobby"), 3);
    pair.two.tell().await;
    assert!(pair.one.arrived().is_empty(), "nothing has changed");
    pair.two.leave(&bob, "lobby");
    pair.two.hub.remove(&carol);
    assert_eq!(pair.one.hub.room_nodes(&room("lobby")).len(), 2);
    pair.two.tell().await;
    pair.one.hear();
    assert_eq!(pair.one.count("lobby"), 1);
    assert_eq!(pair.one.hub.room_nodes(&room("lobby")), std::slice::from_ref(&pair.one.hub.node));
    assert_eq!(pair.two.hub.room_count(), 0, "it is forgotten");
    let holders = pair.one.hub.store.room_members(vec![room("lobby")]).await.expect("the store works");
    assert_eq!(holders[0].len(), 1);
}

#[tokio::test]
async fn members_of_a_dead_node_do_not_count() {
    let mut pair = Pair::new().await;
    pair.joined("lobby").await;
    let room = pair.one.hub.rooms.existing(&room("lobby")).expect("it is there");
    assert_eq!(room.count(&alive(&["spear-1"])), 1);
    assert_eq!(room.count(&alive(&["spear-1", "spear-2"])), 2, "unless it is seen again");
}

#[tokio::test]
async fn a_lost_hint_heals_with_the_next_comparison() {
    let mut pair = Pair::new().await;
    let [_, (bob, bob_client)] = pair.joined("lobby").await;
    pair.two.leave(&bob, "lobby");
    pair.two.tell().await;
    pair.one.hear();
    pair.two.join(&bob, "lobby").await;
    assert_eq!(pair.one.arrived().len(), 1, "that one is lost");
    pair.one.send("lobby", 1, 0).await;
    pair.one.hub.sweep().await.expect("the store works");
    assert_eq!(pair.one.count("lobby"), 2);
    pair.one.send("lobby", 2, 0).await;
    pair.two.hear();
    assert_eq!(got(&bob_client), [2]);
}

#[tokio::test]
async fn an_older_hint_that_comes_late_does_not_count() {
    let mut pair = Pair::new().await;
    let [_, (bob, _)] = pair.joined("lobby").await;
    pair.two.leave(&bob, "lobby");
    pair.two.tell().await;
    pair.two.join(&bob, "lobby").await;
    let mut hints = pair.one.arrived();
    assert_eq!(hints.len(), 2);
    hints.reverse();
    pair.one.hub.deliver(hints);
    assert_eq!(pair.one.count("lobby"), 2);
}

/// What was read before a hint came must not undo it.
#[test]
fn a_hint_is_newer_than_what_was_being_read() {
    let other = NodeRef { id: "spear-2".into(), incarnation: Incarnation(1) };
    let room = LocalRoom::new(room("lobby"));
    let own = NodeRef { id: "spear-1".into(), incarnation: Incarnation(1) };
    room.learn(&other, Other { members: 5, number: 1, heard: 8 });
    assert!(!room.compared(0, Vec::new(), 7));
    assert_eq!(room.nodes(&own), std::slice::from_ref(&other), "it was heard after the reading began");
    room.learn(&other, Other { members: 0, number: 2, heard: 9 });
    let read = || vec![RoomHolder { node: other.clone(), members: 5 }];
    assert!(!room.compared(0, read(), 8));
    assert!(room.nodes(&own).is_empty());
    assert!(!room.compared(0, read(), 9));
    assert_eq!(room.nodes(&own), [other], "it was read after the hint");
}

#[tokio::test]
async fn a_connection_that_ends_leaves_its_rooms() {
    let mut pair = Pair::new().await;
    let [(alice, _), (_bob, bob_client)] = pair.joined("lobby").await;
    pair.one.join(&alice, "hall").await;
    pair.one.hub.remove(&alice);
    pair.one.tell().await;
    assert_eq!(pair.one.hub.room_count(), 0);
    pair.two.hear();
    assert_eq!(pair.two.count("lobby"), 1);
    let refused = pair.one.hub.enter_room(&alice, room("lobby"), MOST).err();
    assert_eq!(refused, Some(RoomRefused::Gone), "nor does it come back");
    assert_eq!(pair.one.hub.room_count(), 0);
    pair.two.send("lobby", 1, 0).await;
    assert_eq!(got(&bob_client), [1]);
}

#[tokio::test]
async fn a_connection_is_in_so_many_rooms_at_most() {
    let pair = Pair::new().await;
    let (alice, _) = pair.one.connect("alice", PLENTY);
    for name in ["a", "b", "c", "b"] {
        pair.one.join(&alice, name).await;
    }
    let refused = pair.one.hub.enter_room(&alice, room("d"), MOST).err();
    assert_eq!(refused, Some(RoomRefused::TooMany));
    assert_eq!(pair.one.hub.room_count(), MOST, "what was refused leaves nothing behind");
    assert!(pair.one.leave(&alice, "a"));
    pair.one.join(&alice, "d").await;
}

#[tokio::test]
async fn who_reads_too_slowly_misses_and_nobody_waits_for_it() {
    let mut pair = Pair::new().await;
    let [_, (_bob, bob_client)] = pair.joined("lobby").await;
    let (carol, carol_client) = pair.two.connect("carol", 1);
    pair.two.join(&carol, "lobby").await;
    for number in 1..=3 {
        pair.one.send("lobby", number, 0).await;
    }
    pair.two.hear();
    assert_eq!(got(&bob_client), [1, 2, 3]);
    assert_eq!(got(&carol_client), [1]);
    carol_client.read(1);
    pair.one.send("lobby", 4, 0).await;
    pair.two.hear();
    assert_eq!(got(&carol_client), [1, 4]);
}

#[tokio::test]
async fn without_the_store_nobody_enters_a_room_that_is_new_here() {
    let pair = Pair::new().await;
    let (alice, _) = pair.one.connect("alice", PLENTY);
    pair.flaky.fail(Some("set_room_members"));
    assert!(pair.one.try_join(&alice, "lobby").await.is_err());
    assert!(!alice.is_in_room(&room("lobby")));
    assert!(pair.one.hub.rooms.tell_changed(&pair.one.announcer).await.is_err(), "it may have been written");
    assert_eq!(pair.one.hub.room_count(), 1);
    pair.flaky.fail(None);
    assert_eq!(pair.one.join(&alice, "lobby").await, 1);
    pair.flaky.fail(Some("set_room_members"));
    let (carol, _) = pair.one.connect("carol", PLENTY);
    assert_eq!(pair.one.join(&carol, "lobby").await, 2, "in one that is known, the store is not needed");
}

#[tokio::test]
async fn an_end_that_could_not_be_written_down_is_later() {
    let mut pair = Pair::new().await;
    let [(alice, _), _] = pair.joined("lobby").await;
    pair.one.leave(&alice, "lobby");
    pair.flaky.fail(Some("set_room_members"));
    assert!(pair.one.hub.rooms.tell_changed(&pair.one.announcer).await.is_err());
    pair.flaky.fail(None);
    pair.one.tell().await;
    pair.two.hear();
    assert_eq!((pair.two.count("lobby"), pair.one.hub.room_count()), (1, 0));
}

#[tokio::test]
async fn a_store_that_has_forgotten_rooms_is_told_again() {
    let mut pair = Pair::new().await;
    let [_, (_bob, bob_client)] = pair.joined("lobby").await;
    pair.flaky.restart().await;
    // Reads that the other one holds nothing, before that one has said it again.
    pair.one.hub.sweep().await.expect("the store works");
    pair.one.hub.tell_again().await.expect("told");
    pair.two.hub.tell_again().await.expect("told");
    pair.two.tell().await;
    pair.one.hear();
    assert_eq!((pair.one.count("lobby"), pair.two.count("lobby")), (2, 2));
    pair.one.send("lobby", 1, 0).await;
    pair.two.hear();
    assert_eq!(got(&bob_client), [1]);
}

/// As where nobody has asked about a room for so long that it has lapsed.
#[tokio::test]
async fn a_node_that_does_not_find_itself_registers_again() {
    let mut pair = Pair::new().await;
    pair.joined("lobby").await;
    pair.flaky.restart().await;
    pair.two.hub.sweep().await.expect("the store works");
    pair.two.tell().await;
    let holders = pair.one.hub.store.room_members(vec![room("lobby")]).await.expect("the store works");
    assert_eq!(holders[0].len(), 1);
}
