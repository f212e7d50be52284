//! The same device connects again: its older connection ends first, on whichever spear it is.
//!
//! The newer connection's spear sends a `Kick` and waits for `Released`. The older one's spear answers when nothing of the
//! device is left below that epoch: neither a connection, nor a session that is about to become one, nor one whose cursors
//! are still being written.

use std::{
    collections::HashMap,
    future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use store::DeviceKey;
use tokio::sync::{Notify, oneshot};
use wire::{Kick, NodeRef, Payload, Released};

use super::Hub;
use crate::connection::Connection;

/// Nodes that wait to hear of one device. A further one is not noted: it waits its time out.
const ASKED_MOST: usize = 8;

/// Bounded by the sessions that begin or end.
#[derive(Default)]
pub(super) struct Takeovers {
    moving: HashMap<DeviceKey, Moving>,
    /// By the epoch of the connection that waits.
    waiting: HashMap<(DeviceKey, u64), Waiter>,
}

/// A device with sessions that are on their way into the hub, or out of it; or that somebody waits for.
#[derive(Default)]
struct Moving {
    beginning: usize,
    ending: usize,
    /// The newest kick that came meanwhile: a session that begins has not been found by it.
    kick: Option<Kick>,
    /// The epoch of the newest connection that has asked meanwhile; 0: none has. A back end that closes what is there is none.
    newest: u64,
    /// Made by who waits for that.
    asking: Option<Arc<Notify>>,
    /// Who is to be told once nothing below an epoch is left.
    asked: Vec<(u64, NodeRef)>,
}

struct Waiter {
    /// Nodes that have not answered.
    left: usize,
    done: oneshot::Sender<()>,
}

/// A session of a device is on its way into the hub, or out of it, while this is held.
pub(crate) struct Move {
    hub: Weak<Hub>,
    key: DeviceKey,
    way: Way,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

impl Move {
    /// The epoch of the device's connection that replaces one of `epoch`, as its kick says, which may still be to come.
    pub(crate) async fn newer(&self, epoch: u64) -> u64 {
        loop {
            let asking = {
                let Some(hub) = self.hub.upgrade() else { return future::pending().await };
                let mut takeovers = hub.takeovers.lock();
                let moving = takeovers.moving.entry(self.key.clone()).or_default();
                if moving.newest > epoch {
                    return moving.newest;
                }
                moving.asking.get_or_insert_default().clone().notified_owned()
            };
            asking.await;
        }
    }
}

impl Drop for Move {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.moved(&self.key, self.way);
        }
    }
}

/// Ends when every node has released the device, or nobody needs to wait any more.
pub(crate) struct Release {
    hub: Weak<Hub>,
    key: DeviceKey,
    epoch: u64,
    done: oneshot::Receiver<()>,
}

impl Future for Release {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.done).poll(context).map(drop)
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.stop_waiting(&self.key, self.epoch);
        }
    }
}

impl Hub {
    /// To be held from before the store registers a session until the hub knows its connection.
    pub(crate) fn beginning(&self, key: &DeviceKey) -> Move {
        self.takeovers.lock().moving.entry(key.clone()).or_default().beginning += 1;
        Move { hub: self.this.clone(), key: key.clone(), way: Way::In }
    }

    /// To be held from before the hub forgets a connection until what it had confirmed is written.
    pub(crate) fn ending(&self, key: &DeviceKey) -> Move {
        self.takeovers.lock().moving.entry(key.clone()).or_default().ending += 1;
        Move { hub: self.this.clone(), key: key.clone(), way: Way::Out }
    }

    /// Closes older connections of a device, and has the one who asked told once they have ended.
    pub(crate) fn kick(&self, kick: &Kick) {
        let key = DeviceKey { user: kick.user.clone(), device: kick.device.clone() };
        self.note(&key, kick);
        // After it was noted: a session that becomes a connection meanwhile is found by one of the two.
        self.close_older(&key, kick);
        self.answer(&key);
    }

    /// The connection of this epoch waits until `nodes` nodes have released its device.
    pub(crate) fn wait_for_release(&self, key: &DeviceKey, epoch: u64, nodes: usize) -> Release {
        let (done, wait) = oneshot::channel();
        self.takeovers.lock().waiting.insert((key.clone(), epoch), Waiter { left: nodes, done });
        Release { hub: self.this.clone(), key: key.clone(), epoch, done: wait }
    }

    /// The connection of this epoch need not wait any more: it has ended itself, or goes.
    pub(crate) fn stop_waiting(&self, key: &DeviceKey, epoch: u64) {
        drop(self.takeovers.lock().waiting.remove(&(key.clone(), epoch)));
    }

