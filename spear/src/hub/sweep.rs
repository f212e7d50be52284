//! Compares everything local with the store, so that a lost hint is found even if it was the first or the last one.

use std::{sync::Arc, time::Duration};

use store::{Cursors, StoreError};
use tokio::time;
use tokio_util::sync::CancellationToken;
use wire::{Conversation, Group, User};

use super::Hub;
use crate::connection::Connection;

/// How many users or groups are compared in one call.
const CHUNK: usize = 500;
/// How many quick comparisons follow a suspicion: what is on its way gets the time to arrive or to be missed.
const QUICK_ROUNDS: u32 = 5;

/// Sweeps until `stop`: slowly always, each `quick` while something may have been lost.
pub(crate) async fn run(hub: Arc<Hub>, slow: Duration, quick: Duration, stop: CancellationToken) {
    let mut quick_rounds = 0_u32;
    loop {
        if quick_rounds > 0 {
            quick_rounds -= 1;
            tokio::select! {
                () = time::sleep(quick) => {}
                () = stop.cancelled() => return,
            }
        } else {
            tokio::select! {
                () = time::sleep(slow) => {}
                () = hub.suspicion.notified() => quick_rounds = QUICK_ROUNDS,
                () = stop.cancelled() => return,
            }
        }
        if let Err(error) = hub.sweep().await {
            tracing::warn!(%error, "the comparison with the store failed; it is tried again");
            quick_rounds = QUICK_ROUNDS;
        }
    }
}

impl Hub {
    pub(super) async fn sweep(&self) -> Result<(), StoreError> {
        self.counters.sweep();
        self.sweep_inboxes().await?;
        self.sweep_groups().await?;
        self.rooms.compare().await?;
        self.watches.sweep().await?;
        let needed = |group: &Group| {
            let conversation = Conversation::Group(group.clone());
            self.existing(&conversation).is_some_and(|sequencer| !sequencer.is_unused())
                || self.is_monitored(group)
        };
        self.interest.tidy(needed).await
    }

    async fn sweep_inboxes(&self) -> Result<(), StoreError> {
        let known: Vec<(User, u64)> =
            self.users.iter().map(|local| (local.key().clone(), local.inbox_version)).collect();
        for chunk in known.chunks(CHUNK) {
            let users = chunk.iter().map(|(user, _)| user.clone()).collect();
            let versions = self.store.inbox_versions(users).await?;
            for ((user, compared), version) in chunk.iter().zip(versions) {
                if *compared != version {
                    self.compare_inbox(user).await?;
                }
            }
        }
        Ok(())
    }

    async fn compare_inbox(&self, user: &User) -> Result<(), StoreError> {
        let inbox = self.store.inbox(user).await?;
        for connection in self.connections_of(user) {
            let cursors = self.store.cursors(&connection.identity.key).await?;
            self.catch_up_direct(&connection, &cursors, &inbox.direct).await?;
        }
        self.compare_changes(user).await?;
        self.look_at_groups(user, &inbox.groups).await?;
        self.compared(user, inbox.version);
        Ok(())
    }

    /// Notes the inbox version up to which a user's conversations were compared.
    pub(crate) fn compared(&self, user: &User, version: u64) {
        if let Some(mut local) = self.users.get_mut(user) {
            local.inbox_version = version;
        }
    }

    /// Lets a connection catch up with the direct conversations in which it is behind.
    pub(crate) async fn catch_up_direct(
        &self,
        connection: &Arc<Connection>,
        cursors: &Cursors,
        direct: &[(Conversation, u64)],
    ) -> Result<(), StoreError> {
        let mut unknown = Vec::new();
        for (conversation, last_seq) in direct {
            if let Some(sequencer) = self.existing(conversation)
                && sequencer.holds(connection)
            {
                if sequencer.learn(*last_seq, 0, 0) {
                    self.fill(sequencer);
                }
                continue;
            }
            match cursors.get(conversation) {
                Some(cursor) if cursor >= last_seq => {}
                Some(_) => self.subscribe(connection, conversation),
                None => unknown.push((conversation.clone(), *last_seq)),
            }
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let conversations = unknown.iter().map(|(conversation, _)| conversation.clone()).collect();
        let before = self.before_birth(connection, conversations).await?;
        for ((conversation, last_seq), before) in unknown.into_iter().zip(before) {
            if before < last_seq {
                self.subscribe(connection, &conversation);
            }
        }
        Ok(())
    }

    async fn sweep_groups(&self) -> Result<(), StoreError> {
        let groups: Vec<_> = self
            .sequencers
            .iter()
            .filter(|entry| entry.key().group().is_some())
            .map(|entry| entry.value().clone())
            .collect();
        for chunk in groups.chunks(CHUNK) {
            let conversations = chunk.iter().map(|sequencer| sequencer.conversation().clone()).collect();
            for (sequencer, head) in chunk.iter().zip(self.store.heads(conversations).await?) {
                if sequencer.learn(head.last_seq, head.members_version, head.rev) {
                    self.fill(sequencer.clone());
                }
            }
        }
        Ok(())
    }
}
