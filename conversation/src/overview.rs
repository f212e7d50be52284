//! A user's conversations, most recent first.

use std::{cmp::Reverse, str::FromStr, sync::Arc};

use serde::Serialize;
use store::{Direction, Head, PageRequest};
use wire::{Conversation, Message, User};

use crate::{Conversations, Refusal};

/// Which page of the list is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OverviewRequest {
    /// As the page before answered it.
    pub cursor: Option<String>,
    /// At most this many; the setting's bound where there is none, or where it is more.
    pub limit: Option<usize>,
}

/// One conversation in the list.
#[derive(Debug, Clone, Serialize)]
pub struct ConversationSummary {
    /// Which.
    pub conversation: Conversation,
    /// Its last `seq`.
    pub last_seq: u64,
    /// How far the user has read.
    pub read_seq: u64,
    /// Messages after that, as far as they are the user's.
    pub unread: u64,
    /// How far the other one has read; direct conversations only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_read_seq: Option<u64>,
    /// The last message; `null` once retention has taken it.
    pub last_message: Option<Arc<Message>>,
}

/// The answer to `conversations`.
#[derive(Debug, Clone, Serialize)]
pub struct ConversationList {
    /// Most recent first.
    pub conversations: Vec<ConversationSummary>,
    /// Where the next page starts; `null` after the last one.
    pub cursor: Option<String>,
}

/// A conversation's place in the list: by its last message, then by name.
type Place = (Reverse<i64>, Conversation);

struct Entry {
    conversation: Conversation,
    head: Head,
    joined_seq: u64,
}

impl Conversations {
    /// Lists the user's direct conversations and the groups that they are a member of.
    ///
    /// A conversation that gets a message between two pages moves to the front: it may then be on neither.
    ///
    /// # Errors
    /// `bad_request` for a cursor that is not ours; `unavailable`.
    pub async fn overview(&self, user: &User, request: OverviewRequest) -> Result<ConversationList, Refusal> {
        let start = request.cursor.as_deref().map(parse_cursor).transpose()?;
        let most = self.inner.limits.page_conversations;
        let limit = request.limit.unwrap_or(most).clamp(1, most);
        let mut entries = self.entries(user).await?;
        entries.sort_by_cached_key(place);
        let first = start.map_or(0, |start| entries.partition_point(|entry| place(entry) <= start));
        let mut page = entries.split_off(first);
        let more = page.len() > limit;
        page.truncate(limit);
        let cursor = page.last().filter(|_| more).map(cursor_of);
        Ok(ConversationList { conversations: self.summaries(user, page).await?, cursor })
    }

    async fn entries(&self, user: &User) -> Result<Vec<Entry>, Refusal> {
        let store = &self.inner.store;
        let inbox = store.inbox(user).await?;
        let of_user = inbox.groups.into_iter().map(|group| (user.clone(), group)).collect();
        let memberships = store.memberships(of_user).await?;
        let mut named: Vec<(Conversation, u64)> =
            inbox.direct.into_iter().map(|(conversation, _)| (conversation, 1)).collect();
        named.extend(memberships.into_iter().filter_map(|membership| {
            let span = membership.spans.last().filter(|span| span.left_seq.is_none())?;
            Some((Conversation::Group(membership.group), span.joined_seq))
        }));
        let heads = store.heads(named.iter().map(|(conversation, _)| conversation.clone()).collect()).await?;
        let entry = |((conversation, joined_seq), head)| Entry { conversation, head, joined_seq };
        Ok(named.into_iter().zip(heads).map(entry).collect())
    }

    async fn summaries(&self, user: &User, page: Vec<Entry>) -> Result<Vec<ConversationSummary>, Refusal> {
        let store = &self.inner.store;
        let last_messages =
            store.pages(page.iter().map(|entry| last_of(&entry.conversation)).collect()).await?;
        let own = page.iter().map(|entry| (user.clone(), entry.conversation.clone()));
        let peers = page
            .iter()
            .filter_map(|entry| Some((entry.conversation.peer(user)?.clone(), entry.conversation.clone())));
        let mut read_seqs = store.read_seqs(own.chain(peers).collect()).await?;
        let mut peer_read_seqs = read_seqs.split_off(page.len()).into_iter();
        let summary = |((entry, last), read_seq): ((Entry, store::Page), u64)| {
            // A user's own send moves their read mark, so what follows it is from others.
            let seen = read_seq.max(entry.joined_seq.saturating_sub(1));
            ConversationSummary {
                last_seq: entry.head.last_seq,
                read_seq,
                unread: entry.head.last_seq.saturating_sub(seen),
                peer_read_seq: entry.conversation.peer(user).and_then(|_| peer_read_seqs.next()),
                last_message: last.messages.into_iter().last().filter(|last| last.seq >= entry.joined_seq),
                conversation: entry.conversation,
            }
        };
        Ok(page.into_iter().zip(last_messages).zip(read_seqs).map(summary).collect())
    }
}

fn last_of(conversation: &Conversation) -> PageRequest {
    PageRequest {
        conversation: conversation.clone(),
        after: 0,
        before: u64::MAX,
        limit: 1,
        max_bytes: usize::MAX,
        direction: Direction::Backwards,
    }
}

fn place(entry: &Entry) -> Place {
    (Reverse(entry.head.last_at), entry.conversation.clone())
}

fn cursor_of(entry: &Entry) -> String {
    format!("{}/{}", entry.head.last_at, entry.conversation)
}

fn parse_cursor(text: &str) -> Result<Place, Refusal> {
    let parsed = text.split_once('/').and_then(|(last_at, conversation)| {
        Some((Reverse(last_at.parse().ok()?), Conversation::from_str(conversation).ok()?))
    });
    parsed.ok_or_else(|| Refusal::bad_request("cursor: expected one that an earlier page answered"))
}