    /// A node has released a device.
    pub(super) fn released(&self, released: Released) {
        let place = (DeviceKey { user: released.user, device: released.device }, released.epoch);
        let mut takeovers = self.takeovers.lock();
        let Some(waiter) = takeovers.waiting.get_mut(&place) else { return };
        waiter.left = waiter.left.saturating_sub(1);
        if waiter.left == 0
            && let Some(waiter) = takeovers.waiting.remove(&place)
        {
            // It may have stopped waiting.
            let _ = waiter.done.send(());
        }
    }

    /// A connection has to go because of one of its device with the epoch `by`.
    pub(super) fn replace(&self, connection: &Connection, by: u64, reason: &str, message: Option<&str>) {
        connection.hand_over(by);
        connection.kick(reason, message);
        self.stop_waiting(&connection.identity.key, connection.epoch());
    }

    fn note(&self, key: &DeviceKey, kick: &Kick) {
        let mut takeovers = self.takeovers.lock();
        if let Some(moving) = takeovers.moving.get_mut(key)
            && moving.beginning > 0
            && moving.kick.as_ref().is_none_or(|known| known.below_epoch < kick.below_epoch)
        {
            moving.kick = Some(kick.clone());
        }
        if let Some(node) = &kick.answer_to {
            let moving = takeovers.moving.entry(key.clone()).or_default();
            moving.newest = moving.newest.max(kick.below_epoch);
            if let Some(asking) = moving.asking.take() {
                asking.notify_waiters();
            }
            if moving.asked.len() < ASKED_MOST {
                moving.asked.push((kick.below_epoch, node.clone()));
            }
        }
    }

    fn close_older(&self, key: &DeviceKey, kick: &Kick) {
        for connection in self.older(key, kick.below_epoch) {
            self.replace(&connection, kick.below_epoch, &kick.reason, kick.message.as_deref());
        }
    }

    fn older(&self, key: &DeviceKey, epoch: u64) -> Vec<Arc<Connection>> {
        let mut connections = self.connections_of(&key.user);
        connections.retain(|each| {
            each.identity.key.device == key.device && each.registered().is_some() && each.epoch() < epoch
        });
        connections
    }

    fn moved(&self, key: &DeviceKey, way: Way) {
        let kick = {
            let mut takeovers = self.takeovers.lock();
            let Some(moving) = takeovers.moving.get_mut(key) else { return };
            match way {
                Way::Out => {
                    moving.ending = moving.ending.saturating_sub(1);
                    None
                }
                Way::In => {
                    moving.beginning = moving.beginning.saturating_sub(1);
                    // Whoever begins later was registered after it.
                    if moving.beginning == 0 { moving.kick.take() } else { moving.kick.clone() }
                }
            }
        };
        if let Some(kick) = kick {
            self.close_older(key, &kick);
        }
        self.answer(key);
    }

    /// Tells those whom nothing of a device keeps waiting here.
    fn answer(&self, key: &DeviceKey) {
        let mut answered = Vec::new();
        {
            let mut takeovers = self.takeovers.lock();
            let Some(moving) = takeovers.moving.get_mut(key) else { return };
            // The epoch of one that begins is not known yet.
            if moving.beginning + moving.ending > 0 {
                return;
            }
            // Under the lock: what ends now is looked for again after this.
            for (epoch, node) in std::mem::take(&mut moving.asked) {
                if self.older(key, epoch).is_empty() {
                    answered.push((epoch, node));
                } else {
                    moving.asked.push((epoch, node));
                }
            }
            if moving.asked.is_empty() {
                takeovers.moving.remove(key);
            }
        }
        for (epoch, node) in answered {
            let released = Released { user: key.user.clone(), device: key.device.clone(), epoch };
            self.tell_released(node, released);
        }
    }

    fn tell_released(&self, node: NodeRef, released: Released) {
        if node == self.node {
            return self.released(released);
        }
        let announcer = self.announcer.clone();
        self.spawn(async move { announcer.tell(vec![(node, Payload::Released(released))]).await });
    }

    /// Devices that something is remembered of.
    #[cfg(test)]
    fn takeover_count(&self) -> usize {
        let takeovers = self.takeovers.lock();
        takeovers.moving.len() + takeovers.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, time::Duration};

    use store::{Connect, DeviceLimits};
    use tokio::time;
    use wire::Incarnation;

    use super::{
        super::fixture::{Fixture, user},
        *,
    };
    use crate::cursors::CursorWriter;

    const PLENTY: usize = 100;

