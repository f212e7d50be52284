//! Signals: not stored, for whoever is here now. A connection whose queue is full misses them.

use std::sync::Arc;

use socket::{Backlog, Frame};
use wire::{Conversation, Destination, Group, SignalHint};

use super::Hub;
use crate::connection::Connection;

impl Hub {
    /// Whether a connection's user is a member of a group, as far as is known here: `false` may mean that nobody has looked
    /// yet.
    pub(crate) fn is_member(&self, connection: &Connection, group: &Group) -> bool {
        let conversation = Conversation::Group(group.clone());
        self.existing(&conversation).is_some_and(|sequencer| sequencer.is_member(connection))
    }

    pub(super) fn signal(&self, hint: &SignalHint) {
        let Some(frame) = super::frame("signal", &hint.json) else { return };
        let receivers = match &hint.to {
            Destination::User(user) => self.connections_of(user),
            Destination::Group(group) => {
                let sequencer = self.existing(&Conversation::Group(group.clone()));
                sequencer.map(|sequencer| sequencer.members()).unwrap_or_default()
            }
            Destination::Room(room) => return self.room_signal(room, &frame, hint.origin_session),
        };
        let missed =
            receivers.iter().filter(|receiver| missed(receiver, &frame, hint.origin_session)).count();
        self.counters.missed(missed as u64);
    }
}

/// Sends a signal; answers whether the connection had no place for it.
fn missed(connection: &Arc<Connection>, frame: &Frame, origin_session: u64) -> bool {
    // Nothing is sent before `ready`.
    let theirs = connection.identity.session != origin_session && connection.may_catch_up();
    theirs && connection.outlet.send(frame) == Err(Backlog::Full)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use wire::Payload;

    use super::{
        super::fixture::{Client, Fixture, user},
        *,
    };

    const PLENTY: usize = 10_000;

    fn signal(to: Destination, origin_session: u64) -> Payload {
        Payload::Signal(SignalHint { to, origin_session, json: Bytes::from_static(b"1") })
    }

    fn count(client: &Client) -> usize {
        client.events("signal").len()
    }

    #[tokio::test]
    async fn a_signal_to_a_user_reaches_their_devices_but_not_where_it_comes_from() {
        let fixture = Fixture::new().await;
        let (phone, phone_client) = fixture.connect("bob", "phone", PLENTY).await;
        let (_, tablet) = fixture.connect("bob", "tablet", PLENTY).await;
        let (_, alice) = fixture.connect("alice", "phone", PLENTY).await;
        let (_, not_ready) = fixture.register("bob", "pad", PLENTY).await;
        fixture.deliver(signal(Destination::User(user("bob")), 0));
        fixture.deliver(signal(Destination::User(user("bob")), phone.identity.session));
        assert_eq!([&phone_client, &tablet, &alice, &not_ready].map(|client| count(client)), [1, 2, 0, 0]);
    }

    #[tokio::test]
    async fn a_signal_to_a_group_reaches_its_members_of_now() {
        let fixture = Fixture::new().await;
        let group = fixture.group("team", &["alice", "bob", "carol"]).await;
        let (alice, _) = fixture.connect("alice", "phone", PLENTY).await;
        let (bob, bob_client) = fixture.connect("bob", "phone", PLENTY).await;
        let (carol, carol_client) = fixture.connect("carol", "phone", PLENTY).await;
        let (dave, dave_client) = fixture.connect("dave", "phone", PLENTY).await;
        let hub = &fixture.hub;
        let members =
            |of: &[&Arc<Connection>]| of.iter().map(|each| hub.is_member(each, &group)).collect::<Vec<_>>();
        assert_eq!(members(&[&bob, &carol, &dave]), [true, true, false]);
        fixture.deliver(signal(Destination::Group(group.clone()), alice.identity.session));
        assert_eq!([&bob_client, &carol_client, &dave_client].map(|client| count(client)), [1, 1, 0]);

        let removed = fixture.remove(&group, "carol").await;
        fixture.deliver(removed);
        fixture.until("carol is no member", || !hub.is_member(&carol, &group)).await;
        fixture.deliver(signal(Destination::Group(group.clone()), alice.identity.session));
        assert_eq!([&bob_client, &carol_client, &dave_client].map(|client| count(client)), [2, 1, 0]);
    }

    #[tokio::test]
    async fn who_has_left_is_no_member_though_something_is_still_to_be_delivered() {
        let fixture = Fixture::new().await;
        let group = fixture.group("team", &["alice", "carol"]).await;
        let (carol, carol_client) = fixture.connect("carol", "phone", 0).await;
        let stored = fixture.append("alice", Destination::Group(group.clone()), 0).await;
        fixture.deliver(stored);
        let hub = &fixture.hub;
        assert!(hub.is_member(&carol, &group));
        let removed = fixture.remove(&group, "carol").await;
        fixture.deliver(removed);
        fixture.until("carol is no member", || !hub.is_member(&carol, &group)).await;
        assert!(hub.is_in(&carol, &group), "she has not got everything yet");
        carol_client.read(PLENTY);
        carol_client.has([1]).await;
        fixture.deliver(signal(Destination::Group(group), 0));
        assert_eq!(count(&carol_client), 0);
    }

    #[tokio::test]
    async fn who_has_no_place_for_a_signal_misses_it_and_keeps_its_messages() {
        let fixture = Fixture::new().await;
        let (_bob, bob) = fixture.connect("bob", "phone", 0).await;
        fixture.deliver(signal(Destination::User(user("bob")), 0));
        let stored = fixture.append("alice", Destination::User(user("bob")), 0).await;
        fixture.deliver(stored);
        bob.read(PLENTY);
        bob.has([1]).await;
        assert_eq!(count(&bob), 0);
    }
}
