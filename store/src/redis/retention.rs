//! [`Retention`] in Redis: server by server, the conversations that `SCAN` finds there.

use std::collections::BTreeSet;

use async_trait::async_trait;
use redis_link::Call;
use wire::Conversation;

use super::{
    RedisStore,
    failure::failed,
    script,
    shards::{Item, number},
    values,
};
use crate::{Progress, Retention, RetentionPolicy, StoreError, TrimStep};

/// Keys that the server looks at for one step, of which conversations are a part: about a millisecond.
const KEYS: usize = 1_000;
/// Entries that one script removes: while it does, the server does nothing else. Less than a millisecond.
const ENTRIES: u64 = 1_000;
/// Above every time and every number of messages, and still exact in a script, whose numbers have 53 bits.
const ALL: u64 = 1 << 52;

#[async_trait]
impl Retention for RedisStore {
    async fn trim(&self, policy: RetentionPolicy, from: Progress) -> Result<TrimStep, StoreError> {
        if policy.is_off() {
            return Ok(TrimStep { next: None, messages: 0 });
        }
        // `place` is a partition of the server at hand, `cursor` that of its SCAN.
        let servers = self.first_partitions().await?;
        let Some(place) = servers.range(from.place..).next().copied() else {
            return Ok(TrimStep { next: None, messages: 0 });
        };
        let cursor = if place == from.place { from.cursor } else { 0 };
        let (found, next_cursor) = self.find_conversations(place, cursor).await?;
        let (messages, is_more) = self.trim_conversations(policy, &found).await?;
        let next = if is_more {
            Some(Progress { place, cursor })
        } else if next_cursor != 0 {
            Some(Progress { place, cursor: next_cursor })
        } else {
            servers.range(place + 1..).next().map(|place| Progress { place: *place, cursor: 0 })
        };
        Ok(TrimStep { next, messages })
    }
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

    /// Answers how many messages were removed, and whether more is due.
    async fn trim_conversations(
        &self,
        policy: RetentionPolicy,
        conversations: &[Conversation],
    ) -> Result<(u64, bool), StoreError> {
        let items = conversations.iter().map(|of| {
            let keys = self.keys.conversation(of);
            Item {
                keys: vec![keys.conv(), keys.log(), keys.tomb(), keys.change()],
                partition: keys.partition,
                arguments: Vec::new(),
            }
        });
        let first = [number(policy.age_ms.min(ALL)), number(policy.count.min(ALL)), number(ENTRIES)];
        let script = script!("version.lua", "head.lua", "tomb.lua", "search.lua", "trim.lua");
        let (mut messages, mut is_more) = (0, false);
        for answer in self.change(script, &first, items.collect()).await? {
            let mut answer = values::list(answer)?.into_iter();
            messages += values::unsigned(values::next(&mut answer)?)?;
            is_more |= values::unsigned(values::next(&mut answer)?)? == 1;
        }
        Ok((messages, is_more))
    }
}
