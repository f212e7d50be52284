//! [`Retention`] in Redis: server by server, the conversations that `SCAN` finds there.

use std::collections::BTreeSet;

use async_trait::async_trait;
use redis::{InfoDict, ParsingError};
use redis_link::Call;
use wire::Conversation;

use super::{
    RedisStore,
    failure::{failed, unreadable},
    script,
    shards::{Item, number},
    values,
};
use crate::{Extent, Progress, Retention, RetentionPolicy, Space, StoreError, TrimStep};

/// Keys that the server looks at for one step, of which conversations are a part: about a millisecond.
const KEYS: usize = 1_000;
/// Entries that one script removes: while it does, the server does nothing else. Less than a millisecond.
const ENTRIES: u64 = 1_000;
/// Above every time and every number of messages, and still exact in a script, whose numbers have 53 bits.
const ALL: u64 = 1 << 52;

#[async_trait]
impl Retention for RedisStore {
    async fn trim(&self, policy: RetentionPolicy, from: Progress) -> Result<TrimStep, StoreError> {
        // `place` is a partition of the server at hand, `cursor` that of its SCAN.
        let servers = self.first_partitions().await?;
        let Some(place) = servers.range(from.place..).next().copied() else {
            return Ok(TrimStep::default());
        };
        let cursor = if place == from.place { from.cursor } else { 0 };
        let (found, next_cursor) = self.find_conversations(place, cursor).await?;
        let Trimmed { messages, is_more, held } = self.trim_conversations(policy, &found).await?;
        if is_more {
            // The same ones come again, and are counted then.
            return Ok(TrimStep { next: Some(Progress { place, cursor }), messages, held: Vec::new() });
        }
        let next = if next_cursor != 0 {
            Some(Progress { place, cursor: next_cursor })
        } else {
            servers.range(place + 1..).next().map(|place| Progress { place: *place, cursor: 0 })
        };
        Ok(TrimStep { next, messages, held })
    }

    async fn space(&self) -> Result<Vec<Space>, StoreError> {
        let calls = self.first_partitions().await?.into_iter().map(|place| {
            let number = u16::try_from(place).unwrap_or(u16::MAX);
            let mut info = redis::cmd("INFO");
            info.arg("memory");
            Call::command(self.keys.partition(number).starts(), info)
        });
        let answers = self.read(calls.collect()).await?;
        answers.into_iter().map(|answer| space_of(redis::from_redis_value(answer))).collect()
    }
}

/// What one step's script did with the conversations that it was given.
#[derive(Default)]
struct Trimmed {
    messages: u64,
    is_more: bool,
    held: Vec<Extent>,
}

fn space_of(answer: Result<InfoDict, ParsingError>) -> Result<Space, StoreError> {
    let info = answer.map_err(|error| unreadable("what INFO says", &error))?;
    let number = |name: &str| {
        let found = info.get::<u64>(name);
        found.ok_or_else(|| StoreError::Corrupt(format!("INFO memory has no {name}")))
    };
    let limit = number("maxmemory")?;
    // What replicas have not read yet does not count towards the limit.
    let used = number("used_memory")?.saturating_sub(number("mem_not_counted_for_evict")?);
    Ok(Space { used, limit: (limit > 0).then_some(limit) })
}

impl RedisStore {
    /// Of each server, the first of its partitions.
    async fn first_partitions(&self) -> Result<BTreeSet<u64>, StoreError> {
        let mut owners = BTreeSet::new();
        let mut first = BTreeSet::new();
        for partition in self.keys.partitions() {
            if owners.insert(self.link.owner(partition.starts()).await.map_err(failed)?) {
                first.insert(partition.number().into());
            }
            if !self.is_cluster() {
                break;
            }
        }
        Ok(first)
    }

    /// Some conversations of the server that has this partition, and the cursor for further ones, 0 after the last.
    async fn find_conversations(
        &self,
        place: u64,
        cursor: u64,
    ) -> Result<(Vec<Conversation>, u64), StoreError> {
        let number = u16::try_from(place).unwrap_or(u16::MAX);
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(self.keys.all_conversations()).arg("COUNT").arg(KEYS);
        let answers = self.read(vec![Call::command(self.keys.partition(number).starts(), scan)]).await?;
        let mut answer = values::list(values::next(&mut answers.into_iter())?)?.into_iter();
        let cursor = values::unsigned(values::next(&mut answer)?)?;
        let mut found = Vec::new();
        for key in values::list(values::next(&mut answer)?)? {
            let key = values::text(key)?;
            match self.keys.conversation_of(&key) {
                Some(conversation) => found.push(conversation),
                None => tracing::debug!(key, "a key that names no conversation is passed over"),
            }
        }
        Ok((found, cursor))
    }

    async fn trim_conversations(
        &self,
        policy: RetentionPolicy,
        conversations: &[Conversation],
    ) -> Result<Trimmed, StoreError> {
        let items = conversations.iter().map(|of| {
            let keys = self.keys.conversation(of);
            Item {
                keys: vec![keys.conv(), keys.log(), keys.tomb(), keys.change()],
                partition: keys.partition,
                arguments: Vec::new(),
            }
        });
        let first = [number(policy.age_ms.min(ALL)), number(policy.count.min(ALL)), number(ENTRIES)];
        let script =
            script!("allow_oom.lua", "version.lua", "head.lua", "tomb.lua", "search.lua", "trim.lua");
        let mut trimmed = Trimmed::default();
        for answer in self.change(script, &first, items.collect()).await? {
            let mut answer = values::list(answer)?.into_iter();
            let mut next = || values::unsigned(values::next(&mut answer)?);
            trimmed.messages += next()?;
            trimmed.is_more |= next()? == 1;
            let held = Extent { messages: next()?, oldest_ms: next()?, newest_ms: next()? };
            trimmed.held.extend((held.messages > 0).then_some(held));
        }
        Ok(trimmed)
    }
}
