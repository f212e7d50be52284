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
        for group in groups {
            self.subscribe_silently(connection, &Conversation::Group(group.clone()));
        }
        self.interest.want(groups).await?;
        let user = &connection.identity.key.user;
        let of = groups.iter().map(|group| (user.clone(), group.clone())).collect();
        for membership in self.store.memberships(of).await? {
            let conversation = Conversation::Group(membership.group.clone());
            let Some(sequencer) = self.existing(&conversation) else { continue };
            self.join_group(connection, &sequencer, membership, cursors);
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
            return self.leave(connection, sequencer);
        };
        let has_all = |left_seq| cursor.is_some_and(|cursor| cursor + 1 >= left_seq);
        if last.left_seq.is_some_and(has_all) {
            return self.leave(connection, sequencer);
        }
        let spans: Arc<[Span]> = membership.spans.into();
        sequencer.set_spans_of(&connection.identity.key.user, &spans, membership.members_version);
        let joined_now = spans.first().is_some_and(|span| span.joined_seq > membership.last_seq);
        let nothing_to_read = last.left_seq.is_none() && (joined_now || cursor == Some(membership.last_seq));
        let live = nothing_to_read
            && sequencer.caught_up(connection, membership.last_seq, membership.members_version)
                == Caught::Live;
        if !live {
            self.catch_up(connection, sequencer.clone());
        }
    }

    fn leave(&self, connection: &Arc<Connection>, sequencer: &Arc<Sequencer>) {
        sequencer.unsubscribe(connection);
        connection.detach(sequencer.conversation());
        self.forget_if_unused(sequencer.conversation());
    }

    /// Unsubscribes those who have got the last message of their membership.
    pub(super) fn remove_those_who_left(&self, sequencer: &Arc<Sequencer>) {
        let left = sequencer.remove_those_who_left();
        if left.is_empty() {
            return;
        }
        for connection in left {
            connection.detach(sequencer.conversation());
        }
        self.forget_if_unused(sequencer.conversation());
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
        if sequencer.learn(0, change.members_version) {
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
            let Some(span) = membership.spans.last().copied() else { continue };
            if span.left_seq.is_none() {
                joined.push(membership.group.clone());
            }
            let spans: Arc<[Span]> = membership.spans.into();
            if let Some(sequencer) = self.existing(&conversation) {
                sequencer.set_spans_of(user, &spans, membership.members_version);
                if sequencer.learn(span.left_seq.map_or(0, |left| left.saturating_sub(1)), 0) {
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
