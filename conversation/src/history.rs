//! Pages of a conversation, within what the reader may see.

use std::sync::Arc;

use serde::Serialize;
use store::{Direction, PageRequest, Span};
use wire::{Code, Conversation, Message, User};

use crate::{Conversations, Refusal};

/// Who reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reader {
    /// A user sees their own conversations, and of a group what was sent while they were a member.
    User(User),
    /// A back end sees everything.
    BackEnd,
}

/// Which page is wanted.
///
/// With `after` (and perhaps `before`) the page starts at the oldest message of the interval; with `before` alone, or
/// neither, it ends at the newest. A page is ascending either way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRequest {
    /// Of which conversation.
    pub conversation: Conversation,
    /// Only `seq` above this.
    pub after: Option<u64>,
    /// Only `seq` below this.
    pub before: Option<u64>,
    /// At most this many; the setting's bound where there is none, or where it is more.
    pub limit: Option<usize>,
}

/// The answer to `sync`.
#[derive(Debug, Clone, Serialize)]
pub struct HistoryPage {
    /// Ascending by `seq`.
    pub messages: Vec<Arc<Message>>,
    /// Whether the interval holds more.
    pub more: bool,
    /// The last `seq` of the conversation that the reader may see; 0 where there is none.
    pub last_seq: u64,
}

impl Conversations {
    /// Reads one page.
    ///
    /// # Errors
    /// `forbidden` for somebody else's conversation; `not_member` for a group that the reader never was in;
    /// `unavailable`.
    pub async fn history(&self, reader: &Reader, request: HistoryRequest) -> Result<HistoryPage, Refusal> {
        let spans = self.visible(reader, &request.conversation).await?;
        let limits = &self.inner.limits;
        let direction = if request.after.is_some() { Direction::Forwards } else { Direction::Backwards };
        let after = request.after.unwrap_or(0);
        let before = request.before.unwrap_or(u64::MAX);
        let limit = request.limit.unwrap_or(limits.page_messages).clamp(1, limits.page_messages);
        // The widest interval that holds every span; what lies between two spans is left out below.
        let first = spans.first().map_or(0, |span| span.joined_seq);
        let left = spans.last().and_then(|span| span.left_seq).unwrap_or(u64::MAX);
        let pages = self.inner.store.pages(vec![PageRequest {
            conversation: request.conversation,
            after: after.max(first.saturating_sub(1)),
            before: before.min(left),
            limit,
            max_bytes: limits.page_bytes,
            direction,
        }]);
        let mut page = pages.await?.into_iter().next().unwrap_or_default();
        page.messages.retain(|message| spans.iter().any(|span| span.holds(message.seq)));
        let last_seq = page.last_seq.min(left.saturating_sub(1));
        Ok(HistoryPage { messages: page.messages, more: page.more, last_seq })
    }

    async fn visible(&self, reader: &Reader, conversation: &Conversation) -> Result<Vec<Span>, Refusal> {
        let everything = vec![Span { joined_seq: 1, left_seq: None }];
        let Reader::User(user) = reader else { return Ok(everything) };
        let Conversation::Group(group) = conversation else {
            return match conversation.peer(user) {
                Some(_) => Ok(everything),
                None => Err(Refusal::new(Code::Forbidden, "conversation: it is between other users")),
            };
        };
        let memberships = self.inner.store.memberships(vec![(user.clone(), group.clone())]).await?;
        let spans = memberships.into_iter().next().map(|membership| membership.spans).unwrap_or_default();
        if spans.is_empty() {
            return Err(Refusal::new(Code::NotMember, format!("group {group}: you were never a member")));
        }
        Ok(spans)
    }
}
