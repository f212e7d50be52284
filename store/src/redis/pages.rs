//! Reading pages of a conversation, finding a `seq` by time, and counting what was sent lately.

use std::sync::Arc;

use redis::Value;
use redis_link::Call;
use wire::{Conversation, Message};

use super::{
    RedisStore,
    failure::unreadable,
    record,
    shards::{Item, number, text},
    values,
};
use crate::{Direction, Head, Page, PageRequest, StoreError};

/// The most messages in one page.
const PAGE_MAX: usize = 1_000;
/// Pages that one script reads: while it does, the server does nothing else.
const PAGES: usize = 8;
/// Conversations that one script looks through for a time, with about 20 looks each.
const SEARCHES: usize = 32;
/// Above every `seq`, and still exact in a script, whose numbers have 53 bits.
const ALL: u64 = 1 << 52;

impl RedisStore {
    pub(super) async fn read_pages(&self, requests: Vec<PageRequest>) -> Result<Vec<Page>, StoreError> {
        let items: Vec<Item<'_>> = requests
            .iter()
            .map(|request| {
                let keys = self.keys.conversation(&request.conversation);
                let backwards = request.direction == Direction::Backwards;
                Item {
                    keys: vec![keys.conv(), keys.log(), keys.tomb()],
                    partition: keys.partition,
                    arguments: vec![
                        number(request.after.min(ALL)),
                        number(request.before.min(ALL)),
                        number(request.limit.clamp(1, PAGE_MAX) as u64),
                        number((request.max_bytes as u64).min(ALL)),
                        text(if backwards { "1" } else { "" }),
                    ],
                }
            })
            .collect();
        let answers = self
            .ask(super::script!("fence.lua", "head.lua", "tomb.lua", "pages.lua"), &[], items, PAGES)
            .await?;
        requests.iter().zip(answers).map(|(request, answer)| page(request, answer)).collect()
    }

    pub(super) async fn read_heads(&self, conversations: &[Conversation]) -> Result<Vec<Head>, StoreError> {
        let keys: Vec<_> = conversations.iter().map(|of| self.keys.conversation(of)).collect();
        let calls = keys
            .iter()
            .map(|keys| {
                let key = keys.conv();
                let mut command = redis::cmd("HMGET");
                command.arg(&key).arg(&["h", "mv", "cr"]);
                Call::command(key, command)
            })
            .collect();
        let partitions = keys.into_iter().map(|keys| keys.partition);
        let answers = self.read_confirmed(calls, partitions).await?;
        answers.into_iter().map(head).collect()
    }

    pub(super) async fn find_by_time(
        &self,
        at: i64,
        conversations: &[Conversation],
    ) -> Result<Vec<u64>, StoreError> {
        let items = conversations
            .iter()
            .map(|of| {
                let keys = self.keys.conversation(of);
                Item {
                    keys: vec![keys.conv(), keys.log(), keys.tomb()],
                    partition: keys.partition,
                    arguments: Vec::new(),
                }
            })
            .collect();
        // No message is from before the epoch, and none from after the last time that a script can tell.
        let at = number(u64::try_from(at.saturating_add(1)).unwrap_or(0).min(ALL));
        let script = super::script!("fence.lua", "head.lua", "tomb.lua", "search.lua", "seq_at.lua");
        let answers = self.ask(script, &[at], items, SEARCHES).await?;
        answers.into_iter().map(values::unsigned).collect()
    }

    pub(super) async fn count_within(
        &self,
        window_ms: u64,
        conversation: &Conversation,
    ) -> Result<u64, StoreError> {
        let keys = self.keys.conversation(conversation);
        let script = super::script!("head.lua", "tomb.lua", "search.lua", "sent_within.lua");
        let names = [keys.conv(), keys.log(), keys.tomb()];
        let call = Call::script(keys.conv(), script, &names, &[window_ms.min(ALL)]);
        let answers = self.read(vec![call]).await?;
        values::unsigned(values::next(&mut answers.into_iter())?)
    }
}

fn page(request: &PageRequest, answer: Value) -> Result<Page, StoreError> {
    let mut answer = values::list(answer)?.into_iter();
    let last_seq = values::unsigned(values::next(&mut answer)?)?;
    let first_seq = values::unsigned(values::next(&mut answer)?)?;
    let rev = values::unsigned(values::next(&mut answer)?)?;
    let mut messages: Vec<Arc<Message>> = Vec::new();
    for (entry, bytes) in values::pairs(values::next(&mut answer)?)? {
        let (entry, bytes) = (values::text(entry)?, values::bytes(bytes)?);
        messages.push(Arc::new(record::decode(&request.conversation, &entry, &bytes)?));
    }
    if request.direction == Direction::Backwards {
        messages.reverse();
    }
    // The interval that there is has no holes, so what is left over needs no look-up.
    let first = request.after.saturating_add(1).max(first_seq);
    let last = request.before.saturating_sub(1).min(last_seq);
    let more = match (messages.first(), messages.last()) {
        (Some(oldest), Some(newest)) => oldest.seq > first || newest.seq < last,
        _ => false,
    };
    Ok(Page { messages, more, last_seq, first_seq, rev })
}

fn head(answer: Value) -> Result<Head, StoreError> {
    let mut answer = values::list(answer)?.into_iter();
    let head = values::optional(values::next(&mut answer)?, values::bytes)?;
    let members_version = values::unsigned(values::next(&mut answer)?)?;
    let rev = values::unsigned(values::next(&mut answer)?)?;
    let Some(head) = head else { return Ok(Head { last_seq: 0, members_version, last_at: 0, rev }) };
    let number = |at: usize| {
        let bytes = head.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map(i64::from_be_bytes).ok_or_else(|| unreadable("a conversation", &"its head is too short"))
    };
    Ok(Head { last_seq: number(0)?.unsigned_abs(), members_version, last_at: number(8)?, rev })
}