    fn phone() -> DeviceKey {
        DeviceKey { user: user("bob"), device: "phone".parse().expect("a name") }
    }

    /// What the spear of a newer connection sends; this node waits for the answer itself.
    fn kick(fixture: &Fixture, below_epoch: u64) -> Kick {
        let DeviceKey { user, device } = phone();
        let answer_to = Some(fixture.hub.node.clone());
        Kick { user, device, below_epoch, reason: "replaced".into(), message: None, answer_to }
    }

    async fn is_waiting(release: &mut Release) -> bool {
        time::timeout(Duration::ZERO, release).await.is_err()
    }

    /// As a session that ends does.
    fn end(fixture: &Fixture, connection: &Arc<Connection>) {
        let ending = fixture.hub.ending(&connection.identity.key);
        fixture.hub.remove(connection);
        drop(ending);
    }

    #[tokio::test]
    async fn a_node_without_the_device_answers_at_once() {
        let fixture = Fixture::new().await;
        let mut release = fixture.hub.wait_for_release(&phone(), 7, 1);
        fixture.deliver(Payload::Kick(kick(&fixture, 7)));
        assert!(!is_waiting(&mut release).await);
        drop(release);
        assert_eq!(fixture.hub.takeover_count(), 0);
    }

    #[tokio::test]
    async fn the_device_is_released_when_its_connection_has_ended_and_its_cursors_are_written() {
        let fixture = Fixture::new().await;
        let (older, client) = fixture.connect("bob", "phone", PLENTY).await;
        let epoch = older.epoch() + 1;
        let mut release = fixture.hub.wait_for_release(&phone(), epoch, 1);
        fixture.deliver(Payload::Kick(kick(&fixture, epoch)));
        assert!(client.is_kicked());
        assert!(is_waiting(&mut release).await, "it is still there");
        let ending = fixture.hub.ending(&phone());
        fixture.hub.remove(&older);
        assert!(is_waiting(&mut release).await, "its cursors are on their way");
        drop(ending);
        assert!(!is_waiting(&mut release).await);
    }

    /// Two spears at the same instant: the kick comes while the older one is still being registered.
    #[tokio::test]
    async fn a_connection_that_is_replaced_while_it_registers_goes() {
        let fixture = Fixture::new().await;
        let starting = fixture.hub.beginning(&phone());
        let epoch = u64::MAX - 1;
        let mut release = fixture.hub.wait_for_release(&phone(), epoch, 1);
        fixture.deliver(Payload::Kick(kick(&fixture, epoch)));
        assert!(is_waiting(&mut release).await, "it may get an older epoch");
        let (older, client) = fixture.register("bob", "phone", PLENTY).await;
        assert!(!client.is_kicked());
        drop(starting);
        assert!(client.is_kicked());
        assert!(is_waiting(&mut release).await);
        end(&fixture, &older);
        assert!(!is_waiting(&mut release).await);
        drop(release);
        assert_eq!(fixture.hub.takeover_count(), 0);
    }

    #[tokio::test]
    async fn a_newer_connection_and_other_devices_stay() {
        let fixture = Fixture::new().await;
        let (newer, client) = fixture.connect("bob", "phone", PLENTY).await;
        let (_pad, pad) = fixture.connect("bob", "pad", PLENTY).await;
        let mut release = fixture.hub.wait_for_release(&phone(), newer.epoch(), 1);
        fixture.deliver(Payload::Kick(kick(&fixture, newer.epoch())));
        assert!(!is_waiting(&mut release).await, "nothing older is here");
        assert!(!client.is_kicked());
        assert!(!pad.is_kicked());
    }

    /// Nobody would wait for it: its client has gone, or it is replaced itself.
    #[tokio::test]
    async fn a_connection_that_goes_itself_waits_no_longer() {
        let fixture = Fixture::new().await;
        let (waiting, _client) = fixture.register("bob", "phone", PLENTY).await;
        let mut release = fixture.hub.wait_for_release(&phone(), waiting.epoch(), 1);
        assert!(is_waiting(&mut release).await);
        fixture.deliver(Payload::Kick(kick(&fixture, u64::MAX - 1)));
        assert!(!is_waiting(&mut release).await);
    }

