//! Erasing what a user has said and where they were, and telling them all of it.

use std::sync::Arc;

use serde::Serialize;
use store::{
    Author, Direction, GroupRecord, PageRequest, Recall, RecallDone, RecallRefusal, Span, StoreError,
};
use tokio::task::JoinSet;
use wire::{Change, Conversation, Group, Message, User};

use crate::{Conversations, HistoryRequest, Reader, Refusal};

/// Messages that are looked at together; bounds what is in memory, with [`PAGE_BYTES`].
const PAGE: usize = 1_000;
/// Bodies that are read together, in bytes: only their senders matter.
const PAGE_BYTES: usize = 1 << 20;
/// Messages that are taken back at once: one wait for durability for all of them.
const AT_ONCE: usize = 64;
/// How often a group is left whose back end adds the user again meanwhile.
const LEAVINGS: usize = 3;

/// What one call of [`Conversations::erase`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Erased {
    /// Messages of the user that are tombstones now, and were not before.
    pub messages: u64,
    /// Conversations that are not the user's any more.
    pub conversations: u64,
}

/// One of a user's conversations, as their export has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Belonging {
    /// Which.
    pub conversation: Conversation,
    /// How far the user has read it.
    pub read_seq: u64,
    /// When the user was a member of the group; missing where it is between two users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spans: Option<Vec<MemberSpan>>,
}

/// Messages from `joined_seq` on were the member's, up to `left_seq` where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemberSpan {
    /// The first one that was.
    pub joined_seq: u64,
    /// The first one that was not; `null` while they are a member.
    pub left_seq: Option<u64>,
}

impl Conversations {
    /// Takes back all messages of a user, and takes them out of all groups and of all conversations. A conversation leaves the
    /// user's inbox when it is done, so whoever calls again after a failure goes on where it was.
    ///
    /// The caller sees to it that the user is not connected: what they send meanwhile may stay.
    ///
    /// # Errors
    /// `unavailable`: calling again is safe.
    pub async fn erase(&self, user: &User) -> Result<Erased, Refusal> {
        let inbox = self.inner.store.inbox(user).await?;
        let groups = inbox.groups.into_iter().map(Conversation::Group);
        let direct = inbox.direct.into_iter().map(|(conversation, _)| conversation);
        let mut erased = Erased::default();
        for conversation in groups.chain(direct) {
            self.erase_from(user, &conversation, &mut erased).await?;
        }
        Ok(erased)
    }

    /// A user's conversations: of groups those in which they are or were.
    ///
    /// # Errors
    /// `unavailable`.
    pub async fn belongings(&self, user: &User) -> Result<Vec<Belonging>, Refusal> {
        let store = &self.inner.store;
        let inbox = store.inbox(user).await?;
        let of = inbox.groups.into_iter().map(|group| (user.clone(), group)).collect();
        let groups = store.memberships(of).await?.into_iter().filter(|group| !group.spans.is_empty());
        let groups = groups.map(|group| (Conversation::Group(group.group), Some(spans(&group.spans))));
        let direct = inbox.direct.into_iter().map(|(conversation, _)| (conversation, None));
        let of: Vec<_> = direct.chain(groups).collect();
        let wanted = of.iter().map(|(conversation, _)| (user.clone(), conversation.clone())).collect();
        let marks = store.read_seqs(wanted).await?;
        let belonging = |((conversation, spans), read_seq)| Belonging { conversation, read_seq, spans };
        Ok(of.into_iter().zip(marks).map(belonging).collect())
    }

    /// The next messages of a conversation that a user may see, after a `seq`; empty after the last one.
    ///
    /// # Errors
    /// As [`Conversations::history`].
    pub async fn messages_of(
        &self,
        user: &User,
        conversation: &Conversation,
        after: u64,
    ) -> Result<Vec<Arc<Message>>, Refusal> {
        let request = HistoryRequest {
            conversation: conversation.clone(),
            after: Some(after),
            before: None,
            limit: None,
        };
        Ok(self.history(&Reader::User(user.clone()), request).await?.messages)
    }

