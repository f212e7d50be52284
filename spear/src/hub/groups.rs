//! Groups with a local member, and changes of their members.

use std::sync::Arc;

use store::{Cursors, Span, StoreError, UserGroup};
use wire::{Conversation, Group, MembershipChange, User};

use super::{Hub, Sequencer, sequencer::Caught};
use crate::connection::Connection;

impl Hub {
    /// Subscribes a connection to groups of its user. Where nothing is unconfirmed it is live at once; else it catches up.
    pub(crate) async fn join_groups(
        &self,
        connection: &Arc<Connection>,
        cursors: &Cursors,
        groups: &[Group],
    ) -> Result<(), StoreError> {
        // First subscribed, then registered, then read: what is stored after the reading finds us.
        let subscribe =
            |group: &Group| self.subscribe_silently(connection, &Conversation::Group(group.clone()));
        // What is subscribed to already is being joined by whoever subscribed: twice would be delivered twice.
        let joining: Vec<_> = groups.iter().filter_map(subscribe).collect();
        let outcome = self.read_joining(connection, &joining).await;
        match outcome {
            Ok(memberships) => {
                for (sequencer, membership) in joining.iter().zip(memberships) {
                    self.join_group(connection, sequencer, membership, cursors);
                }
                Ok(())
            }
            Err(error) => {
                // Nobody would join them again: catching up does, once the store is back.
                for sequencer in joining {
                    self.catch_up(connection, sequencer);
                }
                Err(error)
            }
        }
    }

    async fn read_joining(
        &self,
        connection: &Connection,
        joining: &[Arc<Sequencer>],
    ) -> Result<Vec<UserGroup>, StoreError> {
        let groups: Vec<Group> =
            joining.iter().filter_map(|sequencer| sequencer.conversation().group().cloned()).collect();
        self.want(&groups).await?;
        let user = &connection.identity.key.user;
        self.store.memberships(groups.into_iter().map(|group| (user.clone(), group)).collect()).await
    }

    /// Registers for the hints of groups.
    pub(super) async fn want(&self, groups: &[Group]) -> Result<(), StoreError> {
        self.interest.want(groups).await?;
        for group in groups {
            // Its last subscriber went meanwhile, perhaps before there was anything to take back.
            if self.existing(&Conversation::Group(group.clone())).is_none() {
                self.interest.drop_later(group.clone());
            }
        }
        Ok(())
    }

    fn join_group(
        &self,
        connection: &Arc<Connection>,
        sequencer: &Arc<Sequencer>,
        membership: UserGroup,
        cursors: &Cursors,
    ) {
        let cursor = cursors.get(sequencer.conversation()).copied();
        let Some(last) = membership.spans.last().copied() else {
            return self.leave(connection, sequencer, membership.members_version);
        };
        let has_all = |left_seq| cursor.is_some_and(|cursor| cursor + 1 >= left_seq);
        if last.left_seq.is_some_and(has_all) {
            return self.leave(connection, sequencer, membership.members_version);
        }
        let spans: Arc<[Span]> = membership.spans.into();
        sequencer.set_spans(connection, &spans, membership.members_version);
        let joined_now = spans.first().is_some_and(|span| span.joined_seq > membership.last_seq);
        let nothing_missed =
            cursor == Some(membership.last_seq) && membership.rev <= self.changes_floor(connection);
        let nothing_to_read = last.left_seq.is_none() && (joined_now || nothing_missed);
        // One that was not sent `ready` yet waits for it in the queue.
        let live = nothing_to_read
            && connection.may_catch_up()
            && sequencer.caught_up(
                connection,
                membership.last_seq,
                membership.members_version,
                membership.rev,
            ) == Caught::Live;
        if !live {
            self.catch_up(connection, sequencer.clone());
        }
    }

    fn leave(&self, connection: &Arc<Connection>, sequencer: &Arc<Sequencer>, members_version: u64) {
        self.unsubscribe(sequencer.conversation(), |sequencer| {
            let gone = sequencer.unsubscribe_as_of(connection, members_version);
            gone.then(|| (connection.clone(), None)).into_iter().collect()
        });
    }

    /// Unsubscribes those who have got the last message of their membership.
    pub(super) fn remove_those_who_left(&self, sequencer: &Arc<Sequencer>) {
        if sequencer.conversation().group().is_some() {
            self.unsubscribe(sequencer.conversation(), Sequencer::remove_those_who_left);
        }
    }

    /// Somebody joined or left a group: looks at those of them who are connected here.
    pub(super) fn membership_changed(&self, change: MembershipChange) {
        let Some(hub) = self.this.upgrade() else { return };
        self.spawn(async move {
            if let Err(error) = hub.apply_membership(&change).await {
                tracing::warn!(%error, group = %change.group, "a change of members waits for the next sweep");
                hub.suspect();
            }
        });
    }

    async fn apply_membership(&self, change: &MembershipChange) -> Result<(), StoreError> {
        for user in &change.users {
            self.look_at_groups(user, std::slice::from_ref(&change.group)).await?;
        }
        let conversation = Conversation::Group(change.group.clone());
        let Some(sequencer) = self.existing(&conversation) else { return Ok(()) };
        sequencer.applied(change.members_version);
        if sequencer.learn(0, change.members_version, 0) {
            self.fill(sequencer);
        }
        Ok(())
    }

    /// Brings the local connections of a user in line with the user's membership in these groups.
    pub(super) async fn look_at_groups(&self, user: &User, groups: &[Group]) -> Result<(), StoreError> {
        let connections = self.connections_of(user);
        if connections.is_empty() || groups.is_empty() {
            return Ok(());
        }
        let of = groups.iter().map(|group| (user.clone(), group.clone())).collect();
        let mut joined = Vec::new();
        for membership in self.store.memberships(of).await? {
            let conversation = Conversation::Group(membership.group.clone());
            // Without a span they left before a message was sent.
            let last = membership.spans.last().copied();
            if last.is_some_and(|span| span.left_seq.is_none()) {
                joined.push(membership.group.clone());
            }
            let left_seq = last.and_then(|span| span.left_seq);
            let spans: Arc<[Span]> = membership.spans.into();
            if let Some(sequencer) = self.existing(&conversation) {
                sequencer.set_spans_of(user, &spans, membership.members_version);
                if sequencer.learn(left_seq.map_or(0, |left| left.saturating_sub(1)), 0, 0) {
                    self.fill(sequencer);
                } else {
                    self.remove_those_who_left(&sequencer);
                }
            }
        }
        for connection in connections {
            let missing: Vec<Group> =
                joined.iter().filter(|group| !self.is_in(&connection, group)).cloned().collect();
            if !missing.is_empty() {
                let cursors = self.store.cursors(&connection.identity.key).await?;
                self.join_groups(&connection, &cursors, &missing).await?;
            }
        }
        Ok(())
    }

    pub(super) fn is_in(&self, connection: &Connection, group: &Group) -> bool {
        let conversation = Conversation::Group(group.clone());
        self.existing(&conversation).is_some_and(|sequencer| sequencer.holds(connection))
    }
}
