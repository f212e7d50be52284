//! Pages of a conversation, within what the reader may see.

use std::sync::Arc;

use serde::Serialize;
use store::{Direction, PageRequest, Span};
use wire::{Code, Conversation, Message, User};

use crate::{Conversations, JoinHistory, Refusal};

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
        let limit = request.limit.unwrap_or(limits.page_messages).clamp(1, limits.page_messages);
        let intervals = intervals(&spans, &request, direction);
        let mut page = HistoryPage { messages: Vec::new(), more: false, last_seq: 0 };
        let mut bytes = 0;
        for (index, &(after, before)) in intervals.iter().enumerate() {
            let pages = self.inner.store.pages(vec![PageRequest {
                conversation: request.conversation.clone(),
                after,
                before,
                limit: limit - page.messages.len(),
                max_bytes: limits.page_bytes - bytes,
                direction,
            }]);
            let part = pages.await?.into_iter().next().unwrap_or_default();
            page.last_seq = part.last_seq;
            bytes += part.messages.iter().map(|message| message.body.get().len()).sum::<usize>();
            let place = if direction == Direction::Forwards { page.messages.len() } else { 0 };
            page.messages.splice(place..place, part.messages);
            if part.more || page.messages.len() >= limit || bytes >= limits.page_bytes {
                let holds_some = |&(after, before): &(u64, u64)| after + 1 < before && after < part.last_seq;
                page.more = part.more || intervals[index + 1..].iter().any(holds_some);
                break;
            }
        }
        let left = spans.last().and_then(|span| span.left_seq).unwrap_or(u64::MAX);
        page.last_seq = page.last_seq.min(left.saturating_sub(1));
        Ok(page)
    }

    /// What the reader may see of a conversation; never empty.
    pub(crate) async fn visible(
        &self,
        reader: &Reader,
        conversation: &Conversation,
    ) -> Result<Vec<Span>, Refusal> {
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
        match (self.inner.limits.join_history, spans.last()) {
            (JoinHistory::All, Some(last)) => Ok(vec![Span { joined_seq: 1, ..*last }]),
            _ => Ok(spans),
        }
    }
}

/// What is to be read, `(after, before)`, in the order of reading. What lies between two spans is not the reader's: it is
/// stepped over, for a page of it would be empty and the reader could not ask for the next one.
fn intervals(spans: &[Span], request: &HistoryRequest, direction: Direction) -> Vec<(u64, u64)> {
    let (after, before) = (request.after.unwrap_or(0), request.before.unwrap_or(u64::MAX));
    let within = |span: &Span| {
        (after.max(span.joined_seq.saturating_sub(1)), before.min(span.left_seq.unwrap_or(u64::MAX)))
    };
    let mut intervals: Vec<_> = spans.iter().map(within).collect();
    // One is always read: it says how far the conversation has come.
    let first = intervals[0];
    intervals.retain(|(after, before)| after < before);
    if intervals.is_empty() {
        intervals.push(first);
    }
    if direction == Direction::Backwards {
        intervals.reverse();
    }
    intervals
}