    async fn erase_from(
        &self,
        user: &User,
        conversation: &Conversation,
        erased: &mut Erased,
    ) -> Result<(), Refusal> {
        for _ in 0..LEAVINGS {
            if let Some(group) = conversation.group() {
                self.leave_for_good(user, group).await?;
            }
            erased.messages += self.take_back_all(user, conversation).await?;
            // Last: until then the inbox says what is still to be done.
            if self.inner.store.forget_place(user, conversation).await? {
                erased.conversations += 1;
                return Ok(());
            }
        }
        Err(Refusal::unavailable(format!("{conversation}: {user} becomes a member again and again")))
    }

    /// Takes a user out of a group, and their name off it where they own it.
    async fn leave_for_good(&self, user: &User, group: &Group) -> Result<(), Refusal> {
        // One that was deleted has neither members nor an owner.
        let Some(record) = self.inner.store.group(group).await? else { return Ok(()) };
        if record.owner.as_ref() == Some(user) {
            self.inner.store.put_group(GroupRecord { owner: None, ..record }).await?;
        }
        if let Some(changed) = self.inner.store.remove_members(group, vec![user.clone()]).await? {
            self.tell_members(group, changed).await;
        }
        Ok(())
    }

    /// Answers how many messages became tombstones.
    async fn take_back_all(&self, user: &User, conversation: &Conversation) -> Result<u64, Refusal> {
        let (mut after, mut count) = (0, 0);
        loop {
            let request = PageRequest {
                conversation: conversation.clone(),
                after,
                before: u64::MAX,
                limit: PAGE,
                max_bytes: PAGE_BYTES,
                direction: Direction::Forwards,
            };
            let page = self.inner.store.pages(vec![request]).await?.into_iter().next().unwrap_or_default();
            let theirs = page.messages.iter().filter(|message| message.from == *user);
            let seqs: Vec<u64> =
                theirs.filter(|message| message.recalled_at.is_none()).map(|message| message.seq).collect();
            for seqs in seqs.chunks(AT_ONCE) {
                count += self.take_back(user, conversation, seqs).await?;
            }
            match page.messages.last() {
                Some(last) if page.more => after = last.seq,
                _ => return Ok(count),
            }
        }
    }

    async fn take_back(
        &self,
        user: &User,
        conversation: &Conversation,
        seqs: &[u64],
    ) -> Result<u64, Refusal> {
        let mut recalls = JoinSet::new();
        for &seq in seqs {
            let recall = Recall {
                conversation: conversation.clone(),
                seq,
                user: user.clone(),
                author: Author { device: None, epoch: 0, session: 0 },
                window_ms: u64::MAX,
            };
            let store = self.inner.store.clone();
            recalls.spawn(async move { store.recall(recall).await.map(|done| (seq, done)) });
        }
        let mut done: Vec<(u64, RecallDone)> = Vec::with_capacity(seqs.len());
        while let Some(recalled) = recalls.join_next().await {
            let recalled = recalled.map_err(|_| Refusal::unavailable("this node is stopping"))?;
            match recalled {
                Ok((seq, Ok(recall))) => done.push((seq, recall)),
                // Retention was faster, or it is not theirs after all.
                Ok((_, Err(RecallRefusal::NotFound | RecallRefusal::NotSender))) => {}
                Ok((_, Err(refusal @ (RecallRefusal::TooLate | RecallRefusal::OldEpoch)))) => {
                    return Err(Refusal::unavailable(refusal.to_string()));
                }
                Err(error) => return Err(StoreError::into(error)),
            }
        }
        // In the order of the log: one that is told too early makes its hearers look for those before it.
        done.sort_unstable_by_key(|(_, recall)| recall.logged.rev);
        let count = done.len() as u64;
        for (seq, RecallDone { id, logged }) in done {
            self.tell_change(conversation.clone(), logged, 0, Change::Recalled { seq, id }).await;
        }
        Ok(count)
    }
}

fn spans(spans: &[Span]) -> Vec<MemberSpan> {
    let span = |span: &Span| MemberSpan { joined_seq: span.joined_seq, left_seq: span.left_seq };
    spans.iter().map(span).collect()
}
