//! What may go into one script call.

use std::{borrow::Cow, collections::BTreeMap};

use redis::{Script, Value};
use redis_link::Call;

use super::{RedisStore, keys::Partition, values};
use crate::StoreError;

/// The most items that one script should handle: while it runs, the server does nothing else. About a millisecond.
pub(super) const ITEMS: usize = 64;
/// A script is not given more once its arguments hold this many bytes.
const BYTES: usize = 1024 * 1024;

/// An argument: most are names that somebody else holds.
pub(super) type Argument<'a> = Cow<'a, [u8]>;

pub(super) fn number<'a>(number: u64) -> Argument<'a> {
    number.to_string().into_bytes().into()
}

pub(super) fn text(text: &str) -> Argument<'_> {
    text.as_bytes().into()
}

/// What a script needs for one item: a conversation, a user.
pub(super) struct Item<'a> {
    pub(super) partition: Partition,
    pub(super) keys: Vec<String>,
    pub(super) arguments: Vec<Argument<'a>>,
}

/// Calls, and which items each is about, in the order of its answers.
pub(super) struct Shards {
    pub(super) calls: Vec<Call>,
    pub(super) items: Vec<Vec<usize>>,
}

impl RedisStore {
    /// Runs a script that writes, and answers what it says of each item; `first` are arguments before those of the items.
    pub(super) async fn change(
        &self,
        script: &'static Script,
        first: &[Argument<'_>],
        items: Vec<Item<'_>>,
    ) -> Result<Vec<Value>, StoreError> {
        let shards = self.shards(script, first, items);
        let answers = self.write(shards.calls).await?;
        sort(answers, shards.items)
    }

    /// The same for a script that gives versions to inboxes: its first keys are `clock` and `starts`, of the one partition in
    /// a cluster; elsewhere of the first one, since all have the same.
    pub(super) fn inbox_shards(
        &self,
        script: &'static Script,
        first: &[Argument<'_>],
        items: Vec<Item<'_>>,
    ) -> Shards {
        let home = self.keys.partition(0);
        let first_keys = |partition: &Partition| {
            let of = if self.is_cluster() { partition } else { &home };
            vec![of.clock(), of.starts()]
        };
        self.shards_of(script, first_keys, first, items, ITEMS)
    }

    /// Runs such a script, and answers what it says of each item.
    pub(super) async fn change_inboxes(
        &self,
        script: &'static Script,
        first: &[Argument<'_>],
        items: Vec<Item<'_>>,
    ) -> Result<Vec<Value>, StoreError> {
        let shards = self.inbox_shards(script, first, items);
        let answers = self.write(shards.calls).await?;
        sort(answers, shards.items)
    }

    /// Runs a script that reads what no failover may take back, for at most so many items at a time. The script's text is
    /// after `fence.lua`, which takes the first key and the first argument.
    pub(super) async fn ask(
        &self,
        script: &'static Script,
        first: &[Argument<'_>],
        items: Vec<Item<'_>>,
        most: usize,
    ) -> Result<Vec<Value>, StoreError> {
        self.check_schema().await?;
        let fence = text(if self.options.wait.is_some() { "1" } else { "" });
        let first: Vec<_> = [fence].into_iter().chain(first.iter().cloned()).collect();
        let shards = self.shards_of(script, |partition| vec![partition.fence()], &first, items, most);
        let answers = self.run(shards.calls, true).await?;
        sort(answers, shards.items)
    }

    /// Puts items that may go together into one call of the script each: in a cluster those of one partition, elsewhere
    /// all; up to a bound.
    pub(super) fn shards(
        &self,
        script: &'static Script,
        first: &[Argument<'_>],
        items: Vec<Item<'_>>,
    ) -> Shards {
        self.shards_of(script, |_| Vec::new(), first, items, ITEMS)
    }

    fn shards_of(
        &self,
        script: &'static Script,
        first_keys: impl Fn(&Partition) -> Vec<String>,
        first: &[Argument<'_>],
        items: Vec<Item<'_>>,
        most: usize,
    ) -> Shards {
        let mut by_server: BTreeMap<u16, Vec<(usize, Item<'_>)>> = BTreeMap::new();
        for (index, item) in items.into_iter().enumerate() {
            let server = if self.is_cluster() { item.partition.number() } else { 0 };
            by_server.entry(server).or_default().push((index, item));
        }
        let mut shards = Shards { calls: Vec::new(), items: Vec::new() };
        for items in by_server.into_values() {
            let (mut shard, mut bytes) = (Vec::new(), 0);
            for item in items {
                bytes += item.1.arguments.iter().map(|argument| argument.len()).sum::<usize>();
                shard.push(item);
                if shard.len() == most || bytes > BYTES {
                    shards.push(script, &first_keys, first, std::mem::take(&mut shard));
                    bytes = 0;
                }
            }
            shards.push(script, &first_keys, first, shard);
        }
        shards
    }
}

impl Shards {
    fn push(
        &mut self,
        script: &'static Script,
        first_keys: impl Fn(&Partition) -> Vec<String>,
        first: &[Argument<'_>],
        shard: Vec<(usize, Item<'_>)>,
    ) {
        let Some((_, item)) = shard.first() else { return };
        let tag = item.partition.key("");
        let first_keys = first_keys(&item.partition);
        let keys: Vec<&String> =
            first_keys.iter().chain(shard.iter().flat_map(|(_, item)| &item.keys)).collect();
        let mut call = Call::script(tag, script, &keys, &[] as &[&str]);
        for argument in first.iter().chain(shard.iter().flat_map(|(_, item)| &item.arguments)) {
            call = call.arg(&**argument);
        }
        self.calls.push(call);
        self.items.push(shard.into_iter().map(|(index, _)| index).collect());
    }
}

/// The answers in the order of the items.
pub(super) fn sort(answers: Vec<Value>, items: Vec<Vec<usize>>) -> Result<Vec<Value>, StoreError> {
    let mut sorted: Vec<(usize, Value)> = Vec::new();
    for (answer, items) in answers.into_iter().zip(items) {
        let answers = values::list(answer)?;
        if answers.len() != items.len() {
            return Err(StoreError::Corrupt("a script did not answer for everything it was asked".into()));
        }
        sorted.extend(items.into_iter().zip(answers));
    }
    sorted.sort_unstable_by_key(|(item, _)| *item);
    Ok(sorted.into_iter().map(|(_, answer)| answer).collect())
}
