//! Changes to what was sent: hints of them, and what a connection has missed of a conversation's change log.

use std::sync::Arc;

use socket::Frame;
use store::{Span, StoreError};
use wire::{Change, ChangeHint, Conversation, User};

use super::{
    Hub, Sequencer,
    catch_up::{Stop, give},
    sequencer::{Offered, OutgoingChange, is_theirs},
};
use crate::connection::Connection;

/// How far the clocks of the store's servers may differ, in milliseconds.
const CLOCKS_MS: i64 = 5_000;

impl Hub {
    /// Takes a hint of a change.
    pub(super) fn changed(&self, hint: &ChangeHint) {
        if let Some(user) = &hint.audience {
            return self.tell_user(user, hint);
        }
        let sequencer = match &hint.conversation {
            group @ Conversation::Group(_) => self.existing(group),
            direct @ Conversation::Direct(..) => self.subscribe_users(direct),
        };
        let Some(sequencer) = sequencer else { return };
        let Offered { handed, fill } =
            sequencer.offer_change(hint, || change_frame(&hint.conversation, &hint.change));
        self.demote(handed, &sequencer);
        if fill {
            self.fill(sequencer);
        }
    }

    /// What is not in the log is told once: one who does not keep up misses it.
    fn tell_user(&self, user: &User, hint: &ChangeHint) {
        let Some(frame) = change_frame(&hint.conversation, &hint.change) else { return };
        for connection in self.connections_of(user) {
            if connection.identity.session != hint.origin_session && connection.may_catch_up() {
                let _ = connection.outlet.send(&frame);
            }
        }
    }

    /// From where on a connection's device may have missed changes, as a `rev`. Earlier ones it was given: what was sent longer ago
    /// than a heartbeat takes has arrived, or the connection would have ended.
    pub(crate) fn changes_floor(&self, connection: &Connection) -> u64 {
        let Some(registered) = connection.registered() else { return 0 };
        let heartbeat = i64::try_from(self.heartbeat.as_millis()).unwrap_or(i64::MAX);
        // A device that is new has missed nothing; its birth may be by another clock than the changes.
        let margin = if registered.known { heartbeat.saturating_add(CLOCKS_MS) } else { CLOCKS_MS };
        // Milliseconds to microseconds.
        registered.away_since.saturating_sub(margin).max(0).unsigned_abs() * 1_000
    }

    /// Whether what a connection was given has arrived, up to what was sent within a heartbeat before now.
    pub(crate) fn has_received_everything(&self, connection: &Connection) -> bool {
        connection.caught_up_since().is_some_and(|since| since.elapsed() >= self.heartbeat)
    }

    /// Lets a connection catch up with the direct conversations that have changed since its device was away.
    pub(crate) async fn catch_up_changes(&self, connection: &Arc<Connection>) -> Result<(), StoreError> {
        let floor = self.changes_floor(connection);
        let changed = self.store.changed_since(&connection.identity.key.user, floor).await?;
        self.look_at_changes(connection, &changed);
        Ok(())
    }

    /// Lets a connection catch up with conversations whose change logs are known to reach so far.
    fn look_at_changes(&self, connection: &Arc<Connection>, changed: &[(Conversation, u64)]) {
        for (conversation, rev) in changed {
            match self.existing(conversation).filter(|sequencer| sequencer.holds(connection)) {
                Some(sequencer) => {
                    if sequencer.learn(0, 0, *rev) {
                        self.fill(sequencer);
                    }
                }
                None => self.subscribe(connection, conversation),
            }
        }
    }

    /// Compares the change logs of a user's direct conversations; part of a sweep.
    pub(super) async fn compare_changes(&self, user: &User) -> Result<(), StoreError> {
        let connections = self.connections_of(user);
        let compared = self.users.get(user).map_or(0, |local| local.changes_compared);
        let floors = connections.iter().map(|connection| self.changes_floor(connection));
        // The first time, all that any of them may have missed.
        let from = if compared == 0 { floors.min().unwrap_or(0) } else { compared };
        let changed = self.store.changed_since(user, from).await?;
        for connection in &connections {
            self.look_at_changes(connection, &changed);
        }
        let newest = changed.iter().map(|(_, rev)| *rev).max().unwrap_or(0);
        // A log may be told of a while after it has grown.
        let margin = u64::try_from(self.heartbeat.as_micros()).unwrap_or(u64::MAX);
        if let Some(mut local) = self.users.get_mut(user) {
            local.changes_compared = local.changes_compared.max(newest.saturating_sub(margin));
        }
        Ok(())
    }

    /// Reads what those who are live have missed of a conversation's change log, and hands it out.
    pub(super) async fn fill_changes(
        &self,
        sequencer: &Arc<Sequencer>,
        after: u64,
    ) -> Result<(), StoreError> {
        let conversation = sequencer.conversation();
        let lists = self.store.changes(vec![(conversation.clone(), after)]).await?;
        let Some(list) = lists.into_iter().next() else { return Ok(()) };
        for logged in &list.changes {
            let Some(frame) = change_frame(conversation, &logged.change) else { continue };
            let outgoing =
                OutgoingChange { rev: logged.rev, origin_session: 0, change: &logged.change, frame: &frame };
            self.demote(sequencer.hand_change(&outgoing), sequencer);
        }
        sequencer.handed_changes(list.rev);
        Ok(())
    }

    /// Gives one connection what it has missed of a conversation's change log, at the speed it reads; answers how far it has come.
    pub(super) async fn give_changes(
        &self,
        connection: &Connection,
        conversation: &Conversation,
        spans: Option<&[Span]>,
        after: u64,
    ) -> Result<u64, Stop> {
        let lists = {
            let _permit = self.pages.acquire().await.map_err(|_| Stop::Closed)?;
            self.store.changes(vec![(conversation.clone(), after)]).await?
        };
        let Some(list) = lists.into_iter().next() else { return Ok(after) };
        for logged in &list.changes {
            if spans.is_none_or(|spans| is_theirs(&logged.change, spans))
                && let Some(frame) = change_frame(conversation, &logged.change)
            {
                give(connection, &frame).await?;
            }
        }
        // Most have nothing new, and are not remembered one by one.
        if !list.changes.is_empty() {
            connection.gave_changes(conversation, list.rev);
        }
        Ok(list.rev)
    }
}

/// The event of a change.
fn change_frame(conversation: &Conversation, change: &Change) -> Option<Frame> {
    match change.event(conversation) {
        Ok((name, json)) => Some(Frame::event(name, &json)),
        Err(error) => {
            tracing::error!(%error, %conversation, "a change cannot be encoded");
            None
        }
    }
}