    /// As a back end does it: of the moment, whatever the epoch, and with a word for people.
    #[tokio::test]
    async fn a_back_end_closes_what_is_connected_and_nothing_that_comes_later() {
        let fixture = Fixture::new().await;
        let (_older, older_client) = fixture.connect("bob", "phone", PLENTY).await;
        let (_tablet, tablet_client) = fixture.connect("bob", "tablet", PLENTY).await;
        let message = Some("come back later".to_owned());
        let of_an_admin =
            Kick { reason: "admin".into(), message, answer_to: None, ..kick(&fixture, u64::MAX) };
        fixture.deliver(Payload::Kick(of_an_admin));
        let told = serde_json::json!({"reason": "admin", "reconnect": true, "message": "come back later"});
        assert_eq!(older_client.events("kicked"), [told]);
        assert!(!tablet_client.is_kicked());
        let (_newer, newer_client) = fixture.connect("bob", "phone", PLENTY).await;
        assert!(!newer_client.is_kicked());
        assert_eq!(older_client.events("kicked").len(), 1, "each is told once why it goes");
    }

    /// Also while an older one is on its way out.
    #[tokio::test]
    async fn a_back_end_closes_nothing_that_begins_while_another_ends() {
        let fixture = Fixture::new().await;
        let ending = fixture.hub.ending(&phone());
        fixture.deliver(Payload::Kick(Kick { answer_to: None, ..kick(&fixture, u64::MAX) }));
        let beginning = fixture.hub.beginning(&phone());
        let (_newer, client) = fixture.connect("bob", "phone", PLENTY).await;
        drop(beginning);
        drop(ending);
        assert!(!client.is_kicked());
        assert_eq!(fixture.hub.takeover_count(), 0);
    }

    #[tokio::test]
    async fn every_node_that_was_asked_must_have_answered() {
        let fixture = Fixture::new().await;
        let mut release = fixture.hub.wait_for_release(&phone(), 7, 2);
        let DeviceKey { user, device } = phone();
        for is_last in [false, true] {
            let released = Released { user: user.clone(), device: device.clone(), epoch: 7 };
            fixture.deliver(Payload::Released(released));
            assert_eq!(!is_waiting(&mut release).await, is_last);
        }
    }

    #[tokio::test]
    async fn who_asks_too_often_is_not_remembered() {
        let fixture = Fixture::new().await;
        let (_older, _client) = fixture.connect("bob", "phone", PLENTY).await;
        for epoch in 0..100 {
            fixture.deliver(Payload::Kick(kick(&fixture, u64::MAX - 1 - epoch)));
        }
        let takeovers = fixture.hub.takeovers.lock();
        assert_eq!(takeovers.moving[&phone()].asked.len(), ASKED_MOST);
    }

    /// A connection that has confirmed the one message of a conversation, and the epoch of its device's newer one on another spear.
    async fn confirmed_and_replaced(fixture: &Fixture) -> (Arc<Connection>, wire::Conversation, u64) {
        let (older, client) = fixture.connect("bob", "phone", PLENTY).await;
        let hint = fixture.append("alice", wire::Destination::User(user("bob")), 0).await;
        fixture.deliver(hint);
        client.has([1]).await;
        let conversation = wire::Conversation::direct(user("alice"), user("bob"));
        assert!(older.confirm(conversation.clone(), 1));
        let elsewhere = NodeRef { id: "spear-2".into(), incarnation: Incarnation(1) };
        let connect = Connect { key: phone(), node: elsewhere, limits: DeviceLimits::default() };
        let newer = fixture.store.connect(vec![connect]).await.expect("connected").remove(0);
        (older, conversation, newer.epoch)
    }

    /// As a session does that ends.
    async fn end_and_write(fixture: &Fixture, writer: &CursorWriter, connection: &Arc<Connection>) {
        let ending = fixture.hub.ending(&connection.identity.key);
        fixture.hub.remove(connection);
        writer.write_last(connection, &ending, Duration::from_secs(10)).await;
    }

    async fn written(fixture: &Fixture, conversation: &wire::Conversation) -> Option<u64> {
        fixture.store.cursors(&phone()).await.expect("cursors").get(conversation).copied()
    }

    /// The store takes nothing of an older epoch; what the device had confirmed before it moved is not lost for that.
    #[tokio::test]
    async fn what_a_replaced_connection_had_confirmed_is_written() {
        let fixture = Fixture::new().await;
        let writer = CursorWriter::new(fixture.store.clone());
        let (older, conversation, epoch) = confirmed_and_replaced(&fixture).await;
        fixture.deliver(Payload::Kick(kick(&fixture, epoch)));
        end_and_write(&fixture, &writer, &older).await;
        assert_eq!(written(&fixture, &conversation).await, Some(1));
    }

