//! Who is connected where.

use std::str::FromStr;

use redis::Value;
use wire::{Incarnation, NodeRef, User};

use super::{
    RedisStore,
    outbox::bound,
    script,
    shards::{Item, number, sort, text},
    values,
};
use crate::{DevicePresence, Held, StoreError, UserPresence};

/// The value of a device in `presence`: `<incarnation> <since_at> <epoch> <node>`.
pub(super) struct Entry {
    pub(super) node: NodeRef,
    pub(super) since_at: i64,
    pub(super) epoch: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("expected incarnation, time, epoch and node, found {0:?}")]
pub(super) struct NoEntry(String);

impl FromStr for Entry {
    type Err = NoEntry;

    fn from_str(text: &str) -> Result<Self, NoEntry> {
        let read = || {
            let mut parts = text.splitn(4, ' ');
            let incarnation = Incarnation(parts.next()?.parse().ok()?);
            let since_at = parts.next()?.parse().ok()?;
            let epoch = parts.next()?.parse().ok()?;
            Some(Self { node: NodeRef { id: parts.next()?.into(), incarnation }, since_at, epoch })
        };
        read().ok_or_else(|| NoEntry(text.to_owned()))
    }
}

impl RedisStore {
    pub(super) async fn presence_of(&self, users: &[User]) -> Result<Vec<UserPresence>, StoreError> {
        let items = users.iter().map(|user| {
            let of = self.keys.user(user);
            let keys = vec![of.device(), of.presence(), of.partition.starts()];
            Item { keys, arguments: Vec::new(), partition: of.partition }
        });
        let shards = self.shards(script!("live.lua", "presence.lua"), &[], items.collect());
        let answers = self.read(shards.calls).await?;
        sort(answers, shards.items)?.into_iter().map(presence).collect()
    }

    pub(super) async fn assert_held(&self, node: &NodeRef, batch: &[Held]) -> Result<Vec<bool>, StoreError> {
        let waiting = self.consumed_presence().await?;
        let items = batch.iter().map(|Held { key, epoch, born_at, since_at }| {
            let of = self.keys.user(&key.user);
            let time = |at: &i64| at.to_string().into_bytes().into();
            let mut keys = vec![of.device(), of.presence()];
            keys.extend(waiting.map(|_| of.partition.outbox()));
            Item {
                keys,
                arguments: vec![
                    text(key.user.as_str()),
                    text(key.device.as_str()),
                    number(*epoch),
                    time(born_at),
                    time(since_at),
                ],
                partition: of.partition,
            }
        });
        let script = script!("version.lua", "seen.lua", "tell.lua", "assert.lua");
        let first = [number(node.incarnation.0), text(&node.id), bound(waiting)];
        let answers = self.change(script, &first, items.collect()).await?;
        answers.into_iter().map(|answer| Ok(values::unsigned(answer)? == 1)).collect()
    }
}

fn presence(answer: Value) -> Result<UserPresence, StoreError> {
    let mut parts = values::list(answer)?.into_iter();
    let last_seen_at = values::optional(values::next(&mut parts)?, values::signed)?;
    let mut devices = Vec::new();
    for (device, entry) in values::pairs(values::next(&mut parts)?)? {
        let Entry { node, since_at, .. } = values::parsed(entry)?;
        devices.push(DevicePresence { device: values::parsed(device)?, node, since_at });
    }
    devices.sort_unstable_by(|one, other| one.device.cmp(&other.device));
    Ok(UserPresence { devices, last_seen_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_may_have_any_name() {
        let entry: Entry = "12 34 5 spear one 2".parse().expect("an entry");
        assert_eq!((&*entry.node.id, entry.node.incarnation), ("spear one 2", Incarnation(12)));
        assert_eq!((entry.since_at, entry.epoch), (34, 5));
    }

    #[test]
    fn what_is_no_entry_is_named() {
        for text in ["", "1 2 3", "x 2 3 spear-1", "1 2 -3 spear-1"] {
            assert!(text.parse::<Entry>().is_err_and(|error| error.to_string().contains(text)), "{text}");
        }
    }
}