    /// Its client closed it and came back at once, elsewhere: nobody has told it of the newer one before it ended.
    #[tokio::test]
    async fn what_a_connection_had_confirmed_that_ends_before_it_hears_of_the_newer_one_is_written() {
        let fixture = Fixture::new().await;
        let writer = CursorWriter::new(fixture.store.clone());
        let (older, conversation, epoch) = confirmed_and_replaced(&fixture).await;
        let mut release = fixture.hub.wait_for_release(&phone(), epoch, 1);
        let mut ending = pin!(end_and_write(&fixture, &writer, &older));
        let is_ignored = time::timeout(Duration::from_millis(50), &mut ending).await.is_err();
        assert!(is_ignored && written(&fixture, &conversation).await.is_none(), "of an older epoch");
        // What a back end closes is of no connection.
        let of_an_admin = Kick { answer_to: None, ..kick(&fixture, u64::MAX) };
        for kick in [kick(&fixture, epoch), of_an_admin] {
            fixture.deliver(Payload::Kick(kick));
        }
        assert!(is_waiting(&mut release).await, "its cursors are on their way");
        ending.await;
        assert_eq!(written(&fixture, &conversation).await, Some(1));
        assert!(!is_waiting(&mut release).await);
        drop(release);
        assert_eq!(fixture.hub.takeover_count(), 0);
    }

    /// Given a write of each second that was under way when the newer connection was registered, so that the store ignores it.
    #[tokio::test]
    async fn what_is_being_written_when_a_connection_ends_is_written_with_the_rest() {
        let fixture = Fixture::new().await;
        let writer = Arc::new(CursorWriter::new(fixture.store.clone()));
        let (older, conversation, epoch) = confirmed_and_replaced(&fixture).await;
        writer.mark(older.clone());
        let held = fixture.flaky.hold("move_cursors");
        let running = tokio::spawn({
            let writer = writer.clone();
            async move { writer.flush().await }
        });
        fixture.until("it is being written", || fixture.flaky.is_held()).await;
        fixture.deliver(Payload::Kick(kick(&fixture, epoch)));
        end_and_write(&fixture, &writer, &older).await;
        assert_eq!(written(&fixture, &conversation).await, Some(1));
        drop(held);
        running.await.expect("it ends");
    }

    /// Given a store that fails just when it is known whose the newer one is.
    #[tokio::test]
    async fn what_could_not_be_written_at_the_end_is_written_later() {
        let fixture = Fixture::new().await;
        let writer = CursorWriter::new(fixture.store.clone());
        let (older, conversation, epoch) = confirmed_and_replaced(&fixture).await;
        let mut ending = pin!(end_and_write(&fixture, &writer, &older));
        assert!(time::timeout(Duration::from_millis(50), &mut ending).await.is_err(), "it waits");
        fixture.flaky.fail(Some("move_cursors"));
        fixture.deliver(Payload::Kick(kick(&fixture, epoch)));
        ending.await;
        assert_eq!(fixture.flaky.failures(), 1);
        fixture.flaky.fail(None);
        writer.flush().await;
        assert_eq!(written(&fixture, &conversation).await, Some(1));
    }

    /// A device that was forgotten has no newer connection.
    #[tokio::test]
    async fn nobody_is_waited_for_where_a_device_is_not_known() {
        let fixture = Fixture::new().await;
        let writer = CursorWriter::new(fixture.store.clone());
        let (connection, _client) = fixture.connect("bob", "phone", PLENTY).await;
        let conversation = wire::Conversation::direct(user("alice"), user("bob"));
        connection.put_back(vec![(conversation, 1)]);
        let key = DeviceKey { device: "pad".parse().expect("a name"), ..phone() };
        let limits = DeviceLimits { most: 1, ..DeviceLimits::default() };
        let connect = Connect { key, node: fixture.hub.node.clone(), limits };
        let evicted = fixture.store.connect(vec![connect]).await.expect("connected").remove(0).evicted;
        assert_eq!(evicted.len(), 1, "the phone had to make room");
        let ended =
            time::timeout(Duration::from_secs(5), end_and_write(&fixture, &writer, &connection)).await;
        assert!(ended.is_ok(), "it waits for nothing");
    }

    /// It is told to go later, and writes then.
    #[tokio::test]
    async fn what_the_store_ignored_of_a_connection_that_is_there_is_kept() {
        let fixture = Fixture::new().await;
        let writer = CursorWriter::new(fixture.store.clone());
        let (older, conversation, epoch) = confirmed_and_replaced(&fixture).await;
        writer.mark(older.clone());
        writer.flush().await;
        assert_eq!(written(&fixture, &conversation).await, None);
        fixture.deliver(Payload::Kick(kick(&fixture, epoch)));
        end_and_write(&fixture, &writer, &older).await;
        assert_eq!(written(&fixture, &conversation).await, Some(1));
    }
}
